"""The fully connected layer against the reference, by differences, and its arguments."""

from typing import Any

import numpy as np
import pytest
from helpers import layouts, numeric_gradient

import fastconv as fc
from fastconv import reference


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("batch", "inputs", "outputs"), [(1, 1, 1), (4, 7, 3), (5, 100, 33)])
def test_agrees_with_the_reference(batch: int, inputs: int, outputs: int, dtype: Any) -> None:
    """Exactly on integers, and within the bound elsewhere."""
    random = np.random.default_rng(0)
    for exact in (True, False):
        draw = random.integers if exact else random.uniform
        x, w, b, g = (
            draw(-9, 9, shape).astype(dtype)
            for shape in ((batch, inputs), (outputs, inputs), (outputs,), (batch, outputs))
        )
        output, gradients = fc.linear(x, w, b), fc.linear_backward(g, x, w)
        assert output.dtype == dtype
        expected = reference.linear(x, w, b)
        wide = np.abs(x).astype(float) @ np.abs(w).astype(float).T + np.abs(b)
        bound = 0 if exact else (inputs + 2) * np.finfo(dtype).eps / 2
        assert (np.abs(output - expected) <= bound * wide).all()
        oracle = reference.linear_backward(g, x, w)
        for name in ("input", "weight", "bias"):
            got, want = getattr(gradients, name), getattr(oracle, name)
            assert got.dtype == dtype
            np.testing.assert_allclose(got, want, rtol=0, atol=bound * 100 * (batch + outputs))


def test_gradients_by_differences_over_more_axes() -> None:
    random = np.random.default_rng(1)
    x, w, b = random.normal(size=(2, 3, 4)), random.normal(size=(5, 4)), random.normal(size=5)
    g = random.normal(size=(2, 3, 5))
    gradients = fc.linear_backward(g, x, w)
    close = lambda got, f, at: np.testing.assert_allclose(  # noqa: E731
        got, numeric_gradient(f, at, g), atol=1e-8
    )
    close(gradients.input, lambda v: fc.linear(v, w, b), x)
    close(gradients.weight, lambda v: fc.linear(x, v, b), w)
    close(gradients.bias, lambda v: fc.linear(x, w, v), b)


def test_only_what_is_asked_for() -> None:
    x, w, g = np.ones((2, 3)), np.ones((4, 3)), np.ones((2, 4))
    for mask in ((True, False, False), (False, True, False), (False, False, True)):
        gradients = fc.linear_backward(g, x, w, mask)
        assert tuple(entry is not None for entry in gradients) == mask


def test_layouts_and_sizes() -> None:
    x, w = np.random.default_rng(2).normal(size=(6, 4)), np.ones((3, 4))
    for kind, array in layouts(x).items():
        np.testing.assert_allclose(fc.linear(array, w), fc.linear(x, w), err_msg=kind)
    assert fc.linear(x.astype(np.float16), w.astype(np.float16)).dtype == np.float16
    assert fc.linear(np.ones(4), w).shape == (3,)
    empty = fc.linear_backward(np.ones((0, 3)), np.ones((0, 4)), w)
    assert empty.input is not None
    assert empty.input.shape == (0, 4)
    assert empty.weight is not None
    assert not empty.weight.any()
    featureless = fc.linear_backward(np.ones((2, 3)), np.ones((2, 0)), np.ones((3, 0)))
    assert featureless.weight is not None
    assert featureless.weight.shape == (3, 0)
    assert featureless.bias is not None
    assert featureless.bias.tolist() == [2, 2, 2]
    before = x.copy()
    fc.linear(x, w, np.ones(3))
    np.testing.assert_array_equal(x, before)


def test_relu_on_the_way_out() -> None:
    random = np.random.default_rng(3)
    x, w, b = random.normal(size=(5, 7)), random.normal(size=(4, 7)), random.normal(size=4)
    for features in (7, 0):
        plain = fc.linear(x[:, :features], w[:, :features], b)
        fused = fc.linear(x[:, :features], w[:, :features], b, activation="relu")
        np.testing.assert_array_equal(fused, np.maximum(plain, 0))
        assert (fused == 0).any()


def test_bad_input_is_explained() -> None:
    x, w = np.ones((2, 3)), np.ones((4, 3))
    with pytest.raises(ValueError, match="activation: expected None or 'relu'"):
        fc.linear(x, w, activation="tanh")
    with pytest.raises(ValueError, match=r"input: expected shape \(\.\.\., 3\)"):
        fc.linear(np.ones((2, 4)), w)
    with pytest.raises(ValueError, match=r"weight: expected \(out_features, in_features\)"):
        fc.linear(x, np.ones(3))
    with pytest.raises(ValueError, match=r"bias: expected shape \(4,\)"):
        fc.linear(x, w, np.ones(3))
    with pytest.raises(TypeError, match="weight: expected float64 like the other arrays"):
        fc.linear(x, w.astype(np.float32))
    with pytest.raises(ValueError, match=r"grad_output: expected the output's shape \(2, 4\)"):
        fc.linear_backward(np.ones((2, 3)), x, w)
    with pytest.raises(ValueError, match=r"output_mask: expected \(input, weight, bias\)"):
        fc.linear_backward(np.ones((2, 4)), x, w, (True, True))  # type: ignore[arg-type]
