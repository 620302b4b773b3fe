"""Implicit GEMM: what the table of odd convolutions doesn't reach."""

from pathlib import Path

import numpy as np
import pytest
from conv_cases import Case
from conv_checks import (
    assert_packed_weights_convolve_alike,
    assert_stays_inside,
    assert_threads_convolve_alike,
    packed_weight,
)
from oracle import forward as oracle_forward
from oracle import gradients as oracle_gradients
from processes import output_of

import fastconv as fc
from fastconv._core.blocked import implicit_gemm as core
from fastconv._core.runtime import available_isas
from fastconv.ops.algorithms import implicit_gemm
from fastconv.ops.geometry import conv2d_geometry

CASES = {
    "several chunks of channels": Case((1, 700, 20, 33), (35, 700, 3, 3), padding=1),
    "taps far apart": Case((1, 300, 33, 33), (20, 300, 3, 3), padding=24, dilation=24),
    "full blocks and a tail": Case((2, 20, 12, 12), (50, 20, 5, 5)),
    "slabs shared by tasks": Case((2, 96, 7, 7), (272, 96, 3, 3), padding=1),
    "images in one run": Case((21, 64, 7, 7), (96, 64, 1, 1)),
    "lanes are pixels": Case((2, 40, 16, 18), (33, 40, 1, 1)),
    "lanes are pixels, few results": Case((2, 600, 13, 16), (20, 600, 1, 1)),
    "lanes are pixels, half a pair last": Case((3, 130, 12, 20), (100, 130, 1, 1)),
    "lanes are pixels, two chunks packed on the way": Case((3, 600, 5, 16), (20, 600, 1, 1)),
    "lanes are pixels, all packed first": Case((2, 21, 21, 23), (200, 21, 1, 1)),
    "lanes are pixels, by groups": Case((3, 36, 12, 12), (60, 18, 1, 1), groups=2),
    "sums are rows of the weight": Case((5, 32, 7, 7), (600, 32, 1, 1)),
    "sums are rows of the weight, in blocks": Case((3, 32, 16, 16), (64, 32, 1, 1)),
    "sums are rows of the weight, by groups": Case((3, 32, 5, 9), (160, 16, 1, 1), groups=2),
    "a 1x1 wider than a block": Case((2, 5, 3, 1100), (35, 5, 1, 1)),
    "idle phases": Case((2, 33, 23, 22), (48, 33, 2, 1), (5, 3), (2, 1)),
    "rows of a matrix": Case((3, 400, 9, 14), (64, 400, 1, 1)),
    "rows of a matrix, every second": Case((2, 33, 23, 30), (48, 33, 1, 1), 2),
    "rows of a matrix, by groups": Case((2, 36, 24, 40), (64, 18, 1, 1), groups=2),
    "whole vectors of results by groups": Case((2, 40, 19, 30), (64, 20, 3, 3), 1, 1, groups=2),
    "lanes are steps of the window": Case((20, 5, 10, 12), (50, 5, 3, 3)),
    "lanes are steps, strided and dilated": Case(
        (11, 20, 23, 29), (50, 20, 3, 2), (2, 1), ((1, 0), (2, 1)), (1, 2)
    ),
    "one vector of results": Case((2, 36, 9, 21), (16, 36, 3, 5), padding=1),
    "one vector, taps by twos": Case((2, 16, 9, 14), (9, 16, 2, 4)),
    "one vector, phases of taps": Case((2, 16, 15, 37), (16, 16, 5, 7), 2, 2),
    "one vector, a single row of taps": Case((2, 16, 9, 40), (5, 16, 1, 3)),
    "one vector, a row of taps too long for a call": Case((1, 16, 3, 60), (5, 16, 1, 31)),
    "rows of taps in the padding": Case((2, 48, 6, 17), (40, 48, 5, 3), 1, ((3, 2), (1, 1))),
    "single taps in the padding": Case((1, 34, 7, 20), (20, 34, 3, 3), 1, (4, 2), (3, 2)),
    "slices of pixels": Case((6, 18, 40, 41), (20, 18, 3, 3), 1, 1),
}


def channels_last(images):
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_large_cases_are_exact(name, dtype):
    case = CASES[name]
    x, w, b = case.arrays(dtype)
    g = case.geometry()
    how = {"algorithm": "implicit_gemm", **case.options}
    output = oracle_forward(g, x, w, b)
    np.testing.assert_array_equal(fc.conv2d(x, w, b, **how), output)
    grad = np.random.default_rng(1).integers(-4, 5, g.output_shape).astype(dtype)
    result = fc.conv2d_backward(grad, x, w, **how)
    expected = oracle_gradients(g, x, w, grad)
    np.testing.assert_array_equal(result.input, expected[0])
    np.testing.assert_array_equal(result.weight, expected[1])

    how["layout"] = "NHWC"
    x, grad = channels_last(x), channels_last(grad)
    clipped = fc.conv2d(x, w, b, activation="relu", **how)
    np.testing.assert_array_equal(clipped, np.maximum(channels_last(output), 0))
    result = fc.conv2d_backward(grad, x, w, **how)
    np.testing.assert_array_equal(result.input, channels_last(expected[0]))
    np.testing.assert_array_equal(result.weight, expected[1])


@pytest.mark.parametrize("width", range(1, 35))
@pytest.mark.parametrize("taps", [2, 3])
def test_rows_of_any_length_slide_past_taps(taps, width):
    case = Case((1, 16, 2, width + taps - 1), (6, 16, 2, taps))
    x, w, _ = case.arrays(np.float32)
    expected = oracle_forward(case.geometry(), x, w)
    np.testing.assert_array_equal(fc.conv2d(x, w, algorithm="implicit_gemm"), expected)


@pytest.mark.parametrize("name", CASES)
def test_large_cases_give_the_same_bits_for_any_number_of_threads(name):
    assert_threads_convolve_alike(CASES[name], "implicit_gemm")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_packed_weights_give_the_same_bits(name, dtype):
    assert_packed_weights_convolve_alike(core, CASES[name], dtype)


def test_packed_weights_are_checked():
    case = CASES["full blocks and a tail"]
    g = case.geometry()
    x, w, _ = case.arrays(np.float32)
    y = np.empty(g.output_shape, np.float32)
    packed = packed_weight(core, g, "forward", w)
    assert implicit_gemm.packed_weights(g, w.dtype, "forward") == packed.size
    with pytest.raises(ValueError, match="needs"):
        core.forward(g.core, x, packed[64:], None, False, y)
    room = np.empty(packed.size + 64, np.uint8)
    askew = room[-room.ctypes.data % 64 + 4 :][: packed.size]
    with pytest.raises(ValueError, match="aligned"):
        core.forward(g.core, x, askew, None, False, y)
    with pytest.raises(ValueError, match="bytes"):
        core.pack_weight(g.core, "forward", w, np.empty_like(w))


@pytest.mark.parametrize("which", ["forward", "grad_input"])
def test_planar_images_refuse_packed_weights(which):
    """Bytes packed for small planes have the size of the weight itself, but another order."""
    w = np.ones((32, 48, 1, 1), np.float32)
    large, small = (
        conv2d_geometry((1, 48, size, size), w.shape, 1, 0, 1, 1, "NCHW") for size in (32, 3)
    )
    packed = packed_weight(core, small, which, w)
    assert packed.dtype == np.uint8
    assert core.packed_size(large.core, False, which) == 0
    x, y = (np.ones(shape, np.float32) for shape in (large.input_shape, large.output_shape))
    arguments = (x, packed, None, False, y) if which == "forward" else (y, packed, x)
    with pytest.raises(ValueError, match="as they lie"):
        getattr(core, which)(large.core, *arguments)
    with pytest.raises(ValueError, match="as they lie"):
        core.pack_weight(large.core, which, w, np.empty(0, np.uint8))


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("name", CASES)
def test_large_cases_stay_inside(name, layout, side):
    case = CASES[name]
    x, w, b = case.arrays(np.float32)
    if layout == "NHWC":
        x = channels_last(x)
    options = (case.stride, case.padding, case.dilation, case.groups)
    g = conv2d_geometry(x.shape, case.weight, *options, layout)
    assert_stays_inside(core, g, (x, w, b), side)


@pytest.mark.parametrize("channels", [(3, 5), (20, 33), (16, 32)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_neither_lanes_nor_tails_spread_what_is_not_finite(channels, value):
    """An odd weight marks its own filter only; an odd gradient its own channel's sums only."""
    inputs, outputs = channels
    generator = np.random.default_rng(4)
    x = generator.standard_normal((2, inputs, 9, 11)).astype(np.float32)
    w = generator.standard_normal((outputs, inputs, 3, 3)).astype(np.float32)
    w[-1, -1, 1, 1] = value
    y = fc.conv2d(x, w, algorithm="implicit_gemm")
    assert np.isfinite(y[:, :-1]).all()
    assert not np.isfinite(y[:, -1]).any()
    grad = np.ones_like(y)
    gradients = fc.conv2d_backward(grad, x, w, algorithm="implicit_gemm")
    assert np.isfinite(gradients.input[:, :-1]).all()
    grad[-1, -1, -1, -1] = value
    gradients = fc.conv2d_backward(grad, x, np.ones_like(w), algorithm="implicit_gemm")
    assert np.isfinite(gradients.weight[:-1]).all()
    assert not np.isfinite(gradients.weight[-1]).any()
    marked = ~np.isfinite(gradients.input)
    assert marked.sum() == inputs * 9


def test_sums_of_chunks_are_more_accurate_than_the_bound():
    """Errors of a tree grow with the square root of a chunk, not with the whole sum's length."""
    generator = np.random.default_rng(5)
    x = generator.standard_normal((1, 512, 9, 9)).astype(np.float32)
    w = generator.standard_normal((16, 512, 3, 3)).astype(np.float32)
    g = conv2d_geometry(x.shape, w.shape, 1, 0, 1, 1, "NCHW")
    wide = x.astype(np.float64), w.astype(np.float64)
    error = fc.conv2d(x, w, algorithm="implicit_gemm") - oracle_forward(g, *wide)
    scale = oracle_forward(g, *map(np.abs, wide))
    assert np.max(np.abs(error) / scale) < 2 * 2.0**-24


@pytest.mark.parametrize("isa", [n for n, able in available_isas().items() if able])
def test_every_instruction_set(isa):
    code = """
import sys
sys.path[:0] = [r'%s', r'%s']
import numpy as np, fastconv as fc
from conv_cases import CASES
from oracle import forward, gradients
from fastconv.ops.geometry import conv2d_geometry
for name, case in CASES.items():
    for dtype in np.float32, np.float64:
        x, w, b = case.arrays(dtype)
        options = case.stride, case.padding, case.dilation, case.groups
        g = conv2d_geometry(case.input, case.weight, *options, 'NCHW')
        how = {'algorithm': 'implicit_gemm', **case.options}
        y = fc.conv2d(x, w, b, **how)
        assert np.array_equal(y, forward(g, x, w, b)), name
        grad = np.random.default_rng(2).integers(-4, 5, y.shape).astype(dtype)
        result, expected = fc.conv2d_backward(grad, x, w, **how), gradients(g, x, w, grad)
        assert np.array_equal(result.input, expected[0]), name
        assert np.array_equal(result.weight, expected[1]), name
print('done')
"""
    folders = tuple(map(str, Path(__file__).parents[1:3]))
    assert output_of(code % folders, FASTCONV_ISA=isa) == "done"
