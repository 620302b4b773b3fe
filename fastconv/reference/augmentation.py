"""More training images from few: notes 004, section 6.7; 003, section 3.2.2; 002, figure 1.3."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fastconv.reference.arrays import FloatArray, as_float64, flat, to_array
from fastconv.reference.geometry import IntOrPair, pair


def crop(image: npt.ArrayLike, top: int, left: int, size: IntOrPair) -> FloatArray:
    """Cut (C, H, W) down to ``size`` from row ``top`` and column ``left``.

    >>> crop([[[1, 2, 3], [4, 5, 6]]], top=0, left=1, size=2).tolist()
    [[[2.0, 3.0], [5.0, 6.0]]]
    """
    image = as_float64(image, 3, "image")
    height, width = pair(size, "size")
    if not (0 <= top <= image.shape[1] - height and 0 <= left <= image.shape[2] - width):
        raise ValueError(f"{height} x {width} at ({top}, {left}) leaves an image {image.shape}")
    return image[:, top : top + height, left : left + width].copy()


def random_crop(image: npt.ArrayLike, size: IntOrPair, seed: int = 0) -> FloatArray:
    """Cut ``size`` from a uniformly random position, for training: notes 004, section 6.7.

    >>> random_crop([[[1, 2, 3]]], (1, 3)).tolist()
    [[[1.0, 2.0, 3.0]]]
    """
    image = as_float64(image, 3, "image")
    height, width = pair(size, "size")
    generator = random.Random(seed)
    top = generator.randint(0, image.shape[1] - height)
    return crop(image, top, generator.randint(0, image.shape[2] - width), size)


def five_crop(image: npt.ArrayLike, size: IntOrPair) -> FloatArray:
    """Return (5, C, h, w): top left, top right, bottom left, bottom right, centre (rounded down).

    >>> five_crop([[[1, 2, 3]]], (1, 1)).ravel().tolist()
    [1.0, 3.0, 1.0, 3.0, 2.0]
    """
    image = as_float64(image, 3, "image")
    height, width = pair(size, "size")
    bottom, right = image.shape[1] - height, image.shape[2] - width
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = np.zeros((5, image.shape[0], height, width))
    for index, (top, left) in enumerate(corners):
        crops[index] = crop(image, top, left, size)
    return crops


def five_crop_prediction(
    predict: Callable[[FloatArray], npt.ArrayLike], image: npt.ArrayLike, size: IntOrPair
) -> FloatArray:
    """Average what ``predict`` says of the five crops, for testing: notes 004, section 6.7.

    >>> five_crop_prediction(lambda part: part[0, 0], [[[1, 2, 3]]], (1, 1)).tolist()
    [2.0]
    """
    predictions = [as_float64(predict(part)) for part in five_crop(image, size)]
    totals = [0.0] * predictions[0].size
    for prediction in predictions:
        for index, value in enumerate(flat(prediction)):
            totals[index] += value
    return to_array([total / len(predictions) for total in totals], predictions[0].shape)


def flip_horizontal(image: npt.ArrayLike) -> FloatArray:
    """Mirror left and right of (..., H, W): notes 002, "flip"; 003, section 3.2.2.

    >>> flip_horizontal([[1, 2], [3, 4]]).tolist()
    [[2.0, 1.0], [4.0, 3.0]]
    """
    return as_float64(image)[..., ::-1].copy()


def flip_vertical(image: npt.ArrayLike) -> FloatArray:
    """Mirror top and bottom of (..., H, W).

    >>> flip_vertical([[1, 2], [3, 4]]).tolist()
    [[3.0, 4.0], [1.0, 2.0]]
    """
    return as_float64(image)[..., ::-1, :].copy()
