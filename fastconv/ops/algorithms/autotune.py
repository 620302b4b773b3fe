"""Measured times of the candidates of "auto", remembered for this process.

A table never changes: `remember` puts a larger one in its place, so that `select`, which gets it as
an argument, stays a pure function. The number of threads is no part of a key, since results must not
depend on it.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any, NamedTuple

from fastconv.ops.geometry import Conv2dGeometry, conv2d_geometry

#: A round of a candidate lasts about this long, so that the clock's steps don't count.
ROUND_SECONDS = 2e-4

#: Rounds of each candidate, in turns; the fewest also where they take longer than the budget.
MOST_ROUNDS, FEWEST_ROUNDS = 15, 3

#: Seconds that the rounds of one pass should take.
BUDGET = 0.5

#: Of the file that `save` writes.
FORMAT = 1


class Key(NamedTuple):
    """One pass of one convolution."""

    geometry: Conv2dGeometry
    dtype: str
    which: str
    isa: str


class Table:
    """Seconds of each candidate that was timed, by Key; never changed, and hashed by identity."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: Mapping[Key, Mapping[str, float]]) -> None:
        self.seconds = seconds


table = Table({})
_lock = Lock()


def remember(seconds: Mapping[Key, Mapping[str, float]]) -> None:
    """Add measurements to the table that conv2d consults."""
    global table
    with _lock:
        table = Table({**table.seconds, **seconds})


def forget() -> None:
    """Empty the table."""
    global table
    with _lock:
        table = Table({})


def measure(
    candidates: Mapping[str, Callable[[], object]],
    clock: Callable[[], float] = perf_counter,
    budget: float = BUDGET,
) -> dict[str, float]:
    """Return the seconds of a call of each candidate: the least over rounds that take turns.

    A first call of each warms up and says how many calls make a round.

    Examples
    --------
    >>> times = measure({"small": lambda: sum(range(10)), "large": lambda: sum(range(100000))})
    >>> times["small"] < times["large"]
    True
    """
    calls: dict[str, int] = {}
    for name, run in candidates.items():
        run()
        start = clock()
        run()
        calls[name] = max(1, math.ceil(ROUND_SECONDS / max(clock() - start, 1e-7)))
    best = dict.fromkeys(candidates, math.inf)
    began = clock()
    for number in range(MOST_ROUNDS):
        if number >= FEWEST_ROUNDS and clock() - began > budget:
            break
        for name, run in candidates.items():
            start = clock()
            for _ in range(calls[name]):
                run()
            best[name] = min(best[name], (clock() - start) / calls[name])
    return best


def save(path: Path) -> None:
    """Write the table as JSON."""
    entries = []
    for key, seconds in table.seconds.items():
        g = key.geometry
        entries.append(
            {
                "isa": key.isa, "dtype": key.dtype, "pass": key.which,
                "input_shape": g.input_shape, "weight_shape": g.weight_shape,
                "stride": g.stride, "padding": g.padding, "dilation": g.dilation,
                "groups": g.groups, "layout": "NHWC" if g.channels_last else "NCHW",
                "seconds": dict(seconds),
            }
        )  # fmt: skip
    path.write_text(json.dumps({"format": FORMAT, "convolutions": entries}, indent=1))


def load(path: Path) -> int:
    """Add what `save` wrote to the table and return how many entries that were.

    Raises ValueError, with nothing added, if the file is not one of those.
    """
    try:
        content = json.loads(path.read_text())
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r}")
        found = dict(_entry(each) for each in content["convolutions"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a file that save_autotune wrote (format {FORMAT}), got "
            f"{type(error).__name__}: {error}; tune again and save"
        ) from None
    remember(found)
    return len(found)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _entry(entry: dict[str, Any]) -> tuple[Key, dict[str, float]]:
    names = "input_shape", "weight_shape", "stride", "padding", "dilation", "groups", "layout"
    geometry = conv2d_geometry(*(_tuples(entry[name]) for name in names))
    seconds = {str(name): float(value) for name, value in entry["seconds"].items()}
    if not all(0 < value < math.inf for value in seconds.values()):
        raise ValueError(f"seconds {seconds}")
    return Key(geometry, str(entry["dtype"]), str(entry["pass"]), str(entry["isa"])), seconds
