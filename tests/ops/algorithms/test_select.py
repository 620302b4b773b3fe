"""The choice of algorithms: pure, explainable, and free of surprises."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.ops.algorithms import select as selection
from fastconv.ops.algorithms.costs import COSTS
from fastconv.ops.geometry import conv2d_geometry

GEOMETRY = conv2d_geometry((8, 16, 28, 28), (32, 16, 5, 5), 1, 0, 1, 1, "NCHW")


@pytest.mark.parametrize("which", selection.PASSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_plan_is_a_pure_function(dtype, which):
    arguments = (GEOMETRY, np.dtype(dtype), which, "auto", "avx2", 2)
    first = selection.select.__wrapped__(*arguments)
    assert first == selection.select.__wrapped__(*arguments)
    assert first.algorithm in selection.ALGORITHMS


def test_every_isa_dtype_algorithm_and_pass_has_a_cost():
    for isa, dtypes in COSTS.items():
        for dtype, algorithms in dtypes.items():
            assert set(algorithms) == set(selection.ALGORITHMS), (isa, dtype)
            for name, passes in algorithms.items():
                assert set(passes) == set(selection.PASSES), (isa, dtype, name)
                for constants in passes.values():
                    assert min(constants) >= 0


def test_estimates_fall_with_threads_and_rise_with_work():
    double = conv2d_geometry((16, 16, 28, 28), (32, 16, 5, 5), 1, 0, 1, 1, "NCHW")
    for name in selection.ALGORITHMS:
        module = selection.load(name)
        one, two = (
            selection.estimate(module, GEOMETRY, np.dtype("f4"), "forward", "avx512", threads)
            for threads in (1, 2)
        )
        more = selection.estimate(module, double, np.dtype("f4"), "forward", "avx512", 1)
        assert 0 < two <= one < more


def test_explain_lists_every_algorithm_and_prints():
    plan = fc.explain_conv2d((8, 16, 28, 28), (32, 16, 5, 5), bias := 1, 2)
    assert bias
    assert {c.algorithm for c in plan.candidates} == set(selection.ALGORITHMS)
    assert plan.flops == 2 * 8 * 32 * 28 * 28 * 16 * 25
    text = str(plan)
    for word in ("conv2d forward", plan.algorithm, "GFLOP", "scratch", "error", "chosen", "ms"):
        assert word in text
    with pytest.raises(ValueError, match="which"):
        fc.explain_conv2d((1, 1, 8, 8), (1, 1, 3, 3), which="backward")
    with pytest.raises(TypeError, match="dtype"):
        fc.explain_conv2d((1, 1, 8, 8), (1, 1, 3, 3), dtype=int)


def test_a_named_algorithm_that_cannot_says_why():
    with pytest.raises(ValueError, match=r"direct.*scratch.*'auto'"):
        fc.explain_conv2d((1, 1, 1500, 1500), (1, 1, 1200, 1200), algorithm="direct")
    assert fc.explain_conv2d((1, 1, 1500, 1500), (1, 1, 1200, 1200)).algorithm == "fft"


@pytest.mark.parametrize("which", selection.PASSES)
def test_scratch_is_bounded(which):
    for shape, weight in (
        ((4, 512, 28, 28), (512, 512, 3, 3)),
        ((1, 3, 2000, 3000), (64, 3, 7, 7)),
        ((1, 2048, 7, 7), (2048, 2048, 3, 3)),
        ((64, 1, 28, 28), (6, 1, 5, 5)),
    ):
        for algorithm in ("direct", "implicit_gemm", "im2col"):
            plan = fc.explain_conv2d(shape, weight, padding=1, algorithm=algorithm, which=which)
            assert 0 < plan.scratch_bytes <= 4 << 20
