"""Checks that every algorithm's own tests make of their own convolutions."""

from typing import Any

import numpy as np
from conv_cases import Case
from helpers import assert_threads_agree

import fastconv as fc
from fastconv._core.blocked import Algorithm
from fastconv.ops.algorithms.packing import pack
from fastconv.ops.arrays import Array
from fastconv.ops.geometry import Conv2dGeometry


def normal(case: Case, dtype: Any, seed: int) -> tuple[Any, Any]:
    """Normally distributed input and weight."""
    draw = np.random.default_rng(seed).standard_normal
    return draw(case.input).astype(dtype), draw(case.weight).astype(dtype)


def assert_threads_convolve_alike(case: Case, algorithm: str) -> None:
    """The output and all gradients have the same bits for any number of threads."""
    x, w = normal(case, np.float32, 2)
    how = {"algorithm": algorithm, **case.options}

    def run() -> tuple[Any, ...]:
        y = fc.conv2d(x, w, **how)
        return y, *fc.conv2d_backward(y, x, w, **how)

    assert_threads_agree(run)


def packed_weight(core: Algorithm, geometry: Conv2dGeometry, which: str, weight: Array) -> Array:
    """The packed weight; as it is where it is read so."""
    packed = pack(core, geometry, which, weight)
    return weight if packed is None else packed


def assert_packed_weights_convolve_alike(core: Algorithm, case: Case, dtype: Any) -> None:
    """Packed ahead or on the way: the same bits, in both passes that take a weight."""
    x, w = normal(case, dtype, 3)
    g = case.geometry()
    y, from_packed = np.empty(g.output_shape, dtype), np.empty(g.output_shape, dtype)
    core.forward(g.core, x, w, None, False, y)
    core.forward(g.core, x, packed_weight(core, g, "forward", w), None, False, from_packed)
    assert from_packed.tobytes() == y.tobytes()
    gx, from_packed = np.empty_like(x), np.empty_like(x)
    core.grad_input(g.core, y, w, gx)
    core.grad_input(g.core, y, packed_weight(core, g, "grad_input", w), from_packed)
    assert from_packed.tobytes() == gx.tobytes()
