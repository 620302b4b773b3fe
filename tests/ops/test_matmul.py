"""Matrix products against the reference, by differences, and their arguments."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from helpers import layouts, numeric_gradient

import fastconv as fc
from fastconv import reference

TRANSPOSED = list(product((False, True), repeat=2))


def operands(m: int, n: int, k: int, transposed: tuple[bool, bool], dtype: Any) -> list[Any]:
    """Small whole numbers: a, b, bias, and the gradient of the output."""
    random = np.random.default_rng(m + 100 * n + 10000 * k)
    a_shape = (k, m) if transposed[0] else (m, k)
    b_shape = (n, k) if transposed[1] else (k, n)
    return [random.integers(-4, 5, s).astype(dtype) for s in (a_shape, b_shape, (n,), (m, n))]


def options(transposed: tuple[bool, bool]) -> dict[str, bool]:
    """As keyword arguments."""
    return {"transpose_a": transposed[0], "transpose_b": transposed[1]}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", TRANSPOSED)
@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (5, 7, 3), (3, 40, 17), (33, 5, 21)])
def test_agrees_with_the_reference(m, n, k, transposed, dtype):
    a, b, bias, _ = operands(m, n, k, transposed, dtype)
    how = options(transposed)
    expected = reference.matrix_product(a.T if transposed[0] else a, b.T if transposed[1] else b)
    np.testing.assert_array_equal(fc.matmul(a, b, **how), expected)
    result = fc.matmul(a, b, bias=bias, activation="relu", **how)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, np.maximum(expected + bias, 0))


@pytest.mark.parametrize("transposed", TRANSPOSED)
@pytest.mark.parametrize("batches", [(3, 3), (3, None), (None, 3)])
def test_batches_are_products_side_by_side(batches, transposed):
    random = np.random.default_rng(0)
    shapes = ((4, 6) if transposed[0] else (6, 4)), ((9, 4) if transposed[1] else (4, 9))
    a, b = (
        random.integers(-4, 5, s if batch is None else (batch, *s)).astype(float)
        for s, batch in zip(shapes, batches, strict=True)
    )
    g = random.integers(-4, 5, (3, 6, 9)).astype(float)
    turn = lambda array, yes: np.swapaxes(array, -1, -2) if yes else array  # noqa: E731
    expected = turn(a, transposed[0]) @ turn(b, transposed[1])
    np.testing.assert_array_equal(fc.matmul(a, b, **options(transposed)), expected)
    gradients = fc.matmul_backward(g, a, b, **options(transposed))
    grad_a = turn(g @ turn(turn(b, transposed[1]), True), transposed[0])
    grad_b = turn(turn(turn(a, transposed[0]), True) @ g, transposed[1])
    for got, want, operand in ((gradients.a, grad_a, a), (gradients.b, grad_b, b)):
        want = want.sum(axis=0) if operand.ndim == 2 else want
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(gradients.bias, g.sum(axis=(0, 1)))


@pytest.mark.parametrize("transposed", TRANSPOSED)
def test_gradients_by_differences(transposed):
    a, b, bias, g = operands(3, 5, 4, transposed, np.float64)
    how = options(transposed)
    gradients = fc.matmul_backward(g, a, b, **how)
    for got, f, at in (
        (gradients.a, lambda v: fc.matmul(v, b, bias=bias, **how), a),
        (gradients.b, lambda v: fc.matmul(a, v, bias=bias, **how), b),
        (gradients.bias, lambda v: fc.matmul(a, b, bias=v, **how), bias),
    ):
        np.testing.assert_allclose(got, numeric_gradient(f, at, g), atol=1e-7)


def test_only_what_is_asked_for():
    a, b, _, g = operands(3, 5, 4, (False, False), np.float64)
    for mask in ((True, False, False), (False, True, False), (False, False, True)):
        gradients = fc.matmul_backward(g, a, b, output_mask=mask)
        assert tuple(entry is not None for entry in gradients) == mask


def test_layouts_and_dtypes():
    a, b, _, _ = operands(6, 5, 4, (False, False), np.float64)
    for kind, array in layouts(a).items():
        np.testing.assert_array_equal(fc.matmul(array, b), a @ b, err_msg=kind)
    half = fc.matmul(a.astype(np.float16), b.astype(np.float16), out=np.empty((6, 5), np.float16))
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, a @ b)


@pytest.mark.parametrize(("m", "n", "k"), [(0, 3, 2), (3, 0, 2), (3, 2, 0), (0, 0, 0)])
def test_empty_sizes(m, n, k):
    bias = np.arange(n) - 1.0
    for transposed in TRANSPOSED:
        a, b, _, g = operands(m, n, k, transposed, np.float64)
        result = fc.matmul(a, b, bias=bias, activation="relu", **options(transposed))
        expected = np.broadcast_to(np.maximum(bias, 0), (m, n)) if k == 0 else np.zeros((m, n))
        np.testing.assert_array_equal(result, expected)
        gradients = fc.matmul_backward(g, a, b, **options(transposed))
        np.testing.assert_array_equal(gradients.a, np.zeros(a.shape))
        np.testing.assert_array_equal(gradients.b, np.zeros(b.shape))
    assert fc.matmul(np.ones((0, 3, 4)), np.ones((4, 5))).shape == (0, 3, 5)


def test_out_is_written_and_must_fit():
    a, b, _, _ = operands(3, 5, 4, (False, False), np.float64)
    out = np.full((3, 5), np.nan)
    assert fc.matmul(a, b, out=out) is out
    np.testing.assert_array_equal(out, a @ b)
    square = np.eye(4)
    with pytest.raises(ValueError, match="out: it overlaps an input"):
        fc.matmul(square, square, out=square)
    with pytest.raises(ValueError, match=r"out: expected shape \(3, 5\)"):
        fc.matmul(a, b, out=np.empty((5, 3)))


def test_bad_input_is_explained():
    a, b = np.ones((2, 3)), np.ones((3, 4))
    with pytest.raises(ValueError, match="b: expected 3 rows for the 3 columns of a, got 4"):
        fc.matmul(a, b, transpose_b=True)
    with pytest.raises(ValueError, match="a: expected a matrix or a batch"):
        fc.matmul(np.ones(3), b)
    with pytest.raises(ValueError, match="b: expected 2 matrices like a, got 5"):
        fc.matmul(np.ones((2, 2, 3)), np.ones((5, 3, 4)))
    with pytest.raises(ValueError, match=r"bias: expected shape \(4,\)"):
        fc.matmul(a, b, bias=np.ones(3))
    with pytest.raises(ValueError, match="activation: expected None or 'relu'"):
        fc.matmul(a, b, activation="gelu")
    with pytest.raises(TypeError, match="transpose_a: expected True or False"):
        fc.matmul(a, b, transpose_a=1)
    with pytest.raises(TypeError, match="b: expected float64 like the other arrays"):
        fc.matmul(a, b.astype(np.float32))
    with pytest.raises(ValueError, match=r"grad_output: expected the output's shape \(2, 4\)"):
        fc.matmul_backward(a, a, b)
    with pytest.raises(ValueError, match=r"output_mask: expected \(a, b, bias\)"):
        fc.matmul_backward(np.ones((2, 4)), a, b, output_mask=(True,))
