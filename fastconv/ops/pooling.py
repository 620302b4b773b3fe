"""Max and average pooling of images, and their gradients; PyTorch's meaning throughout.

Images are (N, C, H, W) or (C, H, W), float32, float64 or float16; N and C may be zero. Sizes are
ints or pairs (along height, along width).
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from fastconv._core import pooling as core
from fastconv.ops.arguments import as_bool, as_int
from fastconv.ops.arrays import INT64, Array, as_floats, as_indices, empty, restore
from fastconv.ops.geometry import check_size
from fastconv.ops.pool_geometry import IntOrPair, Pool2dGeometry, pool2d_geometry


class MaxPoolResult(NamedTuple):
    """What max_pool2d returns: the maxima, and where each came from (flat in its H * W plane)."""

    output: Array
    indices: npt.NDArray[np.int64]


@overload
def max_pool2d(
    input: Any,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    return_indices: Literal[True] = True,
) -> MaxPoolResult: ...
@overload
def max_pool2d(
    input: Any,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[False],
) -> Array: ...
def max_pool2d(
    input: Any,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> MaxPoolResult | Array:
    """Largest element of each window (notes 004, eq. 5.20, 5.35). Exact.

    Output sizes are floor((H + 2 padding - dilation (kernel - 1) - 1) / stride) + 1, or rounded up
    with `ceil_mode`, where the last window must start in the input or the padding before it.
    `stride` defaults to `kernel_size`; `padding` never wins and is at most half of a window. Of
    equal elements the first is reported, the last NaN beats every number, and a window of -inf
    reports its first element.

    Returns (output, indices): indices int64, flat in each H * W plane, for `max_pool2d_backward`;
    with `return_indices=False` the output alone. TypeError, ValueError: wrong ranks, types, or
    windows that do not fit, each naming the argument.

    Examples
    --------
    >>> image = np.array([[[[1.0, 2, 1, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 4, 0, 1]]]])
    >>> output, indices = max_pool2d(image, 2)
    >>> output[0, 0], indices[0, 0]
    (array([[2., 3.],
           [4., 2.]]), array([[ 1,  7],
           [13, 11]]))
    """
    x = as_floats("input", input)
    geometry = pool2d_geometry(x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    wanted = as_bool("return_indices", return_indices)
    output = empty(geometry.output_shape, x.dtype)
    indices = empty(geometry.output_shape, INT64) if wanted else None
    core.max_forward(geometry.core, x, output, indices)
    output = restore(output, input)
    return output if indices is None else MaxPoolResult(output, indices)


@lru_cache(maxsize=256, typed=True)
def _input_shape(itemsize: int, *input_shape: int) -> tuple[int, ...]:
    shape = tuple(as_int(f"input_shape[{i}]", n, 0) for i, n in enumerate(input_shape))
    if len(shape) not in (3, 4):
        raise ValueError(f"input_shape: expected (N, C, H, W) or (C, H, W), got {shape}")
    check_size("input_shape", shape, itemsize)
    return shape


def max_pool2d_backward(grad_output: Any, indices: Any, input_shape: Sequence[int]) -> Array:
    """Gradient of `max_pool2d`: each to the element that won its window (notes 004, eq. 5.31-34).

    `grad_output` and `indices` have the output's shape; where windows overlap, gradients add up in
    the order of the output. Returns an array of `input_shape`. IndexError: an index is outside
    H * W; its value and position are named.

    Examples
    --------
    >>> max_pool2d_backward(np.array([[[[5.0]]]]), [[[[2]]]], (1, 1, 2, 2))
    array([[[[0., 0.],
             [5., 0.]]]])
    """
    return _max_backward(grad_output, indices, input_shape, None)


def max_pool2d_relu_backward(
    grad_output: Any, output: Any, indices: Any, input_shape: Sequence[int]
) -> Array:
    """Gradient of max_pool2d(relu(x)) by x, for the `output` and `indices` of that `max_pool2d`.

    The bits that `relu_backward` makes of max_pool2d_backward's result: where a maximum is not
    positive, relu's output is not positive either in the one place that its gradient goes to. But
    here that is known from the maxima, a quarter of the elements for windows of 2 x 2.

    Examples
    --------
    >>> grad, output = np.array([[[[5.0, 6.0]]]]), np.array([[[[1.0, 0.0]]]])
    >>> max_pool2d_relu_backward(grad, output, [[[[1, 2]]]], (1, 1, 1, 4))
    array([[[[0., 5., 0., 0.]]]])
    """
    return _max_backward(grad_output, indices, input_shape, output)


def _max_backward(grad_output: Any, indices: Any, input_shape: Sequence[int], output: Any) -> Array:
    grad = as_floats("grad_output", grad_output)
    shape = _input_shape(grad.itemsize, *input_shape)
    if grad.ndim != len(shape) or grad.shape[:-2] != shape[:-2]:
        raise ValueError(
            f"grad_output: expected the output's shape, {shape[:-2]} and two more axes for "
            f"input_shape {shape}, got {grad.shape}"
        )
    given, places = as_indices("indices", indices)
    if given.shape != grad.shape:
        raise ValueError(f"indices: expected grad_output's shape {grad.shape}, got {given.shape}")
    maxima = None if output is None else as_floats("output", output, grad.dtype)
    if maxima is not None and maxima.shape != grad.shape:
        raise ValueError(f"output: expected grad_output's shape {grad.shape}, got {maxima.shape}")
    grad_input = empty(shape, grad.dtype)
    area, outputs = shape[-2] * shape[-1], grad.shape[-2] * grad.shape[-1]
    try:
        planes = math.prod(shape[:-2])
        core.max_backward(planes, area, outputs, grad, places, maxima, grad_input)
    except IndexError:
        flat = int(np.flatnonzero((places < 0) | (places >= area))[0])
        where = tuple(int(i) for i in np.unravel_index(flat, given.shape))
        raise IndexError(
            f"indices: {int(given[where])} at position {where} is outside the {shape[-2]} x "
            f"{shape[-1]} plane; expected 0 to {area - 1}, as max_pool2d returns them"
        ) from None
    return restore(grad_input, grad_output)


def _average(
    input_shape: tuple[int, ...],
    options: tuple[IntOrPair, IntOrPair | None, IntOrPair, bool],
    count_include_pad: bool,
    divisor_override: int | None,
) -> tuple[Pool2dGeometry, bool, int]:
    """The geometry of an average, whether padding counts, and the fixed divisor or 0."""
    kernel_size, stride, padding, ceil_mode = options
    geometry = pool2d_geometry(input_shape, kernel_size, stride, padding, 1, ceil_mode)
    divisor = 0
    if divisor_override is not None:
        divisor = as_int("divisor_override", divisor_override)
        if divisor == 0 or abs(divisor) > 2**53:
            raise ValueError(
                f"divisor_override: expected a non-zero int of at most 2**53, or None to divide by "
                f"the window's elements, got {divisor}"
            )
    return geometry, as_bool("count_include_pad", count_include_pad), divisor


def avg_pool2d(
    input: Any,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """Mean of each window (notes 000, "Average pooling"), of sizes as in `max_pool2d`.

    The divisor is `divisor_override`, or the number of the window's elements: with those in the
    padding, or (`count_include_pad=False`) without; what ceil mode adds beyond the padding never
    counts. Within (K + 1) u sum|x| / divisor for K elements a window, u = 2^-24 or 2^-53.

    Examples
    --------
    >>> avg_pool2d(np.arange(16.0).reshape(1, 4, 4), 2)
    array([[[ 2.5,  4.5],
            [10.5, 12.5]]])
    """
    x = as_floats("input", input)
    options = (kernel_size, stride, padding, ceil_mode)
    geometry, counted, divisor = _average(x.shape, options, count_include_pad, divisor_override)
    output = empty(geometry.output_shape, x.dtype)
    core.avg_forward(geometry.core, counted, divisor, x, output)
    return restore(output, input)


def avg_pool2d_backward(
    grad_output: Any,
    input_shape: Sequence[int],
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """Gradient of `avg_pool2d`: each shared equally among the elements of its window.

    Options as in `avg_pool2d`; returns an array of `input_shape`.

    Examples
    --------
    >>> avg_pool2d_backward(np.array([[[8.0]]]), (1, 2, 2), 2)
    array([[[2., 2.],
            [2., 2.]]])
    """
    grad = as_floats("grad_output", grad_output)
    options = (kernel_size, stride, padding, ceil_mode)
    shape = _input_shape(grad.itemsize, *input_shape)
    geometry, counted, divisor = _average(shape, options, count_include_pad, divisor_override)
    if grad.shape != geometry.output_shape:
        raise ValueError(
            f"grad_output: expected shape {geometry.output_shape} for input_shape {shape} and "
            f"these options, got {grad.shape}"
        )
    grad_input = empty(shape, grad.dtype)
    core.avg_backward(geometry.core, counted, divisor, grad, grad_input)
    return restore(grad_input, grad_output)
