"""Layers, losses and initialisation under PyTorch's names, with an explicit backward pass.

>>> import numpy as np
>>> from fastconv import nn
>>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, rng=0))
>>> loss = nn.CrossEntropyLoss()
>>> value = loss(model(np.ones((3, 1, 2, 2), dtype=np.float32)), np.array([0, 1, 1]))
>>> model.backward(loss.backward()).shape
(3, 1, 2, 2)
"""

from fastconv.nn import initialization
from fastconv.nn.activation import (
    ELU,
    GELU,
    Activation,
    Hardswish,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from fastconv.nn.container import Sequential
from fastconv.nn.convolution import Conv2d
from fastconv.nn.dropout import Dropout
from fastconv.nn.flatten import Flatten
from fastconv.nn.linear import Linear
from fastconv.nn.loss import CrossEntropyLoss
from fastconv.nn.module import IncompatibleKeys, Module, Parameter
from fastconv.nn.pooling import AvgPool2d, MaxPool2d

__all__ = [
    "ELU",
    "GELU",
    "Activation",
    "AvgPool2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Hardswish",
    "IncompatibleKeys",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "initialization",
]
