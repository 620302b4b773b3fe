"""A tiny data set that a small LeNet learns in a moment."""

import numpy as np
import pytest

from fastconv import data


def bars(count: int, seed: int) -> data.LabelledImages:
    """Class 0: a horizontal bar; 1: a vertical bar; 2: both. With noise."""
    rng = np.random.default_rng(seed)
    images = rng.random((count, 1, 28, 28), dtype=np.float32) * 0.2
    labels = np.arange(count) % 3
    for image, label in zip(images[:, 0], labels, strict=True):
        row, column = rng.integers(6, 20, 2)
        if label != 1:
            image[row : row + 3, 4:24] = 1.0
        if label != 0:
            image[4:24, column : column + 3] = 1.0
    return data.LabelledImages(images, labels.astype(np.int64))


@pytest.fixture(scope="session")
def bar_splits() -> data.Splits:
    return data.Splits(bars(96, 0), bars(24, 1), bars(30, 2), ("row", "column", "cross"), "bars")
