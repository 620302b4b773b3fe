"""What every optimiser shares: the parameters, their state, and the one call that is a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from fastconv.ops.optimizer import Entry, Rule, optimizer_step

Array = npt.NDArray[Any]


class ParameterLike(Protocol):
    """Anything with an array and its gradient (None: leave this parameter alone)."""

    data: Array
    grad: Array | None


def check_range(name: str, value: float, low: float, high: float = float("inf")) -> float:
    """Return `value` as a float if low <= value < high, or raise ValueError naming it."""
    if not low <= value < high:
        bound = f"at least {low}" if high == float("inf") else f"in [{low}, {high})"
        raise ValueError(f"{name} is {value!r}: expected {bound}")
    return float(value)


class Optimizer:
    """Base of the optimisers: subclasses name their state arrays and the rule of a step.

    Raises ValueError for an empty list or a parameter given twice. `lr` may be set between steps.
    """

    hyperparameters: ClassVar[tuple[str, ...]] = ("lr",)

    def __init__(self, parameters: Iterable[ParameterLike], lr: float) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("parameters is empty: pass e.g. model.parameters()")
        if len({id(parameter) for parameter in self.parameters}) < len(self.parameters):
            raise ValueError("parameters holds the same parameter more than once")
        self.lr = check_range("lr", lr, 0.0)
        self._steps = [0] * len(self.parameters)
        self._state: list[dict[str, Array]] = [{} for _ in self.parameters]

    def _state_names(self) -> tuple[str | None, str | None, str | None]:
        """Names of the arrays kept for each parameter (zero at first), as the rule orders them."""
        return None, None, None

    def _rule(self) -> Rule:
        """The rule of the next step and its numbers."""
        raise NotImplementedError(f"{type(self).__name__} does not define _rule()")

    def _entry(self, position: int, names: tuple[str | None, ...]) -> Entry | None:
        """What the next step takes of a parameter; None: it has no gradient."""
        parameter = self.parameters[position]
        grad = parameter.grad
        if grad is None:
            return None
        data = parameter.data
        if grad.shape != data.shape:
            raise ValueError(
                f"parameter {position} has shape {data.shape}, its gradient {grad.shape}"
            )
        state = self._state[position]
        arrays: list[Array | None] = []
        for name in names:
            if name is not None and name not in state:
                state[name] = np.zeros(data.shape, data.dtype)
            arrays.append(None if name is None else state[name])
        first, second, third = arrays
        return self._steps[position] + 1, data, grad, first, second, third

    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises ValueError when shapes differ; then nothing has been changed.
        """
        names = self._state_names()
        entries, positions = [], []
        for position in range(len(self.parameters)):
            entry = self._entry(position, names)
            if entry is not None:
                entries.append(entry)
                positions.append(position)
        optimizer_step(self._rule(), entries)
        for position in positions:
            self._steps[position] += 1

    def zero_grad(self) -> None:
        """Forget the gradient of every parameter."""
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return hyperparameters, and each parameter's step count and copies of its arrays."""
        return {
            "hyperparameters": {name: getattr(self, name) for name in self.hyperparameters},
            "steps": list(self._steps),
            "state": [
                {name: array.copy() for name, array in state.items()} for state in self._state
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` of the same kind of optimiser returned.

        Raises ValueError when it belongs to other parameters or another optimiser.
        """
        hyperparameters, steps, states = (
            state_dict[key] for key in ("hyperparameters", "steps", "state")
        )
        if set(hyperparameters) != set(self.hyperparameters):
            raise ValueError(
                f"state_dict has hyperparameters {sorted(hyperparameters)}, {type(self).__name__} "
                f"has {sorted(self.hyperparameters)}"
            )
        if not len(steps) == len(states) == len(self.parameters):
            raise ValueError(
                f"state_dict is for {len(states)} parameters, this optimiser has "
                f"{len(self.parameters)}"
            )
        for position, (state, parameter) in enumerate(zip(states, self.parameters, strict=True)):
            for name, array in state.items():
                if array.shape != parameter.data.shape:
                    raise ValueError(
                        f"{name} of parameter {position} has shape {array.shape}, the parameter "
                        f"{parameter.data.shape}"
                    )
        for name in self.hyperparameters:
            setattr(self, name, hyperparameters[name])
        self._steps = [int(step) for step in steps]
        self._state = [
            {
                name: np.array(array, parameter.data.dtype, order="C")
                for name, array in state.items()
            }
            for state, parameter in zip(states, self.parameters, strict=True)
        ]

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.hyperparameters)
        return f"{type(self).__name__}({options})"
