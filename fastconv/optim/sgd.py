"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable

from fastconv.ops.optimizer import SGD as SGD_RULE
from fastconv.ops.optimizer import Rule
from fastconv.optim.optimizer import Optimizer, ParameterLike, check_range


class SGD(Optimizer):
    """Stochastic gradient descent, PyTorch's form.

    (The notes, 003 section 4.2, have (1 - beta) * g in place of g: dampening = momentum.)
    With g the gradient + weight_decay * p, and v the momentum buffer:

        v <- momentum * v + (1 - dampening) * g        (first step: v <- g)
        p <- p - lr * v                                (Nesterov: p - lr * (g + momentum * v))

    >>> import numpy as np
    >>> from fastconv import nn
    >>> weight = nn.Parameter(np.array([6.0, 2.0]))
    >>> weight.grad = np.array([10.0, 0.0])
    >>> SGD([weight], lr=0.5, momentum=0.9).step()
    >>> weight.data
    array([1., 2.])
    """

    hyperparameters = ("lr", "momentum", "dampening", "weight_decay", "nesterov")

    def __init__(
        self,
        parameters: Iterable[ParameterLike],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(parameters, lr)
        self.momentum = check_range("momentum", momentum, 0.0)
        self.dampening = float(dampening)
        self.weight_decay = check_range("weight_decay", weight_decay, 0.0)
        self.nesterov = bool(nesterov)
        if nesterov and (momentum == 0.0 or dampening != 0.0):
            raise ValueError("nesterov=True needs momentum > 0 and dampening = 0")

    def _state_names(self) -> tuple[str | None, str | None, str | None]:
        return "momentum_buffer" if self.momentum else None, None, None

    def _rule(self) -> Rule:
        return Rule(
            SGD_RULE,
            lr=self.lr,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            dampening=self.dampening,
            nesterov=self.nesterov,
        )
