"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import overload

from fastconv.nn.activation import ReLU
from fastconv.nn.convolution import Conv2d
from fastconv.nn.flatten import Flatten
from fastconv.nn.linear import Linear
from fastconv.nn.module import Array, Module
from fastconv.nn.pooling import MaxPool2d

#: Layers whose gradients are arrays of nobody else's, and layers that hand on what they get.
FRESH = (Conv2d, Linear, MaxPool2d)
HANDING_ON = (Flatten, ReLU)


class Sequential(Module):
    """Layers applied one after another; keys of parameters are "0.weight", "0.bias", ...

    Neighbours work together: a Conv2d or Linear clips its sums for the ReLU after it on their way
    to memory, a MaxPool2d after a ReLU finds the gradient of both from its maxima, a ReLU overwrites
    a gradient that is nobody else's, and a Conv2d before a MaxPool2d (or a ReLU and one) takes the
    gradients of the maxima as they are, where images are small; if windows are 2 x 2, it takes the
    maxima itself, where "auto" takes "direct" for it. Results are the same bits as those of the
    layers one by one, but for gradients summed from those of maxima: their order is another, and
    they have no zeros. (Layers of these very classes; a subclass may do something else.) Every layer
    keeps what its own backward takes all the same, so that layers may be called one by one, forward
    or backward; only a ReLU whose Conv2d took the maxima itself is to be given what MaxPool2d's
    backward returns, since it knows its output in no other place.

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
        kinds = list(enumerate(pairwise(map(type, layers))))
        self._clipping = {i for i, (a, b) in kinds if a in (Conv2d, Linear) and b is ReLU}
        self._pooling = {i + 1 for i, (a, b) in kinds if a is ReLU and b is MaxPool2d}
        found = ((i + 1, i - (a is ReLU)) for i, (a, b) in kinds if b is MaxPool2d)
        self._convolved = {pool: i for pool, i in found if i >= 0 and type(layers[i]) is Conv2d}
        self._pooled = {i: pool for pool, i in self._convolved.items()}

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield ("0", first layer), ("1", second layer), ..."""
        return ((str(position), layer) for position, layer in enumerate(self._layers))

    def forward(self, input: Array) -> Array:
        """Apply every layer in turn."""
        done = 0
        for position, layer in enumerate(self._layers):
            if position < done:
                continue
            if position in self._pooled:
                pool = self._pooled[position]
                maxima = self._to_pool(position, pool, input)
                if maxima is not None:
                    input, done = maxima, pool + 1
                    continue
            if position in self._clipping:
                assert isinstance(layer, Conv2d | Linear)
                input = layer.forward_relu(input)
            elif position - 1 in self._clipping:
                assert isinstance(layer, ReLU)
                layer.adopt(input)
            else:
                input = layer(input)
        return input

    def _to_pool(self, position: int, end: int, input: Array) -> Array | None:
        """From a Conv2d to the maxima of a MaxPool2d at `end`; None: they take their turns."""
        convolution, pool = self._layers[position], self._layers[end]
        assert isinstance(convolution, Conv2d)
        assert isinstance(pool, MaxPool2d)
        between = self._layers[position + 1]
        modes = convolution.training, between.training, pool.training
        if not pool.is_two_by_two() or len(set(modes)) > 1:
            return None
        found = convolution.forward_pooled(input, isinstance(between, ReLU))
        if found is None:
            return None
        if isinstance(between, ReLU):
            between.adopt(found)
        return pool.adopt(found)

    def _first(self, input_gradient: bool) -> int:
        """Where the way back ends: without `input_gradient`, at the first layer with parameters."""
        if input_gradient:
            return 0
        for position, layer in enumerate(self._layers):
            for _ in layer._entries():
                return position
        return len(self._layers)

    def backward(self, grad_output: Array, input_gradient: bool = True) -> Array | None:
        """Go back through the layers: without `input_gradient`, to the first with parameters."""
        gradient: Array | None = grad_output
        stop, position, ours = self._first(input_gradient), len(self._layers), False
        while position > stop:
            position -= 1
            layer = self._layers[position]
            assert gradient is not None
            if position in self._convolved:
                wanted = input_gradient or self._convolved[position] > stop
                gradient = self._through_pool(position, gradient, wanted)
                position = self._convolved[position]
            elif position in self._pooling:
                assert isinstance(layer, MaxPool2d)
                gradient = layer.backward_relu(gradient)
                position -= 1
                self._layers[position]._restore()
            elif ours and type(layer) is ReLU:
                gradient = layer.backward_in_place(gradient)
            else:
                gradient = layer.backward(gradient, input_gradient or position > stop)
            ours = type(layer) in FRESH or (ours and type(layer) in HANDING_ON)
        return gradient if input_gradient else None

    def _through_pool(self, position: int, gradient: Array, wanted: bool) -> Array | None:
        """Back from a MaxPool2d to the Conv2d before it, or before the ReLU between them."""
        pool, convolution = self._layers[position], self._layers[self._convolved[position]]
        assert isinstance(pool, MaxPool2d)
        assert isinstance(convolution, Conv2d)
        after_relu = position in self._pooling
        if after_relu:
            self._layers[position - 1]._restore()
        return convolution.backward_pooled(gradient, pool.hand_over(after_relu), wanted)

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
