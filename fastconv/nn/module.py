"""What a layer is: parameters, a forward pass, and an explicit backward pass.

There is no tape. A layer in training mode keeps what its own backward pass needs, `Sequential` goes
back through its layers in reverse order, and the caller hands the gradient of the loss to
`model.backward`. A layer in evaluation mode keeps nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from sys import getrefcount
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Self = TypeVar("Self", bound="Module")


class Parameter:
    """An array that training changes, with the gradient of the loss with respect to it.

    `data` is C-contiguous and is updated in place; `grad` is None until a backward pass fills it.
    Whoever reads `data` may write to the array, now or later, so that reading it outdates what a
    layer in evaluation mode has made of it (see `nn.weight_cache`).

    >>> import numpy as np
    >>> weight = Parameter(np.zeros((2, 3), dtype=np.float32))
    >>> weight.accumulate(np.ones((2, 3), dtype=np.float32))
    >>> weight.grad.sum()
    np.float32(6.0)
    """

    __slots__ = ("_data", "_version", "grad")

    def __init__(self, data: npt.ArrayLike) -> None:
        array = np.asarray(data)
        if array.dtype.kind != "f":
            raise TypeError(f"data: a Parameter holds floating-point numbers, not {array.dtype}")
        self.data: Array = np.array(array, order="C")
        self.grad: Array | None = None

    @property
    def data(self) -> Array:
        """The array; it may be changed in place, or replaced."""
        data = self._data  # held before the version changes: see `is_held_alone`
        self._version = object()
        return data

    @data.setter
    def data(self, value: Array) -> None:
        self._data = value
        self._version = object()

    @property
    def version(self) -> object:
        """An object that another one replaces whenever `data` is read or set."""
        return self._version

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of `data`."""
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of `data`."""
        return self._data.dtype

    def peek(self) -> Array:
        """Return `data` to a caller who promises to read it only, and not to keep it."""
        return self._data

    def references(self) -> int:
        """Return how many hold the array, counted so that it is least for a Parameter alone."""
        return getrefcount(self._data)

    def is_held_alone(self) -> bool:
        """Tell whether no one else has the array, a view of it or a buffer on it.

        If so, and `version` is what it was before this was asked, then nobody writes to the array
        until `version` changes: to get hold of it one must read `data`.
        """
        own = type(self._data) is np.ndarray and self._data.flags.owndata
        return own and self.references() <= ALONE

    def accumulate(self, gradient: Array | None) -> None:
        """Add `gradient` (same shape as `data`) to `grad`; the first one is kept without a copy.

        None, a gradient that was not asked for, adds nothing. Raises ValueError when shapes differ.
        """
        if gradient is None:
            return
        if gradient.shape != self.shape:
            raise ValueError(
                f"gradient has shape {gradient.shape}, but the parameter has {self.shape}"
            )
        if self.grad is None:
            self.grad = gradient
        else:
            self.grad += gradient

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def __getstate__(self) -> tuple[None, dict[str, Array | None]]:
        """For copies and pickles, through `data`: a shallow copy holds the same array."""
        return None, {"data": self.data, "grad": self.grad}

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"


#: Of a fresh Parameter, counted here since Python versions count temporary references differently.
ALONE = Parameter(np.zeros(1)).references()


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` could not match (both empty when everything did)."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base of every layer: subclasses write `forward` and `backward`, and set Parameters.

    `backward(grad_output, input_gradient=True)` adds to the parameters' `grad` and returns the
    gradient with respect to the input of the latest `forward`, or None when `input_gradient` is
    False (the first layer of a network can then skip that work). It can be called once per forward
    pass, in training mode; otherwise it raises RuntimeError.
    """

    def __init__(self) -> None:
        self.training = True
        self._saved: tuple[Any, ...] | None = None

    def __call__(self, input: Array) -> Array:
        """Run the forward pass."""
        return self.forward(input)

    def forward(self, input: Array) -> Array:
        """Return the layer's output for `input`."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward(input)")

    def backward(self, grad_output: Array, input_gradient: bool = True) -> Array | None:
        """Add to the parameters' gradients; return the gradient of the input, or None."""
        raise NotImplementedError(
            f"{type(self).__name__} does not define backward(grad_output, input_gradient)"
        )

    def _forget_packed(self) -> None:
        """Drop what was made of the parameters for evaluation mode; a layer may have some."""

    def _save(self, *values: Any) -> None:
        """Keep `values` for the backward pass, in training mode only."""
        self._saved = values if self.training else None

    def _restore(self) -> tuple[Any, ...]:
        """Hand back, once, what the latest forward pass kept."""
        if self._saved is None:
            raise RuntimeError(
                f"{type(self).__name__}.backward has no forward pass to go back through: call "
                "model.train(), then model(input), then model.backward(grad_output), once for each "
                "forward pass (a layer that appears twice in a network must be two objects)"
            )
        saved, self._saved = self._saved, None
        return saved

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (attribute name, module) for the modules directly inside this one."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def modules(self) -> Iterator[Module]:
        """Yield this module, then every module inside it."""
        yield self
        for _, child in self.named_children():
            yield from child.modules()

    def _entries(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Yield every (key, parameter), a shared parameter under each of its keys."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield prefix + name, value
        for name, child in self.named_children():
            yield from child._entries(f"{prefix}{name}.")

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield (key, parameter) with keys such as "0.weight"; a shared parameter comes once."""
        seen: set[int] = set()
        for name, parameter in self._entries():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> Iterator[Parameter]:
        """Yield every parameter once, in the order of `named_parameters`."""
        return (parameter for _, parameter in self.named_parameters())

    def train(self: Self, mode: bool = True) -> Self:
        """Set training mode (dropout acts, layers keep what backward needs); return self."""
        for module in self.modules():
            module.training = mode
            if mode:
                module._forget_packed()
            else:
                module._saved = None
        return self

    def eval(self: Self) -> Self:
        """Set evaluation mode; return self."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradient of every parameter."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def state_dict(self) -> dict[str, Array]:
        """Return a copy of every parameter under PyTorch's key for it, e.g. "0.weight"."""
        return {name: parameter.peek().copy() for name, parameter in self._entries()}

    def load_state_dict(
        self, state_dict: Mapping[str, npt.ArrayLike], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy the arrays of `state_dict` into the parameters, converting to their dtypes.

        Everything is checked before anything is written. Raises ValueError naming every array
        whose shape differs and, when `strict`, every missing and unexpected key; TypeError for
        values that are not real numbers.
        """
        own = dict(self._entries())
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        values = {name: np.asarray(state_dict[name]) for name in own if name in state_dict}
        problems: list[str] = []
        if strict and missing:
            problems.append("missing keys: " + ", ".join(missing))
        if strict and unexpected:
            problems.append("unexpected keys: " + ", ".join(unexpected))
        for name, value in values.items():
            if value.dtype.kind not in "fiu":
                raise TypeError(f"state_dict[{name!r}] holds {value.dtype}, not real numbers")
            if value.shape != own[name].shape:
                expected = own[name].shape
                problems.append(f"{name} has shape {value.shape}, the model's is {expected}")
        if problems:
            raise ValueError(
                f"state_dict does not fit this {type(self).__name__}:\n  " + "\n  ".join(problems)
            )
        for name, value in values.items():
            np.copyto(own[name].data, value, casting="unsafe")
        return IncompatibleKeys(missing, unexpected)

    def extra_repr(self) -> str:
        """The part of repr between the parentheses."""
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): {child!r}" for name, child in self.named_children()]
        if not children:
            return f"{type(self).__name__}({self.extra_repr()})"
        body = "\n".join(children).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"
