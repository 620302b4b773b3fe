"""Loss functions: called with the network's output and the target; backward starts the way back."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from fastconv.nn.module import Array
from fastconv.ops.loss import Problem, gradient_of, problem_of, value_of


class CrossEntropyLoss:
    """Softmax and negative log-likelihood of the labels in one.

    `loss(logits, target)` takes logits (N, C) and integer labels (N,) and returns a float (an array
    (N,) for reduction="none"); `loss.backward()` returns the gradient of the logits, for
    `model.backward`. Arguments as in PyTorch: class weights (C,), reduction, label_smoothing.

    >>> import numpy as np
    >>> loss = CrossEntropyLoss()
    >>> round(loss(np.zeros((2, 4)), np.array([0, 3])), 4)
    1.3863
    >>> loss.backward().shape
    (2, 4)
    """

    def __init__(
        self,
        weight: npt.ArrayLike | None = None,
        reduction: Literal["mean", "sum", "none"] = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction is {reduction!r}: use 'mean', 'sum' or 'none'")
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(f"label_smoothing is {label_smoothing!r}: expected 0 to 1")
        self.weight = None if weight is None else np.asarray(weight)
        self.reduction: Literal["mean", "sum", "none"] = reduction
        self.label_smoothing = label_smoothing
        self._saved: tuple[Problem, float] | None = None

    def __call__(self, input: Array, target: Array) -> float | Array:
        """Return the loss of `input` (N, C) for labels `target` (N,)."""
        weight = None if self.weight is None else self.weight.astype(input.dtype)
        problem = problem_of(input, target, weight, self.reduction, self.label_smoothing)
        value, mass = value_of(problem)
        self._saved = problem, mass
        return value if self.reduction == "none" else float(value)

    def backward(self, grad_output: float | Array = 1.0) -> Array:
        """Return d loss / d input (N, C), times `grad_output` (an array (N,) for reduction="none").

        Raises RuntimeError when the loss has not been computed since the last backward.
        """
        if self._saved is None:
            raise RuntimeError(
                "CrossEntropyLoss.backward needs a loss to go back through: call "
                "loss(logits, target) first, once for each backward"
            )
        problem, mass = self._saved
        self._saved = None
        return gradient_of(problem, grad_output, mass)

    def __repr__(self) -> str:
        options = [] if self.reduction == "mean" else [f"reduction={self.reduction!r}"]
        if self.label_smoothing:
            options.append(f"label_smoothing={self.label_smoothing}")
        return f"CrossEntropyLoss({', '.join(options)})"
