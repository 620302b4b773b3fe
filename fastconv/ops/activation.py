"""Elementwise activations and their gradients.

Every function takes any shape of float32, float64 or float16 and returns the same. Error bounds are
in units of the last place (ulp) of normal results, over all instruction sets; a subnormal factor
costs more, relative to a result that is next to nothing.
"""

from typing import Any

from fastconv._core import activation as core
from fastconv.ops.arguments import as_number, one_of
from fastconv.ops.arrays import Array, as_floats, empty, restore


def _forward(name: str, input: Any, parameter: float = 0.0) -> Array:
    x = as_floats("input", input)
    output = empty(x.shape, x.dtype)
    core.forward(core.ACTIVATIONS[name], parameter, x, output)
    return restore(output, input)


def _backward(
    name: str,
    grad_output: Any,
    saved: Any,
    saved_name: str,
    parameter: float = 0.0,
    in_place: bool = False,
) -> Array:
    kept = as_floats(saved_name, saved)
    grad = as_floats("grad_output", grad_output, kept.dtype)
    if grad.shape != kept.shape:
        raise ValueError(
            f"grad_output: expected the shape of {saved_name}, {kept.shape}, got {grad.shape}"
        )
    grad_input = grad if in_place else empty(kept.shape, kept.dtype)
    core.backward(core.ACTIVATIONS[name], parameter, grad, kept, grad_input)
    return restore(grad_input, saved)


def relu(input: Any) -> Array:
    """Rectified linear unit, max(0, x) (notes 004, eq. 4.7); NaN stays NaN. Exact.

    Examples
    --------
    >>> relu(np.array([-1.0, 0.0, 2.5]))
    array([0. , 0. , 2.5])
    """
    return _forward("relu", input)


def relu_backward(grad_output: Any, output: Any) -> Array:
    """Gradient of `relu`: grad_output where relu's `output` is positive, else 0 (eq. 4.34). Exact.

    Examples
    --------
    >>> relu_backward(np.ones(3), np.array([0.0, 0.0, 2.5]))
    array([0., 0., 1.])
    """
    return _backward("relu", grad_output, output, "output")


def relu_backward_in_place(grad_output: Any, output: Any) -> Array:
    """`relu_backward` for a gradient that nobody else needs: the result takes its place.

    Examples
    --------
    >>> grad = np.ones(3)
    >>> relu_backward_in_place(grad, np.array([0.0, 0.0, 2.5])) is grad
    True
    """
    return _backward("relu", grad_output, output, "output", in_place=True)


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Array:
    """Return x where x > 0, else negative_slope * x (notes 001). Correctly rounded.

    Examples
    --------
    >>> leaky_relu(np.array([-2.0, 3.0]), 0.5)
    array([-1.,  3.])
    """
    return _forward("leaky_relu", input, as_number("negative_slope", negative_slope))


def leaky_relu_backward(grad_output: Any, input: Any, negative_slope: float = 0.01) -> Array:
    """Gradient of `leaky_relu` at its `input`: grad_output times 1 or `negative_slope`.

    Examples
    --------
    >>> leaky_relu_backward(np.ones(2), np.array([-2.0, 3.0]), 0.5)
    array([0.5, 1. ])
    """
    slope = as_number("negative_slope", negative_slope)
    return _backward("leaky_relu", grad_output, input, "input", slope)


def elu(input: Any, alpha: float = 1.0) -> Array:
    """Return x where x > 0, else alpha * (exp(x) - 1) (notes 001); within 2 ulp.

    Examples
    --------
    >>> elu(np.array([-np.inf, 0.0, 3.0]))
    array([-1.,  0.,  3.])
    """
    return _forward("elu", input, as_number("alpha", alpha))


def elu_backward(grad_output: Any, input: Any, alpha: float = 1.0) -> Array:
    """Gradient of `elu` at its `input`: grad_output times 1, or alpha * exp(x); within 3 ulp.

    Examples
    --------
    >>> elu_backward(np.ones(2), np.array([0.0, 3.0]), alpha=0.5)
    array([0.5, 1. ])
    """
    return _backward("elu", grad_output, input, "input", as_number("alpha", alpha))


def sigmoid(input: Any) -> Array:
    """Logistic function 1 / (1 + exp(-x)) (notes 004, eq. 4.8); within 3 ulp, overflow-free.

    Examples
    --------
    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    return _forward("sigmoid", input)


def sigmoid_backward(grad_output: Any, output: Any) -> Array:
    """Gradient of `sigmoid` from its `output` y: grad_output * y * (1 - y) (notes 003, 2.3).

    Examples
    --------
    >>> sigmoid_backward(np.ones(1), np.array([0.5]))
    array([0.25])
    """
    return _backward("sigmoid", grad_output, output, "output")


def tanh(input: Any) -> Array:
    """Hyperbolic tangent (e^x - e^-x) / (e^x + e^-x) (notes 001); within 3 ulp.

    Examples
    --------
    >>> tanh(np.array([-1000.0, 0.0, 1000.0]))
    array([-1.,  0.,  1.])
    """
    return _forward("tanh", input)


def tanh_backward(grad_output: Any, output: Any) -> Array:
    """Gradient of `tanh` from its `output` y: grad_output * (1 - y^2) (notes 003, 2.3).

    Examples
    --------
    >>> tanh_backward(np.ones(2), np.array([0.0, 1.0]))
    array([1., 0.])
    """
    return _backward("tanh", grad_output, output, "output")


def silu(input: Any) -> Array:
    """Return x * sigmoid(x), "swish" (arXiv 1702.03118); within 4 ulp. NaN at -inf, as in PyTorch.

    Examples
    --------
    >>> silu(np.array([0.0, 100.0]))
    array([  0., 100.])
    """
    return _forward("silu", input)


def silu_backward(grad_output: Any, input: Any) -> Array:
    """Gradient of `silu` at its `input`: grad_output * s (1 + x (1 - s)), s = sigmoid(x).

    Examples
    --------
    >>> silu_backward(np.ones(2), np.array([0.0, np.inf]))
    array([0.5, 1. ])
    """
    return _backward("silu", grad_output, input, "input")


def hardswish(input: Any) -> Array:
    """Return x * min(max(x + 3, 0), 6) / 6 (arXiv 1905.02244); within 2 ulp.

    Examples
    --------
    >>> hardswish(np.array([-4.0, 0.0, 1.5, 4.0]))
    array([0.   , 0.   , 1.125, 4.   ])
    """
    return _forward("hardswish", input)


def hardswish_backward(grad_output: Any, input: Any) -> Array:
    """Gradient of `hardswish` at its `input`: 0 up to -3, 1 from 3 on, x / 3 + 1/2 between.

    Examples
    --------
    >>> hardswish_backward(np.ones(3), np.array([-3.0, 0.0, 3.0]))
    array([0. , 0.5, 1. ])
    """
    return _backward("hardswish", grad_output, input, "input")


def _gelu_name(approximate: str) -> str:
    choice = one_of("approximate", approximate, ("none", "tanh"))
    return "gelu" if choice == "none" else "gelu_tanh"


def gelu(input: Any, approximate: str = "none") -> Array:
    """Return x * Phi(x), Phi the normal distribution function (arXiv 1606.08415).

    `approximate="tanh"` takes x (1 + tanh u) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3). The exact
    form is within 6 ulp, the other within 6 + 8 |u|. NaN at -inf, as in PyTorch.

    Examples
    --------
    >>> gelu(np.array([0.0, 1.0])).round(6), gelu(np.array([0.0, 1.0]), "tanh").round(6)
    (array([0.      , 0.841345]), array([0.      , 0.841192]))
    """
    return _forward(_gelu_name(approximate), input)


def gelu_backward(grad_output: Any, input: Any, approximate: str = "none") -> Array:
    """Gradient of `gelu` at its `input`: grad_output * (Phi(x) + x phi(x)), or of its fit.

    Examples
    --------
    >>> gelu_backward(np.ones(2), np.zeros(2)), gelu_backward(np.ones(1), np.zeros(1), "tanh")
    (array([0.5, 0.5]), array([0.5]))
    """
    return _backward(_gelu_name(approximate), grad_output, input, "input")
