"""Direct convolution: sums over shifted planes of the input, in registers (src_c/ops/conv_taps.c).

Depthwise convolutions, and groups of few channels, run on kernels of their own
(src_c/ops/conv_depthwise.c); which, is decided below this floor.
"""

from typing import Any

import numpy as np

from fastconv._core import conv as core
from fastconv.ops.arrays import Array
from fastconv.ops.geometry import NEEDS_PLAIN, Conv2dGeometry

name = "direct"

#: No task may need more scratch than this.
LARGEST_WORKSPACE = 4 << 20


def rejects(geometry: Conv2dGeometry, dtype: np.dtype[Any]) -> str | None:
    """Return why the algorithm can't do the problem, or None."""
    if not geometry.is_plain:
        return NEEDS_PLAIN
    needed = workspace(geometry, dtype)
    if needed > LARGEST_WORKSPACE:
        return (
            f"a {geometry.kernel_height}x{geometry.kernel_width} kernel needs {needed >> 20} MB of "
            f"scratch a thread; its limit is {LARGEST_WORKSPACE >> 20} MB"
        )
    return None


def workspace(geometry: Conv2dGeometry, dtype: np.dtype[Any]) -> int:
    """Bytes of scratch that a thread needs, the largest over the three passes."""
    double = dtype.itemsize == 8
    return max(
        core.direct_workspace(geometry.core, double, each)
        for each in ("forward", "grad_input", "grad_weight")
    )


def is_narrow(geometry: Conv2dGeometry) -> bool:
    """Do groups have so few channels that moving pixels, not summing them, takes the time?"""
    g = geometry
    return g.groups > 1 and min(g.in_channels, g.out_channels) == g.groups


def features(geometry: Conv2dGeometry, dtype: np.dtype[Any], which: str) -> list[float]:
    """Work that the cost model weighs: FMAs with lost lanes, planes filled, elements stored.

    Which way a pass goes, and what it loses there, is known below this floor; so is what the forward
    pass stores and what the ways of the gradient of the input fill, which their FMAs include.
    """
    g = geometry
    work = core.direct_work(g.core, dtype.itemsize == 8, which)
    reach = (g.kernel_width - 1) * g.dilation[1] // g.stride[1]
    images = g.batch * (g.out_height if which != "grad_input" else g.in_height)
    cols = g.out_width if which != "grad_input" else g.in_width
    padded = images * (cols + reach)
    if which == "grad_input":
        return [work, padded * g.in_channels]
    if is_narrow(g):
        pixels = g.batch * g.in_height * (g.in_width + reach) * g.in_channels
        stored = padded * g.out_channels
        moved = pixels + stored if which == "grad_weight" else stored
        return [work, pixels, moved]
    stored = padded * g.out_channels if which == "grad_weight" else 0
    return [work, padded * g.in_channels, stored]


def error_bound(geometry: Conv2dGeometry, dtype: np.dtype[Any]) -> tuple[float, str]:
    """Return the bound's factor and what it multiplies.

    One rounding for each product that is added in order, and one for the bias.
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
    core.direct_forward(geometry.core, input, weight, bias, relu, output)


def grad_input(
    geometry: Conv2dGeometry,
    grad_output: Array,
    weight: Array,
    result: Array,
    bias: Array | None = None,
) -> None:
    """Write the gradient with respect to the input to `result`, and the bias' to `bias`.

    The bias costs little here: large first layers sum it while they have grad_output at hand.
    """
    core.direct_grad_input(geometry.core, grad_output, weight, result, bias)


def grad_weight(geometry: Conv2dGeometry, input: Array, grad_output: Array, result: Array) -> None:
    """Write the gradient with respect to the weight to `result`."""
    core.direct_grad_weight(geometry.core, input, grad_output, result)


def joins(geometry: Conv2dGeometry, dtype: np.dtype[Any]) -> bool:
    """Can all gradients be summed at one reading of grad_output?"""
    if geometry.empty or not geometry.is_plain:
        return False
    return bool(core.direct_work(geometry.core, dtype.itemsize == 8, "backward"))


def backward(
    geometry: Conv2dGeometry,
    grad_output: Array,
    input: Array,
    weight: Array,
    grad_input: Array,
    grad_weight: Array,
    bias: Array | None,
) -> None:
    """Write all gradients where `joins` says so: large images that few channels make.

    grad_output, most of the memory of such layers, is then read once.
    """
    core.direct_backward(geometry.core, grad_output, input, weight, grad_input, grad_weight, bias)
