"""One spatial axis of an FFT convolution: strides and dilations as phases, outputs as tiles.

With g = gcd(stride, dilation), s' = stride/g and d' = dilation/g, write a tap as r = s' t + p and
an output as o = d' a + b. The input they meet lies at

    o stride + r dilation - pad = lcm(stride, dilation) (a + t) + b stride + p dilation - pad,

so any stride and dilation is a *dense* correlation over (a, t) of every lcm-th input: the s' tap
phases p become input channels, the d' output phases b become images, and no product is thrown away.
By the Chinese remainder theorem each input belongs to at most one pair (p, b).

The dense outputs are cut into tiles of T, each met by T + taps - 1 inputs and computed by
transforms of a length L >= T + taps - 1 (overlap-save and overlap-add: Oppenheim and Schafer,
Discrete-Time Signal Processing, section 8.7).
"""

from dataclasses import dataclass, replace
from math import ceil, gcd

from scipy.fft import next_fast_len


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis; what a phase is stands above.

    Examples
    --------
    >>> axis = split_axis(size=12, out=5, kernel=3, stride=2, dilation=1, before=0).tiled(2)
    >>> axis.tap_phases, axis.taps, axis.tile, axis.length, axis.tiles
    (2, 2, 3, 4, 2)
    >>> axis.input_slices(out_phase=0, tap_phase=1, tile=0)
    (slice(1, 8, 2), slice(0, 4, None))
    """

    size: int
    out: int
    kernel: int
    stride: int
    dilation: int
    before: int
    tap_step: int = 1  # s': distance of neighbouring taps of one phase
    out_step: int = 1  # d': distance of neighbouring outputs of one phase
    tile: int = 0  # T: outputs of one tile
    length: int = 0  # L: samples of one transform

    @property
    def tap_phases(self) -> int:
        """Number of tap phases that hold a tap."""
        return min(self.tap_step, self.kernel)

    @property
    def out_phases(self) -> int:
        """Number of output phases that hold an output."""
        return min(self.out_step, self.out)

    @property
    def taps(self) -> int:
        """Taps of the longest phase."""
        return ceil(self.kernel / self.tap_step)

    @property
    def outs(self) -> int:
        """Outputs of the longest phase."""
        return ceil(self.out / self.out_step)

    @property
    def reach(self) -> int:
        """Inputs that one tile of outputs meets."""
        return self.tile + self.taps - 1

    @property
    def tiles(self) -> int:
        """Tiles of the longest phase."""
        return ceil(self.outs / self.tile)

    def tiled(self, tiles: int) -> "Axis":
        """Return this axis cut into at most so many tiles, of a length that transforms fast."""
        length = next_fast_len(ceil(self.outs / tiles) + self.taps - 1, real=True)
        tile = min(self.outs, length - self.taps + 1)
        return replace(self, tile=tile, length=length)

    def tilings(self) -> list["Axis"]:
        """Return this axis cut into 1, 2, 3, ... tiles, from 8 on by steps of a fifth."""
        found: dict[int, Axis] = {}
        tiles = 1
        while tiles <= self.outs:
            axis = self.tiled(tiles)
            found.setdefault(axis.length, axis)
            tiles += 1 + tiles // 8
        return list(found.values())

    def input_slices(self, out_phase: int, tap_phase: int, tile: int) -> tuple[slice, slice]:
        """Where a tile's inputs lie in the image, and where the image's part lies in the tile."""
        step = self.stride * self.out_step
        origin = step * self.tile * tile + self.stride * out_phase
        origin += self.dilation * tap_phase - self.before
        first = max(0, -(origin // step))
        stop = min(self.reach, -((origin - self.size) // step))
        if stop <= first:
            return slice(0, 0), slice(0, 0)
        return slice(origin + step * first, origin + step * (stop - 1) + 1, step), slice(
            first, stop
        )

    def output_slice(self, out_phase: int, tile: int) -> tuple[slice, slice]:
        """Where a tile's outputs lie in the plane, and which of the tile's outputs exist."""
        start = out_phase + self.out_step * self.tile * tile
        count = max(0, min(self.tile, ceil((self.out - start) / self.out_step)))
        return slice(start, start + self.out_step * count, self.out_step), slice(0, count)

    def tap_slices(self, tap_phase: int) -> tuple[slice, slice]:
        """Where a phase's taps lie in the kernel, and which of the taps they are."""
        count = ceil((self.kernel - tap_phase) / self.tap_step)
        return slice(tap_phase, self.kernel, self.tap_step), slice(0, count)


def split_axis(size: int, out: int, kernel: int, stride: int, dilation: int, before: int) -> Axis:
    """Return the axis in phases; a stride or dilation that moves nothing follows the other.

    Examples
    --------
    >>> axis = split_axis(size=50, out=12, kernel=5, stride=4, dilation=6, before=0)
    >>> axis.tap_step, axis.out_step
    (2, 3)
    """
    if kernel == 1:
        dilation = stride
    elif out == 1:
        stride = dilation
    common = gcd(stride, dilation)
    return Axis(size, out, kernel, stride, dilation, before, stride // common, dilation // common)
