"""Maxout: the largest of each group of channels."""

from typing import Any

import numpy as np

from fastconv.ops.arguments import as_axis, as_int
from fastconv.ops.arrays import Array, as_floats, empty, restore


def _split(input: Array, pieces: int, axis: int) -> tuple[Array, int]:
    """A view with the pieces of each group on an axis of their own, and that axis."""
    pieces, axis = as_int("pieces", pieces, 1), as_axis(axis, input.ndim)
    channels = input.shape[axis]
    if channels % pieces:
        raise ValueError(
            f"pieces: expected a divisor of the {channels} channels on axis {axis}, got {pieces}"
        )
    shape = (*input.shape[:axis], channels // pieces, pieces, *input.shape[axis + 1 :])
    return input.reshape(shape), axis + 1


def maxout(input: Any, pieces: int, axis: int = 1) -> Array:
    """Keep the largest of each `pieces` consecutive channels (notes 001, "Maxout"). Exact.

    Output channel c is the maximum of the input's channels c * pieces ... (c + 1) * pieces - 1 on
    `axis`; a NaN among them wins. Any shape of float32, float64 or float16; that axis shrinks to
    channels / pieces. Raises ValueError if `pieces` does not divide the channels.

    Examples
    --------
    >>> maxout(np.array([[1.0, 5.0, 4.0, 2.0]]), pieces=2)
    array([[5., 4.]])
    """
    groups, axis = _split(as_floats("input", input), pieces, axis)
    output = empty(groups.shape[:axis] + groups.shape[axis + 1 :], groups.dtype)
    return restore(groups.max(axis, out=output), input)


def maxout_backward(grad_output: Any, input: Any, pieces: int, axis: int = 1) -> Array:
    """Gradient of `maxout`: to the channel that won, the first of equals (notes 004, eq. 5.30-34).

    Examples
    --------
    >>> maxout_backward(np.array([[7.0, 9.0]]), np.array([[1.0, 5.0, 4.0, 2.0]]), pieces=2)
    array([[0., 7., 9., 0.]])
    """
    x = as_floats("input", input)
    groups, axis = _split(x, pieces, axis)
    grad = as_floats("grad_output", grad_output, x.dtype)
    expected = groups.shape[:axis] + groups.shape[axis + 1 :]
    if grad.shape != expected:
        raise ValueError(f"grad_output: expected the output's shape {expected}, got {grad.shape}")
    grad_input = empty(x.shape, x.dtype)
    grad_input[...] = 0
    winners = np.expand_dims(groups.argmax(axis), axis)
    np.put_along_axis(grad_input.reshape(groups.shape), winners, np.expand_dims(grad, axis), axis)
    return restore(grad_input, input)
