"""The fully connected layer: notes 004, sections 4.2 and 4.4.2."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastconv.reference.arrays import FloatArray, as_float64, nested_zeros, to_array


class LinearGradients(NamedTuple):
    """Gradients of `linear`: ``input`` (N, D), ``weight`` (K, D), ``bias`` (K,).

    >>> LinearGradients._fields
    ('input', 'weight', 'bias')
    """

    input: FloatArray
    weight: FloatArray
    bias: FloatArray


def linear(
    input: npt.ArrayLike, weight: npt.ArrayLike, bias: npt.ArrayLike | None = None
) -> FloatArray:
    """``W a + b`` for each row a of ``input`` (N, D), ``weight`` (K, D) -> (N, K): eq. 4.5, 4.31.

    Correction: eq. 4.14 closes the bracket of ``max(0, w^T x) + b`` before the bias; the activation
    acts on ``w^T x + b`` (eq. 4.13).

    >>> linear([[1, 2]], [[3, 4], [5, 6]], [10, 20]).tolist()
    [[21.0, 37.0]]
    """
    input, weight = as_float64(input, 2), as_float64(weight, 2, "weight")
    if input.shape[1] != weight.shape[1]:
        raise ValueError(f"input has {input.shape[1]} features; weight expects {weight.shape[1]}")
    offsets = [0.0] * weight.shape[0] if bias is None else as_float64(bias, 1, "bias").tolist()
    x, w = input.tolist(), weight.tolist()
    output = np.zeros((input.shape[0], weight.shape[0]))
    for n in range(input.shape[0]):
        for k in range(weight.shape[0]):
            total = offsets[k]
            for d in range(weight.shape[1]):
                total += w[k][d] * x[n][d]
            output[n, k] = total
    return output


def linear_backward(
    grad_output: npt.ArrayLike, input: npt.ArrayLike, weight: npt.ArrayLike
) -> LinearGradients:
    """Return ``W^T g``, ``g a^T`` and ``g``, the last two summed over the batch: eq. 4.35-4.38.

    Correction: eq. 4.29 and algorithm 2 write ``g x^T`` for the last layer; its input is the
    activation ``a^(L-1)``. Eq. 4.36 drops the layer's superscript of ``W``.

    >>> grads = linear_backward([[1, 10]], [[1, 2]], [[3, 4], [5, 6]])
    >>> grads.input.tolist(), grads.weight.tolist(), grads.bias.tolist()
    ([[53.0, 64.0]], [[1.0, 2.0], [10.0, 20.0]], [1.0, 10.0])
    """
    input, weight = as_float64(input, 2), as_float64(weight, 2, "weight")
    grad_output = as_float64(grad_output, 2, "grad_output")
    x, w, g = input.tolist(), weight.tolist(), grad_output.tolist()
    grad_input, grad_weight = nested_zeros(input.shape), nested_zeros(weight.shape)
    grad_bias = [0.0] * weight.shape[0]
    for n in range(input.shape[0]):
        for k in range(weight.shape[0]):
            grad_bias[k] += g[n][k]
            for d in range(weight.shape[1]):
                grad_input[n][d] += w[k][d] * g[n][k]
                grad_weight[k][d] += g[n][k] * x[n][d]
    return LinearGradients(
        to_array(grad_input, input.shape),
        to_array(grad_weight, weight.shape),
        to_array(grad_bias, (weight.shape[0],)),
    )
