"""The roofline picture: speed against arithmetic intensity, below the machine's measured limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path
from textwrap import fill
from typing import Any

from benchmarks.peers.fastconv_peer import OURS
from benchmarks.peers.results import TORCH, Report, Roofs, Row
from fastconv.benchmark.chart import REFERENCE_COLOR, TEXTBOOK_COLOR
from fastconv.data.optional import require

OUR_COLOR, TORCH_COLOR = REFERENCE_COLOR, TEXTBOOK_COLOR

#: Labels closer than this are moved apart, in decades: across, and up.
ACROSS, UP = 0.2, 0.032


@dataclass(frozen=True)
class Panel:
    """One set of axes: rows of one pass, and the limits for the same threads."""

    title: str
    rows: list[Row]
    roofs: Roofs | None


def panel(report: Report, which: str, outputs: str) -> Panel:
    """Return the panel of one of a report's tables."""
    plural = "s" * (report.threads > 1)
    title = f"{which}, {outputs} outputs, {report.threads} thread{plural}, {report.dtype}"
    return Panel(title, report.part(which, outputs), report.roofs)


def label_heights(points: Sequence[tuple[float, float]]) -> list[float]:
    """Return heights for labels at (log x, log y): upwards from the lowest, none over another."""
    heights = [0.0] * len(points)
    placed: list[tuple[float, float]] = []
    for index in sorted(range(len(points)), key=lambda i: points[i][1]):
        x, height = points[index]
        near = sorted(h for other, h in placed if abs(other - x) < ACROSS)
        for taken in near:
            if abs(taken - height) < UP:
                height = taken + UP
        heights[index] = height
        placed.append((x, height))
    return heights


def _draw_roofs(axes: Any, roofs: Roofs, least: float, most: float) -> None:
    """Draw bandwidth up to the ridge and multiply-adds from there on."""
    ridge = roofs.flops / roofs.bytes
    left, right = min(least, ridge) / 1.5, max(most, ridge) * 1.5
    heights = [left * roofs.bytes / 1e9, roofs.flops / 1e9, roofs.flops / 1e9]
    axes.plot([left, ridge, right], heights, color="0.25", linewidth=1.2, zorder=1)
    axes.annotate(
        f"multiply-adds: {roofs.flops / 1e9:.0f} GFLOP/s", (right, roofs.flops / 1e9),
        xytext=(0, 4), textcoords="offset points", fontsize=8, color="0.25", ha="right",
    )  # fmt: skip
    product = roofs.product_flops
    start = max(left, product / roofs.bytes)
    axes.plot([start, right], [product / 1e9] * 2, "--", color="0.25", linewidth=0.8, zorder=1)
    axes.annotate(
        f"operands in L1: {product / 1e9:.0f} GFLOP/s", (right, product / 1e9),
        xytext=(0, -4), textcoords="offset points", fontsize=8, color="0.25", ha="right", va="top",
    )  # fmt: skip
    axes.annotate(
        f"memory: {roofs.bytes / 1e9:.0f} GB/s", (left, left * roofs.bytes / 1e9),
        xytext=(6, 0), textcoords="offset points", fontsize=8, color="0.25", va="top",
    )  # fmt: skip


def _draw_panel(axes: Any, panel: Panel) -> None:
    """Draw both libraries' points of each layer, joined: they differ in height alone."""
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import LogLocator, NullFormatter

    halo = [withStroke(linewidth=2, foreground="white")]
    rows = [row for row in panel.rows if row.ratio(*TORCH) is not None]
    intensity = [row.flops / row.traffic for row in rows]
    ours = [row.flops / (row.seconds(OURS) or 1) / 1e9 for row in rows]
    torch = [row.flops / (row.seconds(*TORCH) or 1) / 1e9 for row in rows]
    axes.vlines(intensity, ours, torch, color="0.75", linewidth=0.8, zorder=2)
    axes.scatter(intensity, torch, s=22, color=TORCH_COLOR, marker="s", label="torch", zorder=3)
    axes.scatter(intensity, ours, s=26, color=OUR_COLOR, label="fastconv", zorder=4)
    if panel.roofs and rows:
        _draw_roofs(axes, panel.roofs, min(intensity), max(intensity))
    points = [(log10(x), log10(y)) for x, y in zip(intensity, ours, strict=True)]
    for row, x, height in zip(rows, intensity, label_heights(points), strict=True):
        axes.annotate(
            row.layer, (x, 10**height), xytext=(6, 0), textcoords="offset points",
            fontsize=6.5, va="center", color="0.15", path_effects=halo, zorder=5,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    axes.set_title(panel.title, loc="left", fontsize=10)
    axes.grid(True, which="major", color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def draw(panels: list[Panel], note: str, path: Path) -> Path:
    """Write a PNG of the panels below one another, on one scale of intensity."""
    require("matplotlib", "drawing the roofline")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for axes, one in zip(grid, panels, strict=True):
        _draw_panel(axes, one)
        axes.set_ylabel("GFLOP/s of the plain sum")
    grid[-1].set_xlabel("arithmetic intensity, FLOP / byte (every array moved once)")
    grid[0].legend(loc="upper left", frameon=False, fontsize=9)
    text = (
        "torch is the faster of its two layouts. The work is that of the plain sum, so an algorithm "
        f"that needs fewer operations (Winograd) may pass the roof, and arrays that stay in a "
        f"cache the memory's slope. {note}"
    )
    figure.text(0.01, -0.005, fill(text, 140), fontsize=6.5, color="0.35", va="top")
    figure.savefig(path, dpi=130, bbox_inches="tight")
    return path
