"""Adam."""

from __future__ import annotations

from collections.abc import Iterable

from fastconv.ops.optimizer import ADAM, Rule
from fastconv.optim.optimizer import Optimizer, ParameterLike, check_range


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

    def _state_names(self) -> tuple[str | None, str | None, str | None]:
        return "first_moment", "second_moment", None

    def _rule(self) -> Rule:
        return Rule(
            ADAM, lr=self.lr, weight_decay=self.weight_decay, betas=self.betas, eps=self.eps
        )
