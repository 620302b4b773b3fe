"""Bringing images of single digits to MNIST's form: 28 x 28, the digit within 20 x 20, centred."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def _cubic(distance: Array) -> Array:
    """Keys's cubic convolution kernel with a = -1/2 (Catmull-Rom)."""
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1.0, near, np.where(x < 2.0, far, 0.0))


def interpolation_matrix(source: int, target: int) -> Array:
    """Return (target, source) weights of cubic interpolation along one axis, pixel centres aligned.

    Beyond the border, pixels are zero (background). When shrinking, the kernel is widened by the
    scale, so that no pixel is skipped.

    >>> interpolation_matrix(2, 2)
    array([[1., 0.],
           [0., 1.]])
    """
    scale = source / target
    width = max(1.0, scale)
    centres = (np.arange(target) + 0.5) * scale - 0.5
    return _cubic((centres[:, None] - np.arange(source)) / width) / width


def resize(images: Array, height: int, width: int) -> Array:
    """Resize (..., H, W) to (..., height, width), cubic, clipped to [0, 1]; float32.

    >>> resize(np.ones((1, 8, 8)), 20, 20).shape
    (1, 20, 20)
    """
    rows = interpolation_matrix(images.shape[-2], height)
    columns = interpolation_matrix(images.shape[-1], width)
    resized = rows @ images.astype(np.float64) @ columns.T
    return np.clip(resized, 0.0, 1.0).astype(np.float32)


def center(image: Array, size: int = 28) -> Array:
    """Place (H, W) in a square of zeros so that its centre of mass is in the middle, as MNIST does.

    The digit is moved by whole pixels, and never so far that a part would be cut off. Raises
    ValueError when it does not fit.

    >>> center(np.ones((20, 12), dtype=np.float32))[4:24, 8:20].all()
    np.True_
    """
    height, width = image.shape
    if max(height, width) > size:
        raise ValueError(f"an image of {height} x {width} does not fit in {size} x {size}")
    total = float(image.sum())
    offsets = []
    for axis, length in enumerate((height, width)):
        profile = image.sum(axis=1 - axis, dtype=np.float64)
        mass = float(profile @ np.arange(length)) / total if total else (length - 1) / 2
        offset = round((size - 1) / 2 - mass)
        offsets.append(min(max(offset, 0), size - length))
    output = np.zeros((size, size), dtype=np.float32)
    output[offsets[0] : offsets[0] + height, offsets[1] : offsets[1] + width] = image
    return output
