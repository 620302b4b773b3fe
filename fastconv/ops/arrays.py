"""The door of `ops`: whatever a user passes becomes a native, aligned, C-contiguous array.

Below this door every array is float32 or float64. float16 is computed in float32; `restore` turns
results back.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv._core import memory

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
FLOAT16 = np.dtype(np.float16)
INT64 = np.dtype(np.int64)
UINT8 = np.dtype(np.uint8)

Array = NDArray[Any]

#: empty(shape, dtype) -> array: where every result of `ops` comes from. It is numpy.empty, but large
#: arrays take memory that earlier results have left (see fastconv._core.memory).
empty = memory.empty


def as_floats(name: str, value: Any, dtype: np.dtype[Any] | None = None) -> Array:
    """Return `value` as a native, aligned, C-contiguous float32 or float64 array.

    Parameters
    ----------
    name : str
        The argument's name, for error messages.
    value : array-like
        An array, a nested sequence, or anything with `__array__` or `__dlpack__`.
    dtype : numpy.dtype, optional
        What the call's first array had: all arrays of a call share one dtype.

    Raises
    ------
    TypeError
        If the elements are not float16, float32 or float64, or differ from `dtype`.

    Examples
    --------
    >>> as_floats("input", np.arange(6.0)[::2])
    array([0., 2., 4.])
    """
    if type(value) is not np.ndarray:
        value = _convert(name, value, dtype)
    found = value.dtype
    if found is not FLOAT32 and found is not FLOAT64:
        if found.newbyteorder("=") not in (FLOAT16, FLOAT32, FLOAT64):
            raise TypeError(
                f"{name}: expected float32, float64 or float16, got {found}; "
                f"convert it, for example with {name}.astype(np.float32)"
            )
        native = found.newbyteorder("=")
        value = _copied(value, FLOAT32 if native == FLOAT16 else native)
        found = value.dtype if native != FLOAT16 else found
    if dtype is not None and value.dtype is not dtype and value.dtype != dtype:
        raise TypeError(
            f"{name}: expected {dtype} like the other arrays of this call, got {found}; "
            f"convert it with {name}.astype(np.{dtype})"
        )
    flags = value.flags
    if not (flags.carray or (flags.c_contiguous and flags.aligned)):
        value = _copied(value, value.dtype)
    return value


def _copied(value: Array, dtype: np.dtype[Any]) -> Array:
    copy = empty(value.shape, dtype)
    copy[...] = value
    return copy


def _convert(name: str, value: Any, dtype: np.dtype[Any] | None) -> Array:
    """Anything array-like to an array; Python floats follow the call's dtype."""
    if isinstance(value, np.ndarray):
        return value.view(np.ndarray)
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return np.from_dlpack(value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(f"{name}: expected an array, got {type(value).__name__}: {error}") from None
    if dtype is not None and array.dtype == FLOAT64 and not hasattr(value, "dtype"):
        return array.astype(dtype)
    return array


def restore(result: Array, *inputs: Any) -> Array:
    """Return `result` as float16 if the call's first array was float16."""
    first = getattr(inputs[0], "dtype", None)
    if first is FLOAT32 or first is FLOAT64 or first is None or first != FLOAT16:
        return result
    return _copied(result, FLOAT16) if result.ndim else result.astype(FLOAT16)


def as_indices(name: str, value: Any) -> tuple[Array, Array]:
    """Return integers as given, and as native, C-contiguous int64.

    uint64 values of 2**63 and more become 2**63 - 1: still beyond every array, so a range check at
    full width finds them. Raises TypeError unless the dtype is an integer one.

    Examples
    --------
    >>> as_indices("target", [2, 0])[1]
    array([2, 0])
    """
    if type(value) is np.ndarray and value.dtype is INT64 and value.flags.carray:
        return value, value
    given = np.asarray(value)
    if given.dtype.kind not in "iu" and (given.size or hasattr(value, "dtype")):
        raise TypeError(f"{name}: expected integers, got {given.dtype}; convert with .astype(int)")
    native = given
    if given.dtype.kind == "u" and given.dtype.itemsize == 8:
        native = np.minimum(given, np.uint64(2**63 - 1))
    if native.dtype != INT64 or not native.flags.carray:
        native = np.array(native, INT64, order="C")
    return given, native


def check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], *inputs: Array) -> Array:
    """Return `out` if a result of this shape and dtype can be written to it in place.

    Raises
    ------
    TypeError, ValueError
        If it is not a writable, aligned, C-contiguous array of that shape and dtype, or shares
        memory with an input.
    """
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected a NumPy array, got {type(out).__name__}")
    if out.dtype != dtype:
        raise TypeError(f"out: expected {dtype} like the input, got {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"out: expected shape {shape}, got {out.shape}")
    if not (out.flags.carray and out.flags.writeable):
        raise ValueError(
            "out: expected a writable, aligned, C-contiguous array; "
            f"np.empty({shape}, np.{dtype}) makes one"
        )
    for array in inputs:
        if np.may_share_memory(out, array) and np.shares_memory(out, array):
            raise ValueError("out: it overlaps an input; pass another array")
    return out
