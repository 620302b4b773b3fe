"""Minibatches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastconv.data.splits import LabelledImages

Array = npt.NDArray[Any]
Augmentation = Callable[[Array, np.random.Generator], Array]


class DataLoader:
    """Iterate over (images, labels) in batches; each pass is one epoch.

    With `shuffle`, the order of epoch e is drawn from the generator seeded with (seed, e), as is
    all that `augmentation` draws: a run can be repeated, and no two epochs are alike. `transform`,
    such as a `Normalization`, is applied last. `drop_last` leaves out a smaller last batch.
    Raises ValueError for an empty set, lengths that differ, or a batch size below 1.

    >>> data = LabelledImages(np.zeros((5, 1, 2, 2), dtype=np.float32), np.arange(5))
    >>> [labels.tolist() for _, labels in DataLoader(data, batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        data: LabelledImages,
        batch_size: int = 64,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        transform: Callable[[Array], Array] | None = None,
    ) -> None:
        images, labels = data
        if len(images) != len(labels) or not len(images):
            raise ValueError(f"data holds {len(images)} images and {len(labels)} labels")
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: expected at least 1")
        self.data = data
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.augmentation = augmentation
        self.transform = transform
        self.epoch = 0

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        whole, rest = divmod(len(self.data.labels), self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        self.epoch += 1
        count = len(self.data.labels)
        order = rng.permutation(count) if self.shuffle else np.arange(count)
        for number in range(len(self)):
            rows = order[number * self.batch_size : (number + 1) * self.batch_size]
            images, labels = self.data.take(rows)
            if self.augmentation is not None:
                images = self.augmentation(images, rng)
            if self.transform is not None:
                images = self.transform(images)
            yield np.ascontiguousarray(images), labels
