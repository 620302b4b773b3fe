"""Activations in the engine's own order: what a network keeps between layers, and users never see.

A convolution that is alone reads NCHW or NHWC and packs each block of it on the way; between two
convolutions that is done only to be undone. Here the images stay as the kernels read them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv._core import images as core
from fastconv._core.runtime import get_num_threads, selected_isa
from fastconv.ops.algorithms import autotune
from fastconv.ops.algorithms.select import Plan, select
from fastconv.ops.arrays import FLOAT32, FLOAT64, Array, as_floats, empty
from fastconv.ops.conv_arguments import as_bias, check_activation, geometry_of
from fastconv.ops.geometry import Conv2dGeometry, shape_of, with_layouts
from fastconv.ops.packed_weight import PackedConv2dWeight, pack

ISA = selected_isa()
LAYOUTS = ("NCHW", "NHWC", "blocked")


def _check_layout(name: str, layout: str, allowed: tuple[str, ...]) -> str:
    if layout not in allowed:
        expected = ", ".join(map(repr, allowed))
        raise ValueError(f"{name}: expected {expected}, got {layout!r}")
    return layout


@dataclass(frozen=True, eq=False)
class BlockedImages:
    """A batch of images, in blocks of as many channels as a vector of this process has lanes.

    Parameters
    ----------
    array : numpy.ndarray, (batch, blocks, height, width, lanes)
        float32 or float64, C-contiguous. Lanes past the last channel must be zeros: they are read.
    channels : int
        Of which the last block may have fewer than `lanes`.

    Raises
    ------
    TypeError, ValueError
        If the array is not one of such images.

    Examples
    --------
    >>> images = BlockedImages.from_plain(np.ones((2, 3, 4, 5), np.float32))
    >>> images.shape, images.to_plain().shape
    ((2, 3, 4, 5), (2, 3, 4, 5))
    """

    array: Array
    channels: int

    def __post_init__(self) -> None:
        """Check once, so that whoever has an instance may rely on it."""
        if not isinstance(self.array, np.ndarray) or self.array.dtype not in (FLOAT32, FLOAT64):
            raise TypeError(
                "array: expected a NumPy array of float32 or float64, got "
                f"{getattr(self.array, 'dtype', type(self.array).__name__)}"
            )
        lanes = core.lanes(self.dtype == FLOAT64)
        blocks = -(-self.channels // lanes)
        shape = self.array.shape
        if len(shape) != 5 or (shape[1], shape[4]) != (blocks, lanes):
            raise ValueError(
                f"array: expected shape (batch, {blocks}, height, width, {lanes}) for "
                f"{self.channels} channels of {self.dtype}, got {shape}"
            )
        if not self.array.flags.c_contiguous or not self.array.flags.aligned:
            raise ValueError("array: expected an aligned, C-contiguous array")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(batch, channels, height, width)."""
        batch, _, height, width, _ = self.array.shape
        return batch, self.channels, height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self.array.dtype

    @classmethod
    def from_plain(cls, images: Any, layout: str = "NCHW") -> "BlockedImages":
        """Return a copy of NCHW or NHWC images; float16 becomes float32."""
        plain = as_floats("images", images)
        _check_layout("layout", layout, LAYOUTS[:2])
        if plain.ndim != 4:
            raise ValueError(f"images: expected 4 dimensions ({layout}), got shape {plain.shape}")
        batch, channels, height, width = (plain.shape[layout.index(axis)] for axis in "NCHW")
        shape = shape_of("blocked", (batch, channels, height, width), plain.dtype.itemsize)
        blocked = empty(shape, plain.dtype)
        core.to_blocked(plain, layout, blocked)
        return cls(blocked, channels)

    def to_plain(self, layout: str = "NCHW") -> Array:
        """Return the images as an NCHW or NHWC array."""
        _check_layout("layout", layout, LAYOUTS[:2])
        plain = empty(shape_of(layout, self.shape), self.dtype)
        core.from_blocked(self.array, layout, plain)
        return plain


def _geometry(
    shape: tuple[int, ...], weight_shape: tuple[int, ...], options: tuple[Any, Any, Any, int],
    layouts: tuple[str, str], itemsize: int,
) -> Conv2dGeometry:  # fmt: skip
    """Check the arguments as of NCHW images; `options` are stride, padding, dilation, groups."""
    _check_layout("layout", layouts[0], LAYOUTS)
    _check_layout("output_layout", layouts[1], LAYOUTS)
    return with_layouts(geometry_of(shape, weight_shape, *options, "NCHW"), *layouts, itemsize)


def _plan(g: Conv2dGeometry, dtype: np.dtype[Any], algorithm: str) -> Plan:
    return select(g, dtype, "forward", algorithm, ISA, get_num_threads(), autotune.table)


def conv2d_blocked(
    images: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
    layout: str = "NCHW",
    output_layout: str = "blocked",
    algorithm: str = "auto",
) -> BlockedImages | Array:
    """Convolve, with either side in the engine's own order: the door of whoever keeps it so.

    A network packs its input in its first layer (`images` an array) and unpacks its result in the
    last (`output_layout` "NCHW" or "NHWC"); what lies between is BlockedImages. The algorithm,
    "implicit_gemm" or "winograd" ("direct", "im2col" and "fft" know users' layouts only), is chosen
    by the cost model, which counts no packing where there is none: a 1x1 kernel, or any that meets
    no padding, reads blocked images where they lie, and whole vectors of results are summed where
    they belong.

    Parameters
    ----------
    images : BlockedImages, or array-like of layout `layout`
        float32 or float64; float16 is taken as float32, and so is the result.
    weight : array-like, (K, C / groups, R, S), or PackedConv2dWeight
        As of `conv2d`; `prepack_blocked` makes one in the order that is read here.
    bias, stride, padding, dilation, activation
        As of `conv2d`.
    groups : int
        On a blocked side each must be whole blocks of channels.
    layout : str
        "NCHW" or "NHWC", of `images` where they are an array.
    output_layout : str
        "blocked", "NCHW" or "NHWC".
    algorithm : str
        "auto", or one of the two.

    Returns
    -------
    BlockedImages, or numpy.ndarray where `output_layout` is "NCHW" or "NHWC"

    Raises
    ------
    TypeError, ValueError
        As `conv2d` does, for layouts and groups as said here, and for images without a channel.

    Examples
    --------
    >>> x = np.ones((1, 3, 8, 8), np.float32)
    >>> first, second = np.ones((20, 3, 3, 3), np.float32), np.ones((2, 20, 1, 1), np.float32)
    >>> hidden = conv2d_blocked(x, first, padding=1)
    >>> hidden.shape
    (1, 20, 8, 8)
    >>> conv2d_blocked(hidden, second, output_layout="NCHW")[0, 0, 0, :3]
    array([240., 360., 360.], dtype=float32)
    """
    if isinstance(images, BlockedImages):
        x, shape, layout = images.array, images.shape, "blocked"
    else:
        x = as_floats("images", images)
        _check_layout("layout", layout, LAYOUTS[:2])
        if x.ndim != 4:
            raise ValueError(f"images: expected 4 dimensions ({layout}), got shape {x.shape}")
        shape = tuple(x.shape[layout.index(axis)] for axis in "NCHW")
    options = stride, padding, dilation, groups
    packed = isinstance(weight, PackedConv2dWeight)
    w = weight if packed else as_floats("weight", weight, x.dtype)
    g = _geometry(shape, w.shape, options, (layout, output_layout), x.itemsize)
    if packed:
        w = weight.for_call(g, x.dtype, algorithm)
        algorithm = weight.algorithm
    b = as_bias(bias, g, x.dtype)
    output = empty(g.output_shape, x.dtype)
    plan = _plan(g, x.dtype, algorithm)
    if not g.empty:
        plan.module.forward(g, x, w, b, check_activation(activation), output)
    elif output.size:
        raise ValueError(f"images: expected at least one channel, got shape {shape}")
    return BlockedImages(output, g.out_channels) if output_layout == "blocked" else output


def prepack_blocked(
    weight: Any,
    shape: tuple[int, int, int, int],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "blocked",
    output_layout: str = "blocked",
    algorithm: str = "auto",
) -> PackedConv2dWeight:
    """Lay a weight out once for many calls of `conv2d_blocked`.

    `prepack_conv2d_weight` decides for NCHW or NHWC, where some 1x1 weights are read as they are;
    blocked images have them packed always.

    Parameters
    ----------
    weight, stride, padding, dilation, groups, output_layout, algorithm
        As of `conv2d_blocked`.
    shape : tuple of int
        (batch, channels, height, width) of a typical input; "auto" chooses for it.
    layout : str
        "blocked", "NCHW" or "NHWC": of the images to come.

    Examples
    --------
    >>> packed = prepack_blocked(np.ones((32, 16, 1, 1), np.float32), (1, 16, 56, 56))
    >>> images = BlockedImages.from_plain(np.ones((1, 16, 56, 56), np.float32))
    >>> float(conv2d_blocked(images, packed).to_plain()[0, 31, 55, 55])
    16.0
    """
    array = as_floats("weight", weight)
    options = stride, padding, dilation, groups
    g = _geometry(tuple(shape), array.shape, options, (layout, output_layout), array.itemsize)
    plan = _plan(g, array.dtype, algorithm)
    laid_out = pack(plan, array)
    return PackedConv2dWeight(array.copy() if laid_out is None else laid_out, plan)
