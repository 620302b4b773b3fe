"""Between arrays and tiles: filling the planes that are transformed, storing those that come back.

Planes stand as (tiles, groups, row phases, column phases, channels, rows, columns). A tile is one
image at one `Site`; the images of a site are neighbours.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from fastconv.ops.algorithms.fft.plan import Plan
from fastconv.ops.arrays import Array


class Site(NamedTuple):
    """An output phase and a tile, along rows and columns."""

    row_phase: int
    column_phase: int
    row_tile: int
    column_tile: int


def by_group(planes: Array, groups: int, channels_last: bool) -> Array:
    """View NCHW or NHWC as (N, groups, channels of a group, H, W)."""
    if channels_last:
        shape = *planes.shape[:3], groups, planes.shape[3] // groups
        return planes.reshape(shape).transpose(0, 3, 4, 1, 2)
    return planes.reshape(planes.shape[0], groups, -1, *planes.shape[2:])


class Tiles:
    """Moves tiles of one problem in blocks; keeps the buffers it fills from block to block."""

    def __init__(self, plan: Plan, dtype: Any) -> None:
        self.plan = plan
        self.dtype = dtype
        self.buffers: dict[str, Array] = {}
        rows, columns = plan.rows, plan.columns
        self.sites = [
            Site(*site)
            for site in product(
                range(rows.out_phases),
                range(columns.out_phases),
                range(rows.tiles),
                range(columns.tiles),
            )
        ]

    def _segments(self, block: slice) -> Iterator[tuple[Site, slice, slice]]:
        """Cut a block of tiles into (site, its part of the block, its images)."""
        batch = self.plan.batch
        tile = block.start
        while tile < block.stop:
            site, image = divmod(tile, batch)
            count = min(batch - image, block.stop - tile)
            place = tile - block.start
            yield self.sites[site], slice(place, place + count), slice(image, image + count)
            tile += count

    def _inputs(self, site: Site) -> Iterator[tuple[int, int, tuple[slice, slice], Any]]:
        """For each tap phase: it, where its inputs lie in the image, and where in the tile."""
        rows, columns = self.plan.rows, self.plan.columns
        for p, q in product(range(rows.tap_phases), range(columns.tap_phases)):
            row, in_row = rows.input_slices(site.row_phase, p, site.row_tile)
            column, in_column = columns.input_slices(site.column_phase, q, site.column_tile)
            yield p, q, (row, column), (in_row, in_column)

    def _outputs(self, site: Site) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where a site's outputs lie in the plane, and where in the tile."""
        row, in_row = self.plan.rows.output_slice(site.row_phase, site.row_tile)
        column, in_column = self.plan.columns.output_slice(site.column_phase, site.column_tile)
        return (row, column), (in_row, in_column)

    def _buffer(self, role: str, *shape: int) -> Array:
        """Return planes to fill: zeros at first, later with what the last block left in them."""
        if role not in self.buffers:
            self.buffers[role] = np.zeros(shape, self.dtype)
        return self.buffers[role]

    def load_inputs(self, images: Array, block: slice, groups: slice, channels: slice) -> Array:
        """Return a block of tiles of the input, phase by phase: (T, G, p, q, C, reach, length)."""
        plan = self.plan
        rows, columns = plan.rows, plan.columns
        phases = rows.tap_phases, columns.tap_phases
        blocks = plan.tile_block, plan.group_block, *phases, plan.in_block
        planes = self._buffer("input", *blocks, rows.reach, columns.length)
        source = images[:, groups, channels]
        planes = planes[: block.stop - block.start, : source.shape[1], ..., : source.shape[2], :, :]
        for site, place, chosen in self._segments(block):
            for p, q, place_in_image, place_in_tile in self._inputs(site):
                tile = planes[place, :, p, q, :, :, : columns.reach]
                _fill(tile, place_in_tile, source[chosen][..., *place_in_image])
        return planes

    def load_outputs(self, grads: Array, block: slice, groups: slice, channels: slice) -> Array:
        """Return a block of tiles of the output's gradient: (T, G, K, tile, length)."""
        plan = self.plan
        rows, columns = plan.rows, plan.columns
        blocks = plan.tile_block, plan.group_block, plan.out_block
        planes = self._buffer("output", *blocks, rows.tile, columns.length)
        source = grads[:, groups, channels]
        planes = planes[: block.stop - block.start, : source.shape[1], : source.shape[2]]
        for site, place, chosen in self._segments(block):
            place_in_plane, place_in_tile = self._outputs(site)
            tile = planes[place, ..., : columns.tile]
            _fill(tile, place_in_tile, source[chosen][..., *place_in_plane])
        return planes

    def store_outputs(
        self, planes: Array, output: Array, block: slice, bias: Array | None, relu: bool
    ) -> None:
        """Store a block's tiles (T, G, K, rows, columns) in output (N, G, K, H, W)."""
        for site, place, chosen in self._segments(block):
            place_in_plane, place_in_tile = self._outputs(site)
            target = output[chosen][..., *place_in_plane]
            tile = planes[place][..., *place_in_tile]
            if bias is None:
                target[...] = tile
            else:
                np.add(tile, bias[..., None, None], out=target)
            if relu:
                np.maximum(target, 0, out=target)

    def add_inputs(self, planes: Array, grad_input: Array, block: slice) -> None:
        """Add a block's tiles (T, G, p, q, C, rows, columns) to grad_input (N, G, C, H, W)."""
        overlap = self.plan.rows.tiles > 1 or self.plan.columns.tiles > 1
        for site, place, chosen in self._segments(block):
            for p, q, place_in_image, place_in_tile in self._inputs(site):
                target = grad_input[chosen][..., *place_in_image]
                part = planes[place, :, p, q][..., *place_in_tile]
                if overlap:
                    target += part
                else:
                    target[...] = part


def _fill(tile: Array, place: tuple[slice, slice], part: Array) -> None:
    """Set the tile to `part` at `place` and to zero elsewhere."""
    if tile.shape != part.shape:
        tile[...] = 0
    tile[..., *place] = part


def load_weights(plan: Plan, weight: Array) -> Array:
    """Return the taps of weight (G, K, C, R, S), phase by phase: (G, K, p, q, C, taps, length)."""
    rows, columns = plan.rows, plan.columns
    groups, outs, ins = weight.shape[:3]
    phases = rows.tap_phases, columns.tap_phases
    planes = np.zeros((groups, outs, *phases, ins, rows.taps, columns.length), weight.dtype)
    for p, q in product(range(phases[0]), range(phases[1])):
        row, in_row = rows.tap_slices(p)
        column, in_column = columns.tap_slices(q)
        planes[:, :, p, q, :, in_row, in_column] = weight[..., row, column]
    return planes


def store_weights(plan: Plan, planes: Array, weight: Array) -> None:
    """Store planes (G, K, p, q, C, rows, columns) in weight (G, K, C, R, S)."""
    rows, columns = plan.rows, plan.columns
    for p, q in product(range(rows.tap_phases), range(columns.tap_phases)):
        row, in_row = rows.tap_slices(p)
        column, in_column = columns.tap_slices(q)
        weight[..., row, column] = planes[:, :, p, q, :, in_row, in_column]
