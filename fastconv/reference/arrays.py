"""Containers for the reference: nested lists in, float64 arrays out.

NumPy only stores numbers here. Every sum, product and comparison of the reference is done on Python
floats, one at a time, so that nothing the compiled engine could share is hidden in the oracle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def as_float64(values: npt.ArrayLike, ndim: int | None = None, name: str = "input") -> FloatArray:
    """Return ``values`` as a float64 array, checking the rank when ``ndim`` is given.

    >>> as_float64([[1, 2]], ndim=2).shape
    (1, 2)
    """
    array = np.asarray(values, dtype=np.float64)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} has shape {array.shape}; expected {ndim} dimensions")
    return array


def nested_zeros(shape: Sequence[int]) -> Any:
    """Return nested lists of ``0.0`` of the given shape, ready for ``+=``.

    >>> nested_zeros((2, 3))
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    if not shape:
        return 0.0
    return [nested_zeros(shape[1:]) for _ in range(shape[0])]


def to_array(values: Any, shape: Sequence[int]) -> FloatArray:
    """Return nested or flat lists as a float64 array; ``shape`` keeps axes of length zero.

    >>> to_array([], (0, 3)).shape
    (0, 3)
    """
    return np.asarray(values, dtype=np.float64).reshape(tuple(shape))


def flat(values: npt.ArrayLike) -> list[float]:
    """Return all elements in C order as Python floats.

    >>> flat([[1, 2], [3, 4]])
    [1.0, 2.0, 3.0, 4.0]
    """
    elements: list[float] = as_float64(values).ravel().tolist()
    return elements


def map_elements(function: Callable[..., float], *arrays: npt.ArrayLike) -> FloatArray:
    """Apply ``function`` to the elements of equally shaped arrays, one position at a time.

    >>> map_elements(lambda a, b: a * b, [1, 2], [3, 4]).tolist()
    [3.0, 8.0]
    """
    shapes = [as_float64(array).shape for array in arrays]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(f"the arrays must have one shape; got {shapes}")
    columns = [flat(array) for array in arrays]
    return to_array([function(*row) for row in zip(*columns, strict=True)], shapes[0])


def normalize_axis(axis: int, ndim: int) -> int:
    """Return ``axis`` counted from the front.

    >>> normalize_axis(-1, 3)
    2
    """
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} is outside an array of {ndim} dimensions")
    return axis % ndim


def axis_lanes(shape: Sequence[int], axis: int) -> Iterator[range]:
    """Yield, for each lane along ``axis``, the flat C-order indices of its elements.

    >>> [list(lane) for lane in axis_lanes((2, 3), 0)]
    [[0, 3], [1, 4], [2, 5]]
    """
    axis = normalize_axis(axis, len(shape))
    length, inner = shape[axis], math.prod(shape[axis + 1 :])
    for outer in range(math.prod(shape[:axis])):
        for offset in range(inner):
            start = outer * length * inner + offset
            yield range(start, start + length * inner, inner)
