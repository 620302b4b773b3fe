"""The look of all pictures: colours, figures with titles, grids of small images.

Colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastconv.data.optional import require

Array = npt.NDArray[Any]

BLUE, VERMILLION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#5F6B76"
STYLE = {
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.edgecolor": "#B8BFC6",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E4E7EA",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "figure.titlesize": 14.0,
    "figure.titleweight": "bold",
}


def new_figure(width: float, height: float, title: str, note: str = "") -> Any:
    """A figure of the given size in inches, with a title and a grey line under it."""
    figure = require("matplotlib.figure", "drawing pictures").Figure(
        figsize=(width, height), dpi=130, layout="constrained", facecolor="white"
    )
    figure.suptitle(title + ("\n" if note else ""))
    if note:
        figure.text(
            0.5, 1.0 - 0.43 / height, note, ha="center", va="center", color=GREY, fontsize=10
        )
    return figure


def hide_axes(axes: Any) -> None:
    """Leave nothing but the picture."""
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def columns_for(count: int) -> int:
    """Columns that fill a wide grid of `count` pictures without a gap, if there are such."""
    whole = [columns for columns in range(1, count + 1) if count % columns == 0]
    best = min(whole, key=lambda columns: abs(columns - np.sqrt(1.6 * count)))
    return best if best * best < 5 * count else int(np.ceil(np.sqrt(1.6 * count)))


def tile(maps: Array, columns: int, gap: int = 1) -> Array:
    """Lay (K, H, W) maps out in a grid, NaN (drawn blank) between them."""
    count, height, width = maps.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for number, one in enumerate(maps):
        top, left = (number // columns) * (height + gap), (number % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = one
    return sheet
