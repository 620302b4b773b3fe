"""Pooling at its limits: large images, huge windows, no memory, bad arguments."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from helpers import failing_allocation, sparse

import fastconv as fc
from fastconv._core import runtime

DTYPES = (np.float32, np.float64)


def _brute_maximum(x: Any, kernel: Any, stride: Any) -> tuple[Any, Any]:
    """By NumPy's windows: for images too large for the reference; no padding, no NaN."""
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(-2, -1))
    windows = windows[..., :: stride[0], :: stride[1], :, :]
    flat = windows.reshape(*windows.shape[:-2], -1)
    first = flat.argmax(-1)
    rows = np.arange(windows.shape[-4])[:, None] * stride[0] + first // kernel[1]
    columns = np.arange(windows.shape[-3]) * stride[1] + first % kernel[1]
    return flat.max(-1), rows * x.shape[-1] + columns


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "kernel", "stride"),
    [
        ((1, 1, 500, 700), (3, 3), (2, 2)),
        ((1, 1, 9, 70_001), (2, 2), (2, 2)),
        ((1, 1, 9, 70_001), (3, 3), (1, 1)),
        ((1, 2, 90_001, 5), (2, 2), (2, 1)),
        ((1, 1, 300, 900), (5, 4), (3, 5)),
        ((1, 1, 3, 40_000), (2, 9_000), (1, 3_000)),
        ((1, 1, 600, 600), (500, 400), (100, 50)),
        ((1, 1, 700, 400), (690, 390), (7, 7)),
        ((1, 1, 20_000, 30), (3_000, 7), (9_000, 3)),
    ],
)
def test_large_images_in_bounded_scratch(shape: Any, kernel: Any, stride: Any, dtype: Any) -> None:
    x = np.random.default_rng(3).integers(0, 1000, shape).astype(dtype)
    runtime.set_num_threads(1)
    with ThreadPoolExecutor(1) as pool:  # a thread holds scratch: here none that others asked for
        output, indices = pool.submit(fc.max_pool2d, x, kernel, stride).result()
        held = pool.submit(runtime.workspace_held).result()
    assert held <= 2 * (4 << 20)
    best, places = _brute_maximum(x, kernel, stride)
    np.testing.assert_array_equal(output, best)
    np.testing.assert_array_equal(indices, places)
    mean = fc.avg_pool2d(x, kernel, stride)
    sums = np.zeros(output.shape)
    wide = np.cumsum(np.cumsum(np.pad(x, ((0, 0), (0, 0), (1, 0), (1, 0))), 2, float), 3)
    for i, j, sign in ((1, 1, 1), (0, 1, -1), (1, 0, -1), (0, 0, 1)):
        corner = wide[:, :, i * kernel[0] :: stride[0], j * kernel[1] :: stride[1]]
        sums += sign * corner[:, :, : sums.shape[2], : sums.shape[3]]
    np.testing.assert_allclose(mean, sums / math.prod(kernel), rtol=1e-4)


def test_windows_far_larger_than_the_image() -> None:
    """Taps that only ever meet padding cost nothing."""
    x = np.random.default_rng(6).standard_normal((1, 1, 2, 3))
    for stride, sizes in ((1, (3, 4)), (2**39, (1, 1))):
        options = (2**40, stride, 2**39)
        output, indices = fc.max_pool2d(x, *options)
        assert output.shape[2:] == sizes
        assert (output == x.max()).all()
        assert (indices == x.argmax()).all()
        mean = fc.avg_pool2d(x, *options)
        np.testing.assert_allclose(mean, np.full_like(mean, x.sum() / 2.0**80), rtol=1e-14)
        spread = fc.avg_pool2d_backward(mean, x.shape, *options, count_include_pad=False)
        np.testing.assert_allclose(spread, np.full_like(x, mean.sum() / 6), rtol=1e-14)


def test_windows_that_span_more_than_32_bits() -> None:
    """Places that do not fit a 32-bit lane, in memory that is mostly never touched."""
    width = 2**31 + 64
    x = sparse((1, 1, 2, width), np.float32)
    x[0, 0, 1, 2**30] = x[0, 0, 0, 3 * 2**28] = 5
    output, indices = fc.max_pool2d(x, (2, 1), (1, 2**28))
    assert output[0, 0, 0].tolist() == [0, 0, 0, 5, 5, 0, 0, 0, 0]
    expected = [i * 2**28 for i in range(9)]
    expected[4] += width
    assert indices[0, 0, 0].tolist() == expected


@pytest.mark.parametrize("options", [(3, 2, 1), ((3, 2), (2, 3), (1, 1), (2, 3), True)])
def test_out_of_memory(options: Any) -> None:
    """From rows that must be copied, and over planes."""
    with failing_allocation(1), pytest.raises(MemoryError):
        fc.max_pool2d(np.ones((2, 3, 13, 17)), *options)


@pytest.mark.parametrize("index", [-1, 16, 2**31, 2**32 + 3, -(2**63), 2**63 - 1, 2**64 - 1])
def test_indices_are_checked_at_full_width(index: int) -> None:
    indices = np.zeros((2, 3, 2, 2), np.uint64 if index >= 2**63 else np.int64)
    indices[1, 2, 0, 1] = index
    text = rf"indices: {index} at position \(1, 2, 0, 1\) is outside the 4 x 4 plane"
    with pytest.raises(IndexError, match=text):
        fc.max_pool2d_backward(np.ones((2, 3, 2, 2)), indices, (2, 3, 4, 4))


def test_bad_input_is_explained() -> None:
    x = np.ones((1, 1, 4, 4))
    for arguments, error, text in (
        ((x[0, 0], 2), ValueError, r"input: expected \(N, C, H, W\) or \(C, H, W\)"),
        ((x.astype(int), 2), TypeError, "input: expected float32"),
        ((x, 2.0), TypeError, "kernel_size: expected an int or a pair"),
        ((x, True), TypeError, "kernel_size: expected an int or a pair"),
        ((x, 0), ValueError, "kernel_size: expected at least 1"),
        ((x, (1, 2, 3)), ValueError, "kernel_size: expected an int or two"),
        ((x, 2, 0), ValueError, "stride: expected at least 1"),
        ((x, 2, 1, 2), ValueError, "padding: expected at most half of the window's 2"),
        ((x, 2, 1, -1), ValueError, "padding: expected at least 0"),
        ((x, 5), ValueError, "kernel_size: a window of height 5 does not fit"),
        ((x, 2, 1, 0, 4), ValueError, "kernel_size: a window of height 5 does not fit"),
        ((x[..., :1], (1, 2), 1, (0, 2), (1, 3)), ValueError, "dilation: the window that starts"),
        ((np.ones((1, 1, 0, 4)), 1), ValueError, "does not fit the input's height 0"),
        ((x, 2, 1, 0, 1, 1), TypeError, "ceil_mode: expected True or False, got 1"),
    ):
        with pytest.raises(error, match=text):
            fc.max_pool2d(*arguments)
    with pytest.raises(ValueError, match="divisor_override: expected a non-zero int"):
        fc.avg_pool2d(x, 2, divisor_override=0)
    with pytest.raises(ValueError, match=r"grad_output: expected shape \(1, 1, 2, 2\)"):
        fc.avg_pool2d_backward(x, x.shape, 2)
    grad = np.ones((1, 1, 2, 2))
    with pytest.raises(ValueError, match="indices: expected grad_output's shape"):
        fc.max_pool2d_backward(grad, np.zeros((1, 1, 4), int), x.shape)
    with pytest.raises(TypeError, match="indices: expected integers, got float64"):
        fc.max_pool2d_backward(grad, grad, x.shape)
    with pytest.raises(ValueError, match="input_shape: expected"):
        fc.max_pool2d_backward(grad, np.zeros(grad.shape, int), (4, 4))
