"""Two-dimensional convolution as seven loops, and its gradients: notes 004, chapters 5, 6."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastconv.reference.arrays import FloatArray, as_float64, nested_zeros, to_array
from fastconv.reference.geometry import (
    IntOrPair,
    Padding,
    PaddingEdges,
    conv2d_output_size,
    padding_edges,
    pair,
)


class ConvGradients(NamedTuple):
    """Gradients of a convolution: ``input`` NCHW, ``weight`` OIHW, ``bias`` (O,).

    >>> ConvGradients._fields
    ('input', 'weight', 'bias')
    """

    input: FloatArray
    weight: FloatArray
    bias: FloatArray


class _Geometry(NamedTuple):
    """What every loop needs: sizes, steps and the split of channels into groups."""

    output_size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    edges: PaddingEdges
    group_inputs: int
    group_outputs: int


def _geometry(
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: IntOrPair,
    padding: Padding,
    dilation: IntOrPair,
    groups: int,
) -> _Geometry:
    channels, out_channels = input_shape[1], weight_shape[0]
    if groups < 1 or channels % groups or out_channels % groups:
        raise ValueError(f"groups={groups} must divide channels {channels} and {out_channels}")
    if weight_shape[1] != channels // groups:
        raise ValueError(f"weight has {weight_shape[1]} channels; expected {channels // groups}")
    kernel = weight_shape[2], weight_shape[3]
    image = input_shape[2], input_shape[3]
    return _Geometry(
        conv2d_output_size(image, kernel, stride, padding, dilation),
        pair(stride, "stride"),
        pair(dilation, "dilation"),
        padding_edges(padding, kernel, stride, dilation),
        channels // groups,
        out_channels // groups,
    )


def conv2d(
    input: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> FloatArray:
    """Convolve ``input`` (N, C, H, W) with ``weight`` (O, C/groups, KH, KW) -> (N, O, OH, OW).

    Notes 004, eq. 5.10, 5.13, 6.12: the seven loops of section 6.2 over batch, output channel, two
    output positions, input channel and two kernel positions. As its footnote 4 says, this is
    cross-correlation: the kernel is not flipped. Positions in the padding are skipped.

    >>> image = [[[[1, 2, 3, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1]]]]
    >>> conv2d(image, [[[[2, 0, 1], [0, 1, 2], [1, 0, 2]]]]).tolist()
    [[[[15.0, 16.0], [6.0, 15.0]]]]
    """
    input, weight = as_float64(input, 4), as_float64(weight, 4, "weight")
    geometry = _geometry(input.shape, weight.shape, stride, padding, dilation, groups)
    out_channels, channels, kernel_height, kernel_width = weight.shape
    offsets = [0.0] * out_channels if bias is None else as_float64(bias, 1, "bias").tolist()
    if len(offsets) != out_channels:
        raise ValueError(f"bias has {len(offsets)} entries; expected {out_channels}")
    x, w = input.tolist(), weight.tolist()
    output = np.zeros((input.shape[0], out_channels, *geometry.output_size))
    for n in range(output.shape[0]):
        for o in range(out_channels):
            first_channel = o // geometry.group_outputs * geometry.group_inputs
            for out_row in range(output.shape[2]):
                for out_column in range(output.shape[3]):
                    total = offsets[o]
                    for c in range(channels):
                        plane = x[n][first_channel + c]
                        for i in range(kernel_height):
                            row = out_row * geometry.stride[0] + i * geometry.dilation[0]
                            row -= geometry.edges.top
                            if not 0 <= row < input.shape[2]:
                                continue
                            for j in range(kernel_width):
                                column = out_column * geometry.stride[1] + j * geometry.dilation[1]
                                column -= geometry.edges.left
                                if 0 <= column < input.shape[3]:
                                    total += plane[row][column] * w[o][c][i][j]
                    output[n, o, out_row, out_column] = total
    return output


def conv2d_backward(
    grad_output: npt.ArrayLike,
    input: npt.ArrayLike,
    weight: npt.ArrayLike,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> ConvGradients:
    """Return the gradients with respect to input, weight and bias: notes 004, eq. 5.24-5.29.

    Each product ``x * w`` of the forward loops sends ``grad * w`` to ``x`` and ``grad * x`` to
    ``w``.

    Correction: eq. 5.28-5.29 use the summation indices ``i_l, j_l`` on the left-hand side, read the
    weight at the input's position and forget the sum over filters. Right is
    ``dX(r, c, d) = sum over i, j, d_l of dA(r - i, c - j, d_l) W(i, j, d, d_l)``, taken where
    ``(r - i, c - j)`` is an output position; that is the "flipped filter" of the sentence after it.

    >>> grads = conv2d_backward([[[[1.0]]]], [[[[2, 3]]]], [[[[5, 7]]]])
    >>> grads.input.tolist(), grads.weight.tolist(), grads.bias.tolist()
    ([[[[5.0, 7.0]]]], [[[[2.0, 3.0]]]], [1.0])
    """
    input, weight = as_float64(input, 4), as_float64(weight, 4, "weight")
    grad_output = as_float64(grad_output, 4, "grad_output")
    geometry = _geometry(input.shape, weight.shape, stride, padding, dilation, groups)
    out_channels, channels, kernel_height, kernel_width = weight.shape
    expected = (input.shape[0], out_channels, *geometry.output_size)
    if grad_output.shape != expected:
        raise ValueError(f"grad_output has shape {grad_output.shape}; expected {expected}")
    x, w, g = input.tolist(), weight.tolist(), grad_output.tolist()
    grad_input, grad_weight = nested_zeros(input.shape), nested_zeros(weight.shape)
    grad_bias = [0.0] * out_channels
    for n in range(expected[0]):
        for o in range(out_channels):
            first_channel = o // geometry.group_outputs * geometry.group_inputs
            for out_row in range(expected[2]):
                for out_column in range(expected[3]):
                    grad = g[n][o][out_row][out_column]
                    grad_bias[o] += grad
                    for c in range(channels):
                        plane = x[n][first_channel + c]
                        grad_plane = grad_input[n][first_channel + c]
                        for i in range(kernel_height):
                            row = out_row * geometry.stride[0] + i * geometry.dilation[0]
                            row -= geometry.edges.top
                            if not 0 <= row < input.shape[2]:
                                continue
                            for j in range(kernel_width):
                                column = out_column * geometry.stride[1] + j * geometry.dilation[1]
                                column -= geometry.edges.left
                                if 0 <= column < input.shape[3]:
                                    grad_plane[row][column] += grad * w[o][c][i][j]
                                    grad_weight[o][c][i][j] += grad * plane[row][column]
    return ConvGradients(
        to_array(grad_input, input.shape),
        to_array(grad_weight, weight.shape),
        to_array(grad_bias, (out_channels,)),
    )
