"""Winograd's F(4x4, 3x3) and F(2x2, 5x5): 36 products where direct sums have 144 and 100.

Lavin and Gray, "Fast algorithms for convolutional neural networks" (2015), with the points
{0, +-11/16, +-3/2, infinity}, so that both read 6x6 inputs a tile, and channels summed in chunks of
up to 64 (src_c/ops/conv_winograd.c). An infinity or a NaN in the input spreads over the outputs of
the tiles that read it.

On normally distributed data the largest float32 error is below 4e-7 * sum |x| |w|, about that of a
direct sum of some hundred products, where `averages` says so; `error_bound` holds for any data.
"""

from typing import Any

import numpy as np

from fastconv._core.blocked import winograd as core
from fastconv.ops.algorithms.packing import pack
from fastconv.ops.arrays import Array
from fastconv.ops.geometry import Conv2dGeometry

name = "winograd"

#: Products of a tile; channels of a partial sum, at most.
POINTS, CHUNK = 36, 64

#: Outputs of a tile along an axis, by the taps of a phase.
TILE = {2: 5, 3: 4, 4: 3, 5: 2}

#: Strides that the core does.
LARGEST_STRIDE = 4

#: From here on the largest error of normal data stays below 4e-7 * sum |x| |w|. The weights' outer
#: taps magnify most: a gradient of 5x5 weights, 4 terms a tile, needs many tiles.
FEWEST_CHANNELS = 64
FEWEST_TILES = {2: 32, 3: 32, 4: 768, 5: 768}

#: Transformed weights are four times as large: from here on (measured) reading them from memory
#: takes longer than transforming them again.
LARGEST_PACKED = 16 << 20

#: Largest growth of a rounding error through the transforms: with At, G and Bt of src_c/kernels/
#: winograd.inc, (max over outputs i of sum over points p of |At[i,p]| sum|G[p]| sum|Bt[p]|) ** 2.
GROWTH = {2: 358.0, 3: 583.0, 4: 858.0, 5: 1236.0}

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
    if _taps(g) not in TILE:
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


def _tiles(geometry: Conv2dGeometry, height: int, width: int) -> int:
    tile = TILE[_taps(geometry)]
    return geometry.batch * -(-height // tile) * -(-width // tile)


def averages(geometry: Conv2dGeometry, which: str) -> bool:
    """Tell whether enough terms are summed for float32 errors below 4e-7 * sum |x| |w|."""
    g = geometry
    if _taps(g) not in TILE:
        return False
    if which == "grad_weight":
        return _tiles(g, g.out_height, g.out_width) >= FEWEST_TILES[_taps(g)]
    channels = g.in_channels if which == "forward" else g.out_channels
    return channels // g.groups >= FEWEST_CHANNELS


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
    """Work that the cost model weighs: products, transformed tiles, transformed weights."""
    g = geometry
    height, width = (
        (g.in_height, g.in_width) if which == "grad_input" else (g.out_height, g.out_width)
    )
    tiles = _tiles(g, height, width)
    lanes = 64 // dtype.itemsize
    in_padded, out_padded = (
        -(-(channels // g.groups) // lanes) * lanes for channels in (g.in_channels, g.out_channels)
    )
    pairs = in_padded * out_padded * g.groups
    return [
        float(tiles * pairs * POINTS),
        float(tiles * (in_padded + out_padded) * g.groups * POINTS),
        float(pairs * POINTS),
    ]


def error_bound(geometry: Conv2dGeometry, dtype: np.dtype[Any]) -> tuple[float, str]:
    """Return the factor of the bound of outputs and input gradients, and what it multiplies.

    One rounding for each of up to CHUNK products in order, for each chunk, and for each of the
    operations of the transforms, times the transforms' growth.
    """
    channels = max(geometry.in_channels, geometry.out_channels) // geometry.groups
    roundings = min(channels, CHUNK) + -(-channels // CHUNK) + TRANSFORM_ROUNDINGS
    return (
        GROWTH[_taps(geometry)] * roundings * float(np.finfo(dtype).eps) / 2,
        "sum over channels of (max |x| of a 6x6 tile) (max |w| of a filter)",
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
