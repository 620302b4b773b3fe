"""First values of the weights: notes 004 sections 3.4.3, 6.6; 003 sections 2.5, 3.5."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from fastconv.reference.arrays import FloatArray, to_array


def gaussian(
    shape: Sequence[int], seed: int = 0, mean: float = 0.0, deviation: float = 0.01
) -> FloatArray:
    """Draw from N(mean, deviation^2), N(0, 0.01^2) unless told: notes 004, section 6.6.

    >>> gaussian((2, 3), seed=1).shape, bool((gaussian((3,), 1) == gaussian((3,), 1)).all())
    ((2, 3), True)
    """
    generator = random.Random(seed)
    return to_array([generator.gauss(mean, deviation) for _ in range(math.prod(shape))], shape)


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """Return how many inputs and outputs a weight of shape (O, I, ...) connects.

    >>> fans((6, 3, 5, 5)), fans((10, 84))
    ((75, 150), (84, 10))
    """
    positions = math.prod(shape[2:])
    return shape[1] * positions, shape[0] * positions


def xavier(shape: Sequence[int], seed: int = 0, average: bool = True) -> FloatArray:
    """Draw with variance 2 / (n_in + n_out), or 1 / n_in without ``average``: notes 003, 3.5.

    Correction: the notes write ``np.random.rand``, uniform on [0, 1) and so never negative; the
    factor belongs to ``randn``, the standard normal.

    >>> round(float(xavier((500, 1), seed=3).std()), 2)  # sqrt(2 / 501) = 0.063
    0.06
    """
    fan_in, fan_out = fans(shape)
    variance = 2.0 / (fan_in + fan_out) if average else 1.0 / fan_in
    return gaussian(shape, seed, deviation=math.sqrt(variance))


def he(shape: Sequence[int], seed: int = 0) -> FloatArray:
    """Draw with variance 2 / n_in, for layers before a ReLU: notes 003, section 3.5.

    Correction: ``randn`` is meant where the notes write ``rand``, as for `xavier`.

    >>> round(float(he((500, 2), seed=3).std()), 1)
    1.0
    """
    return gaussian(shape, seed, deviation=math.sqrt(2.0 / fans(shape)[0]))
