"""Convolutions beside forbidden pages: one byte read or written beyond an array kills the process."""

import numpy as np
import pytest
from conv_cases import CASES, PAIRS
from helpers import guarded

import fastconv as fc

NAMES = [
    "one pixel", "lenet first", "lenet second", "lenet's twenty", "lenet's fifty",
    "odd everything", "stride three of one", "depthwise",
    "grouped", "more filters than a tile", "one by one", "wide", "tall", "large kernel",
    "small images, big batch", "tiles cut short",
    *(name for name in CASES if name.startswith(("depthwise ", "groups of ", "mosaic"))),
]  # fmt: skip


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize(
    ("name", "algorithm"), [(n, a) for n, a in PAIRS if n in NAMES and a != "auto"]
)
def test_convolution_stays_inside(name, algorithm, side, dtype, layout):
    case = CASES[name]
    x, w, b = case.arrays(dtype)
    if layout == "NHWC":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    how = {"algorithm": algorithm, "layout": layout, **case.options}
    expected = fc.conv2d(x, w, b, **how)
    x, w, b, out = (guarded(a, side) for a in (x, w, b, expected))
    fc.conv2d(x, w, b, out=out, **how)
    np.testing.assert_array_equal(out, expected)
    fc.conv2d_backward(out, x, w, **how)
    fc.conv2d(x, w, b, out=out, activation="relu", **how)
    np.testing.assert_array_equal(out, expected.clip(0))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", ["before", "after"])
def test_gradients_are_written_inside(name, side):
    """The core's own outputs, which users never pass."""
    from fastconv._core import columns, conv
    from fastconv._core.blocked import implicit_gemm, winograd
    from fastconv.ops.geometry import conv2d_geometry

    case = CASES[name]
    x, w, b = case.arrays(np.float32)
    options = (case.stride, case.padding, case.dilation, case.groups)
    g = conv2d_geometry(case.input, case.weight, *options, "NCHW")
    grad = guarded(np.ones(g.output_shape, np.float32), side)
    gx, gw, gb = (guarded(a, side) for a in (x, w, b))
    conv.direct_grad_input(g.core, grad, guarded(w, side), gx, gb)
    conv.direct_grad_weight(g.core, guarded(x, side), grad, gw)
    conv.grad_bias(g.core, grad, gb)
    plain = fc.conv2d_backward(np.array(grad), x, w, algorithm="direct", **case.options)
    for mine, theirs in zip((gx, gw, gb), plain, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    implicit_gemm.grad_input(g.core, grad, guarded(w, side), gx)
    implicit_gemm.grad_weight(g.core, guarded(x, side), grad, gw)
    for mine, theirs in zip((gx, gw), plain, strict=False):
        np.testing.assert_array_equal(mine, theirs)
    if (name, "winograd") in PAIRS:
        winograd.grad_input(g.core, grad, guarded(w, side), gx)
        winograd.grad_weight(g.core, guarded(x, side), grad, gw)
        np.testing.assert_allclose(gx, plain.input, atol=1e-3)
        np.testing.assert_allclose(gw, plain.weight, atol=1e-3)
    window = g.kernel_height * g.kernel_width
    shape = (g.batch, g.in_channels * window, g.out_height * g.out_width)
    unfolded = guarded(np.zeros(shape, np.float32), side)
    columns.im2col(g.core, guarded(x, side), unfolded)
    columns.col2im(g.core, unfolded, gx)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 1, 1), (5, 17, 31), (19, 1030, 25)])
def test_linear_stays_inside(rows, inputs, outputs, side, dtype):
    from fastconv._core import linear

    x, w, b, g = (
        guarded(np.ones(shape, dtype), side)
        for shape in ((rows, inputs), (outputs, inputs), outputs, (rows, outputs))
    )
    linear.forward(x, w, b, False, g)
    np.testing.assert_array_equal(g, inputs + 1)
    linear.grad_input(g, w, x)
    np.testing.assert_array_equal(x, outputs * (inputs + 1))
    linear.grad_weight(x, g, w)
    np.testing.assert_allclose(w, rows * outputs * (inputs + 1.0) ** 2, rtol=1e-5)
