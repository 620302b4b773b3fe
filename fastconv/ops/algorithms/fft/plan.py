"""How an FFT convolution is cut: images into tiles, and work into blocks whose scratch is bounded.

One clock prices every way of cutting, and the cheapest that fits in memory is kept. The three passes
need the same transforms and the same products; they differ in what is transformed again when the
spectra of the weights do not fit in one block.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import ceil, log2
from typing import Any

import numpy as np

from fastconv.ops.algorithms.fft.axis import Axis, split_axis

MEGABYTE = 1 << 20
SCRATCH_LIMIT = 64 * MEGABYTE  # exceeded only where one tile of one channel needs more
WEIGHT_BYTES = 12 * MEGABYTE  # spectra of the weights that are kept while the tiles go by
TILE_BYTES = 4 * MEGABYTE  # spectra of the tiles transformed together: 1 to 8 are alike
SLICE_BYTES = MEGABYTE // 2  # scratch of one matrix product
MAX_SLICES = 16  # matrix products under way at once
MIN_ROWS = 16  # tiles that share one matrix product, where memory allows

# The planner's clock, fitted to 800 plans timed on one core: in units of one real operation of a
# float32 transform, 0.1 ns. The plan it picks took 2 % longer than the best of 15, in the mean.
_COPY = 10.0  # per element of a plane: filling a tile, transposing its spectrum, storing it
_ROW = 100.0  # per row of a plane
_MULTIPLY_ADD = 2.0  # per complex multiply-add inside a matrix product
_MATRIX = 500.0  # per call of a matrix product
_SITE = 40_000.0  # per tile and phase: the Python that finds its place

PASSES = ("forward", "grad_input", "grad_weight")


def ranges(count: int, step: int) -> Iterator[slice]:
    """Cut range(count) into slices of at most `step`.

    Examples
    --------
    >>> list(ranges(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, count, step):
        yield slice(start, min(count, start + step))


@dataclass(frozen=True, slots=True)
class Plan:
    """One way of cutting one pass. Channels and blocks of channels are counted per group.

    A tile is one image at one output phase and position; `tile_block` of them, `group_block` groups,
    `out_block` output and `in_block` input channels are in memory at once.
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
        spectrum, its real form), and a matrix product copies slices of its operands.
        """
        inputs, weights, outputs = self.block_planes()
        total = (inputs + weights + outputs) * self.plane_bytes
        one = ceil(total / self.frequencies) * 3
        return 3 * total + min(3 * total, MAX_SLICES * max(one, SLICE_BYTES)) + MEGABYTE // 4

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
        shrink("group", tile, TILE_BYTES // min(tiles, MIN_ROWS))
        for name in ("in", "out") if self.pass_ == "grad_input" else ("out", "in"):
            shrink(name, weights, WEIGHT_BYTES)
        for name in ("in", "out") if self.pass_ == "grad_input" else ("out", "in"):
            shrink(name, tile, 2 * TILE_BYTES)
        block = max(1, min(tiles, TILE_BYTES // (tile() * self.plane_bytes)))
        block = ceil(tiles / ceil(tiles / block))
        return replace(
            self,
            group_block=size["group"],
            out_block=size["out"],
            in_block=size["in"],
            tile_block=block,
        )


@lru_cache(maxsize=1024)
def _cheapest(
    pass_: str, itemsize: int, counts: tuple[int, ...], rows: Axis, columns: Axis
) -> Plan:
    plans = [
        Plan(pass_, itemsize, *counts, rows=row, columns=column).blocked()
        for row, column in product(rows.tilings(), columns.tilings())
    ]
    fitting = [plan for plan in plans if plan.workspace() <= SCRATCH_LIMIT]
    return min(fitting, key=Plan.clock) if fitting else min(plans, key=Plan.workspace)


def make_plan(geometry: Any, dtype: Any, pass_: str) -> Plan:
    """Return the cheapest plan of one pass ("forward", "grad_input" or "grad_weight").

    Cached: the search takes about a millisecond.
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
