"""How calls are timed: turns, rotation, medians."""

import ctypes
import gc

import numpy as np
import pytest

from benchmarks.peers import measure
from benchmarks.peers.run import merged
from fastconv.benchmark.measure import turn


def test_a_turn_has_at_least_the_calls_asked_for():
    calls = []
    times = turn(lambda: calls.append(None), warm_up=0, timed=0, least=2)
    assert len(times) == 2
    assert all(seconds >= 0 for seconds in times)


def test_a_turn_warms_up_first():
    calls = []
    times = turn(lambda: calls.append(None), warm_up=0.002, timed=0, least=1)
    assert len(calls) > len(times) == 1


def test_rounds_start_with_another_contender_each():
    order = []
    calls = {name: name for name in "abc"}

    def one_turn(name, **_):
        order.append(name)
        return [1.0]

    measure.rotate(calls, 0, one_turn)
    assert "".join(order) == "abc" + "bca" + "cab"


def test_a_turn_counts_with_its_median():
    turns = iter([[1.0, 9.0, 2.0], [3.0, 4.0], [5.0]])
    assert measure.rotate({"a": None}, 0, lambda *_, **__: next(turns)) == {"a": [2.0, 3.5, 5.0]}


def test_long_calls_warm_up_once():
    warm_ups = {"short": [], "long": []}

    def one_turn(name, warm_up, **_):
        warm_ups[name].append(warm_up > 0)
        return [0.001 if name == "short" else 10.0]

    measure.rotate({"short": "short", "long": "long"}, 0, one_turn)
    assert warm_ups == {"short": [True] * 3, "long": [True, False, False]}


def test_more_rounds_within_the_budget(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(measure, "perf_counter", lambda: next(clock))
    turns = measure.rotate({"a": None}, 5, lambda *_, **__: [1.0])
    assert len(turns["a"]) > measure.ROUNDS


def test_no_collection_in_anyones_turn():
    states = []
    with measure.no_garbage_collection():
        states.append(gc.isenabled())
    assert states == [False]
    assert gc.isenabled()


def test_garbage_collection_comes_back_after_an_error():
    def stop():
        with measure.no_garbage_collection():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert gc.isenabled()


def test_a_column_is_the_faster_of_its_variants():
    turns = {"torch": [3.0, 1.0, 3.0], "torch out=": [2.0, 2.0, 2.0], "ours": [1.0]}
    columns = {"torch": "torch", "torch out=": "torch", "ours": "ours"}
    assert merged(turns, columns) == {"torch": [2.0, 2.0, 2.0], "ours": [1.0]}
    turns["torch out="] = [4.0]
    assert merged(turns, columns)["torch"] == [3.0, 1.0, 3.0]


def test_freed_memory_is_kept_inside_alone():
    """What malloc keeps stays in the process; 60 MB that it had mapped would be gone."""
    with measure.kept_memory() as kept:
        if not kept:
            pytest.skip("malloc is not glibc's")
        before = free_in_heap()
        np.ones(60 << 20, np.uint8)
        after = free_in_heap()
        assert after >= 60 << 20
    np.ones(after + (60 << 20), np.uint8)
    assert free_in_heap() == pytest.approx(after, abs=1 << 20)
    assert before <= after


def free_in_heap():
    """Return the bytes that malloc holds and nobody uses: the ninth number of mallinfo2."""

    class Counts(ctypes.Structure):
        _fields_ = [("numbers", ctypes.c_size_t * 10)]

    function = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if function is None:
        pytest.skip("glibc before 2.33")
    function.restype = Counts
    return function().numbers[8]
