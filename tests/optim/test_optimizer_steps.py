"""Optimisers against their formulas in NumPy, against fastconv.reference, and against torch."""

import numpy as np
import pytest

from fastconv import nn, optim, reference

OPTIONS = {
    "sgd": (optim.SGD, {"lr": 0.1}),
    "sgd decay": (optim.SGD, {"lr": 0.1, "weight_decay": 0.2}),
    "sgd momentum": (optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "sgd dampening": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    "sgd nesterov": (
        optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ),
    "rmsprop": (optim.RMSprop, {"lr": 0.05}),
    "rmsprop all": (
        optim.RMSprop,
        {"lr": 0.05, "alpha": 0.9, "weight_decay": 0.1, "momentum": 0.8, "centered": True},
    ),
    "adam": (optim.Adam, {"lr": 0.05}),
    "adam all": (
        optim.Adam,
        {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1},
    ),
}


def formula(kind, p, g, step, state, lr, **o):
    """One step by the docstrings' formulas; returns the new parameter."""
    g = g + o.get("weight_decay", 0.0) * p
    if kind is optim.SGD:
        mu = o.get("momentum", 0.0)
        if not mu:
            return p - lr * g
        keep = 1 - o.get("dampening", 0.0)
        v = g if step == 1 else mu * state["v"] + keep * g
        state["v"] = v
        return p - lr * (g + mu * v if o.get("nesterov") else v)
    if kind is optim.RMSprop:
        alpha = o.get("alpha", 0.99)
        s = state["s"] = alpha * state.get("s", 0.0) + (1 - alpha) * g**2
        if o.get("centered"):
            mean = state["m"] = alpha * state.get("m", 0.0) + (1 - alpha) * g
            s = s - mean**2
        quotient = g / (np.sqrt(s) + o.get("eps", 1e-8))
        if o.get("momentum"):
            quotient = state["v"] = o["momentum"] * state.get("v", 0.0) + quotient
        return p - lr * quotient
    beta1, beta2 = o.get("betas", (0.9, 0.999))
    m = state["m"] = beta1 * state.get("m", 0.0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0.0) + (1 - beta2) * g**2
    root = np.sqrt(v / (1 - beta2**step)) + o.get("eps", 1e-8)
    return p - lr * m / (1 - beta1**step) / root


def gradients(shape, steps=7):
    return np.random.default_rng(3).normal(size=(steps, *shape))


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("shape", [(2, 3), (), (3, 1, 7000)])
def test_steps_follow_the_formulas(name, shape):
    kind, options = OPTIONS[name]
    start = np.random.default_rng(2).normal(size=shape)
    parameter = nn.Parameter(start)
    optimizer = kind([parameter], **options)
    expected, state = start, {}
    for step, gradient in enumerate(gradients(shape), start=1):
        parameter.grad = gradient.copy()
        optimizer.step()
        expected = formula(kind, expected, gradient, step, state, **options)
        np.testing.assert_array_equal(parameter.grad, gradient)
        np.testing.assert_allclose(parameter.data, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", OPTIONS)
def test_steps_match_torch(name):
    torch = pytest.importorskip("torch")
    kind, options = OPTIONS[name]
    start = np.random.default_rng(2).normal(size=(4, 5))
    parameter = nn.Parameter(start)
    tensor = torch.nn.Parameter(torch.tensor(start))
    ours, theirs = (
        kind([parameter], **options),
        getattr(torch.optim, kind.__name__)([tensor], **options),
    )
    for gradient in gradients((4, 5)):
        parameter.grad, tensor.grad = gradient, torch.tensor(gradient)
        ours.step()
        theirs.step()
        np.testing.assert_allclose(parameter.data, tensor.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_steps_match_the_reference():
    start = np.array([0.5, -1.0, 2.0])
    data = {name: nn.Parameter(start) for name in ("momentum", "nesterov", "rmsprop", "adam")}
    optimizers = {
        "momentum": optim.SGD([data["momentum"]], 0.1, momentum=0.9),
        "nesterov": optim.SGD([data["nesterov"]], 0.1, momentum=0.9, nesterov=True),
        "rmsprop": optim.RMSprop([data["rmsprop"]], 0.1),
        "adam": optim.Adam([data["adam"]], 0.1),
    }
    zero = np.zeros(3)
    momentum = nesterov = (start, zero)
    rmsprop, adam = (start, zero), (start, zero, zero)
    for step, gradient in enumerate(gradients((3,)), start=1):
        momentum = reference.momentum(momentum[0], gradient, momentum[1], 0.1)
        nesterov = reference.nesterov_momentum(nesterov[0], gradient, nesterov[1], 0.1)
        rmsprop = reference.rmsprop(rmsprop[0], gradient, rmsprop[1], 0.1)
        adam = reference.adam(adam[0], gradient, adam[1], adam[2], step, 0.1)
        expected = {"momentum": momentum, "nesterov": nesterov, "rmsprop": rmsprop, "adam": adam}
        for name, optimizer in optimizers.items():
            data[name].grad = gradient
            optimizer.step()
            np.testing.assert_allclose(data[name].data, expected[name][0], atol=1e-14, err_msg=name)


@pytest.mark.parametrize("name", OPTIONS)
def test_float32_stays_float32_and_near_float64(name):
    kind, options = OPTIONS[name]
    parameters = [nn.Parameter(np.ones(50, dtype)) for dtype in (np.float32, np.float64)]
    optimizers = [kind([parameter], **options) for parameter in parameters]
    for gradient in gradients((50,)):
        for parameter, optimizer in zip(parameters, optimizers, strict=True):
            parameter.grad = gradient.astype(parameter.data.dtype)
            optimizer.step()
    assert parameters[0].data.dtype == np.float32
    np.testing.assert_allclose(parameters[0].data, parameters[1].data, rtol=1e-4, atol=1e-5)


def test_arrays_that_are_not_contiguous_are_updated_too():
    class Strided:
        def __init__(self):
            self.data = np.zeros((6, 8))[::2, ::2]
            self.grad = np.ones((4, 3)).T

    parameter = Strided()
    optim.Adam([parameter], lr=0.5).step()
    np.testing.assert_allclose(parameter.data, -0.5, rtol=1e-6)


def test_parameters_without_a_gradient_are_left_alone():
    still, moving = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
    optimizer = optim.Adam([still, moving], lr=0.1)
    moving.grad = np.ones(2)
    optimizer.step()
    still.grad = np.ones(2)
    optimizer.step()
    assert still.data[0] == pytest.approx(0.9)
    assert moving.data[0] == pytest.approx(0.8)
    optimizer.zero_grad()
    assert still.grad is moving.grad is None


def test_data_is_updated_in_place():
    parameter = nn.Parameter(np.ones(3))
    array = parameter.data
    parameter.grad = np.ones(3)
    optim.SGD([parameter], lr=1.0).step()
    assert parameter.data is array
    np.testing.assert_array_equal(array, 0)
