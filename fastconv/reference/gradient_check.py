"""Checking a backward pass by differences: notes 003, section 3.6."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy.typing as npt

from fastconv.reference.arrays import FloatArray, as_float64, flat, to_array


def numerical_gradient(
    function: Callable[[FloatArray], float], point: npt.ArrayLike, step: float = 1e-6
) -> FloatArray:
    """Two-sided difference ``(f(x + h) - f(x - h)) / 2h`` by each element of ``point``.

    Truncation error h^2 f'''/6, rounding error about 1e-16 |f| / h.

    >>> numerical_gradient(lambda x: float(x[0] * x[1]), [3.0, 5.0]).round(6).tolist()
    [5.0, 3.0]
    """
    start = as_float64(point)
    values, gradient = flat(start), []
    for index, value in enumerate(values):
        shifted = list(values)
        shifted[index] = value + step
        above = float(function(to_array(shifted, start.shape)))
        shifted[index] = value - step
        below = float(function(to_array(shifted, start.shape)))
        gradient.append((above - below) / (2.0 * step))
    return to_array(gradient, start.shape)


def relative_distance(left: npt.ArrayLike, right: npt.ArrayLike) -> float:
    """``||a - b|| / (||a|| + ||b||)`` in the Euclidean norm; 0 where both vanish.

    By the notes 1e-7 is good, 1e-5 suspicious, more a likely error in the backward pass.

    >>> relative_distance([3.0, 4.0], [3.0, 4.0]), relative_distance([1.0], [-1.0])
    (0.0, 1.0)
    """
    a, b = flat(left), flat(right)
    apart = math.hypot(*(x - y for x, y in zip(a, b, strict=True)))
    size = math.hypot(*a) + math.hypot(*b)
    return apart / size if size else 0.0


def gradient_error(
    function: Callable[[FloatArray], float],
    gradient: npt.ArrayLike,
    point: npt.ArrayLike,
    step: float = 1e-6,
) -> float:
    """`relative_distance` of a claimed ``gradient`` at ``point`` from the numerical one.

    >>> gradient_error(lambda x: float(x[0] ** 2), [6.0], [3.0]) < 1e-7
    True
    """
    return relative_distance(gradient, numerical_gradient(function, point, step))
