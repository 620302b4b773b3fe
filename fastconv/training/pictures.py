"""Pictures of a training run, drawn with matplotlib's Agg canvas; no window, no global state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastconv import nn
from fastconv.data.optional import require
from fastconv.training.canvas import (
    BLUE,
    GREY,
    STYLE,
    VERMILLION,
    columns_for,
    hide_axes,
    new_figure,
    tile,
)
from fastconv.training.recipe import Run

Array = npt.NDArray[Any]


def draw_curves(run: Run) -> Any:
    """Loss and accuracy of training and validation, epoch by epoch."""
    history, best = run.fit.history, run.fit.best_epoch
    epochs = [record.epoch for record in history]
    figure = new_figure(
        10,
        4.6,
        f"{run.classifier.model_name} on {run.splits.name}: how it learned",
        f"test accuracy {run.test.accuracy:.2%}  ·  {run.fit.seconds:.1f} s  ·  "
        f"{run.fit.images_per_second:,.0f} training images a second",
    )
    loss, accuracy = figure.subplots(1, 2)
    for axes, field, factor in ((loss, "loss", 1.0), (accuracy, "accuracy", 100.0)):
        for part, colour, label in (
            ("train", BLUE, "training (augmented)"),
            ("validation", VERMILLION, "validation"),
        ):
            values = [factor * getattr(record, f"{part}_{field}") for record in history]
            axes.plot(epochs, values, color=colour, marker="o", ms=3.5, lw=1.8, label=label)
        axes.axvline(best, color=GREY, ls=":", lw=1.3, label=f"best epoch: {best}")
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    loss.set(title="Loss", ylabel="mean cross-entropy", yscale="log")
    ticker = require("matplotlib.ticker", "drawing pictures")
    loss.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    loss.yaxis.set_minor_locator(ticker.NullLocator())
    accuracy.set(title="Accuracy", ylabel="right answers, %")
    later = history[2:] or history
    lowest = min(min(record.train_accuracy, record.validation_accuracy) for record in later)
    accuracy.set_ylim(max(0.0, 100 * lowest - 3), 100.4)
    accuracy.legend(loc="lower right", frameon=True, edgecolor="white", framealpha=1.0)
    return figure


def _first_convolution(run: Run) -> nn.Conv2d:
    return next(layer for layer in run.classifier.model.modules() if isinstance(layer, nn.Conv2d))


def draw_filters(run: Run) -> Any:
    """The weights of the first convolution, one small picture for each output channel."""
    weight = _first_convolution(run).weight.data.mean(axis=1)
    columns = min(10, len(weight))
    rows = -(-len(weight) // columns)
    size = "×".join(map(str, weight.shape[1:]))
    figure = new_figure(
        1.0 * columns + 0.8,
        1.05 * rows + 0.8,
        f"The {len(weight)} filters of the first layer",
        f"{size} weights each  ·  blue: negative, red: positive",
    )
    grid = np.atleast_2d(figure.subplots(rows, columns, squeeze=False))
    limit = float(np.abs(weight).max())
    for number, axes in enumerate(grid.flat):
        hide_axes(axes)
        if number < len(weight):
            image = axes.imshow(weight[number], cmap="RdBu_r", vmin=-limit, vmax=limit)
            axes.set_title(str(number), fontsize=8, color=GREY, pad=2, fontweight="normal")
    bar = figure.colorbar(image, ax=list(grid.flat), shrink=0.85, pad=0.015, label="weight")
    bar.outline.set_visible(False)
    return figure


def draw_feature_maps(run: Run) -> Any:
    """One test digit, and what each convolution makes of it."""
    model, position = run.classifier.model, 0
    image = run.splits.test.images[position : position + 1]
    output, stages = run.classifier.normalization(image), []
    assert isinstance(model, nn.Sequential)
    for layer in model:
        output = layer(output)
        if isinstance(layer, nn.Conv2d):
            stages.append(output[0])
    label = run.splits.classes[int(run.test.labels[position])]
    answer = run.splits.classes[int(run.test.predictions[position])]
    figure = new_figure(
        13,
        4.1,
        "What the convolutions see in one test digit",
        f"label {label}  ·  read as {answer} with probability "
        f"{run.test.probabilities[position].max():.1%}",
    )
    ratios = [columns_for(len(maps)) ** 2 / len(maps) for maps in stages]
    panels = figure.subplots(1, 1 + len(stages), width_ratios=[1.0, *ratios])
    panels[0].imshow(image[0, 0], cmap="gray_r")
    panels[0].set_title("input, 28×28")
    for number, (axes, maps) in enumerate(zip(panels[1:], stages, strict=True), start=1):
        spread = np.abs(maps).max(axis=(1, 2), keepdims=True)
        sheet = tile(maps / np.where(spread > 0, spread, 1), columns_for(len(maps)))
        picture = axes.imshow(sheet, cmap="PuOr_r", vmin=-1, vmax=1)
        height, width = maps.shape[1:]
        axes.set_title(f"convolution {number}: {len(maps)} maps, {height}×{width}")
    for axes in panels:
        hide_axes(axes)
        axes.set_anchor("N")
    bar = figure.colorbar(picture, ax=list(panels), shrink=0.8, pad=0.01, ticks=[-1, 0, 1])
    bar.set_label("response, of each map's largest")
    bar.outline.set_visible(False)
    return figure


def draw_confusion(run: Run) -> Any:
    """Counts of true against predicted classes on the test images."""
    counts = run.test.confusion()
    wrong = int(counts.sum() - np.trace(counts))
    figure = new_figure(
        7.4,
        7.2,
        "Confusion matrix of the test images",
        f"{counts.sum():,} images, {wrong:,} misread: accuracy {run.test.accuracy:.2%}",
    )
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # Square roots let a single mistake among hundreds show.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1.15)
    for row, column in np.argwhere(counts > 0):
        off = row != column
        axes.text(
            column,
            row,
            f"{counts[row, column]:,}",
            ha="center",
            va="center",
            color=VERMILLION if off else "white",
            fontweight="bold" if off else "normal",
        )
    ticks = np.arange(len(run.splits.classes))
    axes.set_xticks(ticks, run.splits.classes)
    axes.set_yticks(ticks, run.splits.classes)
    axes.set(xlabel="read as", ylabel="true class")
    axes.grid(False)
    axes.tick_params(length=0)
    axes.set_xticks(ticks[:-1] + 0.5, minor=True)
    axes.set_yticks(ticks[:-1] + 0.5, minor=True)
    axes.grid(True, which="minor", color="#E4E7EA", lw=0.8)
    axes.tick_params(which="minor", length=0)
    return figure


def draw_misread(run: Run, most: int = 24) -> Any:
    """The misread test images, surest mistakes first, then the closest calls among the others."""
    errors = run.test.errors[:most]
    confidence = run.test.probabilities.max(axis=1)
    doubtful = np.argsort(confidence, kind="stable")
    right = doubtful[~np.isin(doubtful, run.test.errors)][: max(0, 16 - len(errors))]
    chosen = np.concatenate([errors, right])
    columns = 8
    rows = -(-len(chosen) // columns)
    figure = new_figure(
        1.35 * columns,
        1.75 * rows + 1.0,
        f"Misread: {len(run.test.errors):,} of {len(run.test.labels):,} test images",
        "orange: misread  ·  blue: right, but the closest calls"
        if len(right)
        else "surest mistakes first",
    )
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        hide_axes(axes)
        if number >= len(chosen):
            continue
        index = chosen[number]
        axes.imshow(run.splits.test.images[index, 0], cmap="gray_r", vmin=0, vmax=1)
        answer = run.splits.classes[int(run.test.predictions[index])]
        truth = run.splits.classes[int(run.test.labels[index])]
        wrong = answer != truth
        text = f"{truth} read as {answer}" if wrong else f"{truth}"
        axes.set_title(
            f"{text}\n{confidence[index]:.0%} sure", color=VERMILLION if wrong else BLUE, fontsize=9
        )
    return figure


PICTURES: dict[str, Callable[[Run], Any]] = {
    "curves.png": draw_curves,
    "filters.png": draw_filters,
    "feature_maps.png": draw_feature_maps,
    "confusion.png": draw_confusion,
    "misread.png": draw_misread,
}


def write_pictures(run: Run, folder: Path) -> list[Path]:
    """Draw every picture of PICTURES into `folder`; return the files. Needs matplotlib."""
    matplotlib = require("matplotlib", "drawing pictures")
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        for name, draw in PICTURES.items():
            draw(run).savefig(folder / name)
    return [folder / name for name in PICTURES]
