"""Arguments of a pooling -> its geometry: shapes, their errors and their arithmetic."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from fastconv._core.pooling import Pool2d
from fastconv.ops.arguments import as_bool
from fastconv.ops.geometry import Pair, as_pair, check_size

#: An argument given once, or once per axis (along height, along width).
IntOrPair = int | Sequence[int]


@dataclass(frozen=True)
class Pool2dGeometry:
    """Checked sizes of one pooling; pairs are (along height, along width)."""

    input_shape: tuple[int, ...]  # (N, C, H, W) or (C, H, W)
    output_shape: tuple[int, ...]
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    core: Pool2d = field(repr=False, compare=False)


def pool2d_geometry(
    input_shape: Sequence[int],
    kernel_size: IntOrPair,
    stride: IntOrPair | None,
    padding: IntOrPair,
    dilation: IntOrPair,
    ceil_mode: bool,
) -> Pool2dGeometry:
    """Check the arguments of a pooling and return its sizes (PyTorch's rules).

    TypeError, ValueError: an argument is no int or pair, too small, or the windows do not fit.

    Examples
    --------
    >>> pool2d_geometry((1, 3, 5, 5), 2, None, 0, 1, True).output_shape
    (1, 3, 3, 3)
    """
    arguments = tuple(input_shape), kernel_size, stride, padding, dilation, ceil_mode
    try:
        return _pool2d_geometry(*arguments)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
    return _pool2d_geometry.__wrapped__(*arguments)  # lists where pairs are expected


@lru_cache(maxsize=256, typed=True)  # typed: True and 1.0 are equal to 1, but refused
def _pool2d_geometry(
    input_shape: tuple[int, ...],
    kernel_size: IntOrPair,
    stride_size: IntOrPair | None,
    padding_size: IntOrPair,
    dilation_size: IntOrPair,
    ceil: bool,
) -> Pool2dGeometry:
    kernel = as_pair("kernel_size", kernel_size, 1)
    stride = kernel if stride_size is None else as_pair("stride", stride_size, 1)
    padding = as_pair("padding", padding_size, 0)
    dilation = as_pair("dilation", dilation_size, 1)
    ceil_mode = as_bool("ceil_mode", ceil)
    if len(input_shape) not in (3, 4):
        raise ValueError(f"input: expected (N, C, H, W) or (C, H, W), got shape {input_shape}")
    sizes = [
        _pooled_size(side, size, kernel[i], stride[i], padding[i], dilation[i], ceil_mode)
        for i, (side, size) in enumerate(zip(("height", "width"), input_shape[-2:], strict=True))
    ]
    output_shape = (*input_shape[:-2], sizes[0], sizes[1])
    check_size("output", output_shape)
    planes = math.prod(input_shape[:-2])
    options = kernel, stride, padding, dilation
    core = Pool2d(planes, input_shape[-2:], sizes, *options)
    return Pool2dGeometry(input_shape, output_shape, *options, core)


def _pooled_size(
    side: str, size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> int:
    """Windows along one axis; in ceil mode the last must start in the input or before it."""
    extent = dilation * (kernel - 1) + 1
    if padding > extent // 2:
        raise ValueError(
            f"padding: expected at most half of the window's {extent} ({side}), got {padding}; "
            "pad the input first for more"
        )
    span = size + 2 * padding - extent
    count = (span + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    if count < 1:
        raise ValueError(
            f"kernel_size: a window of {side} {extent} does not fit the input's {side} {size} "
            f"with padding {padding}"
        )
    if dilation > size:  # a dilated window can step over a small input
        for start in range(-padding, min(0, count * stride - padding), stride):
            if start % dilation >= size:
                raise ValueError(
                    f"dilation: the window that starts at {side} {start} meets no element of the "
                    f"input ({side} {size}, dilation {dilation}); use a smaller dilation or padding"
                )
    return count
