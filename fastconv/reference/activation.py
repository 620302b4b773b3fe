"""Activation functions and their derivatives: notes 003 section 2.2-2.3; 001; 004 eq. 4.6-4.8.

Each works element by element on any shape; ``f_backward(grad_output, input, <options>)`` multiplies
``grad_output`` by the derivative at ``input``. NaN stays NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy.typing as npt

from fastconv.reference.arrays import FloatArray, map_elements

_SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)


def relu(input: npt.ArrayLike) -> FloatArray:
    """``max(0, s)``: notes 004, eq. 4.7, 5.21.

    >>> relu([-2, 0, 3]).tolist()
    [0.0, 0.0, 3.0]
    """
    return map_elements(lambda s: 0.0 if s <= 0.0 else s, input)


def relu_backward(grad_output: npt.ArrayLike, input: npt.ArrayLike) -> FloatArray:
    """``1{s > 0} g``: notes 004, eq. 4.34; the derivative at 0 is 0.

    >>> relu_backward([5, 5, 5], [-2, 0, 3]).tolist()
    [0.0, 0.0, 5.0]
    """
    return map_elements(lambda g, s: 0.0 if s <= 0.0 else g, grad_output, input)


def leaky_relu(input: npt.ArrayLike, negative_slope: float = 0.01) -> FloatArray:
    """``s`` where positive, else ``negative_slope * s``: notes 001, "Leaky-ReLU".

    Correction: the notes define it for ``z > 0`` and ``z < 0`` only; at 0 it is 0.

    >>> leaky_relu([-2, 0, 3]).tolist()
    [-0.02, 0.0, 3.0]
    """
    return map_elements(lambda s: s if s > 0.0 else negative_slope * s, input)


def leaky_relu_backward(
    grad_output: npt.ArrayLike, input: npt.ArrayLike, negative_slope: float = 0.01
) -> FloatArray:
    """``g`` where the input is positive, else ``negative_slope * g``.

    >>> leaky_relu_backward([5, 5], [-2, 3], negative_slope=0.5).tolist()
    [2.5, 5.0]
    """
    return map_elements(lambda g, s: g if s > 0.0 else negative_slope * g, grad_output, input)


def elu(input: npt.ArrayLike, alpha: float = 1.0) -> FloatArray:
    """``s`` where positive, else ``alpha (exp(s) - 1)``: notes 001, "ELU".

    >>> elu([-math.log(2), 0, 3]).tolist()
    [-0.5, 0.0, 3.0]
    """
    return map_elements(lambda s: s if s > 0.0 else alpha * math.expm1(s), input)


def elu_backward(
    grad_output: npt.ArrayLike, input: npt.ArrayLike, alpha: float = 1.0
) -> FloatArray:
    """``g`` where the input is positive, else ``g alpha exp(s)``.

    >>> elu_backward([5, 5], [0, 3], alpha=2.0).tolist()
    [10.0, 5.0]
    """
    return map_elements(lambda g, s: g if s > 0.0 else g * alpha * math.exp(s), grad_output, input)


def _sigmoid(s: float) -> float:
    """No exponential of a positive number, so no overflow on either side."""
    if s >= 0.0:
        return 1.0 / (1.0 + math.exp(-s))
    power = math.exp(s)
    return power / (1.0 + power)


def sigmoid(input: npt.ArrayLike) -> FloatArray:
    """``1 / (1 + exp(-s))``: notes 004, eq. 4.8.

    >>> sigmoid([-1000, 0, 1000]).tolist()
    [0.0, 0.5, 1.0]
    """
    return map_elements(_sigmoid, input)


def sigmoid_backward(grad_output: npt.ArrayLike, input: npt.ArrayLike) -> FloatArray:
    """``g sigma(s) (1 - sigma(s))``: notes 003 section 2.3; ``1 - sigma(s)`` is ``sigma(-s)``.

    >>> sigmoid_backward([1], [0]).tolist()
    [0.25]
    """
    return map_elements(lambda g, s: g * _sigmoid(s) * _sigmoid(-s), grad_output, input)


def tanh(input: npt.ArrayLike) -> FloatArray:
    """``(e^z - e^-z) / (e^z + e^-z)``: notes 001; 003 section 2.2.

    Correction: notes 003 print ``z^-z`` in the denominator, and call tanh the sigmoid moved down by
    one; it is the sigmoid stretched and moved, ``2 sigma(2 z) - 1`` (notes 001).

    >>> tanh([0.0, 1000.0]).tolist()
    [0.0, 1.0]
    """
    return map_elements(math.tanh, input)


def _tanh_slope(s: float) -> float:
    """``1 - tanh(s)^2`` without its cancellation: ``4 q / (1 + q)^2`` with ``q = exp(-2 |s|)``."""
    power = math.exp(-2.0 * abs(s))
    return 4.0 * power / ((1.0 + power) * (1.0 + power))


def tanh_backward(grad_output: npt.ArrayLike, input: npt.ArrayLike) -> FloatArray:
    """``g (1 - tanh(z)^2)``: notes 003, section 2.3.

    >>> tanh_backward([3], [0]).tolist()
    [3.0]
    """
    return map_elements(lambda g, s: g * _tanh_slope(s), grad_output, input)


def _gelu_inner(s: float) -> float:
    return _SQRT_2_OVER_PI * (s + 0.044715 * s * s * s)


def _gelu_tanh_slope(s: float) -> float:
    """Derivative of ``s sigma(2 u(s))``, since ``(1 + tanh u) / 2 = sigma(2 u)``."""
    twice = 2.0 * _gelu_inner(s)
    gate, gate_slope = _sigmoid(twice), _sigmoid(twice) * _sigmoid(-twice)
    if gate_slope == 0.0:
        return gate
    return gate + s * gate_slope * 2.0 * _SQRT_2_OVER_PI * (1.0 + 3.0 * 0.044715 * s * s)


def _gelu_slope(s: float) -> float:
    density = math.exp(-0.5 * s * s) / math.sqrt(2.0 * math.pi)
    return 0.5 * math.erfc(-s / math.sqrt(2.0)) + s * density


def _gelu_rule(
    approximate: str, exact: Callable[[float], float], fast: Callable[[float], float]
) -> Callable[[float], float]:
    if approximate not in ("none", "tanh"):
        raise ValueError(f'approximate must be "none" or "tanh"; got {approximate!r}')
    return exact if approximate == "none" else fast


def gelu(input: npt.ArrayLike, approximate: str = "none") -> FloatArray:
    """``s Phi(s)`` with the normal distribution function, or its ``"tanh"`` approximation.

    Not in the notes: Hendrycks and Gimpel, arXiv 1606.08415. ``erfc`` keeps the left tail accurate.

    >>> gelu([0, 1]).round(6).tolist(), gelu([0, 1], approximate="tanh").round(6).tolist()
    ([0.0, 0.841345], [0.0, 0.841192])
    """
    rule = _gelu_rule(
        approximate,
        lambda s: 0.5 * s * math.erfc(-s / math.sqrt(2.0)),
        lambda s: s * _sigmoid(2.0 * _gelu_inner(s)),
    )
    return map_elements(rule, input)


def gelu_backward(
    grad_output: npt.ArrayLike, input: npt.ArrayLike, approximate: str = "none"
) -> FloatArray:
    """``g`` times ``Phi(s) + s phi(s)``, or the derivative of the approximation.

    >>> gelu_backward([2], [0]).tolist(), gelu_backward([2], [0], approximate="tanh").tolist()
    ([1.0], [1.0])
    """
    slope = _gelu_rule(approximate, _gelu_slope, _gelu_tanh_slope)
    return map_elements(lambda g, s: g * slope(s), grad_output, input)


def silu(input: npt.ArrayLike) -> FloatArray:
    """``s sigma(s)``. Not in the notes: Elfwing et al., arXiv 1702.03118 ("swish").

    >>> silu([0, 100]).tolist()
    [0.0, 100.0]
    """
    return map_elements(lambda s: s * _sigmoid(s), input)


def silu_backward(grad_output: npt.ArrayLike, input: npt.ArrayLike) -> FloatArray:
    """``g sigma(s) (1 + s (1 - sigma(s)))``.

    >>> silu_backward([2], [0]).tolist()
    [1.0]
    """
    return map_elements(lambda g, s: g * _sigmoid(s) * (1.0 + s * _sigmoid(-s)), grad_output, input)


def _hardswish(s: float) -> float:
    if s <= -3.0:
        return 0.0
    return s if s >= 3.0 else s * (s + 3.0) / 6.0


def _hardswish_slope(s: float) -> float:
    if s <= -3.0:
        return 0.0
    return 1.0 if s >= 3.0 else s / 3.0 + 0.5


def hardswish(input: npt.ArrayLike) -> FloatArray:
    """0 up to -3, ``s`` from 3 on, ``s (s + 3) / 6`` between. Not in the notes: arXiv 1905.02244.

    >>> hardswish([-4, 0, 1.5, 4]).tolist()
    [0.0, 0.0, 1.125, 4.0]
    """
    return map_elements(_hardswish, input)


def hardswish_backward(grad_output: npt.ArrayLike, input: npt.ArrayLike) -> FloatArray:
    """``g (s / 3 + 1/2)`` inside (-3, 3); at the corners the slope outside, 0 and 1.

    >>> hardswish_backward([2, 2, 2], [-3, 0, 3]).tolist()
    [0.0, 1.0, 2.0]
    """
    return map_elements(lambda g, s: g * _hardswish_slope(s), grad_output, input)
