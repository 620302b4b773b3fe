"""Arguments -> geometry: the one place that knows shapes, their errors and their arithmetic.

Each family of operations has one frozen dataclass, built once for a set of arguments and then found
in a cache. Everything below receives it and asks no questions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from fastconv._core import images
from fastconv._core.conv import Conv2d
from fastconv.ops.arguments import as_int

Pair = tuple[int, int]
PaddingPairs = tuple[Pair, Pair]

#: Why an algorithm that takes what users have, and nothing else, rejects a geometry.
NEEDS_PLAIN = "it reads and writes NCHW, or NHWC, on both sides alike"

#: Arrays of more bytes than this cannot be addressed with room to spare.
LARGEST_ARRAY = 2**62


def as_pair(name: str, value: Any, minimum: int) -> Pair:
    """Return an int, or one int per axis, as (vertical, horizontal).

    Raises
    ------
    TypeError
        If `value` is not an integer or a sequence of one or two integers.
    ValueError
        If an entry is below `minimum`, or there are not one or two of them.

    Examples
    --------
    >>> as_pair("stride", 2, 1), as_pair("stride", (2, 1), 1)
    ((2, 2), (2, 1))
    """
    if isinstance(value, Sequence) and not isinstance(value, str):
        items = list(value)
        if len(items) not in (1, 2):
            raise ValueError(f"{name}: expected an int or two of them, got {value!r}")
    else:
        items = [value]
    try:
        numbers = [as_int(name, item, minimum) for item in items]
    except TypeError:
        raise TypeError(
            f"{name}: expected an int or a pair of ints, got {value!r} of type "
            f"{type(value).__name__}"
        ) from None
    return numbers[0], numbers[-1]


def check_size(name: str, shape: tuple[int, ...], item_size: int = 8) -> None:
    """Raise ValueError if an array of this shape would be too large to address."""
    size = item_size
    for length in shape:
        size *= length
    if size > LARGEST_ARRAY:
        raise ValueError(f"{name}: shape {shape} would take {size} bytes; make the problem smaller")


@dataclass(frozen=True)
class Conv2dGeometry:
    """A 2-D convolution without its numbers. Pairs are (vertical, horizontal).

    `padding` is ((top, bottom), (left, right)). Sizes are logical (NCHW) whatever the layouts, which
    are "NCHW", "NHWC" or, of what never leaves the engine, "blocked"; `input_shape`, `weight_shape`
    and `output_shape` are the arrays' own shapes.
    """

    batch: int
    in_channels: int
    in_height: int
    in_width: int
    out_channels: int
    kernel_height: int
    kernel_width: int
    out_height: int
    out_width: int
    stride: Pair
    dilation: Pair
    padding: PaddingPairs
    groups: int
    input_layout: str
    output_layout: str
    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    core: Conv2d = field(repr=False, compare=False)

    @property
    def channels_last(self) -> bool:
        """Are both sides NHWC?"""
        return self.input_layout == self.output_layout == "NHWC"

    @property
    def is_plain(self) -> bool:
        """Are both sides NCHW, or both NHWC, as users have them?"""
        return self.input_layout == self.output_layout != "blocked"

    @property
    def reduction(self) -> int:
        """Products that are summed for one output element."""
        return self.in_channels // self.groups * self.kernel_height * self.kernel_width

    @property
    def flops(self) -> int:
        """Multiplications and additions of the plain sum."""
        pixels = self.batch * self.out_height * self.out_width
        return 2 * pixels * self.out_channels * self.reduction

    @property
    def empty(self) -> bool:
        """Is there no product to sum: no image, no channel, or no output?"""
        return self.flops == 0


def _as_padding(value: Any, kernel: Pair, stride: Pair, dilation: Pair) -> PaddingPairs:
    if isinstance(value, str):
        if value == "valid":
            return (0, 0), (0, 0)
        if value != "same":
            raise ValueError(f"padding: expected 'same', 'valid' or ints, got {value!r}")
        if stride != (1, 1):
            raise ValueError(f"padding: 'same' needs stride 1, got stride {stride}; give ints")
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return (
            (totals[0] // 2, totals[0] - totals[0] // 2),
            (totals[1] // 2, totals[1] - totals[1] // 2),
        )
    if isinstance(value, Sequence) and any(isinstance(item, Sequence) for item in value):
        if len(value) != 2 or not all(
            isinstance(item, Sequence) and len(item) == 2 for item in value
        ):
            raise ValueError(f"padding: expected ((top, bottom), (left, right)), got {value!r}")
        return as_pair("padding", value[0], 0), as_pair("padding", value[1], 0)
    vertical, horizontal = as_pair("padding", value, 0)
    return (vertical, vertical), (horizontal, horizontal)


def output_length(length: int, kernel: int, stride: int, dilation: int, padding: Pair) -> int:
    """Positions of a window along one axis: notes 004, eq. 5.14, rounded down; 0 if none fits.

    Examples
    --------
    >>> output_length(28, 5, 3, 1, (2, 2)), output_length(31, 5, 3, 1, (2, 2))
    (10, 11)
    """
    return max(0, (length + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1)


def shape_of(layout: str, shape: tuple[int, int, int, int], itemsize: int = 4) -> tuple[int, ...]:
    """Return the shape of the array that holds images of this NCHW shape in another layout.

    Examples
    --------
    >>> shape_of("NHWC", (8, 3, 28, 31))
    (8, 28, 31, 3)
    """
    batch, channels, *size = shape
    if layout == "blocked":
        lanes = images.lanes(itemsize == 8)
        return (batch, -(-channels // lanes), *size, lanes)
    return (batch, *size, channels) if layout == "NHWC" else shape


def _check_channels(
    input_shape: tuple[int, ...], weight_shape: tuple[int, ...], groups: Any, layout: str
) -> int:
    if layout not in ("NCHW", "NHWC"):
        raise ValueError(f"layout: expected 'NCHW' or 'NHWC', got {layout!r}")
    if len(input_shape) != 4:
        raise ValueError(
            f"input: expected 4 dimensions ({', '.join(layout)}), got shape {input_shape}; "
            "add a batch of one with input[None]"
        )
    if len(weight_shape) != 4:
        raise ValueError(
            "weight: expected 4 dimensions (out_channels, in_channels / groups, kernel_height, "
            f"kernel_width), got shape {weight_shape}"
        )
    count = as_int("groups", groups, 1)
    channels = input_shape[layout.index("C")]
    if channels % count or weight_shape[0] % count:
        raise ValueError(
            f"groups: expected a divisor of {channels} input and {weight_shape[0]} output "
            f"channels, got {count}"
        )
    if weight_shape[1] * count != channels:
        raise ValueError(
            f"weight: expected shape[1] = in_channels / groups = {channels} / {count} = "
            f"{channels // count}, got {weight_shape[1]} (weight {weight_shape}, "
            f"input {input_shape}, layout {layout})"
        )
    if weight_shape[2] < 1 or weight_shape[3] < 1:
        raise ValueError(f"weight: expected a kernel of at least 1x1, got shape {weight_shape}")
    return count


@lru_cache(maxsize=4096, typed=True)  # typed: True and 1.0 are equal to 1, but refused
def conv2d_geometry(
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    layout: str,
) -> Conv2dGeometry:
    """Check a convolution's arguments (hashable ones) and return its geometry.

    Raises
    ------
    TypeError, ValueError
        With the argument's name, what came and what was expected.

    Examples
    --------
    >>> conv2d_geometry((8, 3, 28, 31), (16, 3, 5, 5), 3, 2, 1, 1, "NCHW").output_shape
    (8, 16, 10, 11)
    """
    count = _check_channels(input_shape, weight_shape, groups, layout)
    kernel = weight_shape[2], weight_shape[3]
    steps = as_pair("stride", stride, 1)
    spread = as_pair("dilation", dilation, 1)
    pads = _as_padding(padding, kernel, steps, spread)
    batch, channels, height, width = (input_shape[layout.index(axis)] for axis in "NCHW")
    size = height, width
    rows, cols = (output_length(size[i], kernel[i], steps[i], spread[i], pads[i]) for i in range(2))
    if rows < 1 or cols < 1:
        span = tuple(spread[i] * (kernel[i] - 1) + 1 for i in range(2))
        padded = tuple(size[i] + sum(pads[i]) for i in range(2))
        raise ValueError(
            f"input: the kernel spans {span} pixels (kernel {kernel}, dilation {spread}) but the "
            f"padded input has only {padded}; pad more or use a smaller kernel"
        )
    filters = weight_shape[0]
    output_shape = shape_of(layout, (batch, filters, rows, cols))
    padded_shape = (batch, channels, height + sum(pads[0]), width + sum(pads[1]))
    for name, shape in ("input", padded_shape), ("weight", weight_shape), ("output", output_shape):
        check_size(name, shape)
    core = Conv2d(
        batch, count, channels, filters, size, kernel, (rows, cols), steps, spread,
        (pads[0][0], pads[1][0]), layout, layout,
    )  # fmt: skip
    return Conv2dGeometry(
        batch, channels, height, width, filters, *kernel, rows, cols, steps, spread, pads, count,
        layout, layout, tuple(input_shape), tuple(weight_shape), output_shape, core,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def with_layouts(
    geometry: Conv2dGeometry, input_layout: str, output_layout: str, itemsize: int
) -> Conv2dGeometry:
    """Return an NCHW geometry with other layouts on its sides; blocked shapes depend on the item.

    ValueError if a group of channels is not whole blocks of them where images are blocked.
    """
    g = geometry
    size, out_size = (g.in_height, g.in_width), (g.out_height, g.out_width)
    lanes = images.lanes(itemsize == 8)
    sides = (("input", input_layout, g.in_channels), ("output", output_layout, g.out_channels))
    for name, layout, channels in sides:
        if layout == "blocked" and g.groups > 1 and channels // g.groups % lanes:
            raise ValueError(
                f"groups: expected a multiple of {lanes} {name} channels a group of blocked images, "
                f"got {channels} in {g.groups} groups"
            )
    core = Conv2d(
        g.batch, g.groups, g.in_channels, g.out_channels, size,
        (g.kernel_height, g.kernel_width), out_size, g.stride, g.dilation,
        (g.padding[0][0], g.padding[1][0]), input_layout, output_layout,
    )  # fmt: skip
    return replace(
        g,
        input_layout=input_layout,
        output_layout=output_layout,
        input_shape=shape_of(input_layout, (g.batch, g.in_channels, *size), itemsize),
        output_shape=shape_of(output_layout, (g.batch, g.out_channels, *out_size), itemsize),
        core=core,
    )
