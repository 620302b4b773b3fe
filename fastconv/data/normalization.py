"""Statistics of the training set, and images shifted and scaled by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Normalization:
    """(image - mean) / std, with `mean` and `std` that broadcast over (N, C, H, W); float32.

    >>> normalization = fit_normalization(np.array([[[[0.0]]], [[[2.0]]]], dtype=np.float32))
    >>> normalization(np.array([[[[3.0]]]], dtype=np.float32))
    array([[[[2.]]]], dtype=float32)
    """

    mean: Array
    std: Array

    def __call__(self, images: Array) -> Array:
        """Return normalised images, in a new array of the images' dtype."""
        normalized = np.subtract(images, self.mean, dtype=images.dtype)
        normalized /= self.std
        return normalized


def fit_normalization(images: Array, mean: Literal["pixel", "channel"] = "pixel") -> Normalization:
    """Return the statistics of training images (N, C, H, W).

    mean="pixel" is the notes' rule (004, formulas 6.24 and 6.25): each feature's own mean, of shape
    (1, C, H, W); "channel" is one mean a channel, (1, C, 1, 1). The standard deviation, after that
    mean is subtracted, is one a channel: pixels that hardly ever vary are not blown up. Channels
    without any variation are not scaled. Raises ValueError for an empty set or another rank.
    """
    if images.ndim != 4 or not len(images):
        raise ValueError(f"images have shape {images.shape}: expected (N, C, H, W) with N > 0")
    if mean not in ("pixel", "channel"):
        raise ValueError(f"mean is {mean!r}: use 'pixel' or 'channel'")
    axes = (0,) if mean == "pixel" else (0, 2, 3)
    average = images.mean(axis=axes, dtype=np.float64, keepdims=True)
    variance = np.square(images - average).mean(axis=(0, 2, 3), keepdims=True)
    std = np.where(variance > 0, np.sqrt(variance), 1.0)
    return Normalization(average.astype(np.float32), std.astype(np.float32))
