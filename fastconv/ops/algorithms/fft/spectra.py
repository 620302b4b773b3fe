"""Blocks of spectra: from arrays, by tiles and transforms, to factors of `multiply`, and back."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from fastconv.ops.algorithms.fft.plan import MAX_SLICES, Plan
from fastconv.ops.algorithms.fft.products import expand, inverse, is_elementwise, transform
from fastconv.ops.algorithms.fft.threads import Turns, share
from fastconv.ops.algorithms.fft.tiles import Tiles, load_weights
from fastconv.ops.arrays import Array

Item = TypeVar("Item")

_TOO_SHORT = 5e6  # half a millisecond by the planner's clock: not worth waking a thread


class Spectra:
    """Makes the blocks of spectra of one pass, and remembers the last of the weights.

    Blocks of tiles run side by side in as many lanes as the plan has memory for; threads beyond
    that share the transforms and products of a block.
    """

    def __init__(self, plan: Plan, dtype: Any, threads: int) -> None:
        self.plan = plan
        self.dtype = dtype
        self.all_threads = 1 if plan.clock() < _TOO_SHORT else threads
        self.lanes = min(self.all_threads, plan.lanes)
        self.threads = self.all_threads // self.lanes
        self.slices = max(1, min(self.threads, MAX_SLICES // self.lanes))
        self.complex = np.result_type(dtype, np.complex64)
        self._idle: list[Tiles] = []
        self._weights: tuple[Any, Array] | None = None

    def share(self, job: Callable[[Item, Tiles, Turns], None], items: Sequence[Item]) -> None:
        """Call job with each item, what moves tiles, and the order for what needs one."""
        turns = Turns()

        def work(item: Item) -> None:
            try:
                tiles = self._idle.pop()
            except IndexError:
                tiles = Tiles(self.plan, self.dtype)
            job(item, tiles, turns)
            self._idle.append(tiles)

        share(work, items, self.lanes, turns.fail)

    def empty(self, *shape: int) -> Array:
        """Return spectra to be set by `multiply`."""
        return np.empty((*shape, self.plan.frequencies), self.complex)

    def sums(self, groups: int, rows: int, columns: int) -> Array:
        """Return spectra (G, M, N, F) for `multiply` to add to: in matrix order if it makes any."""
        if is_elementwise(rows, self.plan.tile_block, columns):
            return self.empty(groups, rows, columns)
        shape = self.plan.frequencies, groups, rows, columns
        return np.empty(shape, self.complex).transpose(1, 2, 3, 0)

    def of_inputs(self, planes: Array) -> Array:
        """Return spectra (T, G, phases and channels, F) of planes (T, G, p, q, C, H, W)."""
        spectra = transform(planes, self.plan.rows.length, self.threads)
        return spectra.reshape(*spectra.shape[:2], -1, spectra.shape[-1])

    def of_outputs(self, planes: Array, conjugate: bool = False) -> Array:
        """Return spectra (T, G, K, F) of planes (T, G, K, H, W)."""
        return transform(planes, self.plan.rows.length, self.threads, conjugate)

    def weights(self, weight: Array, block: tuple[slice, slice, slice], forward: bool) -> Array:
        """Return the right factor (G, R, N, F), expanded if it pays; the last one is remembered."""
        if self._weights is None or self._weights[0] != block:
            self._weights = None
            planes = load_weights(self.plan, weight[block])
            spectra = transform(planes, self.plan.rows.length, self.all_threads, forward)
            del planes
            spectra = spectra.reshape(*spectra.shape[:2], -1, spectra.shape[-1])
            factor = spectra.transpose(0, 2, 1, 3) if forward else spectra
            if not is_elementwise(self.plan.tile_block, *factor.shape[1:3]):
                factor = expand(factor, min(self.all_threads, MAX_SLICES))
            self._weights = block, factor
        return self._weights[1]

    def inverse(self, spectra: Array, keep: int) -> Array:
        """Return the first `keep` rows of the planes of spectra, which is overwritten."""
        lengths = self.plan.rows.length, self.plan.columns.length
        return inverse(spectra, *lengths, keep, self.threads)
