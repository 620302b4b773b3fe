"""Optimiser arguments, state dictionaries, and schedules."""

import itertools

import numpy as np
import pytest

from fastconv import nn, optim, reference

KINDS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.1, centered=True, momentum=0.5),
    "adam": lambda p: optim.Adam(p, lr=0.1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_optimiser_goes_on_exactly(kind):
    gradients = np.random.default_rng(0).normal(size=(8, 5))
    parameter = nn.Parameter(np.ones(5))
    optimizer = KINDS[kind]([parameter])
    for gradient in gradients[:4]:
        parameter.grad = gradient
        optimizer.step()
    copied = nn.Parameter(parameter.data)
    resumed = KINDS[kind]([copied])
    optimizer.lr = 0.05
    resumed.load_state_dict(optimizer.state_dict())
    assert resumed.lr == 0.05
    for gradient in gradients[4:]:
        for p, o in ((parameter, optimizer), (copied, resumed)):
            p.grad = gradient
            o.step()
    np.testing.assert_array_equal(parameter.data, copied.data)


def test_state_of_another_optimiser_is_refused():
    parameter = nn.Parameter(np.ones(5))
    parameter.grad = np.ones(5)
    adam = optim.Adam([parameter], lr=0.1)
    adam.step()
    with pytest.raises(ValueError, match="hyperparameters"):
        optim.SGD([parameter], lr=0.1).load_state_dict(adam.state_dict())
    other = optim.Adam([nn.Parameter(np.ones(3))], lr=0.1)
    with pytest.raises(ValueError, match=r"first_moment of parameter 0 has shape \(5,\)"):
        other.load_state_dict(adam.state_dict())
    pair = optim.Adam([nn.Parameter(np.ones(5)), nn.Parameter(np.ones(5))], lr=0.1)
    with pytest.raises(ValueError, match="for 1 parameters, this optimiser has 2"):
        pair.load_state_dict(adam.state_dict())


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda p: optim.SGD([], lr=0.1), "empty"),
        (lambda p: optim.SGD([p, p], lr=0.1), "more than once"),
        (lambda p: optim.SGD([p], lr=-0.1), "lr is -0.1"),
        (lambda p: optim.SGD([p], lr=float("nan")), "lr is nan"),
        (lambda p: optim.SGD([p], momentum=-1.0), "momentum"),
        (lambda p: optim.SGD([p], nesterov=True), "nesterov"),
        (lambda p: optim.SGD([p], momentum=0.9, dampening=0.1, nesterov=True), "dampening"),
        (lambda p: optim.Adam([p], betas=(0.9, 1.0)), r"betas\[1\] is 1.0"),
        (lambda p: optim.RMSprop([p], eps=-1.0), "eps"),
        (lambda p: optim.Adam([p], weight_decay=-1.0), "weight_decay"),
    ],
)
def test_bad_arguments_are_named(build, text):
    with pytest.raises(ValueError, match=text):
        build(nn.Parameter(np.ones(2)))


def test_a_gradient_of_another_shape_is_refused():
    parameter = nn.Parameter(np.ones(3))
    parameter.grad = np.ones(1)
    with pytest.raises(ValueError, match=r"shape \(3,\).*\(1,\)"):
        optim.SGD([parameter], lr=0.1).step()


def test_a_refused_step_changes_nothing():
    good, bad = nn.Parameter(np.ones(3)), nn.Parameter(np.ones(3))
    good.grad, bad.grad = np.ones(3), np.ones(1)
    optimizer = optim.Adam([good, bad], lr=0.1)
    with pytest.raises(ValueError, match="parameter 1 "):
        optimizer.step()
    np.testing.assert_array_equal(good.data, 1)
    assert optimizer.state_dict()["steps"] == [0, 0]


def test_repr_names_the_hyperparameters():
    text = repr(optim.Adam([nn.Parameter(np.ones(1))], lr=0.1))
    assert text == "Adam(lr=0.1, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)"


def test_schedules_are_the_notes_formulas():
    for epoch in range(5):
        assert optim.InverseTimeDecay(0.2, 0.5)(epoch) == pytest.approx(
            reference.inverse_time_decay(0.2, 0.5, epoch)
        )
        assert optim.ExponentialDecay(0.2, 0.95)(epoch) == pytest.approx(
            reference.exponential_decay(0.2, epoch, 0.95)
        )
        assert optim.InverseSquareRootDecay(0.2, 2.0)(epoch) == pytest.approx(
            reference.inverse_square_root_decay(0.2, epoch + 1, 2.0)
        )
        assert optim.ConstantRate(0.2)(epoch) == 0.2


def test_cosine_rises_falls_and_ends_at_zero():
    schedule = optim.CosineDecay(1.0, epochs=5, warmup=1)
    values = [schedule(t / 10) for t in range(60)]
    assert values[:11] == pytest.approx([t / 10 for t in range(11)])
    assert all(a >= b for a, b in itertools.pairwise(values[10:]))
    assert values[50:] == [0.0] * 10
