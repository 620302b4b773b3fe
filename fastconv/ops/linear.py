"""The fully connected layer: a product with the weights, and two more for its gradients."""

from typing import Any, NamedTuple

import numpy as np

from fastconv._core import linear as core
from fastconv.ops.arrays import Array, as_floats, empty, restore


class LinearGradients(NamedTuple):
    """Gradients of `linear`; entries that were not asked for are None."""

    input: Array | None
    weight: Array | None
    bias: Array | None


def _operands(input: Any, weight: Any) -> tuple[Array, Array]:
    x = as_floats("input", input)
    w = as_floats("weight", weight, x.dtype)
    if w.ndim != 2:
        raise ValueError(f"weight: expected (out_features, in_features), got shape {w.shape}")
    if x.ndim == 0 or x.shape[-1] != w.shape[1]:
        raise ValueError(
            f"input: expected shape (..., {w.shape[1]}) for a weight of shape {w.shape}, "
            f"got {x.shape}"
        )
    return x, w


def linear(input: Any, weight: Any, bias: Any = None, *, activation: str | None = None) -> Array:
    """Return input @ weight.T + bias (notes 004, eq. 4.5, 4.31).

    `input` (..., in_features), `weight` (out_features, in_features), `bias` (out_features,) or
    None -> (..., out_features); float32, float64 or float16, one dtype for all. Each sum of K =
    in_features products is within (K + 2) u sum|x||w|, u = 2^-24 or 2^-53. `activation` "relu"
    clips the result at zero on its way to memory. TypeError, ValueError: other dtypes, or shapes
    that do not fit each other.

    Examples
    --------
    >>> linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([10.0, 20.0]))
    array([[21., 37.]])
    """
    x, w = _operands(input, weight)
    b = None if bias is None else as_floats("bias", bias, x.dtype)
    if b is not None and b.shape != w.shape[:1]:
        raise ValueError(
            f"bias: expected shape {w.shape[:1]}, one for each output feature, got {b.shape}"
        )
    if activation not in (None, "relu"):
        raise ValueError(f"activation: expected None or 'relu', got {activation!r}")
    output = empty((*x.shape[:-1], w.shape[0]), x.dtype)
    if x.size and w.size:
        core.forward(x, w, b, activation == "relu", output)
    else:
        output[...] = 0 if b is None else np.maximum(b, 0) if activation else b
    return restore(output, input)


def _grad_input(grad: Array, x: Array, w: Array) -> Array:
    result = empty(x.shape, x.dtype)
    if grad.size and result.size:
        core.grad_input(grad, w, result)
    else:
        result[...] = 0
    return result


def _grad_weight(grad: Array, x: Array, w: Array) -> Array:
    result = empty(w.shape, x.dtype)
    if grad.size and result.size:
        core.grad_weight(x, grad, result)
    else:
        result[...] = 0
    return result


def _grad_bias(grad: Array) -> Array:
    axes = 0 if grad.ndim == 2 else tuple(range(grad.ndim - 1))
    return np.asarray(np.add.reduce(grad, axis=axes))


def linear_backward(
    grad_output: Any,
    input: Any,
    weight: Any,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
) -> LinearGradients:
    """Gradients of `linear`: g W, g^T x, and g summed over the batch (notes 004, eq. 4.35-4.38).

    `grad_output` is (..., out_features). `output_mask` says which of (input, weight, bias) to
    compute; the others are None.

    Examples
    --------
    >>> g = linear_backward(np.array([[1.0, 10.0]]), np.array([[1.0, 2.0]]), np.eye(2))
    >>> g.input, g.bias
    (array([[ 1., 10.]]), array([ 1., 10.]))
    >>> g.weight
    array([[ 1.,  2.],
           [10., 20.]])
    """
    x, w = _operands(input, weight)
    grad = as_floats("grad_output", grad_output, x.dtype)
    expected = (*x.shape[:-1], w.shape[0])
    if grad.shape != expected:
        raise ValueError(f"grad_output: expected the output's shape {expected}, got {grad.shape}")
    if len(output_mask) != 3:
        raise ValueError(f"output_mask: expected (input, weight, bias), got {output_mask!r}")
    return LinearGradients(
        restore(_grad_input(grad, x, w), input) if output_mask[0] else None,
        restore(_grad_weight(grad, x, w), input) if output_mask[1] else None,
        restore(_grad_bias(grad), input) if output_mask[2] else None,
    )
