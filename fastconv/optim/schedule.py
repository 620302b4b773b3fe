"""Learning rates that fall as training goes on (notes 003, section 4.5).

A schedule is a function from the time in epochs (0 at the start, fractions within an epoch) to the
learning rate: `optimizer.lr = schedule(epoch)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[float], float]


@dataclass(frozen=True)
class ConstantRate:
    """Always `lr`."""

    lr: float

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at `epoch`."""
        return self.lr


@dataclass(frozen=True)
class InverseTimeDecay:
    """lr / (1 + decay_rate * epoch).

    >>> InverseTimeDecay(0.1, decay_rate=1.0)(4)
    0.02
    """

    lr: float
    decay_rate: float = 1.0

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at `epoch`."""
        return self.lr / (1.0 + self.decay_rate * epoch)


@dataclass(frozen=True)
class ExponentialDecay:
    """lr * base^epoch.

    >>> ExponentialDecay(0.1, base=0.5)(2)
    0.025
    """

    lr: float
    base: float = 0.95

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at `epoch`."""
        return self.lr * self.base**epoch


@dataclass(frozen=True)
class InverseSquareRootDecay:
    """lr * k / sqrt(epoch + 1): the notes count epochs from 1, a schedule from 0.

    >>> InverseSquareRootDecay(0.1)(3)
    0.05
    """

    lr: float
    k: float = 1.0

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at `epoch`."""
        return self.lr * self.k / math.sqrt(epoch + 1.0)


@dataclass(frozen=True)
class CosineDecay:
    """Rise in a line over `warmup` epochs to lr, then fall along half a cosine to 0 at `epochs`.

    >>> schedule = CosineDecay(0.1, epochs=10, warmup=2)
    >>> schedule(0), schedule(1), schedule(2), round(schedule(6), 3), schedule(10)
    (0.0, 0.05, 0.1, 0.05, 0.0)
    """

    lr: float
    epochs: float
    warmup: float = 0.0

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at `epoch`."""
        if epoch < self.warmup:
            return self.lr * epoch / self.warmup
        if epoch >= self.epochs:
            return 0.0
        fraction = (epoch - self.warmup) / (self.epochs - self.warmup)
        return self.lr * 0.5 * (1.0 + math.cos(math.pi * fraction))
