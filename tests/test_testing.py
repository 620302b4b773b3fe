"""The gradient check itself: it must pass what is right and fail what is wrong."""

import numpy as np
import pytest

from fastconv import nn
from fastconv.testing import gradcheck, relative_distance


def test_relative_distance_is_the_notes_formula():
    a, b = np.array([3.0, 4.0]), np.array([3.0, 3.0])
    assert relative_distance(a, b) == pytest.approx(1.0 / (5.0 + np.sqrt(18.0)))
    assert relative_distance(np.zeros(2), np.zeros(2)) == 0.0


def test_returns_distances_by_name():
    distances = gradcheck(nn.Linear(3, 2, rng=0), np.ones((2, 3), np.float32))
    assert distances.keys() == {"input0", "weight", "bias"}
    assert max(distances.values()) < 1e-8


def test_a_wrong_entry_is_named():
    def wrong(grad_output, x):
        gradient = grad_output * 2 * x
        gradient[1, 2] += 0.1
        return gradient

    with pytest.raises(AssertionError, match=r"input0\[1, 2\]"):
        gradcheck(np.square, np.arange(1.0, 7.0).reshape(2, 3), wrong)


def test_a_wrong_parameter_gradient_is_named():
    class Wrong(nn.Linear):
        def backward(self, grad_output, input_gradient=True):
            result = super().backward(grad_output, input_gradient)
            self.bias.grad *= 1.01
            return result

    with pytest.raises(AssertionError, match="the gradient of bias"):
        gradcheck(Wrong(3, 2, rng=0), np.ones((2, 3)))


@pytest.mark.parametrize(
    ("backward", "text"),
    [
        (lambda g, x: np.full_like(g, np.nan), "distance of nan"),
        (lambda g, x: g[:1], "shape"),
        (lambda g, x: (), "0 gradients came back"),
    ],
)
def test_broken_gradients_fail(backward, text):
    with pytest.raises(AssertionError, match=text):
        gradcheck(lambda x: x, np.ones(3), backward)


def test_several_inputs_none_and_integers():
    distances = gradcheck(
        lambda x, w, k: (x * w * k, "indices"),
        (np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([1, 2])),
        lambda g, x, w, k: (g * w * k, None),
    )
    assert distances.keys() == {"input0"}


def test_parameters_and_gradients_are_put_back():
    layer = nn.Linear(3, 2, rng=0)
    data, grad = layer.weight.data, np.ones((2, 3), np.float32)
    layer.weight.grad = grad
    gradcheck(layer, np.ones((2, 3)))
    assert layer.weight.data is data
    assert layer.weight.grad is grad
