"""A digit in a picture file, brought to MNIST's form."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastconv.data.optional import require
from fastconv.data.resize import center, resize

Array = npt.NDArray[Any]

# Ink fainter than this share of the darkest does not count when the digit is cut out.
INK_THRESHOLD = 0.2


def read_picture(path: str | os.PathLike[str]) -> Array:
    """Read a PNG, JPEG or other picture as grey values (H, W), float32: 0 black, 1 white.

    Transparent parts are white; a camera's note on which way is up is followed. Raises
    FileNotFoundError, or ValueError when Pillow cannot read the file.
    """
    image_module = require("PIL.Image", "reading pictures")
    operations = require("PIL.ImageOps", "reading pictures")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such picture")
    try:
        with image_module.open(path) as opened:
            picture = operations.exif_transpose(opened)
            if picture.mode.startswith(("I", "F")):
                grey = np.asarray(picture, dtype=np.float32)
                return grey / np.float32(65535 if grey.max() > 255 else 255)
            coloured = picture.convert("RGBA")
            paper = image_module.new("RGBA", coloured.size, "white")
            grey = image_module.alpha_composite(paper, coloured).convert("L")
            return np.asarray(grey, dtype=np.float32) / np.float32(255)
    except (OSError, SyntaxError, image_module.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as a picture: {error}") from error


def isolate_digit(grey: Array) -> Array:
    """Cut the digit out of (H, W) grey values: ink 1, background 0, whichever was the lighter.

    The background is the median of the border. Raises ValueError when there is no ink.

    >>> picture = np.ones((9, 9), dtype=np.float32)
    >>> picture[2:7, 4] = 0.0
    >>> isolate_digit(picture).shape
    (5, 1)
    """
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    background = float(np.median(border))
    ink = np.maximum(grey - background, 0) if background < 0.5 else np.maximum(background - grey, 0)
    strongest = float(ink.max())
    if strongest < 0.05:
        raise ValueError("the picture shows no digit: it has no ink that differs from its border")
    ink = ink / np.float32(strongest)
    rows = np.flatnonzero((ink > INK_THRESHOLD).any(axis=1))
    columns = np.flatnonzero((ink > INK_THRESHOLD).any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _fit(ink: Array, size: int) -> Array:
    """Resize so that the longer side is `size`, keeping proportions."""
    longest = max(ink.shape)
    height, width = (max(1, round(side * size / longest)) for side in ink.shape)
    return resize(ink, height, width)


def picture_to_mnist_form(grey: Array, grain: int | None = None) -> Array:
    """Bring a picture (H, W) of one digit to (1, 1, 28, 28): cut out, 20 x 20, centred by mass.

    `grain` first brings it to so many pixels: 8 gives a picture the blur of scikit-learn's digits,
    for a network that has learned from those.

    >>> picture = np.ones((90, 60), dtype=np.float32)
    >>> picture[20:70, 25:35] = 0.0
    >>> picture_to_mnist_form(picture).shape
    (1, 1, 28, 28)
    """
    ink = isolate_digit(grey)
    if grain is not None:
        ink = _fit(ink, grain)
    fitted = _fit(ink, 20)
    return center(fitted / np.float32(max(float(fitted.max()), 1e-6)))[None, None]
