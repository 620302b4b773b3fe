"""The machine's limits, measured: `roofs.c`, compiled for the instruction set that runs."""

import ctypes
import importlib.util
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Barrier, Thread
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.peers.results import Roofs
from fastconv.configuration import selected_isa
from fastconv.ops.arrays import Array

HERE = Path(__file__).parent

#: Bytes of each of a thread's three arrays: as large as the outputs of large layers, beyond any L2.
ARRAY_BYTES = 64 << 20

#: Rounds of twelve multiply-adds: about 30 ms at 3 GHz.
FMA_ROUNDS = 15_000_000

#: Rounds of a product of 128 steps: about as long.
PRODUCT_ROUNDS = 70_000

#: The best of so many counts: a limit is what the machine can do undisturbed.
REPEATS = 5


def isa_flags(isa: str) -> list[str]:
    """Return the library's own flags for the instruction set."""
    path = HERE.parents[1] / "src_c/build_flags.py"
    spec = importlib.util.spec_from_file_location("fastconv_build_flags", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [*module.C_FLAGS, *module.ARCHITECTURES[platform.machine()][1][isa]]


def build(folder: Path, isa: str, dtype: str) -> ctypes.CDLL:
    """Compile the loops into `folder` and load them."""
    compiler = shutil.which(os.environ.get("CC", "gcc"))
    if compiler is None:
        raise FileNotFoundError("the roofs need a C compiler (gcc, or CC in the environment)")
    library = folder / "roofs.so"
    element = {"float32": "float", "float64": "double"}[dtype]
    flags = [flag for flag in isa_flags(isa) if flag != "-fvisibility=hidden"]
    command = [compiler, *flags, f"-DT={element}", "-shared", "-o", library, HERE / "roofs.c"]
    subprocess.run([str(part) for part in command], check=True)
    return ctypes.CDLL(str(library))


def together(works: Sequence[Callable[[], Any]]) -> float:
    """Run all at once, a thread each, and return the seconds from the first start to the last end."""
    barrier, ends = Barrier(len(works) + 1), [0.0] * len(works)

    def run(index: int) -> None:
        barrier.wait()
        works[index]()
        ends[index] = perf_counter()

    threads = [Thread(target=run, args=(index,)) for index in range(len(works))]
    for thread in threads:
        thread.start()
    start = perf_counter()
    barrier.wait()
    for thread in threads:
        thread.join()
    return max(ends) - start


def measure(threads: int, dtype: str) -> Roofs:
    """Return operations and bytes a second with `threads` threads; ctypes releases the GIL."""
    isa = selected_isa()
    with tempfile.TemporaryDirectory() as folder:
        library = build(Path(folder), isa, dtype)
        element = np.ctypeslib.as_ctypes_type(np.dtype(dtype))
        pointer, long = ctypes.c_void_p, ctypes.c_long
        for name, arguments, result in (
            ("multiply_add_flops", [long], long),
            ("multiply_add", [long, pointer], None),
            ("product_elements", [], long),
            ("product_flops", [long], long),
            ("product", [long, pointer, pointer], None),
            ("triad", [long, pointer, pointer, pointer, element], None),
        ):
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, result
        sinks = [np.array([0.5, 1.0], dtype) for _ in range(threads)]
        adds = [partial(library.multiply_add, FMA_ROUNDS, sink.ctypes.data) for sink in sinks]
        flops = threads * library.multiply_add_flops(FMA_ROUNDS) / _least(adds)
        panels = [_on_a_line(library.product_elements(), dtype) for _ in range(threads)]
        products = [
            partial(library.product, PRODUCT_ROUNDS, panel.ctypes.data, sink.ctypes.data)
            for panel, sink in zip(panels, sinks, strict=True)
        ]
        product_flops = threads * library.product_flops(PRODUCT_ROUNDS) / _least(products)
        count = ARRAY_BYTES // np.dtype(dtype).itemsize
        arrays = [[np.ones(count, dtype) for _ in range(3)] for _ in range(threads)]
        triads = [
            partial(library.triad, count, *(a.ctypes.data for a in three), 0.5) for three in arrays
        ]
        return Roofs(flops, product_flops, threads * 3 * ARRAY_BYTES / _least(triads))


def _on_a_line(count: int, dtype: str) -> Array:
    """Return `count` small random numbers whose first is on a cache line."""
    line = 64 // np.dtype(dtype).itemsize
    values = np.random.default_rng(0).uniform(-1e-3, 1e-3, count + line).astype(dtype)
    start = -(values.ctypes.data // values.itemsize) % line
    return values[start : start + count]


def _least(works: Sequence[Callable[[], Any]]) -> float:
    return min(together(works) for _ in range(REPEATS))
