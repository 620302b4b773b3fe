"""The helpers must be able to fail."""

import ctypes
import faulthandler
import os
import signal

import numpy as np
import pytest
from helpers import guarded, same_bits, sparse, ulps


def _killed_by(address: int) -> int:
    """Read one byte in a child process; return the signal that ended it, 0 for none."""
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        ctypes.string_at(address, 1)
        os._exit(0)
    return os.waitpid(child, 0)[1] & 0x7F


@pytest.mark.parametrize("size", [1, 5, 4096, 5000])
def test_guard_pages_kill(size: int) -> None:
    after, before = guarded(np.ones(size)), guarded(np.ones(size), "before")
    assert after.flags.aligned
    assert before.flags.aligned
    assert (after == 1).all()
    end = after.ctypes.data + after.nbytes
    assert _killed_by(end - 1) == 0
    assert _killed_by(end) == signal.SIGSEGV
    start = before.ctypes.data
    assert _killed_by(start) == 0
    assert _killed_by(start - 1) == signal.SIGSEGV


def test_comparisons() -> None:
    assert not same_bits(np.array([0.0]), np.array([-0.0]))
    assert same_bits((np.array([np.nan]),), (np.array([np.nan]),))
    assert ulps(np.array([1 + 2**-51]), np.array([1.0])) == 2
    assert not sparse((1 << 40,), np.float32)[-1]
