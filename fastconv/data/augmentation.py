"""Random changes of training images: more examples from few (notes 004, section 6.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class RandomShift:
    """Move each image by up to `pixels` along both axes, zeros coming in at the border.

    That is a random crop of the image padded by `pixels`. Images are (N, C, H, W).

    >>> images = np.ones((2, 1, 4, 4), dtype=np.float32)
    >>> RandomShift(1)(images, np.random.default_rng(0)).shape
    (2, 1, 4, 4)
    """

    pixels: int = 2

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Return moved copies."""
        count, channels, height, width = images.shape
        margin = self.pixels
        padded = np.zeros(
            (count, channels, height + 2 * margin, width + 2 * margin), dtype=images.dtype
        )
        padded[:, :, margin : margin + height, margin : margin + width] = images
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
        down, right = rng.integers(0, 2 * margin + 1, size=(2, count))
        return windows[np.arange(count), :, down, right]


@dataclass(frozen=True)
class RandomAffine:
    """Turn, scale and shear each image about its centre by small random amounts; bilinear.

    Turns are within +-`degrees`, scales within 1 +- `scale`, shears within +-`shear`. Images are
    (N, C, H, W); what comes from outside is zero.

    >>> images = np.ones((2, 1, 4, 4), dtype=np.float32)
    >>> bool((RandomAffine(0.0, 0.0, 0.0)(images, np.random.default_rng(0)) == images).all())
    True
    """

    degrees: float = 10.0
    scale: float = 0.1
    shear: float = 0.1

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Return distorted copies."""
        count, _, height, width = images.shape
        angle = np.radians(rng.uniform(-self.degrees, self.degrees, (count, 1, 1)))
        low, high = 1.0 - self.scale, 1.0 + self.scale
        stretch = np.asarray(rng.uniform(low, high, (2, count, 1, 1)))
        shear = np.asarray(rng.uniform(-self.shear, self.shear, (count, 1, 1)))
        y, x = np.indices((height, width), dtype=np.float32)
        y -= (height - 1) / 2
        x -= (width - 1) / 2
        cos, sin = np.cos(angle), np.sin(angle)
        rows = (cos * y - sin * x) * stretch[0]
        columns = (sin * y + cos * x) * stretch[1] + shear * y
        return _sample(images, rows + (height - 1) / 2, columns + (width - 1) / 2)


def _sample(images: Array, rows: Array, columns: Array) -> Array:
    """Bilinear samples of (N, C, H, W) at (N, H, W) coordinates, zero outside."""
    count, channels, height, width = images.shape
    stride = width + 2
    plane = (height + 2) * stride
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    flat = padded.transpose(1, 0, 2, 3).reshape(channels, count * plane)
    rows = np.clip(rows + 1, 0, height + 1)
    columns = np.clip(columns + 1, 0, width + 1)
    top = np.minimum(rows.astype(np.intp), height)
    left = np.minimum(columns.astype(np.intp), width)
    down = (rows - top).astype(images.dtype)
    right = (columns - left).astype(images.dtype)
    corner = top * stride + left + plane * np.arange(count)[:, None, None]
    value, beside = flat.take(corner, axis=1), flat.take(corner + 1, axis=1)
    upper = value + right * (beside - value)
    corner += stride
    value, beside = flat.take(corner, axis=1), flat.take(corner + 1, axis=1)
    lower = value + right * (beside - value)
    return np.moveaxis(upper + down * (lower - upper), 0, 1)


@dataclass(frozen=True)
class Compose:
    """Apply augmentations one after another."""

    steps: tuple[Any, ...]

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Return changed copies."""
        for step in self.steps:
            images = step(images, rng)
        return images
