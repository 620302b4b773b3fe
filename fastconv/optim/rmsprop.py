"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable

from fastconv.ops.optimizer import RMSPROP, Rule
from fastconv.optim.optimizer import Optimizer, ParameterLike, check_range


class RMSprop(Optimizer):
    """Gradients divided by a running root mean square (notes 004, 6.22 and 6.23), PyTorch's form.

    With g the gradient + weight_decay * p:

        s <- alpha * s + (1 - alpha) * g^2
        p <- p - lr * g / (sqrt(s) + eps)

    `centered` subtracts the square of the running mean of g from s under the root; with `momentum`
    the quotient goes through v <- momentum * v + quotient, and p <- p - lr * v.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> weight = nn.Parameter(np.array([1.0]))
    >>> weight.grad = np.array([5.0])
    >>> RMSprop([weight], lr=0.1).step()
    >>> weight.data.round(6)
    array([0.])
    """

    hyperparameters = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered")

    def __init__(
        self,
        parameters: Iterable[ParameterLike],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(parameters, lr)
        self.alpha = check_range("alpha", alpha, 0.0)
        self.eps = check_range("eps", eps, 0.0)
        self.weight_decay = check_range("weight_decay", weight_decay, 0.0)
        self.momentum = check_range("momentum", momentum, 0.0)
        self.centered = bool(centered)

    def _state_names(self) -> tuple[str | None, str | None, str | None]:
        mean = "gradient_average" if self.centered else None
        return "square_average", mean, "momentum_buffer" if self.momentum else None

    def _rule(self) -> Rule:
        return Rule(
            RMSPROP,
            lr=self.lr,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            betas=(self.alpha, 0.0),
            eps=self.eps,
        )
