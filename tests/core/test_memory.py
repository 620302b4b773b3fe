"""The memory of results: used again when nobody holds it, and never before."""

import copy
import gc
import pickle
import queue
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy._core.multiarray import get_handler_name
from processes import output_of, run_python

import fastconv as fc
from fastconv._core import memory

BYTE, FLOAT = np.dtype(np.uint8), np.dtype(np.float32)
KB, MB = 1 << 10, 1 << 20
OURS = "fastconv_output_cache"


@pytest.fixture(autouse=True)
def _cache_of_64_mb() -> Iterator[None]:
    """Begin with an empty cache; leave the limit as it was."""
    limit = fc.get_output_cache()
    fc.set_output_cache(64 * MB)
    fc.release_memory()
    yield
    memory.fail_output(0)
    fc.set_output_cache(limit)


def block(size: int) -> Any:
    """A result of `size` bytes."""
    return memory.empty((size,), BYTE)


def address(array: Any) -> int:
    """Where its data begins."""
    return array.__array_interface__["data"][0]


# ---- an array like any other ---------------------------------------------------------------------


def test_small_arrays_are_numpys() -> None:
    assert get_handler_name(block(64 * KB - 1)) == "default_allocator"
    assert get_handler_name(block(64 * KB)) == OURS
    assert get_handler_name(np.empty(64 * KB)) == "default_allocator"


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (300, 70), (1,) * 63 + (20_000,)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "float16", ">f4"])
def test_arrays_are_ordinary(shape: tuple[int, ...], dtype: str) -> None:
    array = memory.empty(shape, np.dtype(dtype))
    assert type(array) is np.ndarray
    assert array.shape == shape
    assert array.dtype == np.dtype(dtype)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.flags.owndata
    assert array.base is None


def test_data_is_aligned_to_pages_and_huge_pages() -> None:
    for size in (64 * KB, 100 * KB, MB + 1):
        assert address(block(size)) % (4 * KB) == 0
    for size in (2 * MB, 5 * MB + 3):
        assert address(block(size)) % (2 * MB) == 0


def test_huge_pages_are_asked_for() -> None:
    array = block(9 * MB)
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        first, dash, rest = line.split(" ")[0].partition("-")
        if dash and int(first, 16) <= address(array) < int(rest, 16):
            flags = next(entry for entry in lines if entry.startswith("VmFlags"))
            break
    if not Path("/sys/kernel/mm/transparent_hugepage").exists():
        pytest.skip("this kernel has no transparent huge pages")
    assert "hg" in flags.split()


def test_objects_begin_as_none() -> None:
    block(200 * KB)[...] = 255  # what is used again is not clear
    array = memory.empty((20_000,), np.dtype(object))
    assert get_handler_name(array) == OURS
    assert array[0] is None
    assert set(array) == {None}


def test_copies_and_pickles_and_resizes() -> None:
    array = memory.empty((100, 300), FLOAT)
    array[...] = np.arange(30_000).reshape(100, 300)
    expected = np.arange(30_000, dtype=np.float32)
    assert np.array_equal(pickle.loads(pickle.dumps(array)).ravel(), expected)
    assert np.array_equal(copy.deepcopy(array).ravel(), expected)
    for size in (30_001, 90_000, 1_000_000, 30_000, 3):
        array.resize(size)
        count = min(size, 30_000)
        assert np.array_equal(array[:count], expected[:count])
        assert get_handler_name(array) == OURS


def test_a_resize_that_fails_leaves_the_array() -> None:
    array = memory.empty((30_000,), FLOAT)
    array[...] = 7
    memory.fail_output(1)
    with pytest.raises(MemoryError):
        array.resize(10**6)
    assert array.shape == (30_000,)
    assert (array == 7).all()


def test_tracemalloc_sees_results() -> None:
    tracemalloc.start()
    try:
        array = block(3 * MB)
        assert tracemalloc.get_traced_memory()[0] >= 3 * MB
        del array
        assert tracemalloc.get_traced_memory()[0] < 3 * MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(-1,), (-1, 70_000), (-300, -300), (2**40, 2**40)])
def test_impossible_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"negative dimensions|too big|dimension exceeded"):
        memory.empty(shape, FLOAT)
    assert get_handler_name(np.empty(10**6)) == "default_allocator"


def test_too_many_axes() -> None:
    with pytest.raises(ValueError, match="at most 64 axes, got 65"):
        memory.empty((1,) * 65, FLOAT)


@pytest.mark.parametrize("size", [2**46, 2**46 + 1, 2**62])
def test_more_memory_than_there_is(size: int) -> None:
    with pytest.raises(MemoryError):
        block(size)
    assert get_handler_name(np.empty(10**6)) == "default_allocator"


# ---- used again ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64 * KB, 200 * KB, MB, 2 * MB, 12_345_678])
def test_freed_memory_is_used_again(size: int) -> None:
    array = block(size)
    where = address(array)
    assert memory.output_cache_idle() == 0
    del array
    assert size <= memory.output_cache_idle() <= size * 1.125
    again = block(size)
    assert address(again) == where
    assert memory.output_cache_idle() == 0


@given(st.integers(64 * KB, 40 * MB))
def test_at_most_an_eighth_is_wasted(size: int) -> None:
    fc.release_memory()
    block(size)
    assert size <= memory.output_cache_idle() <= size * 1.125


def test_any_view_keeps_the_memory() -> None:
    size = 300 * KB
    holders = {
        "slice": lambda a: a[5:9],
        "reversed": lambda a: a[::-2],
        "reshaped": lambda a: a.reshape(-1, 2).T,
        "other dtype": lambda a: a.view(np.int16),
        "memoryview": memoryview,
        "from buffer": lambda a: np.frombuffer(memoryview(a)[8:], np.uint8),
        "dlpack": np.from_dlpack,
        "of a view": lambda a: a[10:][10:][:1],
        "iterator": iter,
        "subclass": lambda a: a.view(np.matrix),
    }
    for name, hold in holders.items():
        array = block(size)
        where = address(array)
        held = hold(array)
        del array
        other = block(size)
        assert address(other) != where, name
        assert memory.output_cache_idle() == 0, name
        del held
        gc.collect()
        assert address(block(size)) == where, name
        del other
        fc.release_memory()


SIZES = [64 * KB, 65 * KB, 100 * KB, 127 * KB, 128 * KB, 129 * KB, MB, 2 * MB, 3 * MB]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["take", "free", "view", "limit"]), st.integers(0, 10**6))),
)
def test_what_is_alive_is_never_given_out(steps: list[tuple[str, int]]) -> None:
    """Any order of taking, freeing and keeping views: nothing overlaps, nothing is overwritten."""
    alive: list[tuple[Any, int]] = []
    for number, (what, choice) in enumerate(steps):
        mark = number % 251
        if what == "take":
            array = block(SIZES[choice % len(SIZES)])
            array[...] = mark
            alive.append((array, mark))
        elif what == "limit":
            fc.set_output_cache(choice * 4)
        elif alive and what == "free":
            alive.pop(choice % len(alive))
        elif alive:
            array, mark = alive.pop(choice % len(alive))
            alive.append((array[array.size // 3 : array.size // 2], mark))
        array = None  # or it would live on until the next step
        assert memory.output_cache_idle() <= fc.get_output_cache()
    spans = sorted((address(a), address(a) + a.nbytes) for a, _ in alive)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert all((a == mark).all() for a, mark in alive)


def test_threads_take_and_free_each_others_arrays() -> None:
    passed: queue.SimpleQueue[tuple[Any, int]] = queue.SimpleQueue()
    start = threading.Barrier(4)

    def work(number: int) -> bool:
        generator = np.random.default_rng(number)
        start.wait()
        good = True
        for turn in range(150):
            array = block(SIZES[generator.integers(6)])
            array[...] = mark = (turn * 4 + number) % 256
            passed.put((array, mark))
            del array
            other, mark = passed.get()
            good = good and bool((other == mark).all())
            if turn % 50 == 0:
                fc.release_memory()
        return good

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
    assert memory.output_cache_idle() <= fc.get_output_cache()


FORK = """
import os, threading, warnings, numpy as np, fastconv as fc
from fastconv._core import memory
warnings.simplefilter("ignore", DeprecationWarning)
U = np.dtype(np.uint8)
def use(n=20):
    for i in range(n):
        a, b = memory.empty((70_000 * (i % 5 + 1),), U), memory.empty((3_000_000,), U)
        a[...], b[...] = i, i + 1
        assert (a == i).all() and (b == i + 1).all()
use()
kept = memory.empty((500_000,), U)
kept[...] = 7
stop = threading.Event()
def repeat():
    while not stop.is_set():
        use(3)
thread = threading.Thread(target=repeat)
thread.start()
try:
    for turn in range(10):
        child = os.fork()
        if not child:
            try:
                assert memory.output_cache_idle() == 0
                assert (kept == 7).all()
                del kept
                use()
            except BaseException:
                os._exit(1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
finally:
    stop.set()
    thread.join()
assert (kept == 7).all()
use()
"""


def test_forks_while_others_take_memory() -> None:
    output_of(FORK)


# ---- bounds --------------------------------------------------------------------------------------


def test_what_was_freed_first_goes_first() -> None:
    arrays = {size: block(size) for size in (MB, 2 * MB, 3 * MB)}
    where = {size: address(array) for size, array in arrays.items()}
    for size in (2 * MB, MB, 3 * MB):
        del arrays[size]
    assert memory.output_cache_idle() == 6 * MB
    fc.set_output_cache(5 * MB)
    assert memory.output_cache_idle() == 4 * MB
    assert address(block(MB)) == where[MB]
    assert address(block(3 * MB)) == where[3 * MB]


def test_one_block_above_the_limit_does_not_push_the_others_out() -> None:
    small, large = block(MB), block(20 * MB)
    fc.set_output_cache(10 * MB)
    del small, large
    assert memory.output_cache_idle() == MB


def test_the_cache_can_be_off() -> None:
    array = block(MB)
    fc.set_output_cache(0)
    del array
    assert memory.output_cache_idle() == 0
    assert get_handler_name(block(MB)) == "default_allocator"


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_memory_is_given_back() -> None:
    arrays = [block(8 * MB) for _ in range(6)]
    for array in arrays:
        array[...] = 1
    before = resident()
    del array, arrays
    assert resident() > before - 8 * MB
    assert fc.release_memory() >= 48 * MB
    assert resident() < before - 40 * MB
    assert fc.release_memory() == 0


def test_scratch_of_this_thread_is_given_back_too() -> None:
    from fastconv._core.runtime import workspace_held

    fc.set_output_cache(0)
    x, w = np.ones((1, 8, 32, 32), np.float32), np.ones((8, 8, 3, 3), np.float32)
    expected = fc.conv2d(x, w, algorithm="direct")
    held = workspace_held()
    assert held > 0
    assert fc.release_memory() == held
    assert workspace_held() == 0
    assert np.array_equal(fc.conv2d(x, w, algorithm="direct"), expected)


SHORT_OF_MEMORY = """
import resource, numpy as np, fastconv as fc
from fastconv._core import memory
U, MB = np.dtype(np.uint8), 1 << 20
fc.set_output_cache(400 * MB)
waiting = [memory.empty((50 * MB,), U) for _ in range(6)]
used = int(open("/proc/self/statm").read().split()[0]) * 4096
del waiting
resource.setrlimit(resource.RLIMIT_AS, (used + 50 * MB, resource.RLIM_INFINITY))
assert memory.output_cache_idle() >= 300 * MB
large = memory.empty((200 * MB,), U)  # fits once the idle blocks are gone
assert memory.output_cache_idle() == 0
try:
    memory.empty((400 * MB,), U)
except MemoryError as error:
    print(error)
"""


def test_idle_memory_goes_before_memory_is_out() -> None:
    assert "400. MiB" in output_of(SHORT_OF_MEMORY)


# ---- settings ------------------------------------------------------------------------------------

SHOW = "import fastconv as fc; print(fc.get_output_cache())"


def test_limit_of_the_environment() -> None:
    assert output_of(SHOW, FASTCONV_OUTPUT_CACHE="123456") == "123456"
    assert output_of(SHOW, FASTCONV_OUTPUT_CACHE="0") == "0"
    assert 0 < int(output_of(SHOW, FASTCONV_OUTPUT_CACHE="")) <= 256 * MB


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "1 GB", str(2**63)])
def test_bad_limit_in_the_environment(text: str) -> None:
    done = run_python("import fastconv", FASTCONV_OUTPUT_CACHE=text)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        f"ImportError: FASTCONV_OUTPUT_CACHE={text!r}: expected a number of bytes; "
        "0 turns the cache off"
    )


@pytest.mark.parametrize("limit", [True, 1.0, "2", None])
def test_limit_must_be_an_integer(limit: Any) -> None:
    with pytest.raises(TypeError, match="limit: expected an int"):
        fc.set_output_cache(limit)


@pytest.mark.parametrize("limit", [-1, 2**63])
def test_limit_has_a_range(limit: int) -> None:
    with pytest.raises(ValueError, match=f"limit: expected 0 to .*, got {limit}"):
        fc.set_output_cache(limit)
    assert fc.get_output_cache() == 64 * MB


def test_the_configuration_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    block(MB)
    assert "output cache     1.0 MB idle, at most 67.1 MB" in fc.show_config()


# ---- operations ----------------------------------------------------------------------------------


def operations() -> dict[str, Any]:
    """Calls whose results are large, one of each family."""
    integers = np.arange(8 * 4 * 40 * 40) * 7919 % 11 - 5
    x = integers.astype(np.float32).reshape(8, 4, 40, 40)
    w = integers[:288].astype(np.float32).reshape(8, 4, 3, 3)
    g = integers[: 8 * 8 * 38 * 38 // 2].astype(np.float32).repeat(2).reshape(8, 8, 38, 38)
    rows, matrix = x.reshape(-1, 40), integers[:4000].astype(np.float32).reshape(100, 40)
    labels = np.arange(len(rows)) % 40
    half = x.astype(np.float16)
    large = np.tile(w, (4, 16, 1, 1))
    pooled, indices = fc.max_pool2d(x, 2, stride=1, return_indices=True)
    backward = fc.conv2d_backward
    return {
        "conv2d": lambda: fc.conv2d(x, w),
        "conv2d im2col": lambda: fc.conv2d(x, w, algorithm="im2col"),
        "conv2d fft": lambda: fc.conv2d(x, w, algorithm="fft"),
        "conv2d float16": lambda: fc.conv2d(half, w.astype(np.float16)),
        "conv2d strided input": lambda: fc.conv2d(x.transpose(0, 1, 3, 2), w),
        "grad_input": lambda: backward(g, x, w, output_mask=(True, False, False)).input,
        "grad_weight": lambda: (
            backward(
                g.repeat(4, 1), x.repeat(16, 1), large, output_mask=(False, True, False)
            ).weight
        ),
        "im2col": lambda: fc.im2col(x, 2),
        "col2im": lambda: fc.col2im(fc.im2col(x, 2), 40, 2),
        "max_pool2d": lambda: fc.max_pool2d(x, 2, stride=1, return_indices=True),
        "max_pool2d_backward": lambda: fc.max_pool2d_backward(pooled, indices, x.shape),
        "avg_pool2d": lambda: fc.avg_pool2d(x, 2, stride=1),
        "avg_pool2d_backward": lambda: fc.avg_pool2d_backward(pooled, x.shape, 2, stride=1),
        "relu": lambda: fc.relu(x),
        "tanh_backward": lambda: fc.tanh_backward(x, np.tanh(x)),
        "softmax": lambda: fc.softmax(x),
        "softmax_backward": lambda: fc.softmax_backward(x, fc.softmax(x)),
        "cross_entropy_backward": lambda: fc.cross_entropy_backward(1.0, rows, labels),
        "linear": lambda: fc.linear(rows, matrix),
        "linear_backward": lambda: (
            fc.linear_backward(np.ones((len(rows), 100), np.float32), rows, matrix).input
        ),
        "linear_backward of nothing": lambda: (
            fc.linear_backward(
                np.ones((len(rows), 0), np.float32), rows, np.ones((0, 40), np.float32)
            ).input
        ),
        "maxout": lambda: fc.maxout(x, 2),
        "maxout_backward": lambda: fc.maxout_backward(fc.maxout(x, 2), x, 2),
        "dropout": lambda: fc.dropout(x, rng=0)[0],
    }


OPERATIONS = operations()


@pytest.mark.parametrize("name", OPERATIONS)
def test_results_do_not_depend_on_what_the_memory_held(name: str) -> None:
    run = OPERATIONS[name]
    fc.set_output_cache(0)
    expected = run()
    fc.set_output_cache(64 * MB)
    for value in (np.nan, 1e30):
        dirty = [memory.empty((s // 4,), FLOAT) for s in [*SIZES, 200 * KB, 410 * KB, MB] * 2]
        for array in dirty:
            array[...] = value
        del array, dirty
        result = run()
        first = result[0] if isinstance(result, tuple) else result
        assert get_handler_name(first) == OURS
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_result_without_memory_is_a_memory_error(name: str) -> None:
    run = OPERATIONS[name]
    expected = run()
    for n in range(1, 20):
        memory.fail_output(n)
        try:
            result = run()
        except MemoryError:
            continue
        memory.fail_output(0)
        assert n > 1, "no memory was asked for"
        np.testing.assert_array_equal(result, expected)
        np.testing.assert_array_equal(run(), expected)
        return
    pytest.fail("it never succeeded")
