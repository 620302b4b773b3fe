"""The bar chart of speed-ups."""

from pathlib import Path
from textwrap import fill

from fastconv.benchmark.measure import Row
from fastconv.data.optional import require

#: Okabe and Ito's colours, told apart by everyone.
REFERENCE_COLOR, TEXTBOOK_COLOR = "#0072B2", "#E69F00"


def draw(rows: list[Row], note: str, path: Path) -> Path:
    """Write a PNG: for each operation two bars, on a logarithmic axis of factors."""
    require("matplotlib", "drawing the chart")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.6 + 0.42 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for offset, color, label, values in (
        (-0.2, REFERENCE_COLOR, "over plain Python", [r.over_reference for r in rows]),
        (0.2, TEXTBOOK_COLOR, "over textbook NumPy", [r.over_textbook for r in rows]),
    ):
        known = [(i, value) for i, value in enumerate(values) if value is not None]
        bars = axes.barh(
            [i + offset for i, _ in known], [v for _, v in known], 0.38, color=color, label=label
        )
        axes.bar_label(
            bars, [f"{v:,.0f}x" if v >= 10 else f"{v:.1f}x" for _, v in known], padding=3,
            fontsize=8,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [f"{r.name}\n{r.problem}" for r in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="0.3", linewidth=0.8)
    axes.set_xlim(right=max(r.over_reference for r in rows) * 4)
    axes.set_xlabel("times as fast (logarithmic)")
    axes.set_title("fastconv: speed-up of each operation", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, fontsize=9)
    figure.text(0.01, -0.005, fill(note, 130), fontsize=6.5, color="0.35", va="top")
    figure.savefig(path, dpi=150, bbox_inches="tight")
    return path
