"""Direct convolution: which way it goes, and what the table of odd convolutions doesn't reach."""

from pathlib import Path

import numpy as np
import pytest
from conv_cases import Case
from conv_checks import assert_threads_convolve_alike
from helpers import guarded
from oracle import forward as oracle_forward
from oracle import gradients as oracle_gradients
from processes import output_of

import fastconv as fc
from fastconv._core import conv as core
from fastconv._core.runtime import available_isas, selected_isa
from fastconv.ops.algorithms import direct
from fastconv.ops.algorithms.select import PASSES, joins
from fastconv.ops.conv_plan import TOGETHER

#: Gradients of the input that take the products of taps first, and gather them.
PRODUCTS = {
    "lenet second": Case((5, 20, 12, 12), (50, 20, 5, 5)),
    "lenet first": Case((3, 1, 28, 28), (20, 1, 5, 5)),
    "long sums": Case((2, 2, 9, 9), (300, 2, 3, 3)),
    "groups": Case((3, 4, 9, 21), (36, 2, 5, 3), groups=2),
    "wide, dilated, padded unevenly": Case(
        (2, 3, 11, 37), (24, 3, 4, 5), 1, ((0, 1), (2, 0)), (2, 1)
    ),
    "dilation beyond the image": Case((2, 2, 5, 6), (20, 2, 2, 2), padding=4, dilation=7),
}

#: The same in strips: whatever the stride, and rows that wait for the next strip.
STRIPS = {
    "strips": Case((2, 3, 60, 61), (40, 3, 11, 11), 4, 2),
    "strips, stride 1": Case((1, 1, 120, 100), (40, 1, 3, 3), padding=1),
    "strips, one row each": Case((1, 3, 9, 1030), (33, 3, 3, 5), 2, (1, 2)),
    "strips of groups": Case((1, 4, 70, 50), (64, 2, 7, 7), 2, 3, groups=2),
    "strips, odd everything": Case((2, 2, 83, 79), (48, 2, 4, 5), (3, 2), ((1, 0), (2, 3)), (2, 3)),
    "strips, rows that skip strips": Case((1, 1, 90, 90), (64, 1, 2, 3), (2, 3), 2, (31, 1)),
    "strips, pixels that nothing reaches": Case((1, 3, 70, 75), (64, 3, 2, 2), 5, 1),
    "strips, stride three of one": Case((2, 3, 61, 64), (64, 3, 1, 1), 3),
    "strips, padding beyond kernel": Case((1, 1, 90, 83), (64, 1, 3, 3), 2, 30),
    "strips, long sums": Case((1, 3, 40, 40), (300, 3, 3, 3), 2, 1),
    "strips, one vector": Case((3, 3, 64, 64), (64, 3, 8, 8), 8),
}

#: Strips in which the gradient of the weight is summed too: rows are whole vectors.
JOINED = {
    "joined": Case((3, 3, 64, 64), (64, 3, 3, 3), padding=1),
    "joined, shares of an image": Case((1, 3, 70, 64), (61, 3, 3, 3), padding=1),
    "joined, strided": Case((2, 3, 96, 64), (40, 3, 5, 5), 2, 2),
    "joined, odd everything": Case((2, 2, 83, 96), (48, 2, 4, 5), (3, 2), ((1, 0), (2, 2)), (2, 1)),
    "joined, one channel": Case((5, 1, 96, 96), (33, 1, 3, 3), padding=1),
}

#: Sums of taps over planes with explicit columns, images a run each.
PLANES = {
    "kernel wider than the gather": Case((1, 1, 5, 40), (20, 1, 2, 17)),
    "chunks of channels": Case((6, 70, 5, 6), (60, 70, 3, 3), padding=1),
    "chunks of channels, split": Case((6, 70, 5, 6), (20, 70, 3, 3), padding=1),
    "blocks of rows": Case((2, 3, 90, 24), (40, 3, 5, 5)),
    "blocks of rows, no whole vectors": Case((2, 3, 91, 21), (40, 3, 5, 5), padding=1),
    "strided": Case((3, 3, 23, 22), (50, 3, 5, 5), (1, 2), 2),
    "sums that go straight": Case((2, 3, 33, 48), (40, 3, 3, 3), padding=1),
    "sums that go straight, strided": Case((1, 3, 33, 64), (40, 3, 5, 5), 2, 2),
}
CASES = PRODUCTS | STRIPS | JOINED | PLANES


def channels_last(images):
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_all_ways_are_exact(name, dtype):
    case = CASES[name]
    x, w, b = case.arrays(dtype)
    g = case.geometry()
    how = {"algorithm": "direct", **case.options}
    output = oracle_forward(g, x, w, b)
    np.testing.assert_array_equal(fc.conv2d(x, w, b, **how), output)
    clipped = fc.conv2d(x, w, b, activation="relu", **how)
    np.testing.assert_array_equal(clipped, np.maximum(output, 0))
    grad = np.random.default_rng(1).integers(-4, 5, g.output_shape).astype(dtype)
    expected = oracle_gradients(g, x, w, grad)
    result = fc.conv2d_backward(grad, x, w, **how)
    np.testing.assert_array_equal(result.input, expected[0])
    np.testing.assert_array_equal(result.weight, expected[1])
    np.testing.assert_array_equal(result.bias, expected[2])

    result = fc.conv2d_backward(channels_last(grad), channels_last(x), w, layout="NHWC", **how)
    np.testing.assert_array_equal(result.input, channels_last(expected[0]))
    np.testing.assert_array_equal(result.weight, expected[1])


@pytest.mark.parametrize("name", CASES)
def test_same_bits_for_any_number_of_threads(name):
    assert_threads_convolve_alike(CASES[name], "direct")


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_all_ways_stay_inside(name, dtype, side):
    case = CASES[name]
    x, w, b = case.arrays(dtype)
    g = case.geometry()
    y = np.empty(g.output_shape, dtype)
    core.direct_forward(g.core, x, w, b, False, y)
    guards = [guarded(array, side) for array in (x, w, b, y)]
    core.direct_forward(g.core, *guards[:3], False, guards[3])
    np.testing.assert_array_equal(guards[3], y)
    core.direct_grad_input(g.core, guards[3], guards[1], guards[0], guards[2])
    core.direct_grad_weight(g.core, guarded(x, side), guards[3], guards[1])


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", JOINED)
def test_all_gradients_at_one_reading(name, dtype, side):
    """Exact, inside their arrays, with and without the bias' gradient."""
    case = JOINED[name]
    g = case.geometry()
    assert direct.joins(g, np.dtype(dtype))
    x, w, b = case.arrays(dtype)
    grad = np.random.default_rng(1).integers(-4, 5, g.output_shape).astype(dtype)
    expected = oracle_gradients(g, x, w, grad)
    arrays = [guarded(array, side) for array in (grad, x, w, x, w, b)]
    for bias in (arrays[5], None):
        direct.backward(g, *arrays[:5], bias)
        for result, wanted in zip(arrays[3:], expected, strict=True):
            np.testing.assert_array_equal(result, wanted)
            result[...] = 0
        expected = (*expected[:2], np.zeros_like(b))


@pytest.mark.skipif(selected_isa() != "avx512", reason="elsewhere other algorithms are faster")
def test_gradients_are_joined_where_that_is_faster():
    """3x3 kernels at stride 1; where Winograd sums the weight's gradient, it goes on doing so."""
    dtype = np.dtype(np.float32)
    g = Case((4, 3, 224, 224), (64, 3, 3, 3), padding=1).geometry()
    assert joins(g, dtype, "auto", "avx512")
    strided = Case((8, 3, 224, 224), (64, 3, 7, 7), 2, 3).geometry()
    assert not joins(strided, dtype, "auto", "avx512")


def test_gradients_that_can_be_joined():
    dtype = np.dtype(np.float32)
    g = Case((4, 3, 224, 224), (64, 3, 3, 3), padding=1).geometry()
    assert direct.joins(g, dtype)
    assert not joins(g, dtype, "winograd", selected_isa())
    strided = Case((8, 3, 224, 224), (64, 3, 7, 7), 2, 3).geometry()
    assert direct.joins(strided, dtype)
    assert not direct.joins(Case((2, 3, 60, 61), (40, 3, 3, 3)).geometry(), dtype)
    assert not direct.joins(Case((1, 4, 70, 64), (64, 2, 3, 3), groups=2).geometry(), dtype)


def test_plans_of_gradients_tell_whether_they_are_joined():
    for case in (
        Case((4, 3, 224, 224), (64, 3, 3, 3), padding=1),
        Case((1, 8, 9, 9), (4, 8, 3, 3)),
    ):
        joined = joins(case.geometry(), np.dtype(np.float32), "auto", selected_isa())
        for which in PASSES:
            plan = fc.explain_conv2d(case.input, case.weight, padding=case.padding, which=which)
            assert (TOGETHER in plan.reason) == (joined and which != "forward")


def test_one_reading_is_refused_where_rows_are_no_whole_vectors():
    case = Case((2, 3, 60, 61), (40, 3, 3, 3))
    x, w, b = case.arrays(np.float32)
    grad = np.ones(case.geometry().output_shape, np.float32)
    with pytest.raises(ValueError, match="argument"):
        core.direct_backward(case.geometry().core, grad, x, w, x.copy(), w.copy(), b)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", CASES)
def test_what_is_not_finite_stays_in_its_windows(name, value):
    """One odd gradient marks the pixels of its window and its own filter; an odd pixel marks taps."""
    case = CASES[name]
    g = case.geometry()
    generator = np.random.default_rng(3)
    x = generator.standard_normal(case.input)
    w = generator.standard_normal(case.weight)
    grad = np.ones(g.output_shape)
    grad[-1, -1, 0, -1] = value
    result = fc.conv2d_backward(grad, x, w, algorithm="direct", **case.options)
    where = np.zeros(g.output_shape)
    where[-1, -1, 0, -1] = 1
    window, taps, _ = oracle_gradients(g, np.ones_like(x), np.ones_like(w), where)
    np.testing.assert_array_equal(~np.isfinite(result.input), window > 0)
    assert not np.isfinite(result.weight[taps > 0]).any()
    assert np.isfinite(result.weight[:-1]).all()  # the filter's other taps met padding: 0 * NaN

    x[0, 0, 0, 1] = value
    result = fc.conv2d_backward(np.ones(g.output_shape), x, w, algorithm="direct", **case.options)
    where = np.zeros(case.input)
    where[0, 0, 0, 1] = 1
    _, taps, _ = oracle_gradients(g, where, w, np.ones(g.output_shape))
    np.testing.assert_array_equal(~np.isfinite(result.weight), taps > 0)


def test_the_bias_of_a_first_layer_is_summed_on_the_way():
    """As exactly as by a pass of its own: a sum of 50,000 in order would be 100 times further off."""
    case = Case((4, 3, 224, 224), (64, 3, 3, 3), 2, 1)
    g = case.geometry()
    x, w, b = case.arrays(np.float32)
    grad = 1 + np.random.default_rng(5).random(g.output_shape, np.float32)
    exact = grad.sum((0, 2, 3), np.float64)
    core.direct_grad_input(g.core, grad, w, x, b)
    np.testing.assert_allclose(b, exact, rtol=1e-7)
    alone = np.empty_like(b)
    core.grad_bias(g.core, grad, alone)
    np.testing.assert_allclose(alone, exact, rtol=1e-7)


def test_strips_need_no_full_tiles_of_channels():
    """Three channels at stride 4: products, their gathering and copies stay near the bare sum."""
    first = Case((1, 3, 224, 224), (64, 3, 11, 11), 4, 2)
    g = first.geometry()
    strips = direct.features(g, np.dtype(np.float32), "grad_input")[0]
    assert g.flops / 2 < strips < 1.3 * g.flops / 2
    last = first.geometry("NHWC")
    assert direct.features(last, np.dtype(np.float32), "grad_input")[0] > 1.5 * strips


def test_products_come_first_where_padding_is_most_of_the_work():
    """Around 8x8 positions a 5x5 kernel's full sum has 2.25 times the products that count."""
    g = PRODUCTS["lenet second"].geometry()
    products = g.flops / 2
    full = products * 144 / 64
    assert products < direct.features(g, np.dtype(np.float32), "grad_input")[0] < 0.6 * full
    last = PRODUCTS["lenet second"].geometry("NHWC")
    assert direct.features(last, np.dtype(np.float32), "grad_input")[0] >= full


@pytest.mark.parametrize("isa", [n for n, able in available_isas().items() if able])
def test_every_instruction_set(isa):
    """The same exact results by every table of kernels, as small integers have them."""
    code = """
import sys
sys.path[:0] = [r'%s', r'%s', r'%s']
import numpy as np, fastconv as fc
from test_direct import CASES, oracle_forward, oracle_gradients
for name, case in CASES.items():
    for dtype in np.float32, np.float64:
        x, w, b = case.arrays(dtype)
        g = case.geometry()
        how = {'algorithm': 'direct', **case.options}
        y = fc.conv2d(x, w, b, **how)
        assert np.array_equal(y, oracle_forward(g, x, w, b)), name
        grad = np.random.default_rng(1).integers(-4, 5, y.shape).astype(dtype)
        expected = oracle_gradients(g, x, w, grad)
        result = fc.conv2d_backward(grad, x, w, **how)
        assert np.array_equal(result.input, expected[0]), name
        assert np.array_equal(result.weight, expected[1]), name
print('done')
"""
    folders = tuple(map(str, Path(__file__).parents[:3]))
    assert output_of(code % folders, FASTCONV_ISA=isa) == "done"
