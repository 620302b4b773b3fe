"""Which algorithm: a pure function of geometry, dtype, pass and instruction set.

The number of threads has no say, since results must not depend on it: candidates are compared as
NOMINAL_THREADS would run them.

"auto" takes the algorithm whose estimated time is least. An estimate is

    start + sum(seconds_i * feature_i) / threads ** exponent

with each algorithm's `features` (work in FMAs, elements copied, ...) and the constants of `costs.py`,
which `benchmarks/calibrate.py` measures and fits. "fft", whose error is relative to a whole tile, is
weighed for kernels of at least LARGE_KERNEL taps only; else it is taken where it is asked for, or
where it alone can do the problem. Where `autotune` has timed all that "auto" may take, the least time
counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from fastconv.ops.algorithms.autotune import Key, Table
from fastconv.ops.algorithms.costs import COSTS
from fastconv.ops.geometry import Conv2dGeometry

#: All algorithms, in order of preference where estimates are equal.
ALGORITHMS = ("implicit_gemm", "direct", "winograd", "im2col", "fft")

#: The passes of a convolution, each with an algorithm of its own.
PASSES = ("forward", "grad_input", "grad_weight")


#: Threads for which candidates are compared.
NOMINAL_THREADS = 2


@cache
def load(name: str) -> ModuleType:
    """Import an algorithm's module; fft brings scipy.fft with it, so only when it is needed."""
    return import_module(f"fastconv.ops.algorithms.{name}")


#: Taps a phase of the stride from which "fft" is weighed: a direct sum so long is bounded no better,
#: and below it exactness is worth more than the time.
LARGE_KERNEL = 121

#: Verdicts on algorithms that "auto" leaves to those who ask for them.
UNTRUSTED = {
    "fft": "only if asked for: its error is relative to a whole tile",
    "winograd": "only if asked for: too few channels or tiles to average its error out",
    "im2col": "only if asked for: with groups of a channel it copies more than it sums",
}


#: No measurements.
NOTHING = Table({})


@dataclass(frozen=True)
class Candidate:
    """One algorithm's standing: estimated seconds (and those that count), or why it was not taken.

    Where candidates were timed, `seconds` are the measured ones.
    """

    algorithm: str
    seconds: float | None
    verdict: str
    nominal: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What was chosen for one pass of one convolution, and why. Printing it reads well."""

    algorithm: str
    reason: str
    which: str
    flops: int
    scratch_bytes: int
    packed_weight_bytes: int
    error_bound: float
    error_of: str
    dtype: str
    isa: str
    threads: int
    geometry: Conv2dGeometry
    candidates: tuple[Candidate, ...]
    module: ModuleType

    def __str__(self) -> str:
        """Return the plan as a few aligned lines."""
        g = self.geometry
        lines = [
            f"conv2d {self.which}: {self.algorithm} ({self.reason})",
            f"  input {g.input_shape}, weight {g.weight_shape} -> output {g.output_shape}, "
            f"{self.dtype}, {self.isa}, {self.threads} thread{'s' * (self.threads > 1)}",
            f"  work      {self.flops / 1e9:.4g} GFLOP as a plain sum",
            f"  scratch   {self.scratch_bytes / 1024:.0f} KB a thread",
            f"  weights   {self._weights()}",
            f"  error     within {self.error_bound:.2g} * {self.error_of}",
        ]
        for candidate in self.candidates:
            time = "" if candidate.seconds is None else f"{candidate.seconds * 1e3:10.3f} ms"
            lines.append(f"  {candidate.algorithm:13} {time:>13}  {candidate.verdict}")
        return "\n".join(lines)

    def _weights(self) -> str:
        if not self.packed_weight_bytes:
            return "not packed"
        return f"{self.packed_weight_bytes / 1024:.0f} KB packed"


def estimate(
    module: ModuleType, geometry: Conv2dGeometry, dtype: np.dtype[Any], which: str, isa: str,
    threads: int,
) -> float:  # fmt: skip
    """Return the seconds that an algorithm should take by the measured cost model."""
    table = COSTS.get(isa) or COSTS["baseline"]
    start, exponent, *seconds = table[dtype.name][module.name][which]
    work = module.features(geometry, dtype, which)
    return start + sum(s * w for s, w in zip(seconds, work, strict=True)) / threads**exponent


def trusted(name: str, geometry: Conv2dGeometry, which: str) -> bool:
    """May "auto" take this algorithm for its speed?"""
    if name == "fft":
        phases = geometry.stride[0] * geometry.stride[1]
        return geometry.kernel_height * geometry.kernel_width >= LARGE_KERNEL * phases
    if name == "winograd":
        return load(name).averages(geometry, which)
    if name == "im2col":
        return not load("direct").is_narrow(geometry)
    return True


def _consider(
    name: str, geometry: Conv2dGeometry, dtype: np.dtype[Any], which: str, isa: str, threads: int
) -> Candidate:
    module = load(name)
    reason = module.rejects(geometry, dtype)
    if reason:
        return Candidate(name, None, f"can't: {reason}")
    seconds = estimate(module, geometry, dtype, which, isa, threads)
    nominal = estimate(module, geometry, dtype, which, isa, NOMINAL_THREADS)
    verdict = "slower" if trusted(name, geometry, which) else UNTRUSTED[name]
    return Candidate(name, seconds, verdict, nominal)


def _timed(candidate: Candidate, times: Mapping[str, float]) -> Candidate:
    seconds = times.get(candidate.algorithm)
    return candidate if seconds is None else replace(candidate, seconds=seconds)


def _choose(candidates: list[Candidate], times: Mapping[str, float]) -> tuple[str, str]:
    able = [c for c in candidates if c.seconds is not None]
    free = [c for c in able if c.verdict not in UNTRUSTED.values()]
    if not free:
        if not able:
            raise ValueError(
                "algorithm: none can do this problem: "
                + "; ".join(f"{c.algorithm} {c.verdict}" for c in candidates)
            )
        return able[0].algorithm, "the only one that can"
    if len(free) > 1 and all(c.algorithm in times for c in free):
        return min(free, key=lambda c: times[c.algorithm]).algorithm, "least measured time"
    best = min(free, key=lambda c: c.nominal)
    return best.algorithm, "least estimated time" if len(free) > 1 else "the only one that can"


@lru_cache(maxsize=4096)
def select(
    geometry: Conv2dGeometry, dtype: np.dtype[Any], which: str, algorithm: str, isa: str,
    threads: int, measured: Table = NOTHING, explain: bool = False,
) -> Plan:  # fmt: skip
    """Return the plan of one pass; ValueError if the named algorithm can't do it, saying why.

    `measured` has what `autotune` has timed.
    `explain` weighs every algorithm for the list of candidates, also where one was named.
    """
    candidates: list[Candidate] = []
    if geometry.empty:
        chosen, reason = _known(algorithm), "there is no product to sum"
        chosen = "direct" if chosen == "auto" else chosen
    elif algorithm == "auto":
        arguments = geometry, dtype, which, isa, threads
        names = [n for n in ALGORITHMS if explain or trusted(n, geometry, which)]
        candidates = [_consider(n, *arguments) for n in names]
        if not explain and all(c.seconds is None for c in candidates):
            candidates = [_consider(n, *arguments) for n in ALGORITHMS]
        times = measured.seconds.get(Key(geometry, dtype.name, which, isa), {})
        candidates = [_timed(c, times) for c in candidates]
        chosen, reason = _choose(candidates, times)
    else:
        chosen, reason = _named(algorithm, geometry, dtype), "as asked"
        shown = ALGORITHMS if explain else ()
        candidates = [_consider(n, geometry, dtype, which, isa, threads) for n in shown]
    module = load(chosen)
    bound, error_of = module.error_bound(geometry, dtype)
    scratch = 0 if geometry.empty else module.workspace(geometry, dtype)
    packs = not geometry.empty and hasattr(module, "packed_weights")
    packed = module.packed_weights(geometry, dtype, which) if packs else 0
    return Plan(
        chosen, reason, which, geometry.flops, scratch, packed, bound, error_of,
        dtype.name, isa, threads, geometry,
        tuple(c if c.algorithm != chosen else Candidate(chosen, c.seconds, "chosen")
              for c in candidates),
        module,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def joins(
    geometry: Conv2dGeometry, dtype: np.dtype[Any], algorithm: str, isa: str,
    measured: Table = NOTHING,
) -> bool:  # fmt: skip
    """Are the gradients of input and weight better summed together, at one reading of grad_output?

    Then the weight's takes the products of "direct", which meet the strips of the input's in cache
    (measured: half way between those products' speed and its own from memory), and the filling of
    planes. Asked only where the input's gradient is by "direct" anyway.
    """
    direct = load("direct")
    if not direct.joins(geometry, dtype):
        return False
    by_input, by_weight = (
        select(geometry, dtype, which, algorithm, isa, NOMINAL_THREADS, measured).algorithm
        for which in ("grad_input", "grad_weight")
    )
    if by_input != "direct":
        return False
    costs = (COSTS.get(isa) or COSTS["baseline"])[dtype.name]["direct"]
    start, exponent, own, fill, *_ = costs["grad_weight"]
    work, filled, _ = direct.features(geometry, dtype, "grad_weight")
    product = (own + costs["grad_input"][2]) / 2
    joint = start + (product * work + fill * filled) / NOMINAL_THREADS**exponent
    return joint < estimate(load(by_weight), geometry, dtype, "grad_weight", isa, NOMINAL_THREADS)


def eligible(geometry: Conv2dGeometry, dtype: np.dtype[Any], which: str) -> list[str]:
    """Return the algorithms among which "auto" chooses by time."""
    names = [name for name in ALGORITHMS if trusted(name, geometry, which)]
    return [name for name in names if load(name).rejects(geometry, dtype) is None]


def _known(algorithm: str) -> str:
    if algorithm != "auto" and algorithm not in ALGORITHMS:
        expected = ", ".join(repr(name) for name in ("auto", *ALGORITHMS))
        raise ValueError(f"algorithm: expected {expected}, got {algorithm!r}")
    return algorithm


def _named(algorithm: str, geometry: Conv2dGeometry, dtype: np.dtype[Any]) -> str:
    reason = load(_known(algorithm)).rejects(geometry, dtype)
    if reason:
        raise ValueError(f"algorithm: {algorithm!r} can't do this problem: {reason}; use 'auto'")
    return algorithm
