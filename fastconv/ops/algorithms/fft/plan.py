"""How an FFT convolution is cut: images into tiles, and work into blocks whose scratch is bounded.

One clock prices every way of cutting; the cheapest that fits in memory is kept. The three passes
differ in what is transformed again when the spectra of the weights do not fit in one block.
"""

import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import ceil, log2
from typing import Any

import numpy as np

from fastconv.ops.algorithms.fft.axis import Axis, split_axis
from fastconv.ops.algorithms.fft.threads import ranges

MEGABYTE = 1 << 20
SCRATCH_LIMIT = 64 * MEGABYTE  # exceeded only where one tile of one channel needs more
WEIGHT_BYTES = 8 * MEGABYTE  # spectra of the weights that are kept while the tiles go by
TILE_BYTES = 2 * MEGABYTE  # spectra of the tiles transformed together
LEAST_BYTES = MEGABYTE // 2  # blocks of tiles get as small as this to occupy more lanes
MAX_LANES = 4  # blocks of tiles under way at once
SLICE_BYTES = 2 * MEGABYTE  # scratch of one slice of products: with less, threads wait for the GIL
MAX_SLICES = 4  # slices under way at once
MIN_TILES = 16  # tiles that share one matrix product, where memory allows

# The planner's clock, fitted to 800 plans timed on one core: in units of one real operation of a
# float32 transform, 0.1 ns. The plan it picks took 2 % longer than the best of 15, in the mean.
_COPY = 10.0  # per element of a plane: filling a tile, transposing its spectrum, storing it
_ROW = 100.0  # per row of a plane
_MULTIPLY_ADD = 2.0  # per complex multiply-add inside a matrix product
_MATRIX = 500.0  # per call of a matrix product
_SITE = 40_000.0  # per tile and phase: the Python that finds its place

_SHORTLIST = 24  # ways of cutting that are looked at closely

Counts = tuple[int, int, int, int]  # batch, groups, and a group's output and input channels
PASSES = ("forward", "grad_input", "grad_weight")


@dataclass(frozen=True, slots=True)
class Plan:
    """One way of cutting one pass. Channels and blocks of channels are counted per group.

    A tile is one image at one output phase and position. `tile_block` of them, `group_block`
    groups, `out_block` output and `in_block` input channels are in memory at once.
    """

    pass_: str
    itemsize: int
    batch: int
    groups: int
    out_channels: int
    in_channels: int
    rows: Axis
    columns: Axis
    group_block: int = 1
    out_block: int = 1
    in_block: int = 1
    tile_block: int = 1

    @property
    def phases(self) -> int:
        """Tap phases of the two axes: each is one more input channel."""
        return self.rows.tap_phases * self.columns.tap_phases

    @property
    def sites(self) -> int:
        """Tiles and output phases of one image."""
        rows, columns = self.rows, self.columns
        return rows.out_phases * rows.tiles * columns.out_phases * columns.tiles

    @property
    def frequencies(self) -> int:
        """Complex numbers that hold the transform of one real plane."""
        return self.rows.length * (self.columns.length // 2 + 1)

    @property
    def plane_bytes(self) -> int:
        """Bytes of one plane's spectrum."""
        return 2 * self.itemsize * self.frequencies

    def planes(self) -> tuple[int, int, int]:
        """Transforms of (input, weight, output) planes in the whole pass, repetitions included."""
        tiles = self.batch * self.sites
        inputs = tiles * self.groups * self.in_channels * self.phases
        weights = self.groups * self.out_channels * self.in_channels * self.phases
        outputs = tiles * self.groups * self.out_channels
        in_blocks = ceil(self.in_channels / self.in_block)
        out_blocks = ceil(self.out_channels / self.out_block)
        tile_blocks = ceil(tiles / self.tile_block)
        if self.pass_ == "forward":
            return inputs * out_blocks, weights * (tile_blocks if in_blocks > 1 else 1), outputs
        if self.pass_ == "grad_input":
            return inputs, weights * (tile_blocks if out_blocks > 1 else 1), outputs * in_blocks
        return inputs * out_blocks, weights, outputs * in_blocks

    def transform_flops(self) -> float:
        """Real operations of all transforms: 5/2 n log2 n for n real numbers."""
        area = self.rows.length * self.columns.length
        return sum(self.planes()) * 2.5 * area * log2(area)

    def multiply_adds(self) -> float:
        """Complex multiply-adds of all products."""
        tiles = self.batch * self.sites
        pairs = self.groups * self.out_channels * self.in_channels * self.phases
        return float(tiles) * pairs * self.frequencies

    def clock(self) -> float:
        """Return the estimated time of the pass, in operations of a transform."""
        area = self.rows.length * self.columns.length
        tile_blocks = ceil(self.batch * self.sites / self.tile_block)
        matrices = self.frequencies * self.groups * tile_blocks
        return (
            self.transform_flops()
            + sum(self.planes()) * (area * _COPY + self.rows.length * _ROW)
            + self.multiply_adds() * _MULTIPLY_ADD
            + matrices * _MATRIX
            + self.sites * (1 + self.phases) * _SITE
        )

    def block_planes(self) -> tuple[int, int, int]:
        """Planes of (input, weight, output) that are in memory at once."""
        inputs = self.group_block * self.in_block * self.phases
        outputs = self.group_block * self.out_block
        return self.tile_block * inputs, inputs * self.out_block, self.tile_block * outputs

    def workspace(self) -> int:
        """Return a bound of the scratch bytes at peak, for any number of threads.

        Each block of planes is held at most three times (samples, half and full transform; or
        spectrum, its real form), sums of weight gradients once per lane and twice when transformed
        back, and a matrix product copies slices of its operands.
        """
        inputs, weights, outputs = self.block_planes()
        tiles = self.lanes * (inputs + outputs)
        held = self.lanes + 2 if self.pass_ == "grad_weight" else 3
        copied = weights + tiles
        one = ceil(copied * self.plane_bytes / self.frequencies) * 3
        slices = min(3 * copied * self.plane_bytes, MAX_SLICES * max(one, SLICE_BYTES))
        return (held * weights + 3 * tiles) * self.plane_bytes + slices + MEGABYTE // 4

    @property
    def lanes(self) -> int:
        """Blocks of tiles that may be under way at once; of `grad_weight`, sums that are kept."""
        inputs, weights, outputs = self.block_planes()
        blocks = ceil(self.batch * self.sites / self.tile_block)
        room = MAX_LANES * TILE_BYTES // ((inputs + outputs) * self.plane_bytes)
        if self.pass_ == "grad_weight":
            room = min(room, 2 * WEIGHT_BYTES // (weights * self.plane_bytes))
        elif self.pass_ == "forward" and self.in_block < self.in_channels:
            room = 1  # each block of tiles needs all blocks of the weights in turn
        elif self.pass_ == "grad_input" and self.out_block < self.out_channels:
            room = 1
        return max(1, min(MAX_LANES, room, blocks))

    def blocks(self) -> tuple[list[slice], list[slice], list[slice], list[slice]]:
        """Return the blocks of groups, output channels, input channels and tiles."""
        return (
            list(ranges(self.groups, self.group_block)),
            list(ranges(self.out_channels, self.out_block)),
            list(ranges(self.in_channels, self.in_block)),
            list(ranges(self.batch * self.sites, self.tile_block)),
        )

    def blocked(self) -> "Plan":
        """Return this plan with the largest blocks that keep within the byte limits above."""
        size = {"group": self.groups, "out": self.out_channels, "in": self.in_channels}

        def shrink(name: str, planes: Any, limit: int) -> None:
            while size[name] > 1 and planes() * self.plane_bytes > limit:
                size[name] = ceil(size[name] / 2)

        def weights() -> int:
            return size["group"] * size["out"] * size["in"] * self.phases

        def tile() -> int:
            return size["group"] * (size["out"] + size["in"] * self.phases)

        tiles = self.batch * self.sites
        shrink("group", weights, WEIGHT_BYTES)
        shrink("group", tile, TILE_BYTES // min(tiles, MIN_TILES))
        for name in ("in", "out") if self.pass_ == "grad_input" else ("out", "in"):
            shrink(name, weights, WEIGHT_BYTES)
        for name in ("in", "out") if self.pass_ == "grad_input" else ("out", "in"):
            shrink(name, tile, 2 * TILE_BYTES)
        tile_bytes = tile() * self.plane_bytes
        few = size["out"] * size["in"] * self.phases < MIN_TILES  # for a matrix product
        least = max(ceil(tiles / MAX_LANES), 1 if few else MIN_TILES, LEAST_BYTES // tile_bytes)
        block = max(1, min(tiles, least, TILE_BYTES // tile_bytes))
        block = ceil(tiles / ceil(tiles / block))
        return replace(
            self,
            group_block=size["group"],
            out_block=size["out"],
            in_block=size["in"],
            tile_block=block,
        )


@lru_cache(maxsize=1024)
def _shortlist(itemsize: int, counts: Counts, rows: Axis, columns: Axis) -> list[Plan]:
    """Return the plans that would be cheapest if they were done in one block, as if they could.

    If any plan fits in memory one channel and one tile at a time, only such plans are listed;
    otherwise those of at most twice the smallest size.
    """
    _, groups, out_channels, in_channels = counts
    pairs = product(rows.tilings(), columns.tilings())
    plans = [Plan("forward", itemsize, *counts, *pair) for pair in pairs]
    limit = max(SCRATCH_LIMIT, 2 * min(plan.workspace() for plan in plans))
    fitting = [plan for plan in plans if plan.workspace() <= limit]

    def clock(plan: Plan) -> float:
        blocks: Any = {"group_block": groups, "out_block": out_channels, "in_block": in_channels}
        return replace(plan, tile_block=sys.maxsize, **blocks).clock()

    return sorted(fitting, key=clock)[:_SHORTLIST]


@lru_cache(maxsize=1024)
def _cheapest(pass_: str, itemsize: int, counts: Counts, rows: Axis, columns: Axis) -> Plan:
    shortlist = _shortlist(itemsize, counts, rows, columns)
    plans = [replace(plan, pass_=pass_).blocked() for plan in shortlist]
    limit = max(SCRATCH_LIMIT, 2 * min(plan.workspace() for plan in plans))
    return min((plan for plan in plans if plan.workspace() <= limit), key=Plan.clock)


def make_plan(geometry: Any, dtype: Any, pass_: str) -> Plan:
    """Return the cheapest plan of one pass ("forward", "grad_input" or "grad_weight").

    Cached: the search takes a few milliseconds.
    """
    (top, _), (left, _) = geometry.padding
    rows = split_axis(
        *(geometry.in_height, geometry.out_height, geometry.kernel_height),
        *(geometry.stride[0], geometry.dilation[0], top),
    )
    columns = split_axis(
        *(geometry.in_width, geometry.out_width, geometry.kernel_width),
        *(geometry.stride[1], geometry.dilation[1], left),
    )
    groups = geometry.groups
    counts = (
        *(geometry.batch, groups),
        *(geometry.out_channels // groups, geometry.in_channels // groups),
    )
    return _cheapest(pass_, np.dtype(dtype).itemsize, counts, rows, columns)
