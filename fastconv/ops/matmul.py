"""Products of matrices, and of batches of them, with bias and ReLU on the way out."""

from typing import Any, NamedTuple

import numpy as np

from fastconv._core import matmul as core
from fastconv.ops.arguments import as_bool
from fastconv.ops.arrays import FLOAT16, Array, as_floats, check_out, empty, restore


class MatmulGradients(NamedTuple):
    """Gradients of `matmul`; entries that were not asked for are None."""

    a: Array | None
    b: Array | None
    bias: Array | None


def _turned(array: Array, transpose: bool) -> tuple[int, ...]:
    shape = array.shape
    return (*shape[:-2], shape[-1], shape[-2]) if transpose else shape


def _operands(a: Any, b: Any, transpose_a: bool, transpose_b: bool) -> tuple[Array, Array]:
    left = as_floats("a", a)
    right = as_floats("b", b, left.dtype)
    for name, array in (("a", left), ("b", right)):
        if array.ndim not in (2, 3):
            raise ValueError(
                f"{name}: expected a matrix or a batch of matrices (2 or 3 dimensions), "
                f"got shape {array.shape}"
            )
    if left.ndim == right.ndim == 3 and left.shape[0] != right.shape[0]:
        raise ValueError(f"b: expected {left.shape[0]} matrices like a, got {right.shape[0]}")
    columns, rows = _turned(left, transpose_a)[-1], _turned(right, transpose_b)[-2]
    if columns != rows:
        raise ValueError(
            f"b: expected {columns} rows for the {columns} columns of a, got {rows}, with a of "
            f"shape {left.shape}{' transposed' if transpose_a else ''} and b of shape "
            f"{right.shape}{' transposed' if transpose_b else ''}"
        )
    return left, right


def _output_shape(a: Array, b: Array, transpose_a: bool, transpose_b: bool) -> tuple[int, ...]:
    batch = a.shape[:-2] or b.shape[:-2]
    return (*batch, _turned(a, transpose_a)[-2], _turned(b, transpose_b)[-1])


def _batched(array: Array) -> Array:
    return array if array.ndim == 3 else array[None]


def _run(
    a: Array,
    b: Array,
    transposed: tuple[bool, bool],
    output: Array,
    bias: Array | None = None,
    relu: bool = False,
) -> Array:
    if output.size and a.size:
        flat = output
        if a.ndim == 3 and b.ndim == 2 and not transposed[0]:  # one product of all the rows
            a, flat = a.reshape(1, -1, a.shape[2]), output.reshape(1, -1, output.shape[2])
        core.forward(_batched(a), _batched(b), bias, None, _batched(flat), *transposed, False, relu)
    else:
        output[...] = 0 if bias is None else np.maximum(bias, 0) if relu else bias
    return output


def matmul(
    a: Any,
    b: Any,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    bias: Any = None,
    activation: str | None = None,
    out: Array | None = None,
) -> Array:
    """Return op(a) @ op(b) + bias, where op transposes the last two axes if told to.

    Parameters
    ----------
    a : array-like, (M, K) or (B, M, K), or with the last two exchanged if `transpose_a`
        float32, float64 or float16 (computed in float32); all arrays share one dtype.
    b : array-like, (K, N) or (B, K, N), or with the last two exchanged if `transpose_b`
        A matrix beside a batch serves every product of it.
    bias : array-like, (N,), optional
    activation : str, optional
        "relu" clips the result at zero on its way to memory.
    out : numpy.ndarray, optional
        Written in place and returned; it may not overlap an input.

    Returns
    -------
    numpy.ndarray, (M, N) or (B, M, N)

    Raises
    ------
    TypeError, ValueError
        With the argument's name, what came and what was expected.

    Notes
    -----
    Within (K + 2) u sum|a||b|, u = 2^-24 in float32 and 2^-53 in float64; exact on integers small
    enough, and the same bits for any number of threads.

    Examples
    --------
    >>> matmul(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]), transpose_b=True)
    array([[11., 17.]])
    """
    transposed = as_bool("transpose_a", transpose_a), as_bool("transpose_b", transpose_b)
    left, right = _operands(a, b, *transposed)
    shape = _output_shape(left, right, *transposed)
    offset = None if bias is None else as_floats("bias", bias, left.dtype)
    if offset is not None and offset.shape != shape[-1:]:
        raise ValueError(f"bias: expected shape {shape[-1:]}, one a column, got {offset.shape}")
    if activation not in (None, "relu"):
        raise ValueError(f"activation: expected None or 'relu', got {activation!r}")
    relu = activation == "relu"
    half = getattr(a, "dtype", None) == FLOAT16
    if out is None:
        return restore(_run(left, right, transposed, empty(shape, left.dtype), offset, relu), a)
    inputs = (left, right) if offset is None else (left, right, offset)
    check_out(out, shape, FLOAT16 if half else left.dtype, *inputs)
    if half:
        out[...] = _run(left, right, transposed, empty(shape, left.dtype), offset, relu)
        return out
    return _run(left, right, transposed, out, offset, relu)


def _product(a: Array, b: Array, transpose_a: bool, transpose_b: bool) -> Array:
    shape = _output_shape(a, b, transpose_a, transpose_b)
    return _run(a, b, (transpose_a, transpose_b), empty(shape, a.dtype))


def _summed(gradient: Array, operand: Array) -> Array:
    """A matrix that served a whole batch collects the gradients of all products."""
    return gradient.sum(axis=0) if gradient.ndim > operand.ndim else gradient


def matmul_backward(
    grad_output: Any,
    a: Any,
    b: Any,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
) -> MatmulGradients:
    """Gradients of `matmul` (without activation): for plain a and b they are g b^T and a^T g.

    `grad_output` has the output's shape; the bias' gradient is its sum over all rows. `output_mask`
    says which of (a, b, bias) to compute; the others are None.

    Examples
    --------
    >>> g = matmul_backward(np.array([[1.0, 10.0]]), np.array([[1.0, 2.0]]), np.eye(2))
    >>> g.a, g.bias
    (array([[ 1., 10.]]), array([ 1., 10.]))
    >>> g.b
    array([[ 1., 10.],
           [ 2., 20.]])
    """
    ta, tb = as_bool("transpose_a", transpose_a), as_bool("transpose_b", transpose_b)
    left, right = _operands(a, b, ta, tb)
    grad = as_floats("grad_output", grad_output, left.dtype)
    shape = _output_shape(left, right, ta, tb)
    if grad.shape != shape:
        raise ValueError(f"grad_output: expected the output's shape {shape}, got {grad.shape}")
    if len(output_mask) != 3:
        raise ValueError(f"output_mask: expected (a, b, bias), got {output_mask!r}")
    found: list[Array | None] = [None, None, None]
    if output_mask[0]:
        gradient = _product(right, grad, tb, True) if ta else _product(grad, right, False, not tb)
        found[0] = _summed(gradient, left)
    if output_mask[1]:
        gradient = _product(grad, left, True, ta) if tb else _product(left, grad, not ta, False)
        found[1] = _summed(gradient, right)
    if output_mask[2]:
        found[2] = grad.sum(axis=tuple(range(grad.ndim - 1)))
    return MatmulGradients(*(None if g is None else restore(g, a) for g in found))
