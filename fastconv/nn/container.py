"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import overload

from fastconv.nn.module import Array, Module


class Sequential(Module):
    """Layers applied one after another; keys of parameters are "0.weight", "0.bias", ...

    >>> from fastconv import nn
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU())
    >>> model
    Sequential(
      (0): Flatten(start_dim=1, end_dim=-1)
      (1): Linear(in_features=4, out_features=3, bias=True)
      (2): ReLU()
    )
    >>> [name for name, _ in model.named_parameters()]
    ['1.weight', '1.bias']
    """

    def __init__(self, *layers: Module) -> None:
        super().__init__()
        for position, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(
                    f"layers[{position}] is {type(layer).__name__}, not an fastconv.nn.Module"
                )
        self._layers = list(layers)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield ("0", first layer), ("1", second layer), ..."""
        return ((str(position), layer) for position, layer in enumerate(self._layers))

    def forward(self, input: Array) -> Array:
        """Apply every layer in turn."""
        for layer in self._layers:
            input = layer(input)
        return input

    def backward(self, grad_output: Array, input_gradient: bool = True) -> Array | None:
        """Go back through the layers: without `input_gradient`, to the first with parameters."""
        stop = 0
        if not input_gradient:
            holders = (
                i for i, layer in enumerate(self._layers) if any(True for _ in layer.parameters())
            )
            stop = next(holders, len(self._layers))
        gradient: Array | None = grad_output
        for position in range(len(self._layers) - 1, stop - 1, -1):
            assert gradient is not None
            gradient = self._layers[position].backward(gradient, input_gradient or position > stop)
        return gradient if input_gradient else None

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._layers)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module:
        """One layer, or a Sequential that shares the layers of the slice."""
        if isinstance(index, slice):
            return Sequential(*self._layers[index])
        return self._layers[index]
