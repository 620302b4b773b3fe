"""Single options of a call: numbers, flags, axes and names, each checked with a text that helps."""

import operator
from typing import Any

import numpy as np


def as_int(name: str, value: Any, minimum: int | None = None) -> int:
    """Return a Python or NumPy integer as an int of at least `minimum`.

    Raises TypeError for anything else (bool and float included), ValueError if it is too small.

    Examples
    --------
    >>> as_int("pieces", np.int32(2), 1)
    2
    """
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an int, got {value!r} of type {type(value).__name__}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name}: expected an int, got {value!r} of type {type(value).__name__}"
        ) from None
    if minimum is not None and number < minimum:
        raise ValueError(f"{name}: expected at least {minimum}, got {number}")
    return number


def as_number(name: str, value: Any) -> float:
    """Return a real number (NaN and infinities included) as a float; else raise TypeError.

    Examples
    --------
    >>> as_number("alpha", np.float32(0.5))
    0.5
    """
    if type(value) is float:
        return value
    if np.ndim(value) or np.asarray(value).dtype.kind not in "iuf":
        raise TypeError(f"{name}: expected a number, got {value!r} of type {type(value).__name__}")
    return float(value)


def as_float(name: str, value: Any, low: float, high: float) -> float:
    """Return a real number between `low` and `high`, both included.

    Examples
    --------
    >>> as_float("p", 0.5, 0, 1)
    0.5
    """
    number = as_number(name, value)
    if not low <= number <= high:
        raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, got {number:g}")
    return number


def as_bool(name: str, value: Any) -> bool:
    """Return True or False; anything but a bool is a TypeError.

    Examples
    --------
    >>> as_bool("ceil_mode", np.True_)
    True
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def as_axis(axis: Any, ndim: int, name: str = "axis") -> int:
    """Return `axis` counted from the front of an array of `ndim` dimensions.

    Examples
    --------
    >>> as_axis(-1, 3)
    2
    """
    number = as_int(name, axis)
    if not -ndim <= number < ndim:
        raise ValueError(
            f"{name}: expected {-ndim} to {ndim - 1} for {ndim} dimensions, got {number}"
            if ndim
            else f"{name}: the input has no axes (shape ()); give it at least one"
        )
    return number % ndim


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """Return `value` if it is one of `choices`, else raise a ValueError that lists them.

    Examples
    --------
    >>> one_of("reduction", "sum", ("mean", "sum", "none"))
    'sum'
    """
    if not (isinstance(value, str) and value in choices):
        listed = ", ".join(map(repr, choices))
        raise ValueError(f"{name}: expected one of {listed}, got {value!r}")
    return value
