"""Softmax, its logarithm and the log-sum-exp along an axis: notes 004, sections 3.2.3 and 6.1."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy.typing as npt

from fastconv.reference.arrays import (
    FloatArray,
    as_float64,
    axis_lanes,
    flat,
    normalize_axis,
    to_array,
)


def _map_lanes(
    function: Callable[..., list[float]], axis: int, *arrays: npt.ArrayLike
) -> FloatArray:
    """Apply ``function`` to matching lanes of equally shaped arrays."""
    shape = as_float64(arrays[0]).shape
    sources = [flat(array) for array in arrays]
    result = [0.0] * math.prod(shape)
    for lane in axis_lanes(shape, axis):
        values = function(*([source[index] for index in lane] for source in sources))
        for index, value in zip(lane, values, strict=True):
            result[index] = value
    return to_array(result, shape)


def softmax(input: npt.ArrayLike, axis: int = -1) -> FloatArray:
    """``exp(s_k) / sum_j exp(s_j)`` along ``axis``: notes 004, eq. 3.9, 6.1.

    Stable by eq. 6.11: the largest score is subtracted first, so the largest power is 1. A lane of
    -inf alone, or one that holds +inf or NaN, gives NaN, as in PyTorch.

    >>> softmax([1000, 1000]).tolist(), softmax([-1000, -1000]).tolist()
    ([0.5, 0.5], [0.5, 0.5])
    """

    def lane(scores: list[float]) -> list[float]:
        largest = max(scores)
        powers = [math.exp(score - largest) for score in scores]
        total = 0.0
        for power in powers:
            total += power
        return [power / total for power in powers]

    return _map_lanes(lane, axis, input)


def softmax_backward(
    grad_output: npt.ArrayLike, output: npt.ArrayLike, axis: int = -1
) -> FloatArray:
    """``p_k (g_k - sum_j g_j p_j)``, given the forward pass's ``output`` p.

    >>> softmax_backward([1, 0], [0.25, 0.75]).tolist()
    [0.1875, -0.1875]
    """

    def lane(grads: list[float], outputs: list[float]) -> list[float]:
        inner = 0.0
        for grad, value in zip(grads, outputs, strict=True):
            inner += grad * value
        return [value * (grad - inner) for grad, value in zip(grads, outputs, strict=True)]

    return _map_lanes(lane, axis, grad_output, output)


def _log_sum_exp(scores: list[float]) -> float:
    """Logarithm of the sum of exponentials of one lane, NaN if it holds a NaN."""
    if any(math.isnan(score) for score in scores):
        return math.nan
    largest = max(scores)
    if math.isinf(largest):
        return largest
    total = 0.0
    for score in scores:
        total += math.exp(score - largest)
    return largest + math.log(total)


def log_softmax(input: npt.ArrayLike, axis: int = -1) -> FloatArray:
    """``s_k - log sum_j exp(s_j)`` along ``axis``: the bracket of notes 004, eq. 3.18, 3.43.

    >>> log_softmax([1000, 1000]).tolist() == [-math.log(2)] * 2
    True
    """

    def lane(scores: list[float]) -> list[float]:
        largest = max(scores)
        rest = _log_sum_exp([score - largest for score in scores])
        return [score - largest - rest for score in scores]

    return _map_lanes(lane, axis, input)


def log_softmax_backward(
    grad_output: npt.ArrayLike, output: npt.ArrayLike, axis: int = -1
) -> FloatArray:
    """``g_k - exp(output_k) sum_j g_j``, given the forward pass's ``output``.

    >>> log_softmax_backward([1, 0], [math.log(0.25), math.log(0.75)]).round(12).tolist()
    [0.75, -0.75]
    """

    def lane(grads: list[float], outputs: list[float]) -> list[float]:
        total = 0.0
        for grad in grads:
            total += grad
        return [grad - math.exp(value) * total for grad, value in zip(grads, outputs, strict=True)]

    return _map_lanes(lane, axis, grad_output, output)


def logsumexp(input: npt.ArrayLike, axis: int = -1, keepdims: bool = False) -> FloatArray:
    """``log sum_j exp(s_j)`` along ``axis``, which is dropped, or kept with length one.

    A lane of -inf alone gives -inf; one with +inf gives +inf; a NaN gives NaN.

    >>> logsumexp([1000, 1000]).tolist() == 1000 + math.log(2)
    True
    """
    input = as_float64(input)
    axis = normalize_axis(axis, input.ndim)
    values = flat(input)
    sums = [_log_sum_exp([values[i] for i in lane]) for lane in axis_lanes(input.shape, axis)]
    kept = (1,) if keepdims else ()
    return to_array(sums, input.shape[:axis] + kept + input.shape[axis + 1 :])


def logsumexp_backward(
    grad_output: npt.ArrayLike, input: npt.ArrayLike, axis: int = -1
) -> FloatArray:
    """``g softmax(input)``; ``grad_output`` may have the reduced axis or not.

    >>> logsumexp_backward(4.0, [0, 0]).tolist()
    [2.0, 2.0]
    """
    input = as_float64(input)
    shares, grads = flat(softmax(input, axis)), flat(grad_output)
    grad_input = [0.0] * input.size
    for grad, lane in zip(grads, axis_lanes(input.shape, axis), strict=True):
        for index in lane:
            grad_input[index] = grad * shares[index]
    return to_array(grad_input, input.shape)
