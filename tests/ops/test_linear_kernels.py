"""The fully connected layer's three products: exact on integers, within the bound, same bits."""

import numpy as np
import pytest

import fastconv as fc

SHAPES = [(1, 1, 1), (3, 5, 2), (4, 16, 6), (15, 17, 31), (29, 100, 25), (2, 1500, 3), (40, 7, 1100),
          (70, 600, 40), (1, 2049, 17)]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "inputs", "outputs"), SHAPES)
def test_products(rows, inputs, outputs, dtype):
    generator = np.random.default_rng(0)
    x, w, b, g = (
        generator.integers(-4, 5, shape).astype(dtype)
        for shape in ((rows, inputs), (outputs, inputs), outputs, (rows, outputs))
    )
    np.testing.assert_array_equal(fc.linear(x, w, b), x @ w.T + b)
    gradients = fc.linear_backward(g, x, w)
    np.testing.assert_array_equal(gradients.input, g @ w)
    np.testing.assert_array_equal(gradients.weight, g.T @ x)
    np.testing.assert_array_equal(gradients.bias, g.sum(axis=0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_error_bound(dtype):
    generator = np.random.default_rng(1)
    x, w, g = (
        generator.standard_normal(s).astype(dtype) for s in ((37, 1300), (53, 1300), (37, 53))
    )
    wide = [a.astype(np.longdouble) for a in (x, w, g)]
    gradients = fc.linear_backward(g, x, w)
    for result, left, right, terms in (
        (fc.linear(x, w), wide[0], wide[1].T, 1300),
        (gradients.input, wide[2], wide[1], 53),
        (gradients.weight, wide[2].T, wide[0], 37),
    ):
        bound = (terms + 2) * np.finfo(dtype).eps / 2 * (abs(left) @ abs(right))
        assert np.all(abs(result - left @ right) <= bound)


def test_same_bits_for_any_number_of_threads():
    generator = np.random.default_rng(2)
    x, w, g = (
        generator.standard_normal(s).astype(np.float32) for s in ((64, 800), (500, 800), (64, 500))
    )
    results = []
    for threads in (1, 2, 3, 8):
        with fc.num_threads(threads):
            results.append((fc.linear(x, w), *fc.linear_backward(g, x, w)))
    for other in results[1:]:
        for mine, first in zip(other, results[0], strict=True):
            assert mine.tobytes() == first.tobytes()
