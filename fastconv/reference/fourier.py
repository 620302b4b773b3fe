"""Convolution through the Fourier transform: notes 004, section 6.2.1."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fastconv.reference.arrays import FloatArray, as_float64
from fastconv.reference.geometry import (
    IntOrPair,
    Padding,
    conv2d_output_size,
    padding_edges,
    pair,
)

Plane = list[list[complex]]


def _transform(values: Sequence[complex], sign: float) -> list[complex]:
    """Radix-2 decimation in time: even and odd halves, then one butterfly; O(N log N)."""
    length = len(values)
    if length == 1:
        return [complex(values[0])]
    even, odd = _transform(values[0::2], sign), _transform(values[1::2], sign)
    half = length // 2
    result = [0j] * length
    for k in range(half):
        angle = sign * 2.0 * math.pi * k / length
        turned = complex(math.cos(angle), math.sin(angle)) * odd[k]
        result[k], result[k + half] = even[k] + turned, even[k] - turned
    return result


def _check_length(length: int) -> None:
    if length < 1 or length & (length - 1):
        raise ValueError(f"a radix-2 transform needs a power-of-two length; got {length}")


def fft(values: Sequence[complex]) -> list[complex]:
    """Return the discrete Fourier transform of a sequence whose length is a power of two.

    >>> [round(value.real) for value in fft([1, 2, 3, 4])]
    [10, -2, -2, -2]
    """
    _check_length(len(values))
    return _transform(values, -1.0)


def ifft(values: Sequence[complex]) -> list[complex]:
    """Return the inverse transform, divided by the length.

    >>> [round(value.real) for value in ifft(fft([1, 2, 3, 4]))]
    [1, 2, 3, 4]
    """
    _check_length(len(values))
    return [value / len(values) for value in _transform(values, 1.0)]


def _transpose(plane: Plane) -> Plane:
    return [list(column) for column in zip(*plane, strict=True)]


def fft2(plane: Sequence[Sequence[complex]]) -> Plane:
    """Return the two-dimensional transform: every row, then every column.

    >>> fft2([[1, 1], [1, 1]])[0][0]
    (4+0j)
    """
    rows = [fft(row) for row in plane]
    return _transpose([fft(column) for column in _transpose(rows)])


def ifft2(plane: Sequence[Sequence[complex]]) -> Plane:
    """Return the inverse two-dimensional transform.

    >>> ifft2([[4, 0], [0, 0]])
    [[(1+0j), (1+0j)], [(1+0j), (1+0j)]]
    """
    rows = [ifft(row) for row in plane]
    return _transpose([ifft(column) for column in _transpose(rows)])


def _placed(
    plane: list[list[float]], size: tuple[int, int], origin: tuple[int, int], step: tuple[int, int]
) -> Plane:
    """Lay a plane into zeros of ``size`` from ``origin``, its elements ``step`` apart."""
    field = [[0j] * size[1] for _ in range(size[0])]
    for i, row in enumerate(plane):
        for j, value in enumerate(row):
            field[origin[0] + i * step[0]][origin[1] + j * step[1]] = complex(value)
    return field


def _power_of_two(minimum: int) -> int:
    size = 1
    while size < minimum:
        size *= 2
    return size


def conv2d_fft(
    input: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> FloatArray:
    """Convolve (N, C, H, W) with (O, C/groups, KH, KW) as products of spectra: eq. 6.13-6.15.

    A stride keeps every S-th result of the full-rate product (the waste that section 6.2.1 names);
    a dilated kernel is spread over zeros. Error: about 1e-15 times sqrt(sum x^2 * sum w^2), so
    integers are no longer exact.

    Correction: eq. 6.13 holds for true convolution, but the layer is cross-correlation (footnote
    4), so eq. 6.15 needs the conjugate of the kernel's spectrum, i.e. the flipped kernel. The
    transforms are circular; zeros out to at least the padded image's size keep the ends from
    wrapping around.

    >>> conv2d_fft([[[[1, 2, 3]]]], [[[[1, -1]]]], bias=[10]).round(12).tolist()
    [[[[9.0, 9.0]]]]
    """
    input, weight = as_float64(input, 4), as_float64(weight, 4, "weight")
    batch, channels, height, width = input.shape
    out_channels, group_inputs, kernel_height, kernel_width = weight.shape
    if channels != group_inputs * groups:
        raise ValueError(f"weight has {group_inputs} channels; expected {channels // groups}")
    kernel, step, spread = (kernel_height, kernel_width), pair(stride), pair(dilation)
    edges = padding_edges(padding, kernel, step, spread)
    out_size = conv2d_output_size((height, width), kernel, step, padding, spread)
    size = (
        _power_of_two(height + edges.top + edges.bottom),
        _power_of_two(width + edges.left + edges.right),
    )
    offsets = [0.0] * out_channels if bias is None else as_float64(bias, 1, "bias").tolist()
    x, w = input.tolist(), weight.tolist()
    origin = (edges.top, edges.left)
    images = [[fft2(_placed(plane, size, origin, (1, 1))) for plane in image] for image in x]
    filters = [[fft2(_placed(plane, size, (0, 0), spread)) for plane in kernel_] for kernel_ in w]
    output = np.zeros((batch, out_channels, *out_size))
    for n in range(batch):
        for o in range(out_channels):
            first_channel = o // (out_channels // groups) * group_inputs
            spectrum = [[0j] * size[1] for _ in range(size[0])]
            for c in range(group_inputs):
                image, filter_ = images[n][first_channel + c], filters[o][c]
                for u in range(size[0]):
                    for v in range(size[1]):
                        spectrum[u][v] += image[u][v] * filter_[u][v].conjugate()
            plane = ifft2(spectrum)
            for oh in range(out_size[0]):
                for ow in range(out_size[1]):
                    output[n, o, oh, ow] = plane[oh * step[0]][ow * step[1]].real + offsets[o]
    return output
