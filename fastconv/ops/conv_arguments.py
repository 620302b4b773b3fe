"""The arguments of a 2-D convolution, checked: what conv2d, its plan and its packing share."""

from typing import Any

import numpy as np

from fastconv.ops.arrays import Array, as_floats
from fastconv.ops.geometry import Conv2dGeometry, conv2d_geometry


def _hashable(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


def geometry_of(
    input_shape: tuple[int, ...], weight_shape: tuple[int, ...], stride: Any, padding: Any,
    dilation: Any, groups: Any, layout: str,
) -> Conv2dGeometry:  # fmt: skip
    """Return the geometry; lists and arrays of ints do where pairs are expected."""
    try:
        return conv2d_geometry(input_shape, weight_shape, stride, padding, dilation, groups, layout)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
    options = map(_hashable, (stride, padding, dilation, groups))
    return conv2d_geometry(input_shape, weight_shape, *options, layout)


def check_activation(activation: str | None) -> bool:
    """Tell whether results are clipped at zero; ValueError for an unknown activation."""
    if activation not in (None, "relu"):
        raise ValueError(f"activation: expected None or 'relu', got {activation!r}")
    return activation is not None


def as_bias(bias: Any, geometry: Conv2dGeometry, dtype: np.dtype[Any]) -> Array | None:
    """Return the bias as an array of the call's dtype; TypeError or ValueError if it does not fit."""
    if bias is None:
        return None
    array = as_floats("bias", bias, dtype)
    if array.shape != (geometry.out_channels,):
        raise ValueError(
            f"bias: expected shape ({geometry.out_channels},), one for each of the weight's "
            f"output channels, got {array.shape}"
        )
    return array
