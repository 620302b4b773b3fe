"""Measure the constants of the cost model behind algorithm="auto", and write costs.py.

    python benchmarks/calibrate.py

For every instruction set that this CPU runs, dtype, algorithm and pass, the convolutions of CASES are
timed on one thread, and

    seconds = start + sum(constant_i * feature_i)

is fitted by non-negative least squares of the relative error. The exponent of the thread count is
the median of what two threads gain: one for all that share SHARED, whose tasks are cut alike, so that
noise in it can't tip the balance between them. Instruction sets not found here keep the constants
they have. Takes a few minutes on an otherwise idle machine.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from math import log2
from pathlib import Path
from pprint import pformat
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

#: Algorithms with one exponent of the thread count.
SHARED = ("implicit_gemm", "direct", "winograd")

#: OpenBLAS' names of machines that have an instruction set and no more: im2col's products go by it.
BLAS_CORES = {"avx2": "Haswell", "baseline": "Nehalem"}

TARGET = Path(__file__).resolve().parent.parent / "fastconv/ops/algorithms/costs.py"

#: input shape, weight shape, stride, padding
CASES: list[tuple[tuple[int, ...], tuple[int, ...], int, int]] = [
    ((1, 1, 8, 8), (1, 1, 3, 3), 1, 0),
    ((1, 8, 14, 14), (16, 8, 3, 3), 1, 1),
    ((1, 20, 12, 12), (50, 20, 5, 5), 1, 0),
    ((64, 1, 28, 28), (6, 1, 5, 5), 1, 2),
    ((64, 6, 14, 14), (16, 6, 5, 5), 1, 0),
    ((16, 20, 12, 12), (50, 20, 5, 5), 1, 0),
    ((64, 16, 14, 14), (32, 16, 3, 3), 1, 1),
    ((8, 16, 28, 28), (32, 16, 5, 5), 1, 2),
    ((16, 16, 32, 32), (16, 16, 3, 3), 1, 1),
    ((64, 64, 8, 8), (64, 64, 3, 3), 1, 1),
    ((2, 3, 224, 224), (64, 3, 3, 3), 1, 1),
    ((1, 3, 224, 224), (64, 3, 7, 7), 2, 3),
    ((2, 3, 224, 224), (64, 3, 11, 11), 4, 2),
    ((4, 64, 56, 56), (64, 64, 1, 1), 1, 0),
    ((2, 64, 56, 56), (256, 64, 1, 1), 1, 0),
    ((4, 192, 28, 28), (64, 192, 1, 1), 1, 0),
    ((4, 512, 7, 7), (1024, 512, 1, 1), 1, 0),
    ((1, 64, 112, 112), (64, 64, 3, 3), 1, 1),
    ((2, 96, 28, 28), (128, 96, 3, 3), 1, 1),
    ((1, 128, 28, 28), (128, 128, 3, 3), 2, 1),
    ((4, 128, 28, 28), (128, 128, 3, 3), 2, 1),
    ((1, 256, 28, 28), (256, 256, 3, 3), 1, 1),
    ((1, 512, 14, 14), (512, 512, 3, 3), 1, 1),
    ((4, 512, 7, 7), (512, 512, 3, 3), 1, 1),
    ((2, 64, 27, 27), (192, 64, 5, 5), 1, 2),
    ((8, 128, 28, 28), (128, 1, 3, 3), 1, 1),
    ((2, 256, 56, 56), (256, 4, 3, 3), 1, 1),
    ((1, 3, 128, 128), (8, 3, 17, 17), 1, 8),
    ((1, 1, 256, 256), (4, 1, 31, 31), 1, 0),
    ((4, 8, 48, 48), (8, 8, 11, 11), 1, 5),
]


def time_one(call: Callable[[], Any], budget: float) -> float:
    """Median seconds of a call within a budget of seconds."""
    call()
    times: list[float] = []
    start = perf_counter()
    while len(times) < 3 or (perf_counter() - start < budget and len(times) < 200):
        begin = perf_counter()
        call()
        times.append(perf_counter() - begin)
    return median(times)


def measure_case(case: Any, dtype: Any, name: str, budget: float) -> dict[str, list[Any]]:
    """Return pass -> [features, seconds on one thread, seconds on two]."""
    import fastconv as fc
    from fastconv.ops.algorithms.select import PASSES, load
    from fastconv.ops.geometry import conv2d_geometry

    shape, weight_shape, stride, padding = case
    groups = shape[1] // weight_shape[1]
    geometry = conv2d_geometry(shape, weight_shape, stride, padding, 1, groups, "NCHW")
    generator = np.random.default_rng(0)
    x, w, g = (
        generator.standard_normal(s).astype(dtype)
        for s in (shape, weight_shape, geometry.output_shape)
    )
    module = load(name)
    if module.rejects(geometry, np.dtype(dtype)):
        return {}
    y, gx, gw = np.empty_like(g), np.empty_like(x), np.empty_like(w)
    calls = {
        "forward": lambda: module.forward(geometry, x, w, None, False, y),
        "grad_input": lambda: module.grad_input(geometry, g, w, gx),
        "grad_weight": lambda: module.grad_weight(geometry, x, g, gw),
    }
    result = {}
    for which in PASSES:
        seconds = []
        for threads in (1, 2):
            with fc.num_threads(threads):
                seconds.append(time_one(calls[which], budget))
        result[which] = [module.features(geometry, np.dtype(dtype), which), *seconds]
    return result


def exponent(rows: list[list[Any]]) -> float:
    """Return the power of the thread count by which two threads are faster."""
    gains = [log2(one / two) for _, one, two in rows if one > 1e-3]
    return min(1.0, max(0.0, median(gains)))


def fit(rows: list[list[Any]], gain: float) -> list[float]:
    """Return (start, exponent, constants ...) of one algorithm and pass."""
    from scipy.optimize import nnls

    seconds = np.array([row[1] for row in rows])
    features = np.array([[1.0, *row[0]] for row in rows])
    scale = features.max(axis=0)
    constants, _ = nnls(features / scale / seconds[:, None], np.ones(len(rows)))
    start, *rest = (constants / scale).tolist()
    return [float(f"{value:.3g}") for value in (start, gain, *rest)]


def measure_isa(budget: float) -> dict[str, Any]:
    """Return dtype -> algorithm -> pass -> constants, for the instruction set that is selected."""
    from fastconv.ops.algorithms.select import ALGORITHMS, PASSES

    result: dict[str, Any] = {}
    for dtype in (np.float32, np.float64):
        rows: dict[str, dict[str, list[Any]]] = {}
        for name in ALGORITHMS:
            measured = [measure_case(case, dtype, name, budget) for case in CASES]
            rows[name] = {which: [each[which] for each in measured if each] for which in PASSES}
        shared = exponent([row for name in SHARED for each in rows[name].values() for row in each])
        result[np.dtype(dtype).name] = {
            name: {
                which: fit(each, shared if name in SHARED else exponent(each))
                for which, each in passes.items()
            }
            for name, passes in rows.items()
        }
    return result


def main() -> None:
    """Measure every instruction set in a process of its own; write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=0.05, help="seconds a measurement")
    parser.add_argument("--only", nargs="+", help="instruction sets to measure; default: all here")
    parser.add_argument("--isa", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.isa:
        print(json.dumps(measure_isa(arguments.budget)))
        return

    from fastconv._core.runtime import available_isas
    from fastconv.benchmark.machine import processor
    from fastconv.ops.algorithms.costs import COSTS

    costs: dict[str, Any] = dict(COSTS)
    usable = [name for name, able in available_isas().items() if able]
    for isa in arguments.only or usable:
        print(f"measuring {isa} ...", file=sys.stderr, flush=True)
        environment = os.environ | {"FASTCONV_ISA": isa}
        if isa in BLAS_CORES:
            environment |= {"OPENBLAS_CORETYPE": BLAS_CORES[isa]}
        command = [sys.executable, __file__, "--isa", isa, "--budget", str(arguments.budget)]
        output = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
        costs[isa] = json.loads(output)
    body = pformat(costs, width=99, sort_dicts=False)
    TARGET.write_text(
        '"""Constants of the cost model. Written by benchmarks/calibrate.py; not edited by hand.\n\n'
        f'Measured on {processor()}.\n"""\n\n'
        "#: COSTS[isa][dtype][algorithm][pass] = [start, exponent, seconds per unit of a feature ...]\n"
        f"COSTS: dict[str, dict[str, dict[str, dict[str, list[float]]]]] = {body}\n",
        encoding="utf-8",
    )
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", str(TARGET)], check=False)
    print(f"written: {TARGET}")


if __name__ == "__main__":
    main()
