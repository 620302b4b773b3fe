"""First values: ranges, moments, torch's rules, repeatability."""

import math

import numpy as np
import pytest

from fastconv import nn
from fastconv.nn import initialization as init

SHAPE = (60, 40, 3, 3)
FAN_IN, FAN_OUT = 360, 540


def empty() -> np.ndarray:
    return np.empty(SHAPE, np.float32)


@pytest.mark.parametrize(
    ("fill", "std", "bounded"),
    [
        (lambda w: init.gaussian_(w, rng=0), 0.01, False),
        (lambda w: init.uniform_(w, -1.0, 1.0, rng=0), 1 / math.sqrt(3), True),
        (lambda w: init.xavier_uniform_(w, rng=0), math.sqrt(2 / (FAN_IN + FAN_OUT)), True),
        (
            lambda w: init.xavier_normal_(w, 2.0, rng=0),
            2 * math.sqrt(2 / (FAN_IN + FAN_OUT)),
            False,
        ),
        (lambda w: init.kaiming_uniform_(w, rng=0), math.sqrt(2 / FAN_IN), True),
        (lambda w: init.kaiming_normal_(w, rng=0), math.sqrt(2 / FAN_IN), False),
        (lambda w: init.he_normal_(w, mode="fan_out", rng=0), math.sqrt(2 / FAN_OUT), False),
        (
            lambda w: init.he_normal_(w, nonlinearity="tanh", rng=0),
            5 / 3 / math.sqrt(FAN_IN),
            False,
        ),
        (lambda w: init.he_uniform_(w, a=1.0, rng=0), math.sqrt(1 / FAN_IN), True),
    ],
)
def test_moments(fill, std, bounded):
    weight = empty()
    assert fill(weight) is weight
    assert abs(weight.mean()) < 4 * std / math.sqrt(weight.size)
    assert weight.std() == pytest.approx(std, rel=0.02)
    largest = np.abs(weight).max() / (std * math.sqrt(3))
    assert (largest <= 1.0 + 1e-6) if bounded else (largest > 1.5)


def test_layers_start_as_torchs_do():
    for layer, fan_in in (
        (nn.Conv2d(8, 30, 5, groups=2, rng=0), 100),
        (nn.Linear(100, 30, rng=0), 100),
    ):
        bound = 1 / math.sqrt(fan_in)
        for parameter in (layer.weight, layer.bias):
            assert np.abs(parameter.data).max() <= bound
            assert np.abs(parameter.data).max() > 0.8 * bound


def test_same_seed_same_weights_and_one_generator_goes_on():
    np.testing.assert_array_equal(
        nn.Linear(4, 4, rng=5).weight.data, nn.Linear(4, 4, rng=5).weight.data
    )
    rng = np.random.default_rng(5)
    first, second = nn.Linear(4, 4, rng=rng), nn.Linear(4, 4, rng=rng)
    assert np.any(first.weight.data != second.weight.data)


def test_dtype_argument():
    layer = nn.Conv2d(1, 1, 3, rng=0, dtype=np.float64)
    assert layer.weight.data.dtype == layer.bias.data.dtype == np.float64
    single = nn.Conv2d(1, 1, 3, rng=0)
    np.testing.assert_array_equal(layer.weight.data.astype(np.float32), single.weight.data)


def test_errors():
    with pytest.raises(ValueError, match="nonlinearity 'step'"):
        init.calculate_gain("step")
    with pytest.raises(ValueError, match="mode is 'both'"):
        init.kaiming_normal_(empty(), mode="both")
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        init.xavier_normal_(np.empty(3))


def test_gains_are_torchs():
    torch = pytest.importorskip("torch")
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
