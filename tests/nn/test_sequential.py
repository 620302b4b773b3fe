"""Layers that work together in a Sequential give the bits that they give one by one.

But for the gradients of a convolution before a max-pool, whose sums may have another order: they are
compared within the bound of a sum, and exactly where sums are exact.
"""

import copy

import numpy as np
import pytest
from helpers import same_bits

import fastconv as fc
from fastconv import nn


def networks(dtype):
    options = {"rng": 0, "dtype": dtype}
    return {
        "conv relu pool": nn.Sequential(
            nn.Conv2d(2, 5, 3, **options), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(5, 4, 3, **options), nn.ReLU(), nn.Flatten(), nn.Linear(100, 7, **options),
            nn.ReLU(), nn.Linear(7, 3, **options),
        ),
        "overlapping pool": nn.Sequential(
            nn.Conv2d(2, 5, 3, padding=1, **options), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        ),
        "relu first": nn.Sequential(
            nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 3, 3, **options), nn.ReLU(),
        ),
        "relu twice": nn.Sequential(
            nn.Conv2d(2, 3, 3, **options), nn.ReLU(), nn.ReLU(), nn.MaxPool2d(2), nn.ReLU(),
        ),
        "relu last": nn.Sequential(nn.Flatten(), nn.Linear(512, 9, **options), nn.ReLU()),
        "nested": nn.Sequential(
            nn.Sequential(nn.Conv2d(2, 3, 3, **options), nn.ReLU()), nn.MaxPool2d(2), nn.Flatten(),
        ),
        "no parameters": nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)),
        "conv pool": nn.Sequential(nn.Conv2d(2, 20, 5, **options), nn.MaxPool2d(3)),
        "lenet": nn.Sequential(
            nn.Conv2d(2, 20, 5, **options), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(20, 6, 3, **options), nn.ReLU(), nn.MaxPool2d(2),
        ),
    }  # fmt: skip


#: Where gradients go from maxima to a convolution.
REORDERED = ("conv relu pool", "overlapping pool", "conv pool", "lenet")

NAMES = list(networks(np.float32))


def images(dtype):
    return np.random.default_rng(1).standard_normal((4, 2, 16, 16)).astype(dtype)


def forward_one_by_one(model, input):
    for layer in model:
        input = layer(input)
    return input


def backward_one_by_one(model, gradient):
    for layer in reversed(list(model)):
        gradient = layer.backward(gradient)
    return gradient


def results(model, forward, backward, x):
    output = forward(model, x)
    grad_output = np.random.default_rng(2).standard_normal(output.shape).astype(x.dtype)
    kept = grad_output.copy()
    gradient = backward(model, grad_output)
    assert same_bits(grad_output, kept), "the caller's gradient was overwritten"
    return (output, gradient, *(p.grad for p in model.parameters()))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_together_and_one_by_one_are_the_same_bits(name, dtype):
    model, x = networks(dtype)[name], images(dtype)

    def whole(model, gradient):
        return model.backward(gradient)

    ways = [
        (forward, backward)
        for forward in (forward_one_by_one, lambda model, x: model(x))
        for backward in (backward_one_by_one, whole)
    ]
    first, *others = (results(copy.deepcopy(model), *way, x) for way in ways)
    for other in others:
        if name in REORDERED:
            tolerance = 64 * np.finfo(dtype).eps
            assert same_bits(first[0], other[0])
            for a, b in zip(first[1:], other[1:], strict=True):
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * abs(a).max())
        else:
            assert same_bits(first, other)


@pytest.mark.parametrize("name", REORDERED)
def test_sums_of_integers_are_the_same_together_and_one_by_one(name):
    model, rng = networks(np.float32)[name], np.random.default_rng(3)
    for parameter in model.parameters():
        parameter.data[...] = rng.integers(-1, 2, parameter.shape)
    x = rng.integers(-2, 3, (4, 2, 16, 16)).astype(np.float32)
    other = copy.deepcopy(model)
    grad_output = rng.integers(-2, 3, forward_one_by_one(model, x).shape).astype(np.float32)
    expected = backward_one_by_one(model, grad_output)
    other(x)
    np.testing.assert_array_equal(other.backward(grad_output), expected)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(a.grad, b.grad)


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_gives_the_same_bits_too(name):
    model, x = networks(np.float32)[name], images(np.float32)
    assert same_bits(model(x), forward_one_by_one(model.eval(), x))
    assert same_bits(model(x), forward_one_by_one(model, x))
    with pytest.raises(RuntimeError, match="forward pass"):
        model.backward(model(x))


@pytest.mark.parametrize("name", NAMES)
def test_parameters_get_their_gradients_without_the_inputs(name):
    model, x = networks(np.float32)[name], images(np.float32)
    other = copy.deepcopy(model)
    expected = results(model, lambda m, x: m(x), lambda m, g: m.backward(g), x)
    found = results(other, lambda m, x: m(x), lambda m, g: m.backward(g, input_gradient=False), x)
    assert found[1] is None
    assert same_bits(found[2:], expected[2:])


def test_backward_runs_once_for_each_forward():
    model, x = networks(np.float32)["conv relu pool"], images(np.float32)
    gradient = np.ones_like(model(x))
    model.backward(gradient)
    with pytest.raises(RuntimeError, match="once"):
        model.backward(gradient)


def test_subclasses_are_left_alone():
    class Doubling(nn.ReLU):
        def forward(self, input):
            return 2 * super().forward(input)

        def backward(self, grad_output, input_gradient=True):
            return super().backward(2 * grad_output, input_gradient)

    model = nn.Sequential(nn.Linear(3, 3, rng=0), Doubling())
    plain = nn.Sequential(nn.Linear(3, 3, rng=0), nn.ReLU())
    x = np.ones((2, 3), np.float32)
    assert same_bits(model(x), 2 * plain(x))
    assert same_bits(model.backward(x), plain.backward(2 * x))


def test_a_convolution_takes_the_maxima_itself():
    x = np.random.default_rng(4).random((4, 1, 28, 28), np.float32)
    model = nn.Sequential(nn.Conv2d(1, 20, 5, rng=0), nn.ReLU(), nn.MaxPool2d(2))
    model(x)
    places = model[2]._saved[0]
    by_direct = fc.explain_conv2d(x.shape, model[0].weight.shape).algorithm == "direct"
    assert places.dtype == (np.uint8 if by_direct else np.int64)
    for change in ({"kernel_size": 3}, {"stride": 1}, {"padding": 1}, {"ceil_mode": True}):
        other = copy.deepcopy(model)
        vars(other[2]).update(change)
        assert same_bits(other(x), forward_one_by_one(copy.deepcopy(other), x))
        assert other[2]._saved[0].dtype == np.int64


def test_layers_in_different_modes_take_turns():
    x = np.random.default_rng(4).random((4, 1, 28, 28), np.float32)
    model = nn.Sequential(nn.Conv2d(1, 20, 5, rng=0), nn.ReLU(), nn.MaxPool2d(2))
    expected = model(x)
    model[0].eval()
    assert same_bits(model(x), expected)
    gradient = model[1].backward(model[2].backward(np.ones_like(expected)))
    assert gradient.shape == (4, 20, 24, 24)
    with pytest.raises(RuntimeError, match="Conv2d"):
        model[0].backward(gradient)
