"""Timing two ways of one thing fairly: in turns, in one process, medians."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

from fastconv.benchmark.operations import Operation


@dataclass(frozen=True)
class Row:
    """Seconds of one operation; the reference's are scaled up from its slice."""

    name: str
    problem: str
    ours: float
    textbook: float | None
    reference: float

    @property
    def over_reference(self) -> float:
        """How many times the reference's speed."""
        return self.reference / self.ours

    @property
    def over_textbook(self) -> float | None:
        """How many times the textbook's speed."""
        return None if self.textbook is None else self.textbook / self.ours


def seconds(call: Callable[[], Any]) -> float:
    """Time one call."""
    start = perf_counter()
    call()
    return perf_counter() - start


#: Untimed seconds at the start of a turn: NumPy's BLAS keeps its own idle threads spinning for tens
#: of milliseconds after a call, on the cores that the next turn needs.
WARM_UP = 0.08

#: Timed seconds of a turn.
TURN = 0.1


def turn(
    call: Callable[[], Any], *, warm_up: float = WARM_UP, timed: float = TURN, least: int = 3
) -> list[float]:
    """Return the seconds of the calls of one turn: at least `least` of them."""
    start = perf_counter()
    while perf_counter() - start < warm_up:
        call()
    times: list[float] = []
    start = perf_counter()
    while len(times) < least or (perf_counter() - start < timed and len(times) < 1000):
        times.append(seconds(call))
    return times


def interleaved(calls: list[Callable[[], Any]], budget: float) -> list[float]:
    """Return the median seconds of each call: turns A B A B ... until the budget is used."""
    times: list[list[float]] = [[] for _ in calls]
    start = perf_counter()
    rounds = 0
    while rounds < 3 or perf_counter() - start < budget:
        for own, call in zip(times, calls, strict=True):
            own.extend(turn(call))
        rounds += 1
    return [median(own) for own in times]


def measure(operation: Operation, budget: float = 1.0) -> Row:
    """Time one operation against its yardsticks."""
    calls = [operation.ours]
    if operation.textbook is not None:
        calls.append(operation.textbook)
    ours, *rest = interleaved(calls, budget)
    slow = median(seconds(operation.reference) for _ in range(3)) * operation.scale
    return Row(operation.name, operation.problem, ours, rest[0] if rest else None, slow)
