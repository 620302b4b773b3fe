"""Sharing blocks out: every item once, failures raised and never waited for, nesting, forks."""

import os
import threading
from itertools import count

import numpy as np
import pytest

from fastconv.ops.algorithms.fft import threads as fft_threads
from fastconv.ops.algorithms.fft.threads import Turns, share


@pytest.mark.parametrize("threads", [1, 2, 3, 8, 1000])
@pytest.mark.parametrize("items", [0, 1, 2, 50])
def test_every_item_once(items: int, threads: int) -> None:
    done: list[int] = []
    share(done.append, range(items), threads)
    assert sorted(done) == list(range(items))


def test_threads_run_side_by_side() -> None:
    meeting = threading.Barrier(3)
    share(lambda _: meeting.wait(timeout=10) and None, range(3), 3)


@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("bad", [0, 3, 19])
def test_a_failure_is_raised_and_nobody_waits_for_its_turn(bad: int, threads: int) -> None:
    turns, done, waiting = Turns(), [], threading.Event()

    def job(i: int) -> None:
        if i == bad:
            if threads > 1 and bad < 19:
                waiting.wait(timeout=10)  # so that another waits for a turn that will not come
            raise MemoryError(f"item {i}")
        if i > bad:
            waiting.set()
        with turns.take(i):
            done.append(i)

    with pytest.raises((MemoryError, RuntimeError), match=r"item|earlier block failed"):
        share(job, range(20), threads, turns.fail)
    assert done == list(range(len(done)))
    assert len(done) <= bad


def test_turns_are_taken_in_order() -> None:
    turns, done = Turns(), []

    def job(i: int) -> None:
        threading.Event().wait(0.002 * (i % 3))
        with turns.take(i):
            done.append(i)

    share(job, range(40), 8, turns.fail)
    assert done == list(range(40))


def test_nested_and_crowded_calls_end() -> None:
    total = count()

    def outer(_: int) -> None:
        share(lambda _: next(total) and None, range(10), 8)

    callers = [
        threading.Thread(target=share, args=(outer, range(20), 8), daemon=True) for _ in range(12)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=30)
        assert not caller.is_alive()
    assert next(total) == 12 * 20 * 10


def test_helpers_keep_the_callers_error_state() -> None:
    def job(_: int) -> None:
        meeting.wait(timeout=10)
        try:
            np.ones(2) / np.zeros(2)
        except FloatingPointError:
            raised.append(threading.get_ident())

    meeting, raised = threading.Barrier(2), list[int]()
    with np.errstate(divide="raise"):
        share(job, range(2), 2)
    assert len(set(raised)) == 2


def test_a_forked_child_starts_anew() -> None:
    share(lambda _: None, range(4), 4)
    assert fft_threads._pool is not None
    child = os.fork()
    if child == 0:
        done: list[int] = []
        meeting = threading.Barrier(2)
        fresh = fft_threads._pool is None
        share(lambda i: done.append(meeting.wait(timeout=10) and i), range(2), 2)
        os._exit(0 if fresh and len(done) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
