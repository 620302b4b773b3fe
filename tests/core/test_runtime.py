"""The runtime: the environment's settings, threads, forking, scratch memory."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from processes import output_of, run_python

import fastconv as fc
from fastconv._core import runtime

# ---- the environment -----------------------------------------------------------------------------

SHOW_THREADS = "import fastconv as fc; print(fc.get_num_threads())"


@pytest.mark.parametrize("name", ["sse9", "AVX2", "avx2 ", "é", "\udcff"])
def test_unknown_isa_says_what_there_is(name: str) -> None:
    done = run_python("import fastconv", FASTCONV_ISA=name)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: FASTCONV_ISA=")
    for known in runtime.available_isas():
        assert known in last


def test_isa_that_this_cpu_lacks_is_refused() -> None:
    lacking = [name for name, supported in runtime.available_isas().items() if not supported]
    if not lacking:
        pytest.skip("this CPU has all")
    done = run_python("import fastconv", FASTCONV_ISA=lacking[0])
    assert "ImportError" in done.stderr
    assert f"{lacking[0]} (not on this CPU)" in done.stderr


@pytest.mark.parametrize("name", [n for n, able in runtime.available_isas().items() if able])
def test_isa_can_be_forced(name: str) -> None:
    code = "from fastconv._core.runtime import selected_isa; print(selected_isa())"
    assert output_of(code, FASTCONV_ISA=name) == name


def test_best_isa_is_the_default() -> None:
    code = "from fastconv._core.runtime import selected_isa; print(selected_isa())"
    usable = [name for name, supported in runtime.available_isas().items() if supported]
    assert output_of(code, FASTCONV_ISA="") == usable[0]


@pytest.mark.parametrize("count", ["0", "-1", "x", "1.5", "1025", "99999999999999999999"])
def test_bad_thread_count_in_the_environment(count: str) -> None:
    done = run_python("import fastconv", FASTCONV_NUM_THREADS=count)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == f"ImportError: FASTCONV_NUM_THREADS={count!r}: expected a number from 1 to 1024"


def test_thread_counts_of_the_environment() -> None:
    assert output_of(SHOW_THREADS, FASTCONV_NUM_THREADS="5", OMP_NUM_THREADS="3") == "5"
    assert output_of(SHOW_THREADS, FASTCONV_NUM_THREADS="", OMP_NUM_THREADS="3") == "3"
    default = output_of(SHOW_THREADS, FASTCONV_NUM_THREADS="", OMP_NUM_THREADS="")
    assert output_of(SHOW_THREADS, FASTCONV_NUM_THREADS="", OMP_NUM_THREADS="none") == default


def test_affinity_is_respected() -> None:
    pin = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
    assert output_of(pin + SHOW_THREADS, FASTCONV_NUM_THREADS="", OMP_NUM_THREADS="") == "1"


# ---- thread counts -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [True, 1.0, "2", None, np.float32(2)])
def test_thread_count_must_be_an_integer(count: Any) -> None:
    with pytest.raises(TypeError, match="threads: expected an int"):
        fc.set_num_threads(count)


@pytest.mark.parametrize("count", [0, -1, 1025, 10**30])
def test_thread_count_has_a_range(count: int) -> None:
    before = fc.get_num_threads()
    with pytest.raises(ValueError, match=f"threads: expected 1 to 1024, got {count}"):
        fc.set_num_threads(count)
    assert fc.get_num_threads() == before


def test_thread_count_may_be_any_integer_type() -> None:
    fc.set_num_threads(np.int64(3))  # type: ignore[arg-type]
    assert fc.get_num_threads() == 3


def test_num_threads_is_set_back_after_an_exception() -> None:
    before = fc.get_num_threads()
    with pytest.raises(ZeroDivisionError), fc.num_threads(before + 1):  # noqa: PT012
        assert fc.get_num_threads() == before + 1
        raise ZeroDivisionError
    assert fc.get_num_threads() == before


# ---- a convolution that is worth threads ---------------------------------------------------------


def integers(*shape: int) -> Any:
    """Small whole numbers: sums of their products are exact in float32."""
    return (np.arange(np.prod(shape)) * 7919 % 11 - 5).astype(np.float32).reshape(shape)


INPUT, WEIGHT = integers(4, 8, 32, 32), integers(16, 8, 5, 5)
ALGORITHMS = ("direct", "implicit_gemm", "im2col")


def both_ways(algorithm: str) -> list[Any]:
    """Forward and all gradients."""
    output = fc.conv2d(INPUT, WEIGHT, algorithm=algorithm)
    gradients = fc.conv2d_backward(output, INPUT, WEIGHT, algorithm=algorithm)
    return [output, *gradients]


def same(results: list[Any], expected: list[Any]) -> bool:
    """Equal bit for bit."""
    return all(np.array_equal(a, b) for a, b in zip(results, expected, strict=True))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_concurrent_callers_get_their_own_results(algorithm: str) -> None:
    weights = [WEIGHT + i for i in range(4)]
    expected = [fc.conv2d(INPUT, weight, algorithm=algorithm) for weight in weights]
    start = threading.Barrier(4)

    def call(i: int) -> list[bool]:
        start.wait()
        results = [fc.conv2d(INPUT, weights[i], algorithm=algorithm) for _ in range(20)]
        return [np.array_equal(result, expected[i]) for result in results]

    with fc.num_threads(2), ThreadPoolExecutor(4) as callers:
        assert all(all(oks) for oks in callers.map(call, range(4)))


# ---- forking -------------------------------------------------------------------------------------

# Without care, the child waits for ever for the threads that its parent had.
FORK_PRELUDE = """
import os, threading, warnings, numpy as np, fastconv as fc
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: forking with threads
fc.set_num_threads(2)
x, w = np.ones((4, 8, 32, 32), np.float32), np.ones((16, 8, 5, 5), np.float32)
expected = {}
def check(algorithm):
    y = fc.conv2d(x, w, algorithm=algorithm)
    g = fc.conv2d_backward(y, x, w, algorithm=algorithm)
    sums = float(y.sum()), float(g.input.sum()), float(g.weight.sum())
    assert expected.setdefault(algorithm, sums) == sums
def in_child(algorithm):
    pid = os.fork()
    if pid == 0:
        try:
            check(algorithm)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""

FORK_AFTER_USE = """
check(algorithm)
assert in_child(algorithm) == 0
check(algorithm)
assert in_child(algorithm) == 0
"""

FORK_FROM_ANOTHER_THREAD = """
check(algorithm)
statuses = []
thread = threading.Thread(target=lambda: statuses.append(in_child(algorithm)))
thread.start(); thread.join()
assert statuses == [0]
check(algorithm)
"""

FORK_WHILE_OTHERS_COMPUTE = """
check(algorithm)
small = x[:1, :1, :6, :6], w[:1, :1]
for work in (lambda: check(algorithm)), (lambda: fc.conv2d(*small, algorithm=algorithm)):
    stop = threading.Event()
    def repeat():
        while not stop.is_set():
            work()
    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        assert [in_child(algorithm) for _ in range(15)] == [0] * 15
    finally:
        stop.set()
        thread.join()
"""

POOL = """
import multiprocessing
check(algorithm)
with multiprocessing.get_context("fork").Pool(3) as pool:
    pool.map(check, [algorithm] * 12)
check(algorithm)
"""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "code",
    [FORK_AFTER_USE, FORK_FROM_ANOTHER_THREAD, FORK_WHILE_OTHERS_COMPUTE, POOL],
    ids=["after-use", "from-another-thread", "while-others-compute", "pool"],
)
def test_forked_children_compute(code: str, algorithm: str) -> None:
    output_of(f"algorithm = {algorithm!r}\n{FORK_PRELUDE}{code}", timeout=60)


# ---- scratch memory ------------------------------------------------------------------------------


@pytest.fixture
def fail_allocation() -> Iterator[Callable[[int], None]]:
    """Let the n-th request for scratch fail; no more after the test."""
    yield runtime.fail_allocation
    runtime.fail_allocation(0)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("which", ["forward", "input", "weight"])
def test_any_failing_allocation_is_a_memory_error(
    fail_allocation: Callable[[int], None], which: str, algorithm: str, threads: int
) -> None:
    def run() -> Any:
        if which == "forward":
            return fc.conv2d(INPUT, WEIGHT, algorithm=algorithm)
        mask = (which == "input", which == "weight", False)
        grad_output = np.ones((4, 16, 28, 28), np.float32)
        gradients = fc.conv2d_backward(
            grad_output, INPUT, WEIGHT, algorithm=algorithm, output_mask=mask
        )
        return getattr(gradients, which)

    fc.set_num_threads(threads)
    expected = run()
    for n in range(1, 1000):
        fail_allocation(n)
        try:
            result = run()
        except MemoryError:
            fail_allocation(0)
            assert np.array_equal(run(), expected), f"after the failure of request {n}"
            continue
        assert n > 1, "no scratch was asked for: this tests nothing"
        assert np.array_equal(result, expected)
        return
    pytest.fail("it never succeeded")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_scratch_that_is_kept_is_bounded(
    fail_allocation: Callable[[int], None], algorithm: str
) -> None:
    most = 4 * (4 << 20)  # FC_SLOTS and FC_WORKSPACE_KEEP of src_c/runtime/runtime.h
    weight = np.ones((1024, 512, 3, 3), np.float32)  # 18 MB, copied in another order by some
    image = np.ones((2, 512, 14, 14), np.float32)
    output = fc.conv2d(image, weight, padding=1, algorithm=algorithm)
    fc.conv2d_backward(output, image, weight, padding=1, algorithm=algorithm)
    assert 0 < runtime.workspace_held() <= most
    for n in range(1, 6):
        fail_allocation(n)
        with pytest.raises(MemoryError):
            fc.conv2d_backward(output, image, weight, padding=1, algorithm=algorithm)
        assert runtime.workspace_held() <= most


def test_scratch_of_a_thread_is_its_own() -> None:
    held: list[int] = []

    def call() -> None:
        held.append(runtime.workspace_held())
        fc.conv2d(INPUT, WEIGHT, algorithm="direct")
        held.append(runtime.workspace_held())

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert held[0] == 0
    assert held[1] > 0
