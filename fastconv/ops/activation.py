"""Elementwise activations and their gradients."""

from typing import Any

import numpy as np

from fastconv._core import activation as core
from fastconv.ops.arrays import Array, as_floats, restore


def _forward(name: str, input: Any, parameter: float = 0.0) -> Array:
    x = as_floats("input", input)
    output = np.empty(x.shape, x.dtype)
    core.forward(core.ACTIVATIONS[name], parameter, x, output)
    return restore(output, input)


def _backward(name: str, grad_output: Any, saved: Any, saved_name: str, parameter: float = 0.0) -> Array:
    kept = as_floats(saved_name, saved)
    grad = as_floats("grad_output", grad_output, kept.dtype)
    if grad.shape != kept.shape:
        raise ValueError(
            f"grad_output: expected the shape of {saved_name}, {kept.shape}, got {grad.shape}"
        )
    grad_input = np.empty(kept.shape, kept.dtype)
    core.backward(core.ACTIVATIONS[name], parameter, grad, kept, grad_input)
    return restore(grad_input, saved)


def relu(input: Any) -> Array:
    """Rectified linear unit, max(0, x) (notes 004, eq. 4.7); NaN stays NaN.

    Exact. Takes any shape of float32, float64 or float16; returns the same.

    Examples
    --------
    >>> relu(np.array([-1.0, 0.0, 2.5]))
    array([0. , 0. , 2.5])
    """
    return _forward("relu", input)


def relu_backward(grad_output: Any, output: Any) -> Array:
    """Gradient of `relu`: grad_output where relu's `output` is positive, else 0 (eq. 4.34).

    Examples
    --------
    >>> relu_backward(np.ones(3), np.array([0.0, 0.0, 2.5]))
    array([0., 0., 1.])
    """
    return _backward("relu", grad_output, output, "output")
