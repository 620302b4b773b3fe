"""Odd convolutions: the table that every algorithm, dtype and layout is held against."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv.ops.algorithms.select import ALGORITHMS, load
from fastconv.ops.geometry import Conv2dGeometry, conv2d_geometry


@dataclass(frozen=True)
class Case:
    """Arguments of one convolution."""

    input: tuple[int, int, int, int]
    weight: tuple[int, int, int, int]
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of conv2d."""
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    def geometry(self, layout: str = "NCHW") -> Conv2dGeometry:
        """What `conv2d` makes of the arguments."""
        batch, channels, height, width = self.input
        shape = self.input if layout == "NCHW" else (batch, height, width, channels)
        options = (self.stride, self.padding, self.dilation, self.groups)
        return conv2d_geometry(shape, self.weight, *options, layout)

    def arrays(self, dtype: Any, seed: int = 0) -> tuple[Any, Any, Any]:
        """Small integers, so that every sum is exact in float32."""
        generator = np.random.default_rng(seed)
        draw = lambda shape: generator.integers(-4, 5, shape).astype(dtype)  # noqa: E731
        return draw(self.input), draw(self.weight), draw(self.weight[0])


CASES = {
    "one pixel": Case((1, 1, 1, 1), (1, 1, 1, 1)),
    "one product a pixel": Case((2, 1, 5, 7), (3, 1, 1, 1)),
    "lenet first": Case((2, 1, 28, 28), (6, 1, 5, 5), padding=2),
    "lenet second": Case((2, 6, 14, 14), (16, 6, 5, 5)),
    "lenet's twenty": Case((3, 1, 28, 28), (20, 1, 5, 5)),
    "lenet's fifty": Case((3, 20, 12, 12), (50, 20, 5, 5)),
    "odd everything": Case((2, 3, 11, 13), (5, 3, 3, 2), (2, 3), ((1, 0), (2, 3)), (2, 1)),
    "even kernel same": Case((1, 2, 6, 9), (3, 2, 4, 2), padding="same"),
    "stride beyond kernel": Case((1, 2, 13, 17), (2, 2, 2, 2), stride=5),
    "stride three of one": Case((1, 4, 9, 9), (3, 4, 1, 1), stride=3),
    "dilation beyond image": Case((1, 1, 5, 5), (2, 1, 2, 2), padding=3, dilation=6),
    "dilated and strided": Case((1, 3, 19, 16), (4, 3, 3, 3), (2, 4), 3, (3, 2)),
    "depthwise": Case((2, 7, 9, 8), (7, 1, 3, 3), padding=1, groups=7),
    "depthwise times two": Case((1, 4, 7, 7), (8, 1, 3, 3), 2, 1, groups=4),
    "depthwise wide": Case((1, 3, 11, 75), (3, 1, 3, 3), padding=1, groups=3),
    "depthwise wide strided": Case((1, 2, 13, 83), (2, 1, 3, 3), 2, 1, groups=2),
    "depthwise five": Case((2, 18, 14, 14), (18, 1, 5, 5), padding=2, groups=18),
    "depthwise five strided": Case((1, 16, 15, 18), (16, 1, 5, 5), 2, 2, groups=16),
    "depthwise times three": Case((1, 6, 8, 9), (18, 1, 3, 3), padding=1, groups=6),
    "depthwise times twenty": Case((1, 2, 6, 7), (40, 1, 3, 2), padding=1, groups=2),
    "depthwise one by one": Case((2, 33, 4, 5), (33, 1, 1, 1), groups=33),
    "depthwise one by one strided": Case((2, 5, 9, 8), (5, 1, 1, 1), 2, groups=5),
    "depthwise even": Case((1, 5, 9, 8), (5, 1, 2, 4), padding=((0, 1), (2, 1)), groups=5),
    "depthwise dilated": Case((1, 5, 17, 19), (5, 1, 3, 3), padding=2, dilation=2, groups=5),
    "depthwise odd everything": Case(
        (2, 17, 16, 23), (17, 1, 3, 5), (3, 2), ((1, 0), (2, 3)), (2, 3), 17
    ),
    "depthwise stride beyond kernel": Case((1, 4, 14, 15), (4, 1, 2, 2), (5, 3), 1, groups=4),
    "depthwise seven": Case((1, 4, 13, 12), (4, 1, 7, 7), (1, 2), 3, groups=4),
    "depthwise padding beyond kernel": Case((1, 3, 3, 4), (3, 1, 3, 3), 2, 5, groups=3),
    "depthwise dilation beyond image": Case(
        (1, 3, 5, 5), (3, 1, 2, 2), padding=3, dilation=6, groups=3
    ),
    "depthwise many rows": Case((1, 2, 300, 40), (2, 1, 3, 3), (2, 1), 1, groups=2),
    "groups of four": Case((2, 20, 9, 18), (20, 4, 3, 3), padding=1, groups=5),
    "groups of four strided": Case((1, 16, 9, 18), (16, 4, 3, 3), 2, 1, groups=4),
    "groups of eight to three": Case((1, 16, 7, 8), (6, 8, 3, 3), 2, 1, groups=2),
    "groups of three to eight": Case((1, 6, 7, 8), (16, 3, 5, 3), 1, 1, groups=2),
    "groups of nine": Case((1, 18, 7, 8), (18, 9, 3, 3), padding=1, groups=2),
    "grouped": Case((2, 6, 10, 9), (9, 2, 3, 3), padding=1, groups=3),
    "more filters than a tile": Case((1, 2, 6, 40), (45, 2, 3, 3), padding=1),
    "many channels": Case((1, 130, 6, 5), (17, 130, 3, 3), padding=1),
    "one by one": Case((2, 40, 7, 7), (31, 40, 1, 1)),
    "wide": Case((1, 1, 1, 2500), (2, 1, 1, 3), padding=(0, 1)),
    "tall": Case((1, 1, 700, 1), (2, 1, 7, 1), 2),
    "kernel is the image": Case((3, 2, 8, 9), (4, 2, 8, 9)),
    "padding beyond kernel": Case((1, 1, 3, 3), (2, 1, 2, 2), padding=4),
    "large kernel": Case((1, 2, 24, 23), (2, 2, 13, 15), padding=5),
    "small images, big batch": Case((9, 5, 4, 4), (6, 5, 3, 3), padding=1),
    "tiles cut short": Case((3, 35, 9, 14), (40, 35, 3, 3), padding=((2, 0), (1, 3))),
    "slices of tiles": Case((2, 17, 61, 50), (12, 17, 3, 3), padding=1),
    "groups of tiles": Case((2, 34, 8, 8), (66, 17, 3, 3), padding=1, groups=2),
    "tiles of five cut short": Case((3, 35, 8, 13), (40, 35, 5, 5), padding=((2, 0), (1, 3))),
    "groups of tiles of five": Case((2, 34, 7, 9), (66, 17, 5, 5), padding=2, groups=2),
    "tiles of two taps": Case((2, 35, 12, 18), (40, 35, 2, 2), padding=1),
    "tiles of four taps": Case((2, 35, 8, 14), (40, 35, 4, 4), padding=((2, 0), (1, 3))),
    "phases of channels": Case((2, 35, 14, 19), (40, 35, 3, 3), 2, ((1, 0), (2, 3))),
    "phases of channels, by groups": Case((2, 36, 11, 13), (34, 18, 5, 5), 2, 2, groups=2),
    "phases, folded": Case((2, 3, 40, 51), (33, 3, 11, 11), 4, 2),
    "phases, folded unevenly": Case((2, 10, 17, 23), (20, 5, 7, 7), 2, 3, groups=2),
    "phases of unlike strides": Case((1, 20, 15, 22), (17, 20, 9, 3), (3, 1), (2, 1)),
    "phases that nothing reads": Case((1, 3, 15, 16), (5, 3, 5, 6), (3, 4)),
    "small tiles at the borders": Case((2, 65, 9, 6), (66, 65, 3, 3), padding=1),
    "mosaic": Case((5, 20, 5, 5), (18, 20, 3, 3), padding=1),
    "mosaic, a row of images": Case((3, 17, 13, 6), (17, 17, 3, 3), padding=((2, 0), (1, 1))),
    "mosaic, one place empty": Case((7, 6, 9, 5), (20, 6, 3, 3)),
    "mosaic, padding beyond kernel": Case((4, 5, 3, 4), (5, 5, 3, 3), padding=4),
    "mosaic of two taps": Case((6, 7, 5, 8), (9, 7, 2, 2), padding=((0, 1), (1, 1))),
    "mosaic, by groups": Case((6, 34, 6, 5), (36, 17, 3, 3), padding=1, groups=2),
    "five, padding beyond kernel": Case((2, 3, 4, 5), (5, 3, 5, 5), padding=6),
}


def able(name: str, algorithm: str) -> bool:
    """Can the algorithm do this case?"""
    case = CASES[name]
    options = (case.stride, case.padding, case.dilation, case.groups)
    geometry = conv2d_geometry(case.input, case.weight, *options, "NCHW")
    return algorithm == "auto" or load(algorithm).rejects(geometry, np.dtype(np.float32)) is None


#: Every case with "auto" and with each algorithm that can do it.
PAIRS = [(name, each) for name in CASES for each in ("auto", *ALGORITHMS) if able(name, each)]

#: Algorithms whose sums are not those of the definition: their rounding is bounded otherwise.
TRANSFORMED = ("fft", "winograd")
