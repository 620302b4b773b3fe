"""Packed weights of a layer in evaluation mode, dropped when its weight may have changed."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.nn.module import Array, Parameter
from fastconv.ops.packed_weight import PackedConv2dWeight, pack, plan_forward

#: Elements from which a weight is cached: packing fewer takes less time than looking them up.
SMALLEST = 1024


class WeightCache:
    """What `Conv2d` keeps between forward passes in evaluation mode: one weight an algorithm.

    It is never stale. A packed weight is kept only while nobody but the Parameter holds the array,
    and serves only until `Parameter.data` is next read or set: without either, nobody can have
    written to it. So there is nothing to compare, and a check takes well under a microsecond. While
    someone does hold the array (or a view of it), nothing is cached and each call packs as before.
    Copies and pickles of a cache are empty.
    """

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._state: tuple[Any, Any, dict[str, PackedConv2dWeight]] = (None, None, {})

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        return sum(packed.nbytes for packed in list(self._state[2].values()))

    def weight_for(
        self,
        parameter: Parameter,
        input: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: int,
    ) -> Array | PackedConv2dWeight:
        """Return what `conv2d` shall take as its weight: packed, or the parameter's array."""
        if parameter.peek().size < SMALLEST:
            return parameter.peek()
        version = parameter.version  # read first: a change from here on makes what follows outdated
        weight_type, shape = parameter.dtype, parameter.shape
        if type(input) is not np.ndarray or input.dtype is not weight_type:
            return parameter.peek()
        plan = plan_forward(input.shape, shape, weight_type, stride, padding, dilation, groups)
        if not plan.packed_weight_bytes:
            return parameter.peek()
        g = plan.geometry
        options = g.stride, g.dilation, g.groups
        known_version, known_options, found = self._state
        if known_version is not version or known_options != options:
            found = {}
            self._state = version, options, found
        packed = found.get(plan.algorithm)
        if packed is None and parameter.is_held_alone():
            data = pack(plan, parameter.peek())
            if data is not None:
                packed = found[plan.algorithm] = PackedConv2dWeight(data, plan)
        return parameter.peek() if packed is None else packed

    def __reduce__(self) -> tuple[type[WeightCache], tuple[()]]:
        """Copies start empty."""
        return WeightCache, ()
