"""Measured choices: what is timed, remembered, explained, saved. No test depends on real times."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastconv as fc
from fastconv.ops import conv_tuning
from fastconv.ops.algorithms import autotune
from fastconv.ops.algorithms.select import ALGORITHMS, PASSES, UNTRUSTED

SHAPES = (2, 64, 28, 28), (64, 64, 3, 3)


@pytest.fixture(autouse=True)
def _forgotten():
    fc.clear_autotune()
    yield
    fc.clear_autotune()


class Clock:
    """Time passes when a candidate runs, and only then."""

    def __init__(self):
        self.now, self.runs = 0.0, []

    def candidate(self, name, *seconds):
        times = list(seconds)

        def run():
            self.runs.append(name)
            self.now += times.pop(0) if len(times) > 1 else times[0]

        return run

    def __call__(self):
        return self.now


def test_the_least_of_several_rounds_counts_and_rounds_take_turns():
    clock = Clock()
    first, second = clock.candidate("first", 9.0, 3.0, 5.0, 2.0), clock.candidate("second", 4.0)
    times = autotune.measure({"first": first, "second": second}, clock, budget=1e9)
    assert times == {"first": 2.0, "second": 4.0}
    assert clock.runs[4:] == ["first", "second"] * autotune.MOST_ROUNDS


def test_slow_candidates_get_the_fewest_rounds():
    clock = Clock()
    autotune.measure({"slow": clock.candidate("slow", 10.0)}, clock, budget=1.0)
    assert len(clock.runs) == 2 + autotune.FEWEST_ROUNDS


def test_fast_candidates_are_called_many_times_a_round():
    clock = Clock()
    times = autotune.measure({"fast": clock.candidate("fast", 2.0**-19)}, clock)
    assert len(clock.runs) >= 2 + autotune.MOST_ROUNDS * autotune.ROUND_SECONDS * 2**19
    assert times["fast"] == pytest.approx(2.0**-19)


def pretend(monkeypatch, winner):
    """Replace the measurement: the winner takes a second, the rest two. Returns who was asked."""
    asked = []

    def measure(runs):
        asked.append(list(runs))
        for run in runs.values():
            run()
        return {name: 1.0 if name == winner else 2.0 for name in runs}

    monkeypatch.setattr(autotune, "measure", measure)
    return asked


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("winner", ["direct", "im2col", "winograd"])
def test_the_winner_is_taken_and_explained(monkeypatch, winner, dtype, layout):
    asked = pretend(monkeypatch, winner)
    shapes = ((2, 28, 28, 64), SHAPES[1]) if layout == "NHWC" else SHAPES
    options = {"padding": 1, "layout": layout, "dtype": dtype}
    plans = fc.autotune_conv2d(*shapes, **options)
    assert [set(names) for names in asked] == [set(ALGORITHMS) - {"fft"}] * 3
    assert set(plans) == set(PASSES)
    for which, plan in plans.items():
        assert plan.algorithm == winner
        assert "measured" in plan.reason
        assert plan == fc.explain_conv2d(*shapes, which=which, **options)
        assert {c.algorithm: c.seconds for c in plan.candidates}[winner] == 1.0
    x, w = np.ones(shapes[0], dtype), np.ones(shapes[1], dtype)
    how = {"padding": 1, "layout": layout}
    assert fc.prepack_conv2d_weight(w, x.shape, **how).algorithm == winner
    same = fc.conv2d(x, w, algorithm=winner, **how)
    assert fc.conv2d(x, w, **how).tobytes() == same.tobytes()


def test_only_what_was_tuned_changes_and_clearing_undoes_it(monkeypatch):
    before = {which: fc.explain_conv2d(*SHAPES, padding=1, which=which) for which in PASSES}
    pretend(monkeypatch, "im2col")
    assert set(fc.autotune_conv2d(*SHAPES, padding=1, passes=["forward"])) == {"forward"}
    assert fc.explain_conv2d(*SHAPES, padding=1).algorithm == "im2col"
    assert fc.explain_conv2d(*SHAPES).reason == "least estimated time"
    for which in "grad_input", "grad_weight":
        assert fc.explain_conv2d(*SHAPES, padding=1, which=which) == before[which]
    assert fc.explain_conv2d(*SHAPES, padding=1, algorithm="direct").reason == "as asked"
    fc.clear_autotune()
    assert fc.explain_conv2d(*SHAPES, padding=1) == before["forward"]


def test_what_auto_does_not_trust_is_never_taken(monkeypatch):
    """Not even if a file says that it is fastest; and an incomplete one says nothing."""
    shapes = (2, 8, 12, 12), (8, 8, 3, 3)
    asked = pretend(monkeypatch, "im2col")
    plan = fc.autotune_conv2d(*shapes, passes=("forward",))["forward"]
    assert not {"fft", "winograd"} & set(asked[0])
    (key,) = autotune.table.seconds
    autotune.remember({key: {**autotune.table.seconds[key], "fft": 1e-9, "winograd": 1e-9}})
    again = fc.explain_conv2d(*shapes)
    assert again.algorithm == plan.algorithm == "im2col"
    assert {c.verdict for c in again.candidates} >= {UNTRUSTED["fft"], UNTRUSTED["winograd"]}
    autotune.remember({key: {"im2col": 1e-9}})
    assert fc.explain_conv2d(*shapes).reason == "least estimated time"


def test_nothing_to_choose_is_not_timed(monkeypatch):
    asked = pretend(monkeypatch, "direct")
    fc.autotune_conv2d((0, 3, 9, 9), (4, 3, 3, 3))
    fc.autotune_conv2d((1, 1, 1500, 1500), (1, 1, 1200, 1200), passes=("forward",))
    assert asked == []
    assert not autotune.table.seconds


def test_saving_and_loading(monkeypatch, tmp_path):
    pretend(monkeypatch, "im2col")
    plans = fc.autotune_conv2d(*SHAPES, 1, ((1, 0), (2, 1)), 2, passes=("forward", "grad_weight"))
    path = tmp_path / "tuned.json"
    fc.save_autotune(path)
    fc.clear_autotune()
    assert fc.load_autotune(str(path)) == 2
    for which, plan in plans.items():
        how = {"padding": ((1, 0), (2, 1)), "dilation": 2, "which": which}
        assert fc.explain_conv2d(*SHAPES, **how) == plan


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": 2, "convolutions": []}', '{"format": 1, "convolutions": [{}]}'],
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"other\.json: expected a file that save_autotune wrote"):
        fc.load_autotune(path)


@pytest.mark.parametrize("seconds", [0, -1, "fast", float("nan")])
def test_impossible_times_are_refused_and_nothing_is_added(monkeypatch, tmp_path, seconds):
    pretend(monkeypatch, "im2col")
    fc.autotune_conv2d(*SHAPES)
    path = tmp_path / "tuned.json"
    fc.save_autotune(path)
    content = json.loads(path.read_text())
    content["convolutions"][-1]["seconds"]["direct"] = seconds
    path.write_text(json.dumps(content))
    fc.clear_autotune()
    with pytest.raises(ValueError, match=r"tuned\.json"):
        fc.load_autotune(path)
    assert not autotune.table.seconds


def test_arguments_are_checked():
    for passes in "forward", ("backward",):
        with pytest.raises(ValueError, match="passes"):
            fc.autotune_conv2d(*SHAPES, passes=passes)
    with pytest.raises(TypeError, match="dtype"):
        fc.autotune_conv2d(*SHAPES, dtype=np.float16)


def test_tuning_from_several_threads_loses_nothing(monkeypatch):
    pretend(monkeypatch, "direct")
    sizes = range(8, 24)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: conv_tuning.autotune_conv2d((1, 2, n, n), (2, 2, 3, 3)), sizes))
    assert len(autotune.table.seconds) == 3 * len(sizes)
