"""Checks of the arguments from which layers build their parameters; ops check all others."""

from __future__ import annotations

import operator
from typing import Any


def positive(name: str, value: Any) -> int:
    """Return `value` as an int of at least 1, or raise TypeError / ValueError naming `name`.

    >>> positive("groups", 2)
    2
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}: expected a whole number") from None
    if number < 1:
        raise ValueError(f"{name} is {number}: expected at least 1")
    return number


def pair(name: str, value: Any) -> tuple[int, int]:
    """Return one positive int or a pair of them as a pair.

    >>> pair("stride", 2), pair("stride", (2, 1))
    ((2, 2), (2, 1))
    """
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{name} is {value!r}: expected one number or a pair")
        return positive(name, value[0]), positive(name, value[1])
    number = positive(name, value)
    return number, number
