"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fastconv.optim.optimizer import Array, Optimizer, ParameterLike, check_range


class SGD(Optimizer):
    """Stochastic gradient descent, PyTorch's form.

    (The notes, 003 section 4.2, have (1 - beta) * g in place of g: dampening = momentum.)
    With g the gradient + weight_decay * p, and v the momentum buffer:

        v <- momentum * v + (1 - dampening) * g        (first step: v <- g)
        p <- p - lr * v                                (Nesterov: p - lr * (g + momentum * v))

    >>> import numpy as np
    >>> from fastconv import nn
    >>> weight = nn.Parameter(np.array([1.0, 2.0]))
    >>> weight.grad = np.array([10.0, 0.0])
    >>> SGD([weight], lr=0.1, momentum=0.9).step()
    >>> weight.data
    array([0., 2.])
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

    def _state_names(self) -> tuple[str, ...]:
        return ("momentum_buffer",) if self.momentum else ()

    def _update(self, step: int, data: Array, grad: Array, *state: Array) -> None:
        grad = self._decayed(data, grad, self.weight_decay)
        scaled = self._buffer(1, data)
        if not state:
            data -= np.multiply(grad, self.lr, out=scaled)
            return
        (velocity,) = state
        if step == 1:
            velocity[...] = grad
        elif self.dampening == 0.0:
            velocity *= self.momentum
            velocity += grad
        else:
            velocity *= self.momentum
            velocity += np.multiply(grad, 1.0 - self.dampening, out=scaled)
        if self.nesterov:
            np.multiply(velocity, self.momentum, out=scaled)
            scaled += grad
            scaled *= self.lr
        else:
            np.multiply(velocity, self.lr, out=scaled)
        data -= scaled
