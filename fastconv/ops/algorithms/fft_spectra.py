"""Blocks of spectra: from arrays, by tiles and transforms, to factors of `multiply`, and back."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastconv.ops.algorithms.fft_plan import MAX_SLICES, Plan
from fastconv.ops.algorithms.fft_products import (
    Run,
    expand,
    inverse,
    is_elementwise,
    runner,
    transform,
)
from fastconv.ops.algorithms.fft_tiles import Tiles, load_weights
from fastconv.ops.arrays import Array


@contextmanager
def running(threads: int) -> Iterator[Run]:
    """Run slices of products on so many threads; they end with the call, so a fork is safe."""
    if threads <= 1:
        yield runner(None)
        return
    with ThreadPoolExecutor(min(threads, MAX_SLICES)) as pool:
        yield runner(pool)


class Spectra:
    """Makes the blocks of spectra of one pass, and remembers the last of the weights."""

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
