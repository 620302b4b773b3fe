"""Pooling: PyTorch's meaning against the reference, odd geometries, every path of the core."""

import math
from typing import Any

import numpy as np
import pytest
from helpers import assert_threads_agree, guarded, layouts, same_bits
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fastconv as fc
from fastconv import reference
from fastconv._core import pooling as core
from fastconv.ops.pool_geometry import pool2d_geometry
from fastconv.ops.pooling import max_pool2d_relu_backward

DTYPES = (np.float32, np.float64)
#: (height, width), kernel_size, stride, padding, dilation, ceil_mode
GEOMETRIES = [
    ((4, 4), 2, None, 0, 1, False),
    ((5, 5), 2, 2, 0, 1, True),
    ((28, 28), 2, 2, 0, 1, False),
    ((10, 8), 2, 2, 0, 1, False),
    ((7, 9), 2, 2, 0, 1, False),
    ((14, 16), 2, 2, 0, 1, False),
    ((6, 70), 2, 2, 0, 1, False),
    ((9, 33), 3, 2, 1, 1, False),
    ((8, 7), 3, 2, 0, 1, True),
    ((7, 7), 3, 1, 1, 1, False),
    ((6, 40), (2, 3), (1, 2), (1, 1), 1, True),
    ((7, 7), 7, 7, 0, 1, False),
    ((1, 1), 1, 1, 0, 1, False),
    ((1, 5), (1, 5), 1, 0, 1, False),
    ((14, 14), 7, 7, 0, 1, False),
    ((10, 10), 3, 3, 1, 1, True),
    ((13, 17), 3, 1, 2, 2, False),
    ((13, 17), (3, 2), (2, 3), (1, 1), (2, 3), True),
    ((3, 3), 1, 3, 0, 1, True),
    ((5, 70), (4, 5), (3, 1), (2, 2), 1, False),
    ((2, 2), 4, 1, 2, 1, True),
    ((300, 3), (150, 2), (70, 1), 0, 1, False),
]


def images(size: tuple[int, int], dtype: Any, seed: int = 0) -> Any:
    """Small integers with many ties, some NaN, some -inf, and a plane of -inf."""
    random = np.random.default_rng(seed)
    x = random.integers(-4, 5, (2, 3, *size)).astype(dtype)
    x[0, 1][random.random(size) < 0.2] = np.nan
    x[1, 0][random.random(size) < 0.6] = -np.inf
    x[1, 1] = -np.inf
    return x


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "dilation", "ceil"), GEOMETRIES)
def test_maximum_agrees_exactly(
    size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool, dtype: Any
) -> None:
    x = images(size, dtype)
    options = (kernel, stride, padding, dilation, ceil)
    expected = reference.max_pool2d(x, *options)
    output, indices = fc.max_pool2d(x, *options)
    assert output.dtype == dtype
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(output, expected.output)
    np.testing.assert_array_equal(indices, expected.indices)
    alone = fc.max_pool2d(x, *options, return_indices=False)
    np.testing.assert_array_equal(alone, output)
    np.testing.assert_array_equal(fc.max_pool2d(x[0], *options).indices, indices[0])
    grad = np.random.default_rng(1).integers(-9, 9, output.shape).astype(dtype)
    result = fc.max_pool2d_backward(grad, indices, x.shape)
    np.testing.assert_array_equal(result, reference.max_pool2d_backward(grad, indices, x.shape))
    np.testing.assert_array_equal(
        fc.max_pool2d_backward(grad[0], indices[0], x.shape[1:]), result[0]
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("extra", [{}, {"count_include_pad": False}, {"divisor_override": -3}])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "ceil"),
    [(*g[:4], g[5]) for g in GEOMETRIES if g[4] == 1],
)
def test_average_agrees(
    size: Any, kernel: Any, stride: Any, padding: Any, ceil: bool, extra: Any, dtype: Any
) -> None:
    random = np.random.default_rng(2)
    x = random.integers(-99, 99, (2, 3, *size)).astype(dtype)
    options = (kernel, stride, padding, ceil)
    output = fc.avg_pool2d(x, *options, **extra)
    assert output.dtype == dtype
    exact = reference.avg_pool2d(x, *options, **extra).astype(dtype)
    np.testing.assert_array_equal(output, exact)  # sums of integers, one rounding
    np.testing.assert_array_equal(fc.avg_pool2d(x[1], *options, **extra), output[1])
    grad = random.integers(-9, 9, output.shape).astype(dtype)
    result = fc.avg_pool2d_backward(grad, x.shape, *options, **extra)
    expected = reference.avg_pool2d_backward(grad, x.shape, *options, **extra)
    unit = np.finfo(dtype).eps / 2
    most = reference.avg_pool2d_backward(np.abs(grad), x.shape, *options, **extra)
    assert (np.abs(result - expected) <= 40 * unit * np.abs(most)).all()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_geometry(data: Any) -> None:
    number = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    size, kernel = (number(1, 40), number(1, 40)), (number(1, 5), number(1, 5))
    stride, dilation = (number(1, 4), number(1, 4)), (number(1, 3), number(1, 3))
    padding = tuple(
        number(0, (d * (k - 1) + 1) // 2) for d, k in zip(dilation, kernel, strict=True)
    )
    options = (kernel, stride, padding, dilation, data.draw(st.booleans()))
    dtype = data.draw(st.sampled_from(DTYPES))
    x = images(size, dtype, number(0, 99))
    try:
        expected = reference.max_pool2d(x, *options)
    except ValueError:
        with pytest.raises(ValueError, match=r"kernel_size|dilation"):
            fc.max_pool2d(x, *options)
        assume(False)
    output, indices = fc.max_pool2d(x, *options)
    np.testing.assert_array_equal(output, expected.output)
    np.testing.assert_array_equal(indices, expected.indices)


def test_layouts_sizes_and_threads() -> None:
    x = np.random.default_rng(4).standard_normal((2, 3, 9, 8))
    for kind, array in layouts(x).items():
        np.testing.assert_array_equal(
            fc.max_pool2d(array, 3, 2, 1).output, fc.max_pool2d(x, 3, 2, 1)[0]
        )
        np.testing.assert_array_equal(fc.avg_pool2d(array, 2), fc.avg_pool2d(x, 2), err_msg=kind)
    half = x.astype(np.float16)
    output, indices = fc.max_pool2d(half, 2)
    assert output.dtype == np.float16 == fc.avg_pool2d(half, 2).dtype
    assert fc.max_pool2d_backward(output, indices, x.shape).dtype == np.float16
    for shape in ((0, 3, 4, 4), (2, 0, 4, 4), (0, 4, 4)):
        output, indices = fc.max_pool2d(np.ones(shape), 2)
        assert (
            output.shape
            == indices.shape
            == (*shape[:-2], 2, 2)
            == fc.avg_pool2d(np.ones(shape), 2).shape
        )
        assert fc.max_pool2d_backward(output, indices, shape).shape == shape
        assert fc.avg_pool2d_backward(output, shape, 2).shape == shape
    for kernel, stride, padding in ((2, 2, 0), (3, 2, 1), (3, 3, 0), (50, 50, 0)):
        large = np.random.default_rng(5).standard_normal((7, 9, 50, 50)).astype(np.float32)

        def run(options: Any = (kernel, stride, padding), large: Any = large) -> Any:
            output, indices = fc.max_pool2d(large, *options)
            mean = fc.avg_pool2d(large, *options)
            return (
                *(output, indices, mean, fc.max_pool2d_backward(output, indices, large.shape)),
                fc.avg_pool2d_backward(output, large.shape, *options),
            )

        assert_threads_agree(run)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("geometry", [(2,), (3, 2, 1), (2, 1, 0, 2), (2, 1)])
def test_gradient_through_a_relu_before_is_that_of_both(geometry: Any, dtype: Any) -> None:
    generator = np.random.default_rng(5)
    x = generator.integers(-9, 3, (3, 4, 9, 8)).astype(dtype)  # many windows without a positive
    x.ravel()[::37], x.ravel()[::53] = np.nan, np.inf
    clipped = fc.relu(x)
    output, indices = fc.max_pool2d(clipped, *geometry)
    grad = generator.standard_normal(output.shape).astype(dtype)
    expected = fc.relu_backward(fc.max_pool2d_backward(grad, indices, x.shape), clipped)
    found = max_pool2d_relu_backward(grad, output, indices, x.shape)
    assert same_bits(found, expected)
    assert 0 < np.count_nonzero(found) < np.count_nonzero(grad)


def test_gradient_through_a_relu_checks_the_maxima() -> None:
    indices = np.zeros((1, 1, 2, 2), np.int64)
    with pytest.raises(ValueError, match=r"output: expected grad_output's shape \(1, 1, 2, 2\)"):
        max_pool2d_relu_backward(indices * 1.0, np.ones(4), indices, (1, 1, 4, 4))


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_stays_inside_its_buffers(dtype: Any, side: str) -> None:
    for size, *options in GEOMETRIES:
        geometry = pool2d_geometry((2, 1, *size), *options)
        x = guarded(np.ones((2, 1, *size), dtype), side)
        result = guarded(np.ones_like(x), side)
        y = guarded(np.ones(geometry.output_shape, dtype), side)
        indices = guarded(np.zeros(geometry.output_shape, np.int64), side)
        core.max_forward(geometry.core, x, y, indices)
        core.max_forward(geometry.core, x, y, None)
        outputs = y[0].size
        for maxima in None, y:
            core.max_backward(2, math.prod(size), outputs, y, indices, maxima, result)
        if options[3] == 1:
            core.avg_forward(geometry.core, True, 0, x, y)
            core.avg_forward(geometry.core, False, 0, x, y)
            core.avg_backward(geometry.core, False, 0, y, result)
