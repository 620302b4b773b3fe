"""2-D convolution, forward and backward, by any algorithm."""

from typing import Any, NamedTuple

import numpy as np

from fastconv._core import conv as core
from fastconv._core.runtime import get_num_threads, selected_isa
from fastconv.ops.algorithms import autotune, direct
from fastconv.ops.algorithms.select import joins, select
from fastconv.ops.arrays import FLOAT16, Array, as_floats, check_out, empty, restore
from fastconv.ops.conv_arguments import as_bias, check_activation, geometry_of
from fastconv.ops.geometry import Conv2dGeometry
from fastconv.ops.packed_weight import PackedConv2dWeight

ISA = selected_isa()


class ConvGradients(NamedTuple):
    """Gradients of a convolution; entries that were not asked for are None."""

    input: Array | None
    weight: Array | None
    bias: Array | None


def _bias_alone(geometry: Conv2dGeometry, bias: Array | None, relu: bool, output: Array) -> None:
    """No product to sum: the output is the bias."""
    output[...] = 0
    if bias is not None:
        output += bias if geometry.channels_last else bias[:, None, None]
    if relu:
        np.maximum(output, 0, out=output)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
    layout: str = "NCHW",
    activation: str | None = None,
    out: Array | None = None,
) -> Array:
    """Convolve a batch of images with a bank of filters (notes 004, eq. 5.13).

    output[n, k, i, j] = bias[k] + sum over c, r, s of
    weight[k, c, r, s] * input[n, c, i * stride + r * dilation - padding, ...], which is, as
    everywhere in this field, a cross-correlation: the kernel is not flipped.

    Parameters
    ----------
    input : array-like, (N, C, H, W), or (N, H, W, C) for layout "NHWC"
        float32, float64 or float16 (computed in float32); all arrays share one dtype.
    weight : array-like, (K, C / groups, R, S), or PackedConv2dWeight
        `prepack_conv2d_weight` lays a weight out once for many calls.
    bias : array-like, (K,), optional
    stride, dilation : int or (vertical, horizontal)
    padding : int, (vertical, horizontal), ((top, bottom), (left, right)), "same" or "valid"
        Zeros around the image.
    groups : int
        Channels are split into this many independent convolutions.
    algorithm : str
        "auto", "direct", "implicit_gemm", "winograd", "im2col" or "fft"; `explain_conv2d` tells
        what "auto" takes and why.
    layout : str
        "NCHW" or "NHWC", of input and output.
    activation : str, optional
        "relu" clips the result at zero on its way to memory.
    out : numpy.ndarray, optional
        Written in place and returned; it may not overlap an input. Earlier results serve best: they
        begin at a cache line, unlike arrays of numpy.empty, which shallow layers take up to a
        quarter longer to fill.

    Returns
    -------
    numpy.ndarray, (N, K, OH, OW), or (N, OH, OW, K)
        OH = floor((H + padding - dilation * (R - 1) - 1) / stride) + 1 (eq. 5.14).

    Raises
    ------
    TypeError, ValueError
        With the argument's name, what came and what was expected.

    Notes
    -----
    "direct", "implicit_gemm" and "im2col" are within (C / groups * R * S + 2) * 2**-24 * sum|x||w|
    in float32 (2**-53 in float64) and exact on integers small enough; results are the same bits for
    any number of threads. The bound of "fft" is in its module; "auto" does not take it by itself.

    Examples
    --------
    >>> image = np.array([[1, 2, 3, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1]], np.float32)
    >>> kernel = np.array([[2, 0, 1], [0, 1, 2], [1, 0, 2]], np.float32)
    >>> conv2d(image[None, None], kernel[None, None])[0, 0]
    array([[15., 16.],
           [ 6., 15.]], dtype=float32)
    """
    x = as_floats("input", input)
    dtype = x.dtype
    if type(weight) is PackedConv2dWeight:
        g = geometry_of(x.shape, weight.shape, stride, padding, dilation, groups, layout)
        w = weight.for_call(g, dtype, algorithm)
        algorithm = weight.algorithm
    else:
        w = as_floats("weight", weight, dtype)
        g = geometry_of(x.shape, w.shape, stride, padding, dilation, groups, layout)
    b = None if bias is None else as_bias(bias, g, dtype)
    relu = activation is not None and check_activation(activation)
    half = x is not input and getattr(input, "dtype", None) == FLOAT16
    if out is None or half:
        output = empty(g.output_shape, dtype)
    else:
        output = check_out(out, g.output_shape, dtype, *(a for a in (x, w, b) if a is not None))
    plan = select(g, dtype, "forward", algorithm, ISA, get_num_threads(), autotune.table)
    if g.empty:
        _bias_alone(g, b, relu, output)
    else:
        plan.module.forward(g, x, w, b, relu, output)
    if not half:
        return output
    if out is None:
        return restore(output, input)
    check_out(out, g.output_shape, FLOAT16)[...] = output
    return out


def _grad_input(
    g: Conv2dGeometry, grad: Array, w: Array, algorithm: str, with_bias: bool
) -> tuple[Array, Array | None]:
    """Return the input's gradient, and the bias' if it is wanted and can be had on the way."""
    plan = select(g, w.dtype, "grad_input", algorithm, ISA, get_num_threads(), autotune.table)
    result = empty(g.input_shape, w.dtype)
    if g.empty:
        result[...] = 0
    elif with_bias and plan.algorithm == "direct":
        bias = empty((g.out_channels,), w.dtype)
        plan.module.grad_input(g, grad, w, result, bias)
        return result, bias
    else:
        plan.module.grad_input(g, grad, w, result)
    return result, None


def _grad_weight(g: Conv2dGeometry, x: Array, grad: Array, algorithm: str) -> Array:
    plan = select(g, x.dtype, "grad_weight", algorithm, ISA, get_num_threads(), autotune.table)
    result = empty(g.weight_shape, x.dtype)
    if g.empty:
        result[...] = 0
    else:
        plan.module.grad_weight(g, x, grad, result)
    return result


def _all_gradients(
    g: Conv2dGeometry, x: Array, grad: Array, w: Array, with_bias: bool
) -> tuple[Array, Array, Array | None]:
    of_input, of_weight = empty(g.input_shape, x.dtype), empty(g.weight_shape, x.dtype)
    of_bias = empty((g.out_channels,), x.dtype) if with_bias else None
    direct.backward(g, grad, x, w, of_input, of_weight, of_bias)
    return of_input, of_weight, of_bias


def _grad_bias(g: Conv2dGeometry, grad: Array) -> Array:
    result = empty((g.out_channels,), grad.dtype)
    core.grad_bias(g.core, grad, result)
    return result


def conv2d_backward(
    grad_output: Any,
    input: Any,
    weight: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
    layout: str = "NCHW",
    output_mask: tuple[bool, bool, bool] = (True, True, True),
) -> ConvGradients:
    """Gradients of `conv2d` for input, weight and bias (notes 004, eq. 5.24-5.29).

    Parameters
    ----------
    grad_output : array-like
        Gradient of the loss for conv2d's output; its shape and dtype.
    input, weight, stride, padding, dilation, groups, algorithm, layout
        As `conv2d` took them.
    output_mask : three bools
        Which of (input, weight, bias) to compute; the rest are None.

    Returns
    -------
    ConvGradients
        Named tuple (input, weight, bias).

    Notes
    -----
    The bounds of `conv2d` hold with the length of each gradient's own sum: K / groups * R * S for the
    input, N * OH * OW for the weight and the bias. Large images of few channels have the gradients of
    both input and weight summed together where that is faster; then the weight's last bits are not
    those of a call that asks for it alone.

    Examples
    --------
    >>> x, w = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    >>> gradients = conv2d_backward(np.ones((1, 1, 2, 2)), x, w)
    >>> gradients.input[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    >>> gradients.weight.ravel(), gradients.bias
    (array([4., 4., 4., 4.]), array([4.]))
    """
    x = as_floats("input", input)
    w = as_floats("weight", weight, x.dtype)
    grad = as_floats("grad_output", grad_output, x.dtype)
    g = geometry_of(x.shape, w.shape, stride, padding, dilation, groups, layout)
    if grad.shape != g.output_shape:
        raise ValueError(
            f"grad_output: expected conv2d's output shape {g.output_shape}, got {grad.shape}"
        )
    if len(output_mask) != 3:
        raise ValueError(
            f"output_mask: expected three bools (input, weight, bias), got {output_mask!r}"
        )
    of_input, of_weight, of_bias = None, None, None
    wants_bias = bool(output_mask[2])
    both = output_mask[0] and output_mask[1]
    if both and joins(g, x.dtype, algorithm, ISA, autotune.table):
        of_input, of_weight, of_bias = _all_gradients(g, x, grad, w, wants_bias)
    else:
        if output_mask[0]:
            of_input, of_bias = _grad_input(g, grad, w, algorithm, wants_bias)
        if output_mask[1]:
            of_weight = _grad_weight(g, x, grad, algorithm)
    if wants_bias and of_bias is None:
        of_bias = _grad_bias(g, grad)
    gradients = ConvGradients(of_input, of_weight, of_bias)
    if x is input:
        return gradients
    return ConvGradients(*(None if a is None else restore(a, input) for a in gradients))
