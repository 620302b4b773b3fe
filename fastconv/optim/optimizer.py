"""What every optimiser shares: the parameters, their state, and cache-sized in-place steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Elements of one block of a step. The five or so arrays that a step touches then stay in the
# second-level cache while the NumPy calls of the update rule pass over them.
BLOCK_SIZE = 16384


class ParameterLike(Protocol):
    """Anything with an array and its gradient (None: leave this parameter alone)."""

    data: Array
    grad: Array | None


def blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Yield matching flat slices of up to BLOCK_SIZE elements, as views that can be written.

    Arrays have one shape; if one of them is not C-contiguous, they come whole.

    >>> [part[0].size for part in blocks(np.zeros((3, 8000)))]
    [16384, 7616]
    """
    if not all(array.flags.c_contiguous for array in arrays):
        yield arrays
        return
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, BLOCK_SIZE):
        yield tuple(array[start : start + BLOCK_SIZE] for array in flat)


def check_range(name: str, value: float, low: float, high: float = float("inf")) -> float:
    """Return `value` as a float if low <= value < high, or raise ValueError naming it."""
    if not low <= value < high:
        bound = f"at least {low}" if high == float("inf") else f"in [{low}, {high})"
        raise ValueError(f"{name} is {value!r}: expected {bound}")
    return float(value)


class Optimizer:
    """Base of the optimisers: subclasses name their state arrays and write `_update`.

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
        self._scratch: dict[tuple[int, np.dtype[Any]], Array] = {}

    def _state_names(self) -> tuple[str, ...]:
        """Names of the arrays kept for each parameter (zero at first)."""
        return ()

    def _update(self, step: int, data: Array, grad: Array, *state: Array) -> None:
        """Change `data` and `state` in place for step `step` (from 1); leave `grad` alone."""
        raise NotImplementedError

    def _buffer(self, number: int, like: Array) -> Array:
        """Scratch of the shape and dtype of `like`; buffers of different numbers do not overlap."""
        key = (number, like.dtype)
        if key not in self._scratch or self._scratch[key].size < like.size:
            self._scratch[key] = np.empty(max(like.size, BLOCK_SIZE), like.dtype)
        return self._scratch[key][: like.size].reshape(like.shape)

    def _decayed(self, data: Array, grad: Array, weight_decay: float) -> Array:
        """Return grad + weight_decay * data, in buffer 0; `grad` itself when there is no decay."""
        if weight_decay == 0.0:
            return grad
        total = np.multiply(data, weight_decay, out=self._buffer(0, data))
        total += grad
        return total

    def step(self) -> None:
        """Update every parameter that has a gradient. Raises ValueError when shapes differ."""
        for position, parameter in enumerate(self.parameters):
            grad = parameter.grad
            if grad is None:
                continue
            if grad.shape != parameter.data.shape:
                raise ValueError(
                    f"parameter {position} has shape {parameter.data.shape}, its gradient "
                    f"{grad.shape}"
                )
            state = self._state[position]
            for name in self._state_names():
                if name not in state:
                    state[name] = np.zeros(parameter.data.shape, parameter.data.dtype)
            self._steps[position] += 1
            arrays = [state[name] for name in self._state_names()]
            for part in blocks(parameter.data, grad, *arrays):
                self._update(self._steps[position], *part)

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
            {name: np.array(array, parameter.data.dtype) for name, array in state.items()}
            for state, parameter in zip(states, self.parameters, strict=True)
        ]

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.hyperparameters)
        return f"{type(self).__name__}({options})"
