"""Gradients of a 2-D convolution whose output goes through max_pool2d, perhaps by way of relu.

Three of four elements of the convolution's own gradient are zero below windows of 2 x 2. For small
images it is never made: each maximum adds its window of the input to the weight's gradient, and its
filter to the input's (src_c/ops/conv_pooled.h).
"""

from typing import Any, NamedTuple

from fastconv._core import conv_pooled as core
from fastconv.ops.arrays import Array, as_floats, as_indices, empty, restore
from fastconv.ops.conv import ConvGradients, conv2d_backward
from fastconv.ops.conv_arguments import geometry_of
from fastconv.ops.geometry import Conv2dGeometry
from fastconv.ops.pooling import max_pool2d_backward, max_pool2d_relu_backward


class Pooled(NamedTuple):
    """What max_pool2d made of a convolution's output: `maxima` where a relu came between them."""

    indices: Array
    maxima: Array | None


def _by_images(
    g: Conv2dGeometry, grad: Array, x: Array, w: Array, pooled: Pooled, mask: tuple[bool, bool, bool]
) -> ConvGradients:  # fmt: skip
    if pooled.maxima is None:
        gradient = max_pool2d_backward(grad, pooled.indices, g.output_shape)
    else:
        shape = g.output_shape
        gradient = max_pool2d_relu_backward(grad, pooled.maxima, pooled.indices, shape)
    options = g.stride, g.padding, g.dilation, g.groups
    return conv2d_backward(gradient, x, w, *options, output_mask=mask)


def _by_maxima(
    g: Conv2dGeometry, grad: Array, x: Array, w: Array, pooled: Pooled, mask: tuple[bool, bool, bool]
) -> ConvGradients:  # fmt: skip
    indices = as_indices("indices", pooled.indices)[1]
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
    no part in them, not even against an infinite weight. IndexError: an index is outside its plane.

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
