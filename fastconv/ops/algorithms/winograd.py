"""Winograd's F(m x m, r x r): (m + r - 1)^2 products where direct sums have (m r)^2.

Lavin and Gray, "Fast algorithms for convolutional neural networks" (2015), with channels summed in
chunks of up to 64 (src_c/ops/conv_winograd.c). Tiles read 6x6 inputs, with the points {0, +-11/16,
+-3/2, infinity}; or 5x5, with {+-7/16, +-5/4, infinity}, whose error is half as large: for 2 taps,
and for 3 where channels are few. A kernel with a stride is r x r = ceil(kernel / stride) taps for
each phase of the stride, and phases count as channels: 11x11 with stride 4 on 3 channels is 3x3 on
48; 3x3 with stride 2 is 2x2, 2x1, 1x2 and 1x1, which have 81 products for 4x4 outputs (direct: 144).
An infinity or a NaN in the input spreads over the outputs of the tiles that read it, but never to
another image.

With stride 1, small images of a batch lie side by side where that saves tiles
(src_c/ops/conv_winograd_mosaic.c), so a tile may read two, and the last bits of an image's results
depend on its place in the batch. That is done only where the largest magnitudes of the images are
finite and within a factor of 4, so that no image's results have the error of much larger ones.

A result that meets padding sums few taps, but has the error of a whole tile. So 3x3 layers of 64 to
319 channels have smaller tiles there, of two results down (from 192 channels on), or down and across,
with four of the six points, the same transformed weights and half the error.

On normally distributed data the largest float32 error of millions of results is below 4e-7 * sum
|x| |w| where `averages` says so: fewer channels than FEWEST_CHANNELS, on small images most of all,
have some at their corners that are above. `error_bound` holds for any data.
"""

import math
from typing import Any

import numpy as np

from fastconv._core.blocked import winograd as core
from fastconv._core.blocked import winograd_tiling
from fastconv._core.runtime import selected_isa
from fastconv.ops.algorithms.packing import pack
from fastconv.ops.arrays import Array
from fastconv.ops.geometry import Conv2dGeometry

name = "winograd"

#: Channels of a partial sum, at most.
CHUNK = 64

#: Taps of a phase.
TAPS = (2, 3, 4, 5)

#: Strides that the core does.
LARGEST_STRIDE = 4

#: Largest error of normal data, relative to sum |x| |w|, that "auto" accepts.
LARGEST_ERROR = 4e-7

#: By outputs and taps along an axis: the largest error (measured) of a sum over one channel and
#: phase with one tap. It falls with the root of the terms, and with the taps that an output meets:
#: those at an edge have the error of their tile, but few taps, which the average over few pixels
#: forgives them by a factor of EDGES. For 3x3 and 5x5 kernels with the padding that keeps the size
#: this means some 60 and 16 channels (3x3 in tiles of 3x3: 16, too). Small tiles at an image's
#: borders err less than this says.
ERROR = {(4, 2): 95e-7, (3, 3): 100e-7, (4, 3): 200e-7, (3, 4): 240e-7, (2, 5): 225e-7}
EDGES = 1.6

#: With stride 1 and any padding, so many channels: (results of an image, channels that they need),
#: for the largest images first. The smaller an image, the more of its results lie at its corners.
FEWEST_CHANNELS = {
    (4, 2): ((0, 96),),
    (3, 3): ((14 * 14, 16), (0, 28)),
    (4, 3): ((0, 64),),
    (3, 4): ((14 * 14, 32), (0, 48)),
    (2, 5): ((28 * 28, 20), (14 * 14, 32), (0, 48)),
}

#: And at least so many where a product is rounded before it is added: without FMA.
FEWEST_WITHOUT_FMA = 32
HAS_FMA = selected_isa() != "baseline"

#: As ERROR, for a gradient of weights: of a sum over one pixel of the output's gradient. It grows with
#: the root of all pixels, relative to what the tap that meets the fewest of them sums.
GRADIENT_ERROR = {(4, 2): 30e-7, (4, 3): 58e-7, (3, 4): 90e-7, (2, 5): 120e-7}

#: Without FMA gradients of weights err more by this factor.
GRADIENT_WITHOUT_FMA = 1.2

#: Transformed weights are four times as large: from here on (measured) reading them from memory
#: takes longer than transforming them again.
LARGEST_PACKED = 16 << 20

#: Largest growth of a rounding error through the transforms: with At, G and Bt of src_c/kernels/
#: winograd.inc, (max over outputs i of sum over points p of |At[i,p]| sum|G[p]| sum|Bt[p]|) ** 2.
GROWTH = {(4, 2): 153.0, (3, 3): 256.0, (4, 3): 583.0, (3, 4): 858.0, (2, 5): 1236.0}

#: Roundings of the three transforms that a product or a sum meets, without FMA: two dimensions of
#: 3 (input), 6 (weight, its divisor's own included) and 4 (output).
TRANSFORM_ROUNDINGS = 26


def rejects(geometry: Conv2dGeometry, dtype: np.dtype[Any]) -> str | None:
    """Return why the algorithm can't do the problem, or None."""
    g = geometry
    if tuple(g.dilation) != (1, 1):
        return "it needs dilation 1"
    if max(g.stride) > LARGEST_STRIDE:
        return f"it needs strides up to {LARGEST_STRIDE}, not {max(g.stride)}"
    if _taps(g) not in TAPS:
        size = f"{g.kernel_height}x{g.kernel_width}"
        strides = "x".join(map(str, g.stride))
        return (
            f"it needs 2 to 5 taps a phase of the stride, as many down as across: not a {size} "
            f"kernel with stride {strides}"
        )
    return None


def _taps(geometry: Conv2dGeometry) -> int:
    """Taps of a phase along an axis; 0 if the axes differ."""
    g = geometry
    down, across = -(-g.kernel_height // g.stride[0]), -(-g.kernel_width // g.stride[1])
    return down if down == across else 0


def _axes(geometry: Conv2dGeometry) -> tuple[tuple[int, int, int, int, int], ...]:
    """Down and across: kernel, stride, padding before, inputs, outputs."""
    g = geometry
    return (
        (g.kernel_height, g.stride[0], g.padding[0][0], g.in_height, g.out_height),
        (g.kernel_width, g.stride[1], g.padding[1][0], g.in_width, g.out_width),
    )


def _edge_taps(geometry: Conv2dGeometry, which: str) -> int:
    """Taps that the results with the fewest meet."""
    result = 1
    for kernel, stride, pad, inputs, outputs in _axes(geometry):
        last = outputs - 1
        if which == "forward":
            inside = [kernel - pad, inputs + pad - last * stride, kernel]
        else:
            inside = [
                len(range(max(at % stride, at - last * stride), min(at + 1, kernel), stride))
                for at in range(pad, pad + inputs)
            ]
        result *= max(0, min(inside))
    return result


def _edge_pixels(geometry: Conv2dGeometry) -> int:
    """Outputs, of all images, at which the tap that meets the fewest pixels does not meet padding."""
    result = geometry.batch
    for kernel, stride, pad, inputs, outputs in _axes(geometry):
        met = [
            min(outputs, -(-(inputs + pad - tap) // stride)) - max(0, -((tap - pad) // stride))
            for tap in range(kernel)
        ]
        result *= max(0, min(met))
    return result


def _fewest_channels(geometry: Conv2dGeometry, member: tuple[int, int], which: str) -> int:
    g = geometry
    area = g.out_height * g.out_width if which == "forward" else g.in_height * g.in_width
    fewest = next(channels for results, channels in FEWEST_CHANNELS[member] if area >= results)
    return fewest if HAS_FMA else max(fewest, FEWEST_WITHOUT_FMA)


def averages(geometry: Conv2dGeometry, which: str) -> bool:
    """Tell whether enough terms are summed for float32 errors below LARGEST_ERROR."""
    g, taps = geometry, _taps(geometry)
    if rejects(g, np.dtype(np.float32)):
        return False
    member = winograd_tiling(g.core, False, which)[2], taps
    if which == "grad_weight":
        pixels = g.batch * g.out_height * g.out_width
        error = GRADIENT_ERROR[member] * (1.0 if HAS_FMA else GRADIENT_WITHOUT_FMA)
        return error * math.sqrt(pixels) <= LARGEST_ERROR * _edge_pixels(g)
    channels = (g.in_channels if which == "forward" else g.out_channels) // g.groups
    if tuple(g.stride) == (1, 1) and channels < _fewest_channels(g, member, which):
        return False
    phases = g.stride[0] * g.stride[1] if which == "forward" else 1
    whole = g.kernel_height * g.kernel_width if which == "forward" else taps * taps
    met = min(float(whole), EDGES * _edge_taps(g, which))
    return ERROR[member] * math.sqrt(phases) <= LARGEST_ERROR * math.sqrt(channels) * met


def workspace(geometry: Conv2dGeometry, dtype: np.dtype[Any]) -> int:
    """Bytes of scratch that a thread needs, the largest over the three passes."""
    return max(
        core.workspace(geometry.core, dtype.itemsize == 8, each)
        for each in ("forward", "grad_input", "grad_weight")
    )


def packed_weights(geometry: Conv2dGeometry, dtype: np.dtype[Any], which: str) -> int:
    """Bytes of a pass's packed weights, which a call may hold beside its workspace."""
    if which == "grad_weight":
        return 0
    return core.packed_size(geometry.core, dtype.itemsize == 8, which)


def pack_weight(geometry: Conv2dGeometry, weight: Array) -> Array | None:
    """Return the forward pass's transformed weight; None if it is better transformed on the way."""
    size = packed_weights(geometry, weight.dtype, "forward")
    return pack(core, geometry, "forward", weight) if size <= LARGEST_PACKED else None


def features(geometry: Conv2dGeometry, dtype: np.dtype[Any], which: str) -> list[float]:
    """Work that the cost model weighs: products, points, transformed weights, and tiles' pixels.

    Pixels are packed and unpacked, points transformed and met: 5x5 kernels have 9 of them a pixel,
    3x3 ones 2.25.
    """
    g = geometry
    lanes = 64 // dtype.itemsize
    inputs, outputs = g.in_channels // g.groups, g.out_channels // g.groups
    phases = g.stride[0] * g.stride[1]
    if which == "grad_input":
        terms, vectors = _terms(outputs, 1, lanes)
        results = -(-inputs // lanes) * phases
    else:
        terms, vectors = _terms(inputs, phases, lanes)
        results = -(-outputs // lanes)
    _, points, size, products = winograd_tiling(g.core, dtype.itemsize == 8, which)
    points *= g.groups
    of_tile = (size + _taps(g) - 1) ** 2
    return [
        float(points * products * terms * results * lanes) / (of_tile * phases),
        float(points * (vectors + results) * lanes),
        float(products * g.groups * terms * results * lanes) / phases,
        float(points * (vectors + results) * lanes * size * size) / of_tile,
    ]


def _terms(channels: int, phases: int, lanes: int) -> tuple[int, int]:
    """Terms that a product sums, idle ones included, and vectors that hold them."""
    folded = phases if channels < lanes else 1
    vectors = -(-channels * folded // lanes)
    block = -(-channels * folded // vectors) if folded > 1 or vectors == 1 else lanes
    vectors *= phases // folded
    return vectors * block, vectors


def error_bound(geometry: Conv2dGeometry, dtype: np.dtype[Any]) -> tuple[float, str]:
    """Return the factor of the bound of outputs and input gradients, and what it multiplies.

    One rounding for each of up to CHUNK products in order, for each partial sum, and for each of the
    operations of the transforms, times the transforms' growth.
    """
    g = geometry
    phases = g.stride[0] * g.stride[1]
    terms = max(g.in_channels * phases, g.out_channels) // g.groups
    double, taps = dtype.itemsize == 8, _taps(g)
    sizes = (winograd_tiling(g.core, double, which)[2] for which in ("forward", "grad_input"))
    growth = max(GROWTH[size, taps] for size in sizes)
    chunk = CHUNK if phases == 1 or taps == 2 else CHUNK // 2
    roundings = min(terms, CHUNK) + -(-terms // chunk) + TRANSFORM_ROUNDINGS
    of_phases = " and phases of the stride" if phases > 1 else ""
    return (
        growth * roundings * float(np.finfo(dtype).eps) / 2,
        f"sum over channels{of_phases} of (max |x| of a tile) (max |w| of a filter)",
    )


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
