"""Checks that every algorithm's own tests make of their own convolutions."""

from typing import Any

import numpy as np
from conv_cases import Case
from helpers import assert_threads_agree, guarded
from oracle import forward as oracle_forward
from oracle import gradients as oracle_gradients

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


def assert_right_for_any_number_of_threads(case: Case, algorithm: str) -> None:
    """The same, and within rounding of the oracle's, on small integers."""
    x, w, b = case.arrays(np.float32)
    g = case.geometry()
    grad = np.random.default_rng(1).integers(-4, 5, g.output_shape).astype(np.float32)
    how = {"algorithm": algorithm, **case.options}

    def run() -> tuple[Any, ...]:
        return fc.conv2d(x, w, b, **how), *fc.conv2d_backward(grad, x, w, **how)

    assert_threads_agree(run)
    expected = oracle_forward(g, x, w, b), *oracle_gradients(g, x, w, grad)
    for mine, theirs in zip(run(), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=2e-6 * np.abs(theirs).max())


def assert_stays_inside(
    core: Algorithm, g: Conv2dGeometry, arrays: tuple[Array, Array, Array], side: str
) -> None:
    """No pass reads or writes a byte beyond that side of an array; guards change no result."""
    x, w, b = arrays
    y = np.empty(g.output_shape, x.dtype)
    core.forward(g.core, x, w, b, True, y)
    guards = [guarded(array, side) for array in (x, w, b, y)]
    core.forward(g.core, *guards[:3], True, guards[3])
    np.testing.assert_array_equal(guards[3], y)
    core.grad_input(g.core, guards[3], guards[1], guards[0])
    core.grad_weight(g.core, guarded(x, side), guards[3], guards[1])


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
