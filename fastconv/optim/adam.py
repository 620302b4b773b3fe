"""Adam."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from fastconv.optim.optimizer import Array, Optimizer, ParameterLike, check_range


class Adam(Optimizer):
    """Momentum and RMSprop with bias correction (Kingma and Ba 2014), PyTorch's form.

    With g the gradient + weight_decay * p, at step t = 1, 2, ...:

        m <- beta1 * m + (1 - beta1) * g
        v <- beta2 * v + (1 - beta2) * g^2
        p <- p - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    The notes (003, section 4.4) write eps under the root; the paper and PyTorch add it outside.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> weight = nn.Parameter(np.array([1.0, 1.0]))
    >>> weight.grad = np.array([3.0, -0.5])
    >>> Adam([weight], lr=0.1).step()
    >>> weight.data.round(6)
    array([0.9, 1.1])
    """

    hyperparameters = ("lr", "betas", "eps", "weight_decay")

    def __init__(
        self,
        parameters: Iterable[ParameterLike],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr)
        self.betas = (
            check_range("betas[0]", betas[0], 0.0, 1.0),
            check_range("betas[1]", betas[1], 0.0, 1.0),
        )
        self.eps = check_range("eps", eps, 0.0)
        self.weight_decay = check_range("weight_decay", weight_decay, 0.0)

    def _state_names(self) -> tuple[str, ...]:
        return "first_moment", "second_moment"

    def _update(self, step: int, data: Array, grad: Array, *state: Array) -> None:
        grad = self._decayed(data, grad, self.weight_decay)
        first, second = state
        beta1, beta2 = self.betas
        change = self._buffer(1, data)
        first *= beta1
        first += np.multiply(grad, 1.0 - beta1, out=change)
        second *= beta2
        np.multiply(grad, grad, out=change)
        change *= 1.0 - beta2
        second += change
        np.sqrt(second, out=change)
        change *= 1.0 / math.sqrt(1.0 - beta2**step)
        change += self.eps
        np.divide(first, change, out=change)
        change *= self.lr / (1.0 - beta1**step)
        data -= change
