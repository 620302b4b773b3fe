"""Implicit GEMM: products of matrices in the channel-blocked form (src_c/ops/conv_implicit_gemm.c).

A block of source pixels is packed once, lanes = channels, and multiplied where it lies by packed
weights, lanes = results: no column matrix is written, and no lane is lost to narrow images.
"""

from typing import Any

import numpy as np

from fastconv._core.blocked import implicit_gemm as core
from fastconv._core.runtime import selected_isa
from fastconv.ops.algorithms.direct import LARGEST_WORKSPACE
from fastconv.ops.algorithms.packing import pack
from fastconv.ops.arrays import Array
from fastconv.ops.geometry import Conv2dGeometry

name = "implicit_gemm"

#: Bytes of a vector.
VECTOR_BYTES = {"avx512": 64, "avx2": 32}.get(selected_isa(), 16)


def rejects(geometry: Conv2dGeometry, dtype: np.dtype[Any]) -> str | None:
    """Return why the algorithm can't do the problem, or None."""
    needed = workspace(geometry, dtype)
    if needed > LARGEST_WORKSPACE:
        return (
            f"a {geometry.kernel_height}x{geometry.kernel_width} kernel needs {needed >> 20} MB of "
            f"scratch a thread; its limit is {LARGEST_WORKSPACE >> 20} MB"
        )
    return None


def workspace(geometry: Conv2dGeometry, dtype: np.dtype[Any]) -> int:
    """Bytes of scratch that a thread needs, packed weights apart: the largest of the passes."""
    double = dtype.itemsize == 8
    return max(
        core.workspace(geometry.core, double, each)
        for each in ("forward", "grad_input", "grad_weight")
    )


def packed_weights(geometry: Conv2dGeometry, dtype: np.dtype[Any], which: str) -> int:
    """Bytes of a pass's packed weights, made and held by a call beside its workspace.

    0 where weights are read as they are: grad_weight, and 1x1 kernels on large planes.
    """
    if which == "grad_weight":
        return 0
    return core.packed_size(geometry.core, dtype.itemsize == 8, which)


def pack_weight(geometry: Conv2dGeometry, weight: Array) -> Array | None:
    """Return the weight in the forward pass's order, None where it is read as it is."""
    return pack(core, geometry, "forward", weight)


def features(geometry: Conv2dGeometry, dtype: np.dtype[Any], which: str) -> list[float]:
    """Work that the cost model weighs.

    FMAs of rows inside the image, with the lanes that the last vector of results loses, elements of
    the source packed and of the target unpacked (grad_weight packs both), and weights packed, or
    unpacked. Blocked images are written where they lie, and read there by 1x1 kernels, which write
    planar ones so too.
    """
    g = geometry
    lanes = VECTOR_BYTES // dtype.itemsize
    inputs, outputs = g.in_channels // g.groups, g.out_channels // g.groups
    reduced, results = (outputs, inputs) if which == "grad_input" else (inputs, outputs)
    taps = g.kernel_height * g.kernel_width
    layouts = g.input_layout, g.output_layout
    pointwise = taps == 1 and g.stride == (1, 1) and g.padding == ((0, 0), (0, 0))
    if pointwise and which == "grad_weight":  # the side with fewer channels is the lanes
        reduced, results = max(inputs, outputs), min(inputs, outputs)
    # where pixels are the lanes, none is lost on channels
    planar = pointwise and which != "grad_weight" and layouts == ("NCHW", "NCHW")
    filled = results if planar else -(-results // lanes) * lanes
    out_pixels = g.batch * g.out_height * g.out_width
    in_pixels = g.batch * g.in_height * g.in_width
    # grad_input meets every tap of a row at every pixel of its residue, also where only zeros are
    met = in_pixels / (g.stride[0] * g.stride[1]) if which == "grad_input" else out_pixels
    if which != "grad_weight" and g.kernel_width > 1:
        rows = g.in_height / g.stride[0] if which == "grad_input" else g.out_height
        met *= _rows_inside(g) / (rows * g.kernel_height)
    work = g.groups * reduced * filled * taps * met
    weights = float(g.groups * reduced * filled * taps)
    image, gradient = in_pixels * g.in_channels, out_pixels * g.groups * outputs
    if which == "grad_weight":
        return [work, image, gradient, weights]
    sides = [(image, layouts[0]), (gradient, layouts[1])]
    source, target = reversed(sides) if which == "grad_input" else sides
    packed = 0 if source[1] == "blocked" and pointwise else source[0]
    unpacked = 0 if target[1] == "blocked" or planar else target[0]
    return [work, packed, unpacked, weights]


def _rows_inside(geometry: Conv2dGeometry) -> int:
    """Count the rows of taps that rows of outputs meet inside the image."""
    g, stride = geometry, geometry.stride[0]
    total = 0
    for tap in range(g.kernel_height):
        shift = tap * g.dilation[0] - g.padding[0][0]
        first = max(0, -(shift // stride))
        last = min(g.out_height - 1, (g.in_height - 1 - shift) // stride)
        total += max(0, last - first + 1)
    return total


def error_bound(geometry: Conv2dGeometry, dtype: np.dtype[Any]) -> tuple[float, str]:
    """Return the bound's factor and what it multiplies.

    One rounding for each product that is added, and one for the bias; sums of chunks make trees, so
    that the error of long sums is far below it.
    """
    return (geometry.reduction + 2) * float(np.finfo(dtype).eps) / 2, "sum |x| |w|"


def forward(
    geometry: Conv2dGeometry,
    input: Array,
    weight: Array,
    bias: Array | None,
    relu: bool,
    output: Array,
) -> None:
    """Write conv(input, weight) + bias, clipped at 0 if `relu`, to `output`."""
    core.forward(geometry.core, input, weight, bias, relu, output)


def grad_input(geometry: Conv2dGeometry, grad_output: Array, weight: Array, result: Array) -> None:
    """Write the gradient with respect to the input to `result`."""
    core.grad_input(geometry.core, grad_output, weight, result)


def grad_weight(geometry: Conv2dGeometry, input: Array, grad_output: Array, result: Array) -> None:
    """Write the gradient with respect to the weight to `result`."""
    core.grad_weight(geometry.core, input, grad_output, result)
