"""Scikit-learn's bundled handwritten digits, in MNIST's form: nothing to download.

The set is the 1,797 test images of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak
1998): 8 x 8 pixels of 0..16. Here each is divided by 16, resized to 20 x 20 by cubic interpolation
and centred by mass in 28 x 28. The split is fixed: stratified, drawn with seed 0, the same whatever
the seed of training. Note that every writer wrote several digits and the file does not say who, so
writers are in several parts; accuracies on it are higher than on unseen writers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastconv.data.optional import require
from fastconv.data.resize import center, resize
from fastconv.data.splits import LabelledImages, Splits, stratified_split

Array = npt.NDArray[Any]

SPLIT_SIZES = (1257, 180, 360)
SPLIT_SEED = 0
CLASSES = tuple("0123456789")


def digits_to_mnist_form(small: Array) -> Array:
    """Bring (N, 8, 8) images in [0, 1] to (N, 1, 28, 28) float32.

    >>> digits_to_mnist_form(np.ones((2, 8, 8))).shape
    (2, 1, 28, 28)
    """
    large = resize(small, 20, 20)
    return np.stack([center(image) for image in large])[:, None]


def load_all_digits() -> LabelledImages:
    """Return all 1,797 digits, in scikit-learn's order. Raises ImportError without scikit-learn."""
    bunch = require("sklearn.datasets", "the bundled digits").load_digits()
    images = digits_to_mnist_form(np.asarray(bunch.images) / 16.0)
    return LabelledImages(images, np.asarray(bunch.target, dtype=np.int64))


def load_digits() -> Splits:
    """Return the digits: 1,257 to train on, 180 for validation, 360 for the test.

    Images are (N, 1, 28, 28) float32 in [0, 1], labels int64.
    """
    everything = load_all_digits()
    parts = stratified_split(everything.labels, SPLIT_SIZES, SPLIT_SEED)
    train, validation, test = (everything.take(part) for part in parts)
    return Splits(train, validation, test, CLASSES, "digits")
