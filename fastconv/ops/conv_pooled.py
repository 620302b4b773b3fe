"""A 2-D convolution whose output goes through max_pool2d, perhaps by way of relu.

Forward, maxima are taken of each tile of sums while it is in cache, and the output is not written
(src_c/kernels/pool_windows.inc). Backward, three of four elements of the convolution's own gradient
are zero below windows of 2 x 2. For small images it is never made: each maximum adds its window of
the input to the weight's gradient, and its filter to the input's (src_c/ops/conv_pooled.h).
"""

from typing import Any, NamedTuple

import numpy as np

from fastconv._core import conv_pooled as core
from fastconv._core.runtime import get_num_threads
from fastconv.ops.algorithms import autotune
from fastconv.ops.algorithms.select import select
from fastconv.ops.arrays import (
    FLOAT32,
    FLOAT64,
    UINT8,
    Array,
    as_floats,
    as_indices,
    empty,
    restore,
)
from fastconv.ops.conv import ISA, ConvGradients, conv2d_backward
from fastconv.ops.conv_arguments import as_bias, geometry_of
from fastconv.ops.geometry import Conv2dGeometry
from fastconv.ops.pooling import max_pool2d_backward, max_pool2d_relu_backward


class Pooled(NamedTuple):
    """What max_pool2d made of a convolution's output: `maxima` where a relu came between them.

    `indices` are max_pool2d's (int64) or the places of `conv2d_pooled` (uint8).
    """

    indices: Array
    maxima: Array | None


class PooledOutput(NamedTuple):
    """What `conv2d_pooled` found: the maxima, and their places unless they were not wanted.

    `places` (uint8) number the cells of each window, 0 to 3, row by row; `shape` is that of the
    convolution's output, which does not exist.
    """

    maxima: Array
    places: Array | None
    shape: tuple[int, ...]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return the output as far as it is known: the maxima where they were, and zeros."""
        assert self.places is not None
        known = max_pool2d_backward(self.maxima, flat_indices(self.places, self.shape), self.shape)
        return known if dtype is None else known.astype(dtype, copy=False)


def flat_indices(places: Array, shape: tuple[int, ...]) -> Array:
    """Return the indices that max_pool2d gives for an input of `shape`; such indices as they are."""
    if places.dtype is not UINT8:
        return places
    width = shape[-1]
    rows, cols = (2 * np.arange(n) for n in places.shape[-2:])
    return places // 2 * np.int64(width) + places % 2 + (rows[:, None] * width + cols)


def conv2d_pooled(
    input: Any,
    weight: Array,
    bias: Array | None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    relu: bool,
    gradients: bool,
) -> PooledOutput | None:
    """Return max_pool2d(conv2d(...), 2), or that of its relu; None where it is better done in steps.

    The bits of those functions. None, and nothing computed: "auto" would not take "direct" for the
    convolution, `input` is no array of float32 or float64, or the gradients, if there will be any,
    are better made of images (then places cost more than they save).

    Examples
    --------
    >>> x = np.arange(25.0).reshape(1, 1, 5, 5)
    >>> conv2d_pooled(x, np.ones((1, 1, 2, 2)), None, relu=True, gradients=False).maxima[0, 0]
    array([[36., 44.],
           [76., 84.]])
    """
    if type(input) is not np.ndarray or input.dtype not in (FLOAT32, FLOAT64):
        return None
    x = as_floats("input", input)
    w = as_floats("weight", weight, x.dtype)
    g = geometry_of(x.shape, w.shape, stride, padding, dilation, groups, "NCHW")
    b = None if bias is None else as_bias(bias, g, x.dtype)
    if g.empty:
        return None
    is_double = x.itemsize == 8
    shape = *g.output_shape[:2], g.out_height // 2, g.out_width // 2
    plan = select(g, x.dtype, "forward", "auto", ISA, get_num_threads(), autotune.table)
    if plan.algorithm != "direct" or not core.can_forward(g.core, is_double):
        return None
    if gradients and not core.pays(g.core, shape[2] * shape[3], is_double):
        return None
    maxima = empty(shape, x.dtype)
    places = empty(shape, UINT8) if gradients else None
    core.forward(g.core, x, w, b, relu, maxima, places)
    return PooledOutput(maxima, places, g.output_shape)


def _by_images(
    g: Conv2dGeometry, grad: Array, x: Array, w: Array, pooled: Pooled, mask: tuple[bool, bool, bool]
) -> ConvGradients:  # fmt: skip
    shape = g.output_shape
    indices = flat_indices(pooled.indices, shape)
    if pooled.maxima is None:
        gradient = max_pool2d_backward(grad, indices, shape)
    else:
        gradient = max_pool2d_relu_backward(grad, pooled.maxima, indices, shape)
    options = g.stride, g.padding, g.dilation, g.groups
    return conv2d_backward(gradient, x, w, *options, output_mask=mask)


def _by_maxima(
    g: Conv2dGeometry, grad: Array, x: Array, w: Array, pooled: Pooled, mask: tuple[bool, bool, bool]
) -> ConvGradients:  # fmt: skip
    indices = pooled.indices
    if indices.dtype is not UINT8:
        indices = as_indices("indices", indices)[1]
    maxima = core.Maxima(g.core, grad.shape[2] * grad.shape[3], indices, pooled.maxima)
    grad_input = empty(g.input_shape, x.dtype) if mask[0] else None
    grad_weight = empty(g.weight_shape, x.dtype) if mask[1] else None
    grad_bias = empty((g.out_channels,), x.dtype) if mask[2] else None
    if grad_input is not None:
        core.grad_input(g.core, maxima, grad, w, grad_input)
    if grad_weight is not None:
        core.grad_weight(g.core, maxima, grad, x, grad_weight, grad_bias)
    return ConvGradients(grad_input, grad_weight, grad_bias)


def conv2d_pooled_backward(
    grad_output: Any,
    pooled: Pooled,
    input: Any,
    weight: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
) -> ConvGradients:
    """Gradients of max_pool2d(conv2d(...)), or max_pool2d(relu(conv2d(...))), for conv2d's arguments.

    `grad_output` is the gradient of the pooling's output (N, K, PH, PW). The bounds of
    conv2d_backward hold; sums have another order, and where images are small a gradient of zero has
    no part in the input's, not even against an infinite weight, and may have none in the weight's.
    IndexError: an index is outside its plane.

    Examples
    --------
    >>> x, w = np.arange(9.0).reshape(1, 1, 3, 3), np.ones((1, 1, 2, 2))
    >>> indices = np.array([[[[3]]]])  # of the last of conv2d's four outputs
    >>> gradients = conv2d_pooled_backward(np.array([[[[2.0]]]]), Pooled(indices, None), x, w)
    >>> gradients.weight[0, 0]
    array([[ 8., 10.],
           [14., 16.]])
    >>> gradients.input[0, 0]
    array([[0., 0., 0.],
           [0., 2., 2.],
           [0., 2., 2.]])
    """
    x = as_floats("input", input)
    w = as_floats("weight", weight, x.dtype)
    grad = as_floats("grad_output", grad_output, x.dtype)
    g = geometry_of(x.shape, w.shape, stride, padding, dilation, groups, "NCHW")
    if grad.ndim != 4 or grad.shape[:2] != g.output_shape[:2]:
        raise ValueError(
            f"grad_output: expected the gradient of maxima of {g.output_shape}, got {grad.shape}"
        )
    maxima = None
    if pooled.maxima is not None:
        maxima = as_floats("maxima", pooled.maxima, grad.dtype)
    for name, array in (("indices", pooled.indices), ("maxima", maxima)):
        if array is not None and array.shape != grad.shape:
            raise ValueError(
                f"{name}: expected grad_output's shape {grad.shape}, got {array.shape}"
            )
    area = grad.shape[2] * grad.shape[3]
    worth = not g.empty and core.pays(g.core, area, x.itemsize == 8)
    # the bias's gradient comes with the weight's
    worth = worth and (output_mask[1] or not output_mask[2])
    way = _by_maxima if worth else _by_images
    found = way(g, grad, x, w, Pooled(pooled.indices, maxima), output_mask)
    if x is input:
        return found
    return ConvGradients(*(None if a is None else restore(a, input) for a in found))
