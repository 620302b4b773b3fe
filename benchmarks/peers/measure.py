"""Turns in rotation: every contender is timed many times over the same stretch of a noisy machine."""

import ctypes
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter
from typing import Any

from fastconv.benchmark.measure import turn

#: Untimed seconds at the start of a turn: the one before may have left threads spinning, and another's
#: arrays in the caches.
WARM_UP = 0.03

#: Timed seconds of a turn; one call where a call is longer.
TURN = 0.06

#: A call that takes longer needs no warm-up after its first turn: what it would spare is lost in it.
LONG = 0.25

#: Fewest turns of each contender.
ROUNDS = 3

#: glibc's mallopt: what is set, and how many blocks may be mapped by default.
M_TRIM_THRESHOLD, M_MMAP_MAX, MMAPS = -1, -4, 65536


def rotate(
    calls: dict[str, Callable[[], Any]],
    budget: float,
    one_turn: Callable[..., list[float]] = turn,
) -> dict[str, list[float]]:
    """Return the median seconds of each turn of each call, in rounds until `budget` seconds are used.

    Each round starts with another call, so that none always runs after the same one.
    """
    names = list(calls)
    turns: dict[str, list[float]] = {name: [] for name in names}
    with no_garbage_collection():
        start = perf_counter()
        rounds = 0
        while rounds < ROUNDS or perf_counter() - start < budget:
            first = rounds % len(names)
            for name in names[first:] + names[:first]:
                warm_up = 0 if turns[name] and turns[name][-1] > LONG else WARM_UP
                times = one_turn(calls[name], warm_up=warm_up, timed=TURN, least=1)
                turns[name].append(median(times))
            rounds += 1
    return turns


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect first, then let no collection fall into anyone's turn."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def kept_memory() -> Iterator[bool]:
    """Have malloc reuse freed memory of any size inside; False where malloc is not glibc's.

    Usually it hands large blocks back to the system at once, and the next call pays a page fault for
    every 4 KB of its output. This is how a library without `out=` is measured with outputs that are
    there already. Arrays that are made outside are mapped as ever, in huge pages where NumPy asks so.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    kept = bool(mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
    try:
        yield kept
    finally:
        if mallopt:
            mallopt(M_MMAP_MAX, MMAPS)
