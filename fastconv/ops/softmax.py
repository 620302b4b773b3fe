"""Softmax, its logarithm and the log-sum-exp along any axis, and their gradients.

Arrays of any shape with at least one axis, float32, float64 or float16. The largest score of each
line is subtracted first (notes 004, eq. 6.11), so nothing overflows. NaN spreads over its line; a
line of -inf alone, or with +inf, gives NaN as in PyTorch (`logsumexp`: -inf and +inf).

Error bounds, with u = 2^-24 (float32) or 2^-53 and n entries a line: `softmax` is within
(n + 8 + |x_k - max|) u relative to each result (a subnormal one: and one smallest subnormal),
`log_softmax` within (n + 12 + 2 |x_k - max|) u, `logsumexp` within (n + 12 + |max|) u, absolutely.
"""

import math
from typing import Any

from fastconv._core import softmax as core
from fastconv.ops.arguments import as_axis, as_bool
from fastconv.ops.arrays import Array, as_floats, empty, restore


def _lines(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """The array's (outer, size, inner) around `axis`."""
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _forward(mode: int, input: Any, axis: int) -> Array:
    x = as_floats("input", input)
    output = empty(x.shape, x.dtype)
    core.forward(mode, *_lines(x.shape, as_axis(axis, x.ndim)), x, output)
    return restore(output, input)


def _backward(mode: int, grad_output: Any, output: Any, axis: int) -> Array:
    y = as_floats("output", output)
    grad = as_floats("grad_output", grad_output, y.dtype)
    if grad.shape != y.shape:
        raise ValueError(f"grad_output: expected the output's shape {y.shape}, got {grad.shape}")
    grad_input = empty(y.shape, y.dtype)
    core.backward(mode, *_lines(y.shape, as_axis(axis, y.ndim)), grad, y, None, grad_input)
    return restore(grad_input, output)


def softmax(input: Any, axis: int = -1) -> Array:
    """Return exp(x_k) / sum_j exp(x_j) along `axis` (notes 004, eq. 3.9, 6.1-6.11).

    Shape and dtype are the input's. TypeError, ValueError: not floats, no such axis.

    Examples
    --------
    >>> softmax(np.array([1000.0, 1000.0])), softmax(np.array([0.0, -np.inf]))
    (array([0.5, 0.5]), array([1., 0.]))
    """
    return _forward(core.SOFTMAX, input, axis)


def softmax_backward(grad_output: Any, output: Any, axis: int = -1) -> Array:
    """Gradient of `softmax` from its `output` p: p_k (g_k - sum_j g_j p_j).

    Examples
    --------
    >>> softmax_backward(np.array([1.0, 0.0]), np.array([0.25, 0.75]))
    array([ 0.1875, -0.1875])
    """
    return _backward(core.SOFTMAX, grad_output, output, axis)


def log_softmax(input: Any, axis: int = -1) -> Array:
    """Return x_k - log sum_j exp(x_j) along `axis` (the bracket of notes 004, eq. 3.18).

    Examples
    --------
    >>> log_softmax(np.array([1000.0, 0.0]))
    array([    0., -1000.])
    """
    return _forward(core.LOG_SOFTMAX, input, axis)


def log_softmax_backward(grad_output: Any, output: Any, axis: int = -1) -> Array:
    """Gradient of `log_softmax` from its `output`: g_k - exp(output_k) sum_j g_j.

    Examples
    --------
    >>> log_softmax_backward(np.array([1.0, 0.0]), np.log([0.25, 0.75])).round(12)
    array([ 0.75, -0.75])
    """
    return _backward(core.LOG_SOFTMAX, grad_output, output, axis)


def logsumexp(input: Any, axis: int = -1, keepdims: bool = False) -> Array:
    """Return log sum_j exp(x_j) along `axis`, which is dropped (or kept with length one).

    Examples
    --------
    >>> logsumexp(np.array([[1000.0, -np.inf], [-np.inf, -np.inf]]))
    array([1000.,  -inf])
    """
    x = as_floats("input", input)
    axis = as_axis(axis, x.ndim)
    kept = (1,) if as_bool("keepdims", keepdims) else ()
    output = empty((*x.shape[:axis], *kept, *x.shape[axis + 1 :]), x.dtype)
    core.forward(core.LOGSUMEXP, *_lines(x.shape, axis), x, output)
    return restore(output, input)


def logsumexp_backward(grad_output: Any, input: Any, output: Any, axis: int = -1) -> Array:
    """Gradient of `logsumexp` from its `input` and `output`: g exp(x_k - output).

    `grad_output` and `output` may have the reduced axis (length one) or not.

    Examples
    --------
    >>> x = np.array([3.0, 3.0])
    >>> logsumexp_backward(np.array(4.0), x, logsumexp(x))
    array([2., 2.])
    """
    x = as_floats("input", input)
    axis = as_axis(axis, x.ndim)
    dropped = x.shape[:axis] + x.shape[axis + 1 :]
    kept = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    level = as_floats("output", output, x.dtype)
    grad = as_floats("grad_output", grad_output, x.dtype)
    for name, array in (("output", level), ("grad_output", grad)):
        if array.shape not in (dropped, kept):
            raise ValueError(f"{name}: expected shape {dropped} or {kept}, got {array.shape}")
    grad_input = empty(x.shape, x.dtype)
    core.backward(core.LOGSUMEXP, *_lines(x.shape, axis), grad, x, level, grad_input)
    return restore(grad_input, input)
