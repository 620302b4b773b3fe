"""Maxout, an activation over groups of channels: notes 001; its gradient: 004, section 5.4.2."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastconv.reference.arrays import (
    FloatArray,
    as_float64,
    axis_lanes,
    flat,
    normalize_axis,
    to_array,
)
from fastconv.reference.linear import linear


def _maxout_winners(input: FloatArray, pieces: int, axis: int) -> tuple[list[int], tuple[int, ...]]:
    """Flat input index of each output element's winner (first of equals), and the output shape."""
    axis = normalize_axis(axis, input.ndim)
    if pieces < 1 or input.shape[axis] % pieces:
        raise ValueError(f"pieces={pieces} must divide the {input.shape[axis]} channels")
    split = (*input.shape[:axis], input.shape[axis] // pieces, pieces, *input.shape[axis + 1 :])
    values, winners = flat(input), []
    for lane in axis_lanes(split, axis + 1):
        winner = lane[0]
        for index in lane:
            if values[index] > values[winner] or math.isnan(values[index]):
                winner = index
        winners.append(winner)
    return winners, split[: axis + 1] + split[axis + 2 :]


def maxout(input: npt.ArrayLike, pieces: int, axis: int = 1) -> FloatArray:
    """Keep the largest of each ``pieces`` consecutive channels: notes 001, "Maxout".

    Output channel ``c`` is the maximum of input channels ``c * pieces ... c * pieces + pieces -
    1``.

    >>> maxout([[1, 5, 4, 2]], pieces=2).tolist()
    [[5.0, 4.0]]
    """
    input = as_float64(input)
    winners, shape = _maxout_winners(input, pieces, axis)
    values = flat(input)
    return to_array([values[winner] for winner in winners], shape)


def maxout_backward(
    grad_output: npt.ArrayLike, input: npt.ArrayLike, pieces: int, axis: int = 1
) -> FloatArray:
    """Route each gradient to the channel that won, the first of equals: notes 004, eq. 5.30-5.34.

    >>> maxout_backward([[7, 9]], [[1, 5, 4, 2]], pieces=2).tolist()
    [[0.0, 7.0, 9.0, 0.0]]
    """
    input = as_float64(input)
    winners, _ = _maxout_winners(input, pieces, axis)
    grad_input = [0.0] * input.size
    for winner, grad in zip(winners, flat(grad_output), strict=True):
        grad_input[winner] = grad
    return to_array(grad_input, input.shape)


def maxout_affine(
    input: npt.ArrayLike, weights: npt.ArrayLike, biases: npt.ArrayLike
) -> FloatArray:
    """``max over k of (W_k z + b_k)``: notes 001, ``max(w1 z + b1, w2 z + b2)``.

    ``input`` (N, D), ``weights`` (pieces, K, D), ``biases`` (pieces, K) -> (N, K).

    >>> maxout_affine([[2], [-2]], [[[1]], [[-1]]], [[0], [0]]).tolist()  # |z|
    [[2.0], [2.0]]
    """
    parts = [
        linear(input, w, b) for w, b in zip(as_float64(weights), as_float64(biases), strict=True)
    ]
    joined = np.zeros((*parts[0].shape, len(parts)))
    for piece, part in enumerate(parts):
        joined[..., piece] = part
    return maxout(joined.reshape(parts[0].shape[0], -1), len(parts))
