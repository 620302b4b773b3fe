"""Max and average pooling and where their gradients go: notes 004, sections 5.2.2 and 5.4.2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastconv.reference.arrays import FloatArray, as_float64, nested_zeros, to_array
from fastconv.reference.geometry import IntOrPair, pair


class MaxPoolResult(NamedTuple):
    """``output`` and, for each element, the flat index of its source in the H*W plane (int64).

    >>> MaxPoolResult._fields
    ('output', 'indices')
    """

    output: FloatArray
    indices: npt.NDArray[np.int64]


def pool_output_size(
    size: int,
    kernel: int,
    stride: int,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Return the number of windows along one axis, as PyTorch counts them.

    Like a convolution's (notes 003, section 5.6); ``ceil_mode`` rounds up instead of down, but the
    last window must start inside the input or the left padding.

    >>> pool_output_size(5, 2, 2), pool_output_size(5, 2, 2, ceil_mode=True)
    (2, 3)
    >>> pool_output_size(3, 1, 3, ceil_mode=True)  # a second window would start at 3, past the end
    1
    """
    if kernel < 1 or stride < 1 or dilation < 1 or padding < 0:
        raise ValueError(f"impossible pooling: {kernel=}, {stride=}, {padding=}, {dilation=}")
    extent = dilation * (kernel - 1) + 1
    if 2 * padding > extent:
        raise ValueError(f"padding {padding} is more than half of the kernel extent {extent}")
    span = size + 2 * padding - extent
    count = (span + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    if count < 1:
        raise ValueError(f"a window of extent {extent} does not fit {size} + 2 * {padding}")
    return count


def _taps(start: int, kernel: int, dilation: int, size: int) -> list[int]:
    """Positions of one window along one axis, without those in the padding."""
    taps = [start + i * dilation for i in range(kernel)]
    return [tap for tap in taps if 0 <= tap < size]


def _largest(plane: list[list[float]], rows: list[int], columns: list[int]) -> tuple[float, int]:
    """Largest element and its flat index: the first of equals, but the last NaN beats all."""
    best, index = -math.inf, rows[0] * len(plane[0]) + columns[0]
    for row in rows:
        for column in columns:
            value = plane[row][column]
            if value > best or math.isnan(value):
                best, index = value, row * len(plane[0]) + column
    return best, index


def max_pool2d(
    input: npt.ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> MaxPoolResult:
    """Take the largest element of each window of ``input`` (N, C, H, W): notes 004, eq. 5.20, 5.35.

    ``stride`` defaults to ``kernel_size``. Padding never wins. Of equal elements the first is
    taken (eq. 5.30 gives a tie to ``x``); a NaN beats any number and the last NaN of a window is
    reported; a window of -inf reports its first element inside the input.

    Correction: eq. 5.20 lets ``i`` and ``j`` run to ``F`` inclusive; eq. 5.35 has the right ``<
    F``.

    >>> image = [[[[1, 2, 1, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 4, 0, 1]]]]
    >>> result = max_pool2d(image, 2)
    >>> result.output.tolist(), result.indices.tolist()
    ([[[[2.0, 3.0], [4.0, 2.0]]]], [[[[1, 7], [13, 11]]]])
    """
    input = as_float64(input, 4)
    batch, channels, height, width = input.shape
    kernel, spread, pad = pair(kernel_size), pair(dilation), pair(padding)
    step = kernel if stride is None else pair(stride)
    out_height = pool_output_size(height, kernel[0], step[0], pad[0], spread[0], ceil_mode)
    out_width = pool_output_size(width, kernel[1], step[1], pad[1], spread[1], ceil_mode)
    x = input.tolist()
    output = np.zeros((batch, channels, out_height, out_width))
    indices = np.zeros(output.shape, dtype=np.int64)
    for oh in range(out_height):
        rows = _taps(oh * step[0] - pad[0], kernel[0], spread[0], height)
        for ow in range(out_width):
            columns = _taps(ow * step[1] - pad[1], kernel[1], spread[1], width)
            if not rows or not columns:
                raise ValueError(f"the window at ({oh}, {ow}) lies in the padding alone")
            for n in range(batch):
                for c in range(channels):
                    best, index = _largest(x[n][c], rows, columns)
                    output[n, c, oh, ow], indices[n, c, oh, ow] = best, index
    return MaxPoolResult(output, indices)


def max_pool2d_backward(
    grad_output: npt.ArrayLike, indices: npt.ArrayLike, input_shape: Sequence[int]
) -> FloatArray:
    """Route each gradient to the element that won its window: notes 004, eq. 5.31-5.34.

    ``grad_output`` and ``indices`` are (N, C, OH, OW); where windows overlap, gradients add up.

    >>> max_pool2d_backward([[[[5.0]]]], [[[[2]]]], (1, 1, 2, 2)).tolist()
    [[[[0.0, 0.0], [5.0, 0.0]]]]
    """
    grad_output = as_float64(grad_output, 4, "grad_output")
    places = np.asarray(indices).tolist()
    batch, channels, height, width = input_shape
    g, grad_input = grad_output.tolist(), nested_zeros(input_shape)
    for n in range(batch):
        for c in range(channels):
            for oh in range(grad_output.shape[2]):
                for ow in range(grad_output.shape[3]):
                    index = places[n][c][oh][ow]
                    if not 0 <= index < height * width:
                        raise ValueError(f"index {index} is outside a {height} x {width} plane")
                    grad_input[n][c][index // width][index % width] += g[n][c][oh][ow]
    return to_array(grad_input, input_shape)


class _Window(NamedTuple):
    """One averaging window along one axis: its elements in the input; its length with padding."""

    first: int
    last: int
    length: int


def _average_windows(
    size: int, kernel: int, stride: int, padding: int, ceil_mode: bool
) -> list[_Window]:
    """Windows are clipped at ``size + padding``, so a ceil-mode rest counts what lies in there."""
    windows = []
    for position in range(pool_output_size(size, kernel, stride, padding, 1, ceil_mode)):
        start = position * stride - padding
        end = min(start + kernel, size + padding)
        windows.append(_Window(max(start, 0), min(end, size), end - start))
    return windows


def _divisor(row: _Window, column: _Window, count_include_pad: bool, override: int | None) -> int:
    if override is not None:
        if override == 0:
            raise ValueError("divisor_override must not be zero")
        return override
    if count_include_pad:
        return row.length * column.length
    return (row.last - row.first) * (column.last - column.first)


def avg_pool2d(
    input: npt.ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> FloatArray:
    """Average each window of ``input`` (N, C, H, W): notes 000 "Average pooling", 003 section 5.6.

    The divisor is ``divisor_override``, or the window's elements including padding, or (with
    ``count_include_pad=False``) those inside the input; PyTorch's rules.

    >>> avg_pool2d([[[[1, 2, 1, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 4, 0, 1]]]], 2).tolist()
    [[[[1.0, 1.5], [2.25, 1.0]]]]
    """
    input = as_float64(input, 4)
    kernel, pad = pair(kernel_size), pair(padding)
    step = kernel if stride is None else pair(stride)
    rows = _average_windows(input.shape[2], kernel[0], step[0], pad[0], ceil_mode)
    columns = _average_windows(input.shape[3], kernel[1], step[1], pad[1], ceil_mode)
    x = input.tolist()
    output = np.zeros((input.shape[0], input.shape[1], len(rows), len(columns)))
    for oh, row in enumerate(rows):
        for ow, column in enumerate(columns):
            divisor = _divisor(row, column, count_include_pad, divisor_override)
            for n in range(input.shape[0]):
                for c in range(input.shape[1]):
                    total = 0.0
                    for i in range(row.first, row.last):
                        for j in range(column.first, column.last):
                            total += x[n][c][i][j]
                    output[n, c, oh, ow] = total / divisor
    return output


def avg_pool2d_backward(
    grad_output: npt.ArrayLike,
    input_shape: Sequence[int],
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> FloatArray:
    """Share each gradient equally among the elements of its window -> ``input_shape``.

    >>> avg_pool2d_backward([[[[8.0]]]], (1, 1, 2, 2), 2).tolist()
    [[[[2.0, 2.0], [2.0, 2.0]]]]
    """
    grad_output = as_float64(grad_output, 4, "grad_output")
    kernel, pad = pair(kernel_size), pair(padding)
    step = kernel if stride is None else pair(stride)
    rows = _average_windows(input_shape[2], kernel[0], step[0], pad[0], ceil_mode)
    columns = _average_windows(input_shape[3], kernel[1], step[1], pad[1], ceil_mode)
    g, grad_input = grad_output.tolist(), nested_zeros(input_shape)
    for oh, row in enumerate(rows):
        for ow, column in enumerate(columns):
            divisor = _divisor(row, column, count_include_pad, divisor_override)
            for n in range(input_shape[0]):
                for c in range(input_shape[1]):
                    for i in range(row.first, row.last):
                        for j in range(column.first, column.last):
                            grad_input[n][c][i][j] += g[n][c][oh][ow] / divisor
    return to_array(grad_input, input_shape)
