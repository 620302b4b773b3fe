"""Labelled images, and their fixed division into training, validation and test parts."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class LabelledImages(NamedTuple):
    """Images (N, C, H, W), float32 in [0, 1], and labels (N,), int64 in [0, classes)."""

    images: Array
    labels: Array

    def take(self, indices: npt.ArrayLike) -> LabelledImages:
        """Return the chosen rows."""
        chosen = np.asarray(indices, dtype=np.int64)
        return LabelledImages(self.images[chosen], self.labels[chosen])


class Splits(NamedTuple):
    """A data set: fit on `train`, choose weights on `validation`, report on `test` once."""

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    classes: tuple[str, ...]
    name: str


def stratified_split(labels: npt.ArrayLike, sizes: tuple[int, ...], seed: int) -> list[Array]:
    """Divide 0..N-1 into parts of the given sizes, each with the classes' shares of the whole.

    Rows are laid in a line, class after class, each class shuffled; then each row goes to the part
    that is furthest behind its share, so every stretch of the line is divided in proportion.
    Returns sorted int64 indices. Raises ValueError unless the sizes add up to N.

    >>> [part.size for part in stratified_split([0, 0, 0, 0, 1, 1, 1, 1], (4, 2, 2), seed=0)]
    [4, 2, 2]
    """
    targets = np.asarray(labels)
    if sum(sizes) != targets.size or min(sizes) < 0:
        raise ValueError(f"sizes {sizes} do not divide {targets.size} rows")
    rng = np.random.default_rng(seed)
    classes = [np.flatnonzero(targets == label) for label in np.unique(targets)]
    line = [row for rows in classes for row in rng.permutation(rows)]
    dealt = np.zeros(len(sizes), dtype=np.int64)
    parts = np.empty(targets.size, dtype=np.int64)
    share = np.asarray(sizes) / targets.size
    for count, row in enumerate(line, start=1):
        behind = np.where(dealt < np.asarray(sizes), share * count - dealt, -np.inf)
        part = int(np.argmax(behind))
        dealt[part] += 1
        parts[row] = part
    return [np.flatnonzero(parts == part) for part in range(len(sizes))]
