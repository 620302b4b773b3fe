"""Convolution as one matrix product: notes 004, section 6.2.2 (im2col)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastconv.reference.arrays import FloatArray, as_float64, nested_zeros, to_array
from fastconv.reference.geometry import (
    IntOrPair,
    Padding,
    conv2d_output_size,
    padding_edges,
    pair,
)


def matrix_product(left: npt.ArrayLike, right: npt.ArrayLike) -> FloatArray:
    """Return the product of (M, K) and (K, N) -> (M, N) by three loops.

    >>> matrix_product([[1, 2]], [[3], [4]]).tolist()
    [[11.0]]
    """
    left, right = as_float64(left, 2, "left"), as_float64(right, 2, "right")
    if left.shape[1] != right.shape[0]:
        raise ValueError(f"shapes {left.shape} and {right.shape} do not chain")
    a, b = left.tolist(), right.tolist()
    product = np.zeros((left.shape[0], right.shape[1]))
    for row in range(left.shape[0]):
        for column in range(right.shape[1]):
            total = 0.0
            for k in range(left.shape[1]):
                total += a[row][k] * b[k][column]
            product[row, column] = total
    return product


def im2col(
    input: npt.ArrayLike,
    kernel_size: IntOrPair,
    dilation: IntOrPair = 1,
    padding: Padding = 0,
    stride: IntOrPair = 1,
) -> FloatArray:
    """Unfold ``input`` (N, C, H, W) into columns (N, C*KH*KW, L), L = OH*OW, as ``torch.unfold``.

    Row ``(c*KH + i)*KW + j`` and column ``oh*OW + ow`` hold the element that kernel position ``(c,
    i, j)`` meets at output position ``(oh, ow)``; zero in the padding. This is the transpose of
    the notes' X~ (section 6.2.2) with every axis in row-major order; `im2row` has the notes'
    order.

    >>> im2col([[[[1, 2, 3], [4, 5, 6]]]], 2)[0].tolist()
    [[1.0, 2.0], [2.0, 3.0], [4.0, 5.0], [5.0, 6.0]]
    """
    input = as_float64(input, 4)
    batch, channels, height, width = input.shape
    kernel, spread, step = pair(kernel_size), pair(dilation), pair(stride)
    edges = padding_edges(padding, kernel, step, spread)
    out_height, out_width = conv2d_output_size((height, width), kernel, step, padding, spread)
    x = input.tolist()
    columns = np.zeros((batch, channels * kernel[0] * kernel[1], out_height * out_width))
    for n in range(batch):
        for c in range(channels):
            for i in range(kernel[0]):
                for j in range(kernel[1]):
                    q = (c * kernel[0] + i) * kernel[1] + j
                    for oh in range(out_height):
                        for ow in range(out_width):
                            row = oh * step[0] + i * spread[0] - edges.top
                            column = ow * step[1] + j * spread[1] - edges.left
                            if 0 <= row < height and 0 <= column < width:
                                columns[n, q, oh * out_width + ow] = x[n][c][row][column]
    return columns


def col2im(
    columns: npt.ArrayLike,
    output_size: IntOrPair,
    kernel_size: IntOrPair,
    dilation: IntOrPair = 1,
    padding: Padding = 0,
    stride: IntOrPair = 1,
) -> FloatArray:
    """Fold columns (N, C*KH*KW, L) back into (N, C, H, W), summing overlaps, as ``torch.fold``.

    The adjoint of `im2col`: it carries the gradient of X~ back to X (notes 004, section 6.2.2, "the
    backward pass can use im2col too").

    >>> col2im([[[1, 1], [1, 1], [1, 1], [1, 1]]], (2, 3), 2)[0, 0].tolist()
    [[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]]
    """
    columns = as_float64(columns, 3, "columns")
    (height, width), kernel = pair(output_size), pair(kernel_size)
    spread, step = pair(dilation), pair(stride)
    edges = padding_edges(padding, kernel, step, spread)
    out_height, out_width = conv2d_output_size((height, width), kernel, step, padding, spread)
    batch, rows, length = columns.shape
    channels, rest = divmod(rows, kernel[0] * kernel[1])
    if rest or length != out_height * out_width:
        raise ValueError(
            f"columns has shape {columns.shape}; expected (N, C*{kernel[0] * kernel[1]}, "
            f"{out_height * out_width})"
        )
    values = columns.tolist()
    output = nested_zeros((batch, channels, height, width))
    for n in range(batch):
        for q in range(rows):
            c, i, j = q // (kernel[0] * kernel[1]), q // kernel[1] % kernel[0], q % kernel[1]
            for oh in range(out_height):
                for ow in range(out_width):
                    row = oh * step[0] + i * spread[0] - edges.top
                    column = ow * step[1] + j * spread[1] - edges.left
                    if 0 <= row < height and 0 <= column < width:
                        output[n][c][row][column] += values[n][q][oh * out_width + ow]
    return to_array(output, (batch, channels, height, width))


def index_map(p: int, q: int, output_height: int, kernel_size: IntOrPair) -> tuple[int, int, int]:
    """Return the input position (row, column, depth) of element (p, q) of X~: eq. 6.16-6.19.

    The notes count column by column: ``p = i_l + H_l j_l`` and ``q = i + F1 j + F1 F2 d``.

    >>> index_map(p=1, q=6, output_height=2, kernel_size=2)
    (1, 1, 1)
    """
    height, width = pair(kernel_size)
    out_column, out_row = divmod(p, output_height)
    depth, rest = divmod(q, height * width)
    column, row = divmod(rest, height)
    return out_row + row, out_column + column, depth


def im2row(image: npt.ArrayLike, kernel_size: IntOrPair) -> FloatArray:
    """Return the notes' own X~ (H_l W_l, F1 F2 D) of an ``image`` (H, W, D): eq. 6.16-6.19.

    >>> im2row([[[1], [2], [3]], [[4], [5], [6]]], 2).tolist()
    [[1.0, 4.0, 2.0, 5.0], [2.0, 5.0, 3.0, 6.0]]
    """
    image = as_float64(image, 3, "image")
    kernel = pair(kernel_size)
    out_height, out_width = conv2d_output_size(image.shape[:2], kernel)
    x = image.tolist()
    rows = np.zeros((out_height * out_width, kernel[0] * kernel[1] * image.shape[2]))
    for p in range(rows.shape[0]):
        for q in range(rows.shape[1]):
            row, column, depth = index_map(p, q, out_height, kernel)
            rows[p, q] = x[row][column][depth]
    return rows


def conv2d_im2col(
    input: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> FloatArray:
    """Convolve (N, C, H, W) with (O, C/groups, KH, KW) by ``A~ = X~ W~ + 1 b^T``: eq. 6.20.

    >>> conv2d_im2col([[[[1, 2, 3]]]], [[[[1, -1]]]], bias=[10]).tolist()
    [[[[9.0, 9.0]]]]
    """
    input, weight = as_float64(input, 4), as_float64(weight, 4, "weight")
    out_channels, kernel = weight.shape[0], (weight.shape[2], weight.shape[3])
    out_size = conv2d_output_size(input.shape[2:], kernel, stride, padding, dilation)
    offsets = [0.0] * out_channels if bias is None else as_float64(bias, 1, "bias").tolist()
    columns = im2col(input, kernel, dilation, padding, stride)
    depth, group_outputs = columns.shape[1] // groups, out_channels // groups
    output = np.zeros((input.shape[0], out_channels, *out_size))
    for n in range(input.shape[0]):
        for group in range(groups):
            filters = range(group * group_outputs, (group + 1) * group_outputs)
            rows = columns[n, group * depth : (group + 1) * depth].T
            matrix = to_array([weight[o].ravel().tolist() for o in filters], (len(filters), depth))
            product = matrix_product(rows, matrix.T).tolist()
            for p in range(out_size[0] * out_size[1]):
                for k, o in enumerate(filters):
                    output[n, o, p // out_size[1], p % out_size[1]] = product[p][k] + offsets[o]
    return output
