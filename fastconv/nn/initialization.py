"""First values of weights: Gaussian, Xavier (Glorot 2010) and He / Kaiming (He 2015).

Every function fills an array in place and returns it, as PyTorch's `torch.nn.init` does, drawing
from an explicit `numpy.random.Generator` (or an integer seed), so that a run can be repeated.
A weight is (out, in) or (out, in / groups, *kernel_size): fan_in = in / groups * prod(kernel_size),
fan_out = out * prod(kernel_size).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from fastconv.nn.module import Array

RandomSource = np.random.Generator | int | None
FanMode = Literal["fan_in", "fan_out"]

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 0.75,
}


def calculate_gain(nonlinearity: str, a: float = 0.01) -> float:
    """Return the factor that keeps a signal's variance through `nonlinearity`.

    `a` is the negative slope of "leaky_relu". Raises ValueError for an unknown name.

    >>> round(calculate_gain("relu"), 4)
    1.4142
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + a * a))
    if nonlinearity not in _GAINS:
        known = ", ".join(sorted([*_GAINS, "leaky_relu"]))
        raise ValueError(f"nonlinearity {nonlinearity!r} is unknown: use one of {known}")
    return _GAINS[nonlinearity]


def calculate_fans(weight: Array) -> tuple[int, int]:
    """Return (fan_in, fan_out). Raises ValueError for fewer than two dimensions.

    >>> calculate_fans(np.empty((20, 3, 5, 5)))
    (75, 500)
    """
    if weight.ndim < 2:
        raise ValueError(f"weight has shape {weight.shape}: fans need (out, in, *kernel_size)")
    receptive_field = math.prod(weight.shape[2:])
    return weight.shape[1] * receptive_field, weight.shape[0] * receptive_field


def uniform_(weight: Array, low: float = 0.0, high: float = 1.0, rng: RandomSource = None) -> Array:
    """Fill `weight` from U(low, high)."""
    weight[...] = np.random.default_rng(rng).uniform(low, high, weight.shape)
    return weight


def gaussian_(
    weight: Array, mean: float = 0.0, std: float = 0.01, rng: RandomSource = None
) -> Array:
    """Fill `weight` from N(mean, std^2); the default is N(0, 0.01^2) (notes 004, section 6.6).

    >>> weight = gaussian_(np.empty((100, 100), dtype=np.float32), rng=0)
    >>> round(float(weight.std()), 3)
    0.01
    """
    weight[...] = np.random.default_rng(rng).normal(mean, std, weight.shape)
    return weight


def xavier_uniform_(weight: Array, gain: float = 1.0, rng: RandomSource = None) -> Array:
    """Fill from U(-b, b), b = gain * sqrt(6 / (fan_in + fan_out))."""
    bound = gain * math.sqrt(6.0 / max(1, sum(calculate_fans(weight))))
    return uniform_(weight, -bound, bound, rng)


def xavier_normal_(weight: Array, gain: float = 1.0, rng: RandomSource = None) -> Array:
    """Fill from N(0, std^2), std = gain * sqrt(2 / (fan_in + fan_out)) (notes 003, section 3.5)."""
    std = gain * math.sqrt(2.0 / max(1, sum(calculate_fans(weight))))
    return gaussian_(weight, 0.0, std, rng)


def _kaiming_std(weight: Array, a: float, mode: FanMode, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode is {mode!r}: use 'fan_in' or 'fan_out'")
    fan = calculate_fans(weight)[0 if mode == "fan_in" else 1]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(1, fan))


def kaiming_uniform_(
    weight: Array,
    a: float = 0.0,
    mode: FanMode = "fan_in",
    nonlinearity: str = "leaky_relu",
    rng: RandomSource = None,
) -> Array:
    """Fill from U(-b, b), b = gain * sqrt(3 / fan).

    >>> weight = kaiming_uniform_(np.empty((8, 6), dtype=np.float32), nonlinearity="relu", rng=0)
    >>> bool(abs(weight).max() <= 1.0)
    True
    """
    bound = math.sqrt(3.0) * _kaiming_std(weight, a, mode, nonlinearity)
    return uniform_(weight, -bound, bound, rng)


def kaiming_normal_(
    weight: Array,
    a: float = 0.0,
    mode: FanMode = "fan_in",
    nonlinearity: str = "leaky_relu",
    rng: RandomSource = None,
) -> Array:
    """Fill from N(0, std^2), std = gain / sqrt(fan): sqrt(2 / fan_in) for ReLU (notes 003, 3.5)."""
    return gaussian_(weight, 0.0, _kaiming_std(weight, a, mode, nonlinearity), rng)


def default_(weight: Array, bias: Array | None, rng: RandomSource = None) -> None:
    """What PyTorch's Conv2d and Linear start from: both U(-b, b), b = 1 / sqrt(fan_in)."""
    generator = np.random.default_rng(rng)
    kaiming_uniform_(weight, a=math.sqrt(5.0), rng=generator)
    if bias is not None:
        bound = 1.0 / math.sqrt(max(1, calculate_fans(weight)[0]))
        uniform_(bias, -bound, bound, generator)


he_uniform_ = kaiming_uniform_
he_normal_ = kaiming_normal_
