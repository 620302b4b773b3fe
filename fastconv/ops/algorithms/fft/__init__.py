"""FFT convolution: notes 004, section 6.2.1, eq. 6.13-6.15, over `scipy.fft`.

The transform of a convolution is the product of the transforms (6.13), so a convolution layer (6.14)
is F^-1(F(X) . F(W)) + b (6.15), in O(n log n). What a CNN calls convolution, and what eq. 5.10
computes, is *cross-correlation*: the kernel is not flipped, hence F(X) . conj(F(W)). The gradients
are its partners: dX = F^-1(F(dY) . F(W)) and dW = F^-1(conj(F(dY)) . F(X)). Against the notes' remark
that strides waste the transform, strides and dilations are split into phases (`axis`).

Error. With e the spacing of the dtype at 1, L_h and L_w the lengths of the transforms and norms over
one tile's plane of one channel,

    |error of y[n, k]| <= error_bound * sum over c of ||x[n, c]||_2 ||w[k, c]||_2,

error_bound = e log2(2 L_h L_w); likewise for grad_input with ||dy[n, k]|| ||w[k, c]|| summed over k,
and for grad_weight with ||dy[n, k]|| ||x[n, c]|| summed over images and tiles. It is measured (the
largest found is 0.2 of it), not proved. So an output is accurate relative to the *tile* it lies in,
not to itself: next to a pixel of 1e6, pixels of 1 keep one digit in float32. For the same reason
NaN or infinity anywhere in a tile makes all of its outputs NaN, also those whose window does not
reach it.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from math import log2
from typing import Any

import numpy as np

from fastconv._core.runtime import get_num_threads
from fastconv.ops.algorithms.fft.plan import MAX_SLICES, PASSES, Plan, make_plan, ranges
from fastconv.ops.algorithms.fft.products import (
    Run,
    expand,
    inverse,
    is_elementwise,
    multiply,
    runner,
    transform,
)
from fastconv.ops.algorithms.fft.tiles import Tiles, by_group, load_weights, store_weights
from fastconv.ops.arrays import Array

name = "fft"


def rejects(geometry: Any, dtype: Any) -> str | None:
    """Return why this algorithm cannot do the problem, or None: it does all that have numbers."""
    if np.dtype(dtype) not in (np.float32, np.float64):
        return f"fft computes float32 and float64, not {np.dtype(dtype)}"
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

    An operation of a transform takes about ten times as long as one of a product; `clock` weighs them.
    """
    plan = make_plan(geometry, dtype, pass_)
    return plan.transform_flops() + 8.0 * plan.multiply_adds()


def features(geometry: Any, dtype: Any, which: str) -> list[float]:
    """Return the work that the cost model weighs: the planner's own estimate of a pass."""
    return [make_plan(geometry, dtype, which).clock()]


def error_bound(geometry: Any, dtype: Any) -> tuple[float, str]:
    """Return the factor of the bound in this module's docstring, the largest of the passes."""
    plans = [make_plan(geometry, dtype, pass_) for pass_ in PASSES]
    area = max(plan.rows.length * plan.columns.length for plan in plans)
    return float(np.finfo(dtype).eps) * log2(
        2 * area
    ), "sum over channels ||x||_2 ||w||_2 (of a tile)"


@contextmanager
def _running(threads: int) -> Iterator[Run]:
    """Run slices of products on so many threads; they end with the call, so a fork is safe."""
    if threads <= 1:
        yield runner(None)
        return
    with ThreadPoolExecutor(min(threads, MAX_SLICES)) as pool:
        yield runner(pool)


def _blocks(plan: Plan) -> tuple[list[slice], list[slice], list[slice], list[slice]]:
    """Return the blocks of groups, output channels, input channels and tiles."""
    return (
        list(ranges(plan.groups, plan.group_block)),
        list(ranges(plan.out_channels, plan.out_block)),
        list(ranges(plan.in_channels, plan.in_block)),
        list(ranges(plan.batch * plan.sites, plan.tile_block)),
    )


class _Pass:
    """One pass under way: makes blocks of spectra, with matrices ordered as `multiply` takes them."""

    def __init__(self, plan: Plan, dtype: Any, threads: int, run: Run) -> None:
        self.plan = plan
        self.tiles = Tiles(plan, dtype)
        self.threads = threads
        self.run = run
        self.complex = np.result_type(dtype, np.complex64)
        self._weights: tuple[Any, Array] | None = None

    def empty(self, *shape: int) -> Array:
        """Return spectra to be set by `multiply`."""
        return np.empty((*shape, self.plan.frequencies), self.complex)

    def sums(self, groups: int, rows: int, columns: int) -> Array:
        """Return spectra (G, M, N, F) for `multiply` to add to: in matrix order if it makes any."""
        if is_elementwise(rows, self.plan.tile_block, columns):
            return self.empty(groups, rows, columns)
        shape = self.plan.frequencies, groups, rows, columns
        return np.empty(shape, self.complex).transpose(1, 2, 3, 0)

    def inputs(self, images: Array, tiles: slice, groups: slice, channels: slice) -> Array:
        """Return spectra (T, G, phases and channels, F) of tiles of images (N, G, C, H, W)."""
        planes = self.tiles.load_inputs(images, tiles, groups, channels)
        spectra = transform(planes, self.plan.rows.length, self.threads)
        return spectra.reshape(*spectra.shape[:2], -1, spectra.shape[-1])

    def outputs(
        self, grads: Array, tiles: slice, groups: slice, channels: slice, conjugate: bool = False
    ) -> Array:
        """Return spectra (T, G, K, F) of tiles of grads (N, G, K, H, W)."""
        planes = self.tiles.load_outputs(grads, tiles, groups, channels)
        return transform(planes, self.plan.rows.length, self.threads, conjugate)

    def weights(self, weight: Array, block: tuple[slice, slice, slice], forward: bool) -> Array:
        """Return the right factor (G, R, N, F), expanded if it pays; the last one is remembered."""
        if self._weights is None or self._weights[0] != block:
            self._weights = None
            planes = load_weights(self.plan, weight[block])
            spectra = transform(planes, self.plan.rows.length, self.threads, conjugate=forward)
            del planes
            spectra = spectra.reshape(*spectra.shape[:2], -1, spectra.shape[-1])
            factor = spectra.transpose(0, 2, 1, 3) if forward else spectra
            if not is_elementwise(self.plan.tile_block, *factor.shape[1:3]):
                factor = expand(factor, self.run)
            self._weights = block, factor
        return self._weights[1]

    def inverse(self, spectra: Array, keep: int) -> Array:
        """Return the first `keep` rows of the planes of spectra, which is overwritten."""
        lengths = self.plan.rows.length, self.plan.columns.length
        return inverse(spectra, *lengths, keep, self.threads)


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
    group_blocks, out_blocks, in_blocks, tile_blocks = _blocks(plan)
    threads = get_num_threads()
    with _running(threads) as run:
        job = _Pass(plan, input.dtype, threads, run)
        for g, k, t in product(group_blocks, out_blocks, tile_blocks):
            spectra = job.empty(t.stop - t.start, g.stop - g.start, k.stop - k.start)
            for c in in_blocks:
                right = job.weights(kernels, (g, k, c), forward=True)
                left = job.inputs(images, t, g, c).swapaxes(0, 1)
                multiply(left, right, spectra.swapaxes(0, 1), c.start > 0, run)
            del left
            planes = job.inverse(spectra, plan.rows.tile)
            del spectra
            block_bias = None if offsets is None else offsets[g, k]
            job.tiles.store_outputs(planes, target[:, g, k], t, block_bias, relu)
            del planes


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
    group_blocks, out_blocks, in_blocks, tile_blocks = _blocks(plan)
    target[...] = 0
    threads = get_num_threads()
    with _running(threads) as run:
        job = _Pass(plan, weight.dtype, threads, run)
        for g, c, t in product(group_blocks, in_blocks, tile_blocks):
            channels = plan.phases * (c.stop - c.start)
            spectra = job.empty(t.stop - t.start, g.stop - g.start, channels)
            for k in out_blocks:
                right = job.weights(kernels, (g, k, c), forward=False)
                left = job.outputs(grads, t, g, k).swapaxes(0, 1)
                multiply(left, right, spectra.swapaxes(0, 1), k.start > 0, run)
            del left
            planes = job.inverse(spectra, plan.rows.reach)
            del spectra
            planes = planes.reshape(*planes.shape[:2], *phases, -1, *planes.shape[-2:])
            job.tiles.add_inputs(planes, target[:, g, c], t)
            del planes


def grad_weight(geometry: Any, input: Array, grad_output: Array, result: Array) -> None:
    """Write the gradient of the weight into result: F^-1(sum of conj(F(dY)) . F(X)).

    The sum over images and tiles is taken at each frequency, in one fixed order, and transformed
    back once. Of each correlation the lags 0 .. taps - 1 are kept, which do not wrap.
    """
    plan = make_plan(geometry, input.dtype, "grad_weight")
    images = by_group(input, plan.groups, geometry.channels_last)
    grads = by_group(grad_output, plan.groups, geometry.channels_last)
    target = result.reshape(plan.groups, -1, *result.shape[1:])
    phases = plan.rows.tap_phases, plan.columns.tap_phases
    group_blocks, out_blocks, in_blocks, tile_blocks = _blocks(plan)
    threads = get_num_threads()
    with _running(threads) as run:
        job = _Pass(plan, input.dtype, threads, run)
        for g, k, c in product(group_blocks, out_blocks, in_blocks):
            channels = plan.phases * (c.stop - c.start)
            spectra = job.sums(g.stop - g.start, k.stop - k.start, channels)
            for t in tile_blocks:
                left = job.outputs(grads, t, g, k, conjugate=True).transpose(1, 2, 0, 3)
                right = job.inputs(images, t, g, c).swapaxes(0, 1)
                multiply(left, right, spectra, t.start > 0, run)
                del left, right
            planes = job.inverse(np.ascontiguousarray(spectra), plan.rows.taps)
            del spectra
            planes = planes.reshape(*planes.shape[:2], *phases, -1, *planes.shape[-2:])
            store_weights(plan, planes, target[g, k, c])
            del planes
