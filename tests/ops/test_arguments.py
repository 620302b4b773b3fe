"""Single options: what is taken, what is refused, and the words of the refusal."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv.ops.arguments import as_axis, as_bool, as_float, as_int, as_number, one_of
from fastconv.ops.arrays import as_indices

NO_INTS = (1.0, "1", None, True, np.True_, np.float32(1), [1], np.array([1]), 1j)
NO_NUMBERS = ("1", None, True, np.True_, [1.0], np.array([1.0]), 1j, b"1", {})


@given(st.integers(-(2**70), 2**70))
def test_integers_of_any_size(value: int) -> None:
    assert as_int("n", value) == value
    if abs(value) < 2**31:
        assert as_int("n", np.int64(value)) == as_int("n", np.array(value)) == value


@pytest.mark.parametrize("value", NO_INTS)
def test_not_an_integer(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^n: expected an int, got "):
        as_int("n", value)


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_not_a_number(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^x: expected a number, got "):
        as_number("x", value)


@given(st.floats(), st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_ranges(value: float, low: float, high: float) -> None:
    if low <= value <= high:
        assert as_float("x", value, low, high) == as_float("x", np.float64(value), low, high)
    else:
        with pytest.raises(ValueError, match=r"^x: expected a number from"):
            as_float("x", value, low, high)


@given(st.integers(1, 6), st.integers(-9, 9))
def test_axes(ndim: int, axis: int) -> None:
    if -ndim <= axis < ndim:
        assert as_axis(axis, ndim) == range(ndim)[axis]
    else:
        with pytest.raises(ValueError, match=rf"^axis: expected -{ndim} to {ndim - 1} for"):
            as_axis(axis, ndim)


def test_flags_and_names() -> None:
    assert as_bool("flag", np.False_) is False
    for value in (1, 0, None, "yes", np.array([True])):
        with pytest.raises(TypeError, match=r"^flag: expected True or False, got"):
            as_bool("flag", value)
    for value in ("c", None, ["a"], 1):
        with pytest.raises(ValueError, match=r"^mode: expected one of 'a', 'b', got"):
            one_of("mode", value, ("a", "b"))
    with pytest.raises(ValueError, match=r"^n: expected at least 1, got 0"):
        as_int("n", 0, 1)


@given(st.lists(st.integers(-(2**63), 2**64 - 1), max_size=5))
def test_indices_keep_what_is_out_of_range_out_of_range(values: list[int]) -> None:
    mixed = any(v < 0 for v in values) and any(v >= 2**63 for v in values)
    if mixed:
        return
    kind = np.uint64 if any(v >= 2**63 for v in values) else np.int64
    given_, native = as_indices("target", np.array(values, kind))
    assert native.dtype == np.int64
    assert native.flags.carray
    assert given_.tolist() == values
    assert native.tolist() == [min(v, 2**63 - 1) for v in values]
