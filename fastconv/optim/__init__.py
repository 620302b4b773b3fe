"""Optimisers with PyTorch's names, arguments and update rules, and learning-rate schedules.

They know arrays only: a parameter is anything with `data` and `grad`. What a step does to them is
one compiled call for all parameters (`fastconv.ops.optimizer`), which reads and writes every array
once: in NumPy, SGD's step was two fifths of a training step of LeNet at batch 1.

>>> import numpy as np
>>> from fastconv import nn, optim
>>> weight = nn.Parameter(np.array([3.0]))
>>> optimizer = optim.SGD([weight], lr=0.1, momentum=0.9, nesterov=True)
>>> for _ in range(200):
...     weight.grad = 2 * weight.data            # the gradient of weight^2
...     optimizer.step()
>>> bool(abs(weight.data[0]) < 1e-6)
True
"""

from fastconv.optim.adam import Adam
from fastconv.optim.optimizer import Optimizer, ParameterLike
from fastconv.optim.rmsprop import RMSprop
from fastconv.optim.schedule import (
    ConstantRate,
    CosineDecay,
    ExponentialDecay,
    InverseSquareRootDecay,
    InverseTimeDecay,
    Schedule,
)
from fastconv.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "ConstantRate",
    "CosineDecay",
    "ExponentialDecay",
    "InverseSquareRootDecay",
    "InverseTimeDecay",
    "Optimizer",
    "ParameterLike",
    "RMSprop",
    "Schedule",
]
