"""Blocks of an FFT convolution shared out to threads.

SciPy's own `workers` do not pay on blocks that fit a cache (waking them costs what they save), and
NumPy's copies and small products have none. So whole blocks are shared out, each done by one
thread; transforms and products release the GIL. Who does which block never shows in the result.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from threading import Condition, Lock
from typing import TypeVar

Item = TypeVar("Item")

_MAX_HELPERS = 64
_lock = Lock()
_pool: ThreadPoolExecutor | None = None


def _forget() -> None:
    """Start anew in a forked child, where the parent's threads do not exist."""
    global _lock, _pool
    _lock, _pool = Lock(), None


os.register_at_fork(after_in_child=_forget)


def ranges(count: int, step: int) -> Iterator[slice]:
    """Cut range(count) into slices of at most `step`.

    Examples
    --------
    >>> list(ranges(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, count, step):
        yield slice(start, min(count, start + step))


def _submit(work: Callable[[], None]) -> Future[None] | None:
    """Give work to a helper, in the caller's context (`np.errstate`); None at interpreter exit."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(_MAX_HELPERS, thread_name_prefix="fastconv-fft")
    try:
        return _pool.submit(copy_context().run, work)
    except RuntimeError:
        return None


def share(
    job: Callable[[Item], None],
    items: Sequence[Item],
    threads: int,
    on_failure: Callable[[], None] = lambda: None,
) -> None:
    """Call job for every item, started in order, on so many threads of which the caller's is one.

    If a job raises, no more are started, and when those under way have ended it is raised here.
    The caller waits only for helpers that have begun, so calls may be nested.

    Examples
    --------
    >>> squares = [0] * 5
    >>> def square(i: int) -> None:
    ...     squares[i] = i * i
    >>> share(square, range(5), threads=3)
    >>> squares
    [0, 1, 4, 9, 16]
    """
    todo = deque(items)

    def work() -> None:
        while True:
            try:
                item = todo.popleft()
            except IndexError:
                return
            try:
                job(item)
            except BaseException:
                todo.clear()
                on_failure()
                raise

    count = min(threads, len(items), _MAX_HELPERS) - 1
    helpers = [helper for helper in (_submit(work) for _ in range(count)) if helper is not None]
    try:
        work()
    finally:
        begun = [helper for helper in helpers if not helper.cancel()]
        wait(begun)
    for helper in begun:
        helper.result()


class Turns:
    """Lets jobs that run side by side do one part in order: 0, 1, 2, ...

    Examples
    --------
    >>> turns, seen = Turns(), []
    >>> def job(i: int) -> None:
    ...     with turns.take(i):
    ...         seen.append(i)
    >>> share(job, range(6), 3, turns.fail)
    >>> seen
    [0, 1, 2, 3, 4, 5]
    """

    def __init__(self) -> None:
        self._condition = Condition()
        self._next = 0
        self._failed = False

    @contextmanager
    def take(self, turn: int) -> Iterator[None]:
        """Wait for this turn, and pass it on at the end."""
        with self._condition:
            self._condition.wait_for(lambda: self._failed or self._next == turn)
            if self._failed:
                raise RuntimeError("an earlier block failed")
        yield
        with self._condition:
            self._next = turn + 1
            self._condition.notify_all()

    def fail(self) -> None:
        """Wake all that wait for a turn that will not come."""
        with self._condition:
            self._failed = True
            self._condition.notify_all()
