"""Inverted dropout: notes 003, section 3.2.1; 004, section 6.4."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy.typing as npt

from fastconv.reference.arrays import FloatArray, map_elements, to_array


def dropout_mask(shape: Sequence[int], p: float = 0.5, seed: int = 0) -> FloatArray:
    """Return 1 where an element is kept (probability ``1 - p``) and 0 where it is dropped.

    >>> dropout_mask((2, 3), p=0.0).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    generator = random.Random(seed)
    kept = [float(generator.random() >= p) for _ in range(math.prod(shape))]
    return to_array(kept, shape)


def _scale(p: float) -> float:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"p must lie in [0, 1]; got {p}")
    return 0.0 if p == 1.0 else 1.0 / (1.0 - p)


def dropout(input: npt.ArrayLike, mask: npt.ArrayLike, p: float = 0.5) -> FloatArray:
    """``input * mask / (1 - p)``: the division keeps the expectation, so testing needs no change.

    ``p`` is the probability of dropping, as in PyTorch and the fastconv API. In the notes it is the
    probability of keeping (004 section 6.4; ``keep_prob`` in 003 section 3.2.1).

    Correction: notes 004 section 6.4 leave out the division that 003 section 3.2.1 makes; without
    it the outputs at test time are too large by ``1 / keep``.

    >>> dropout([1, 2, 3, 4], [1, 0, 1, 0], p=0.5).tolist()
    [2.0, 0.0, 6.0, 0.0]
    """
    scale = _scale(p)
    return map_elements(lambda x, kept: x * scale if kept else 0.0, input, mask)


def dropout_backward(grad_output: npt.ArrayLike, mask: npt.ArrayLike, p: float = 0.5) -> FloatArray:
    """``grad_output * mask / (1 - p)``: gradients pass where activations did.

    >>> dropout_backward([1, 1], [1, 0], p=0.75).tolist()
    [4.0, 0.0]
    """
    return dropout(grad_output, mask, p)
