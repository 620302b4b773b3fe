"""What tests of every operation need: guarded memory, odd layouts, gradients by differences."""

import ctypes
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastconv._core import runtime

_LIBC = ctypes.CDLL(None, use_errno=True)
_PROT_NONE = 0


def guarded(array: Any, side: str = "after") -> Any:
    """Copy `array` to memory that ends (side="after") or begins ("before") at a forbidden page.

    One byte read or written beyond that side kills the process. The copy is aligned to its elements
    on either side, and C-contiguous; its pages live as long as it does.
    """
    if side not in ("before", "after"):
        raise ValueError(f'side: expected "before" or "after", got {side!r}')
    source = np.ascontiguousarray(array)
    page = mmap.PAGESIZE
    data = -(-max(source.nbytes, 1) // page) * page
    pages = mmap.mmap(-1, data + 2 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    for forbidden in (address, address + page + data):
        if _LIBC.mprotect(ctypes.c_void_p(forbidden), page, _PROT_NONE):
            raise OSError(ctypes.get_errno(), "mprotect")
    start = page if side == "before" else page + data - source.nbytes
    copy = np.frombuffer(pages, np.uint8, source.nbytes, start).view(source.dtype)
    copy = copy.reshape(source.shape)
    copy[...] = source
    return copy


def sparse(shape: tuple[int, ...], dtype: Any) -> Any:
    """Zeros of any size: memory is taken only where something is written."""
    count = int(np.prod(shape, dtype=object))
    no_reserve = getattr(mmap, "MAP_NORESERVE", 0x4000)  # named since Python 3.13
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve
    pages = mmap.mmap(-1, count * np.dtype(dtype).itemsize, flags=flags)
    return np.frombuffer(pages, dtype, count).reshape(shape)


def layouts(array: Any) -> dict[str, Any]:
    """The same numbers in every layout that an operation must take."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    raw = np.zeros(array.nbytes + 1, np.uint8)
    misaligned = raw[1:].view(array.dtype).reshape(array.shape)
    misaligned[...] = array
    read_only = array.copy()
    read_only.flags.writeable = False
    return {
        "Fortran order": np.asfortranarray(array),
        "every second": wide[..., ::2],
        "reversed": array[..., ::-1].copy()[..., ::-1],
        "byte-swapped": array.astype(array.dtype.newbyteorder()),
        "misaligned": misaligned,
        "read-only": read_only,
        "nested lists": array.tolist() if array.dtype == np.float64 else array,
    }


def same_bits(results: Any, others: Any) -> bool:
    """Are two arrays, or tuples of them, equal bit by bit (dtypes and shapes too)?"""
    if isinstance(results, tuple):
        return all(same_bits(a, b) for a, b in zip(results, others, strict=True))
    a, b = np.asarray(results), np.asarray(others)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def assert_threads_agree(run: Callable[[], Any]) -> None:
    """Run with 1, 2, 3 and 8 threads: the results must have the same bits."""
    runtime.set_num_threads(1)
    expected = run()
    for threads in (2, 3, 8):
        runtime.set_num_threads(threads)
        assert same_bits(run(), expected), f"{threads} threads"


@contextmanager
def failing_allocation(n: int) -> Iterator[None]:
    """Let the n-th request for scratch memory fail."""
    runtime.fail_allocation(n)
    try:
        yield
    finally:
        runtime.fail_allocation(0)


def numeric_gradient(f: Callable[[Any], Any], x: Any, grad_output: Any, eps: float = 1e-6) -> Any:
    """Gradient of sum(f(x) * grad_output) by two-sided differences, in float64."""
    x = np.array(x, np.float64)
    grad = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        kept = x[place]
        x[place] = kept + eps
        above = f(x)
        x[place] = kept - eps
        below = f(x)
        x[place] = kept
        grad[place] = np.sum((above - below) * grad_output) / (2 * eps)
    return grad


def ulps(result: Any, expected: Any) -> float:
    """Largest distance in units of the last place of `result`'s dtype, over finite expectations."""
    wide = np.asarray(expected, np.longdouble)
    unit = np.spacing(np.abs(wide).astype(result.dtype)).astype(np.longdouble)
    finite = np.isfinite(unit)
    error = np.abs(result.astype(np.longdouble) - wide)[finite] / unit[finite]
    return float(error.max()) if error.size else 0.0
