"""One step of each update rule: notes 004 sections 3.4, 6.3; 003 part 4.

Every function returns new arrays and leaves its arguments alone; state goes in and comes out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy.typing as npt

from fastconv.reference.arrays import FloatArray, map_elements


class MomentumStep(NamedTuple):
    """The new parameter and velocity.

    >>> MomentumStep._fields
    ('parameter', 'velocity')
    """

    parameter: FloatArray
    velocity: FloatArray


class ScaledStep(NamedTuple):
    """The new parameter and the accumulated squares of its gradients.

    >>> ScaledStep._fields
    ('parameter', 'squares')
    """

    parameter: FloatArray
    squares: FloatArray


class AdamStep(NamedTuple):
    """The new parameter and both moving averages, not yet corrected for their start.

    >>> AdamStep._fields
    ('parameter', 'mean', 'squares')
    """

    parameter: FloatArray
    mean: FloatArray
    squares: FloatArray


def gradient_descent(
    parameter: npt.ArrayLike, gradient: npt.ArrayLike, learning_rate: float = 0.01
) -> FloatArray:
    """``theta - alpha g``: notes 004, eq. 3.36, 6.21.

    >>> gradient_descent([1.0], [4.0], learning_rate=0.25).tolist()
    [0.0]
    """
    return map_elements(lambda w, g: w - learning_rate * g, parameter, gradient)


def decayed_gradient(
    gradient: npt.ArrayLike, parameter: npt.ArrayLike, weight_decay: float
) -> FloatArray:
    """``g + lambda W``: weight decay, the l2 term of notes 004, eq. 3.37; pass it to any rule here.

    >>> decayed_gradient([1.0], [3.0], weight_decay=0.5).tolist()
    [2.5]
    """
    return map_elements(lambda g, w: g + weight_decay * w, gradient, parameter)


def momentum(
    parameter: npt.ArrayLike,
    gradient: npt.ArrayLike,
    velocity: npt.ArrayLike,
    learning_rate: float = 0.01,
    beta: float = 0.9,
    dampening: float = 0.0,
) -> MomentumStep:
    """``v <- beta v + (1 - dampening) g``; ``theta - alpha v``: notes 003, section 4.2.

    The notes weigh the gradient by ``1 - beta``: ``dampening=beta``. With 0, the default, it is
    PyTorch's and Polyak's rule, whose velocity is ``1 / (1 - beta)`` times as large.

    >>> momentum([1.0], [2.0], [4.0], learning_rate=0.5, beta=0.5, dampening=0.5)
    MomentumStep(parameter=array([-0.5]), velocity=array([3.]))
    """
    share = 1.0 - dampening
    velocity = map_elements(lambda v, g: beta * v + share * g, velocity, gradient)
    return MomentumStep(gradient_descent(parameter, velocity, learning_rate), velocity)


def nesterov_momentum(
    parameter: npt.ArrayLike,
    gradient: npt.ArrayLike,
    velocity: npt.ArrayLike,
    learning_rate: float = 0.01,
    beta: float = 0.9,
) -> MomentumStep:
    """``v <- beta v + g``; ``theta - alpha (g + beta v)``: named in notes 004, section 6.3.

    The form of PyTorch and of Sutskever et al. 2013, written at the looked-ahead point.

    >>> nesterov_momentum([1.0], [2.0], [4.0], learning_rate=0.5, beta=0.5)
    MomentumStep(parameter=array([-1.]), velocity=array([4.]))
    """
    velocity = map_elements(lambda v, g: beta * v + g, velocity, gradient)
    ahead = map_elements(lambda g, v: g + beta * v, gradient, velocity)
    return MomentumStep(gradient_descent(parameter, ahead, learning_rate), velocity)


def rmsprop(
    parameter: npt.ArrayLike,
    gradient: npt.ArrayLike,
    squares: npt.ArrayLike,
    learning_rate: float = 0.01,
    beta: float = 0.99,
    eps: float = 1e-8,
) -> ScaledStep:
    """``v <- beta v + (1 - beta) g^2``; ``theta - alpha g / (sqrt(v) + eps)``: eq. 6.22-6.23.

    Correction: notes 003 section 4.3 leave ``eps`` out and divide by zero at a zero gradient.

    >>> rmsprop([1.0], [3.0], [7.0], learning_rate=1.0, beta=0.0, eps=0.0)
    ScaledStep(parameter=array([0.]), squares=array([9.]))
    """
    squares = map_elements(lambda v, g: beta * v + (1.0 - beta) * g * g, squares, gradient)
    return ScaledStep(_scaled_descent(parameter, gradient, squares, learning_rate, eps), squares)


def adagrad(
    parameter: npt.ArrayLike,
    gradient: npt.ArrayLike,
    squares: npt.ArrayLike,
    learning_rate: float = 0.01,
    eps: float = 1e-10,
) -> ScaledStep:
    """``v <- v + g^2``; ``theta - alpha g / (sqrt(v) + eps)``: named in notes 004, section 6.3.

    >>> adagrad([1.0], [3.0], [16.0], learning_rate=5.0, eps=0.0)
    ScaledStep(parameter=array([-2.]), squares=array([25.]))
    """
    squares = map_elements(lambda v, g: v + g * g, squares, gradient)
    return ScaledStep(_scaled_descent(parameter, gradient, squares, learning_rate, eps), squares)


def _scaled_descent(
    parameter: npt.ArrayLike,
    gradient: npt.ArrayLike,
    squares: npt.ArrayLike,
    learning_rate: float,
    eps: float,
) -> FloatArray:
    def step(w: float, g: float, v: float) -> float:
        return w - learning_rate * g / (math.sqrt(v) + eps)

    return map_elements(step, parameter, gradient, squares)


def adam(
    parameter: npt.ArrayLike,
    gradient: npt.ArrayLike,
    mean: npt.ArrayLike,
    squares: npt.ArrayLike,
    step: int,
    learning_rate: float = 0.001,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> AdamStep:
    """Momentum over RMSprop, both corrected for their start at zero: notes 003, section 4.4.

    ``theta - alpha m^ / (sqrt(v^) + eps)`` with ``m^ = m / (1 - beta1^t)``, ``v^ = v / (1 -
    beta2^t)``; ``step`` is t and counts from 1.

    Correction: the notes put ``eps`` inside the root. Kingma and Ba (algorithm 1) and PyTorch add
    it outside, as here; inside, 1e-8 would act like 1e-4.

    >>> adam([1.0], [3.0], [0.0], [0.0], step=1, learning_rate=0.5, eps=0.0).parameter.round(12)
    array([0.5])
    """
    first, second = betas
    mean = map_elements(lambda m, g: first * m + (1.0 - first) * g, mean, gradient)
    squares = map_elements(lambda v, g: second * v + (1.0 - second) * g * g, squares, gradient)
    first_correction, second_correction = 1.0 - first**step, 1.0 - second**step

    def move(w: float, m: float, v: float) -> float:
        root = math.sqrt(v / second_correction)
        return w - learning_rate * (m / first_correction) / (root + eps)

    return AdamStep(map_elements(move, parameter, mean, squares), mean, squares)


def exponentially_weighted_average(
    values: Sequence[float], beta: float = 0.9, bias_correction: bool = False
) -> list[float]:
    """``v_t = beta v_(t-1) + (1 - beta) theta_t`` from ``v_0 = 0``: notes 003, section 4.1.

    With ``bias_correction`` each is divided by ``1 - beta^t`` when read; the recursion keeps the
    uncorrected value.

    Correction: for 4 and 9 degrees at beta 0.98 the notes print v_2 = 0.181568, having put
    v_1 = 0.08 in place of theta_1 into ``0.98 * 0.02 * theta_1 + 0.02 * theta_2``; it is 0.2584.
    Corrected it is 6.5253 (0.2584 / 0.0396), not 6.25. They also write the correction as an
    assignment to ``v_t``, which would feed it back into the recursion.

    >>> [round(value, 6) for value in exponentially_weighted_average([4, 9], beta=0.98)]
    [0.08, 0.2584]
    """
    averages, average = [], 0.0
    for t, value in enumerate(values, start=1):
        average = beta * average + (1.0 - beta) * value
        averages.append(average / (1.0 - beta**t) if bias_correction else average)
    return averages


def inverse_time_decay(learning_rate: float, decay_rate: float, epoch: int) -> float:
    """``alpha_0 / (1 + decay_rate * epoch)``: notes 003, section 4.5.

    >>> inverse_time_decay(0.2, decay_rate=1.0, epoch=3)
    0.05
    """
    return learning_rate / (1.0 + decay_rate * epoch)


def exponential_decay(learning_rate: float, epoch: int, base: float = 0.95) -> float:
    """``base^epoch alpha_0``: notes 003, section 4.5.

    >>> exponential_decay(8.0, epoch=2, base=0.5)
    2.0
    """
    return float(base**epoch * learning_rate)


def inverse_square_root_decay(learning_rate: float, epoch: int, scale: float = 1.0) -> float:
    """``k alpha_0 / sqrt(epoch)``, epochs counted from 1: notes 003, section 4.5.

    >>> inverse_square_root_decay(0.5, epoch=4)
    0.25
    """
    return scale * learning_rate / math.sqrt(epoch)
