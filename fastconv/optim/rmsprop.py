"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fastconv.optim.optimizer import Array, Optimizer, ParameterLike, check_range


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

    def _state_names(self) -> tuple[str, ...]:
        return (
            "square_average",
            *(("gradient_average",) if self.centered else ()),
            *(("momentum_buffer",) if self.momentum else ()),
        )

    def _update(self, step: int, data: Array, grad: Array, *state: Array) -> None:
        grad = self._decayed(data, grad, self.weight_decay)
        arrays = dict(zip(self._state_names(), state, strict=True))
        quotient = self._buffer(1, data)
        square_average = arrays["square_average"]
        square_average *= self.alpha
        np.multiply(grad, grad, out=quotient)
        quotient *= 1.0 - self.alpha
        square_average += quotient
        if self.centered:
            average = arrays["gradient_average"]
            average *= self.alpha
            average += np.multiply(grad, 1.0 - self.alpha, out=quotient)
            np.multiply(average, average, out=quotient)
            np.subtract(square_average, quotient, out=quotient)
            np.sqrt(quotient, out=quotient)
        else:
            np.sqrt(square_average, out=quotient)
        quotient += self.eps
        np.divide(grad, quotient, out=quotient)
        if self.momentum:
            velocity = arrays["momentum_buffer"]
            velocity *= self.momentum
            velocity += quotient
            np.multiply(velocity, self.lr, out=quotient)
        else:
            quotient *= self.lr
        data -= quotient
