"""FFT convolution: notes 004, section 6.2.1, eq. 6.13-6.15, over `scipy.fft`.

The transform of a convolution is the product of the transforms (6.13), so a convolution layer
(6.14) is F^-1(F(X) . F(W)) + b (6.15), in O(n log n). What a CNN calls convolution, and what eq.
5.10 computes, is *cross-correlation*: the kernel is not flipped, hence F(X) . conj(F(W)). The
gradients are its partners: dX = F^-1(F(dY) . F(W)) and dW = F^-1(conj(F(dY)) . F(X)). Against the
notes' remark that strides waste the transform, strides and dilations become phases (`axis`).

Error. With e the spacing of the dtype at 1, L_h and L_w the lengths of the transforms, r the planes
that one matrix product sums, b the products that are added up, and Euclidean norms over one
tile's plane,

    |error of y[n, k]| <= e (log2(2 L_h L_w) + (r + b) / 2) sum over c of ||x[n, c]|| ||w[k, c]||,

likewise for grad_input with ||dy[n, k]|| ||w[k, c]|| summed over k, and for grad_weight with
||dy[n, k]|| ||x[n, c]|| summed over images and tiles. It is measured, not proved: the largest error
found is a third of it, and a tenth is usual. So an output is accurate relative to the *tile* it
lies in, not to itself: next to a pixel of 1e6, pixels of 1 keep one digit in float32. For the same
reason NaN or infinity anywhere in a tile may make all of its outputs NaN, also those whose window
does not reach it, and a square of the tile's norm that overflows is infinite.
"""

from functools import partial
from itertools import product
from math import log2
from typing import Any

import numpy as np

from fastconv._core.runtime import get_num_threads
from fastconv.ops.algorithms.fft.plan import PASSES, make_plan
from fastconv.ops.algorithms.fft.products import multiply
from fastconv.ops.algorithms.fft.spectra import Spectra
from fastconv.ops.algorithms.fft.threads import Turns
from fastconv.ops.algorithms.fft.tiles import Tiles, by_group, store_weights
from fastconv.ops.arrays import Array
from fastconv.ops.geometry import NEEDS_PLAIN

name = "fft"

#: What the error bound multiplies.
BOUNDED_BY = "sum over channels of ||x||_2 ||w||_2, norms over one tile"


def rejects(geometry: Any, dtype: Any) -> str | None:
    """Return why this algorithm cannot do the problem, or None: it does all that have numbers."""
    if np.dtype(dtype) not in (np.float32, np.float64):
        return f"fft computes float32 and float64, not {np.dtype(dtype)}"
    if not geometry.is_plain:
        return NEEDS_PLAIN
    sizes = geometry.batch, geometry.in_channels, geometry.out_channels
    planes = geometry.in_height, geometry.in_width, geometry.out_height, geometry.out_width
    return None if all(sizes) and all(planes) else "there is nothing to transform: a size is 0"


def workspace(geometry: Any, dtype: Any) -> int:
    """Return a bound of the bytes of scratch at peak, over the passes, for any number of threads.

    At most 64 MB, unless the transform of a single tile of one channel needs more (kernels of about
    a million taps).
    """
    return max(make_plan(geometry, dtype, pass_).workspace() for pass_ in PASSES)


def flops(geometry: Any, dtype: Any, pass_: str) -> float:
    """Return the real operations of a pass: 5/2 n log2 n per transform, 8 per complex multiply-add.

    An operation of a transform takes up to ten times as long as one of a product: see `clock`.
    """
    plan = make_plan(geometry, dtype, pass_)
    return plan.transform_flops() + 8.0 * plan.multiply_adds()


def features(geometry: Any, dtype: Any, which: str) -> list[float]:
    """Return the work that the cost model weighs: the planner's own estimate of a pass."""
    return [make_plan(geometry, dtype, which).clock()]


def error_bound(geometry: Any, dtype: Any) -> tuple[float, str]:
    """Return the bound's factor, the largest of the passes, and what it multiplies."""
    return max(bound_of(geometry, dtype, one) for one in PASSES), BOUNDED_BY


def bound_of(geometry: Any, dtype: Any, pass_: str) -> float:
    """Return the factor of the bound in this module's docstring for one pass."""
    plan = make_plan(geometry, dtype, pass_)
    area = plan.rows.length * plan.columns.length
    summed, block = {
        "forward": (plan.in_channels * plan.phases, plan.in_block * plan.phases),
        "grad_input": (plan.out_channels, plan.out_block),
        "grad_weight": (plan.batch * plan.sites, plan.tile_block),
    }[pass_]
    return float(np.finfo(dtype).eps) * (log2(2 * area) + (block + summed / block) / 2)


def forward(
    geometry: Any,
    input: Array,
    weight: Array,
    bias: Array | None,
    relu: bool,
    output: Array,
) -> None:
    """Write relu(input * weight + bias) into output: eq. 6.15, F^-1(F(X) . conj(F(W))) + b.

    Overlap-save: of each tile's circular correlation the first T outputs, which do not wrap, are
    kept.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> geometry = SimpleNamespace(
    ...     batch=1, in_channels=1, in_height=4, in_width=4, out_channels=1, kernel_height=3,
    ...     kernel_width=3, out_height=2, out_width=2, groups=1, stride=(1, 1), dilation=(1, 1),
    ...     padding=((0, 0), (0, 0)), channels_last=False)
    >>> image = np.array([[[[1.0, 2, 3, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1]]]])
    >>> kernel = np.array([[[[2.0, 0, 1], [0, 1, 2], [1, 0, 2]]]])
    >>> output = np.empty((1, 1, 2, 2))
    >>> forward(geometry, image, kernel, None, False, output)
    >>> output.round(9)
    array([[[[15., 16.],
             [ 6., 15.]]]])
    """
    plan = make_plan(geometry, input.dtype, "forward")
    images = by_group(input, plan.groups, geometry.channels_last)
    target = by_group(output, plan.groups, geometry.channels_last)
    kernels = weight.reshape(plan.groups, -1, *weight.shape[1:])
    offsets = None if bias is None else bias.reshape(plan.groups, -1)
    group_blocks, out_blocks, in_blocks, tile_blocks = plan.blocks()
    spectra = Spectra(plan, input.dtype, get_num_threads())

    def compute(g: slice, k: slice, t: slice, tiles: Tiles, _: Turns) -> None:
        sums = spectra.empty(t.stop - t.start, g.stop - g.start, k.stop - k.start)
        for c in in_blocks:
            left = spectra.of_inputs(tiles.load_inputs(images, t, g, c)).swapaxes(0, 1)
            right = spectra.weights(kernels, (g, k, c), forward=True)
            multiply(left, right, sums.swapaxes(0, 1), c.start > 0, spectra.slices)
            del left
        planes = spectra.inverse(sums, plan.rows.tile)
        block_bias = None if offsets is None else offsets[g, k]
        tiles.store_outputs(planes, target[:, g, k], t, block_bias, relu)

    for g, k in product(group_blocks, out_blocks):
        spectra.weights(kernels, (g, k, in_blocks[0]), forward=True)
        spectra.share(partial(compute, g, k), tile_blocks)


def grad_input(geometry: Any, grad_output: Array, weight: Array, result: Array) -> None:
    """Write the gradient of the input into result: F^-1(F(dY) . F(W)), a true convolution.

    Overlap-add: a tile of T outputs was computed from T + taps - 1 inputs; what it sends them is
    added to what its neighbours send, tile by tile in one fixed order.
    """
    plan = make_plan(geometry, weight.dtype, "grad_input")
    grads = by_group(grad_output, plan.groups, geometry.channels_last)
    target = by_group(result, plan.groups, geometry.channels_last)
    kernels = weight.reshape(plan.groups, -1, *weight.shape[1:])
    phases = plan.rows.tap_phases, plan.columns.tap_phases
    group_blocks, out_blocks, in_blocks, tile_blocks = plan.blocks()
    spectra = Spectra(plan, weight.dtype, get_num_threads())
    target[...] = 0

    def compute(g: slice, c: slice, t: slice, tiles: Tiles, turns: Turns) -> None:
        channels = plan.phases * (c.stop - c.start)
        sums = spectra.empty(t.stop - t.start, g.stop - g.start, channels)
        for k in out_blocks:
            left = spectra.of_outputs(tiles.load_outputs(grads, t, g, k)).swapaxes(0, 1)
            right = spectra.weights(kernels, (g, k, c), forward=False)
            multiply(left, right, sums.swapaxes(0, 1), k.start > 0, spectra.slices)
            del left
        planes = spectra.inverse(sums, plan.rows.reach)
        planes = planes.reshape(*planes.shape[:2], *phases, -1, *planes.shape[-2:])
        with turns.take(t.start // plan.tile_block):
            tiles.add_inputs(planes, target[:, g, c], t)

    for g, c in product(group_blocks, in_blocks):
        spectra.weights(kernels, (g, out_blocks[0], c), forward=False)
        spectra.share(partial(compute, g, c), tile_blocks)


def grad_weight(geometry: Any, input: Array, grad_output: Array, result: Array) -> None:
    """Write the gradient of the weight into result: F^-1(sum of conj(F(dY)) . F(X)).

    The sum over images and tiles is taken at each frequency, and transformed back once: each of the
    plan's lanes (their number is not that of the threads) sums its share in order. Of each
    correlation the lags 0 .. taps - 1 are kept, which do not wrap.
    """
    plan = make_plan(geometry, input.dtype, "grad_weight")
    images = by_group(input, plan.groups, geometry.channels_last)
    grads = by_group(grad_output, plan.groups, geometry.channels_last)
    target = result.reshape(plan.groups, -1, *result.shape[1:])
    phases = plan.rows.tap_phases, plan.columns.tap_phases
    group_blocks, out_blocks, in_blocks, tile_blocks = plan.blocks()
    spectra = Spectra(plan, input.dtype, get_num_threads())

    lanes = [tile_blocks[lane :: plan.lanes] for lane in range(plan.lanes)]

    def accumulate(
        g: slice, k: slice, c: slice, sums: list[Array], lane: int, tiles: Tiles, _: Turns
    ) -> None:
        for t in lanes[lane]:
            left = spectra.of_outputs(tiles.load_outputs(grads, t, g, k), conjugate=True)
            left = left.transpose(1, 2, 0, 3)
            right = spectra.of_inputs(tiles.load_inputs(images, t, g, c)).swapaxes(0, 1)
            multiply(left, right, sums[lane], t != lanes[lane][0], spectra.slices)
            del left, right

    for g, k, c in product(group_blocks, out_blocks, in_blocks):
        shape = g.stop - g.start, k.stop - k.start, plan.phases * (c.stop - c.start)
        sums = [spectra.sums(*shape) for _ in lanes]
        spectra.share(partial(accumulate, g, k, c, sums), range(len(lanes)))
        total = sums.pop(0)
        while sums:
            total += sums.pop(0)
        planes = spectra.inverse(np.ascontiguousarray(total), plan.rows.taps)
        planes = planes.reshape(*planes.shape[:2], *phases, -1, *planes.shape[-2:])
        store_weights(plan, planes, target[g, k, c])
        del total, planes
