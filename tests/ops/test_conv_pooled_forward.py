"""Maxima taken of a convolution's tiles against max_pool2d of its output: the same bits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import assert_threads_agree, failing_allocation, guarded, same_bits
from processes import output_of

import fastconv as fc
from fastconv._core import conv_pooled as core
from fastconv._core import runtime
from fastconv.ops.conv_arguments import geometry_of
from fastconv.ops.conv_pooled import Pooled, PooledOutput, conv2d_pooled, flat_indices

#: input, weight, stride, padding, dilation, groups
CASES = {
    "lenet first": ((3, 1, 28, 28), (20, 1, 5, 5), 1, 0, 1, 1),
    "lenet second": ((5, 20, 12, 12), (50, 20, 5, 5), 1, 0, 1, 1),
    "odd output": ((2, 3, 11, 13), (7, 3, 3, 3), 1, 0, 1, 1),
    "one window": ((3, 2, 4, 4), (5, 2, 3, 3), 1, 0, 1, 1),
    "one column of windows": ((3, 2, 17, 3), (5, 2, 2, 2), 1, 0, 1, 1),
    "three windows a row": ((2, 2, 15, 8), (5, 2, 3, 3), 1, 0, 1, 1),
    "seven windows a row": ((2, 2, 13, 15), (3, 2, 2, 2), 1, 0, 1, 1),
    "more than a vector": ((2, 2, 9, 39), (3, 2, 3, 3), 1, 1, 1, 1),
    "split columns": ((2, 1, 9, 40), (2, 1, 2, 2), 1, 0, 1, 1),
    "strided and padded": ((2, 4, 23, 21), (9, 4, 3, 5), (2, 3), (2, 1), (2, 1), 1),
    "groups": ((2, 16, 12, 12), (16, 8, 3, 3), 1, 1, 1, 2),
    "blocks of rows": ((1, 2, 150, 70), (3, 2, 3, 3), 1, 1, 1, 1),
    "chunks of channels": ((2, 150, 9, 9), (12, 150, 3, 3), 1, 1, 1, 1),
}


def problem(name: str, dtype: Any) -> Any:
    """Input, weight, bias, options, and the geometry."""
    input_shape, weight_shape, *options = CASES[name]
    rng = np.random.default_rng(0)
    x, w, b = (
        rng.standard_normal(s).astype(dtype) for s in (input_shape, weight_shape, weight_shape[:1])
    )
    return x, w, b, options, geometry_of(x.shape, w.shape, *options, "NCHW")


def takes_direct(x: Any, w: Any, *options: Any) -> bool:
    """Tell whether "auto" does: not on every instruction set."""
    return fc.explain_conv2d(x.shape, w.shape, *options).algorithm == "direct"


def in_steps(x: Any, w: Any, b: Any, options: Any, relu: bool) -> tuple[Any, Any]:
    """Maxima and flat indices by way of the convolution's output."""
    activation = "relu" if relu else None
    return fc.max_pool2d(fc.conv2d(x, w, b, *options, algorithm="direct", activation=activation), 2)


def at_once(x: Any, w: Any, b: Any, g: Any, relu: bool, side: str | None = None) -> Any:
    """Maxima and flat indices from the tiles; between guards, if a side is given."""
    assert core.can_forward(g.core, x.itemsize == 8)
    shape = *g.output_shape[:2], g.out_height // 2, g.out_width // 2
    maxima, places = np.empty(shape, x.dtype), np.empty(shape, np.uint8)
    if side:
        x, w, b, maxima, places = (guarded(a, side) for a in (x, w, b, maxima, places))
    core.forward(g.core, x, w, b, relu, maxima, places)
    alone = np.empty_like(maxima)
    core.forward(g.core, x, w, b, relu, alone, None)
    assert same_bits(alone, maxima)
    return maxima, flat_indices(places, g.output_shape)


def agree(name: str, dtype: Any, relu: bool, side: str | None = None) -> bool:
    x, w, b, options, g = problem(name, dtype)
    return same_bits(at_once(x, w, b, g, relu, side), tuple(in_steps(x, w, b, options, relu)))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_the_bits_of_both_in_turn(name: str, dtype: Any, relu: bool) -> None:
    assert agree(name, dtype, relu)


@pytest.mark.parametrize("name", ["odd output", "three windows a row", "more than a vector"])
def test_nan_ties_and_infinities(name: str) -> None:
    x, w, b, options, g = problem(name, np.float32)
    x, w = np.round(x), np.zeros_like(w)
    w[:, :, 0, 0] = 1
    x.flat[::7], x.flat[3::11], x.flat[4::5] = np.nan, -np.inf, np.inf
    with np.errstate(invalid="ignore"):
        found, expected = at_once(x, w, b, g, False), in_steps(x, w, b, options, False)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_no_byte_outside_the_arrays(name: str, dtype: Any, side: str) -> None:
    assert agree(name, dtype, True, side)


@pytest.mark.parametrize("name", ["lenet first", "lenet second", "blocks of rows", "groups"])
def test_same_bits_for_any_number_of_threads(name: str) -> None:
    x, w, b, _, g = problem(name, np.float32)
    assert_threads_agree(lambda: at_once(x, w, b, g, True))


@pytest.mark.parametrize("isa", [name for name, able in runtime.available_isas().items() if able])
def test_every_instruction_set(isa: str) -> None:
    code = """
import sys; sys.path[:0] = {folders!r}
import numpy as np
from test_conv_pooled_forward import CASES, agree
print(all(agree(name, dtype, True) for name in CASES for dtype in (np.float32, np.float64)))
"""
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    assert output_of(code.format(folders=folders), FASTCONV_ISA=isa, timeout=300) == "True"


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("name", ["lenet first", "lenet second", "odd output"])
def test_places_give_the_gradients_of_indices(name: str, relu: bool) -> None:
    x, w, b, options, g = problem(name, np.float32)
    found = conv2d_pooled(x, w, b, *options, relu=relu, gradients=False)
    assert isinstance(found, PooledOutput) == takes_direct(x, w, *options)
    maxima, indices = in_steps(x, w, b, options, relu)
    assert found is None or same_bits(found.maxima, maxima)
    places = np.empty(maxima.shape, np.uint8)
    core.forward(g.core, x, w, b, relu, maxima, places)
    grad = np.random.default_rng(1).standard_normal(maxima.shape).astype(np.float32)
    kept = maxima if relu else None
    for each in (g, geometry_of((1, *x.shape[1:]), w.shape, *options, "NCHW")):
        images = each.batch
        ways = [
            fc.ops.conv_pooled.conv2d_pooled_backward(
                grad[:images], Pooled(a[:images], kept if kept is None else kept[:images]),
                x[:images], w, *options,
            )
            for a in (places, indices)
        ]  # fmt: skip
        assert same_bits(*ways)
    results = []
    for a in (places, indices):
        known = core.Maxima(g.core, maxima[0, 0].size, a, kept)
        gradients = np.empty_like(x), np.empty_like(w), np.empty_like(b)
        core.grad_input(g.core, known, grad, w, gradients[0])
        core.grad_weight(g.core, known, grad, x, *gradients[1:])
        results.append(gradients)
    assert same_bits(*results)


def test_what_is_known_of_the_output() -> None:
    maxima, places = np.array([[[[24.0]]]]), np.array([[[[3]]]], np.uint8)
    found = PooledOutput(maxima, places, (1, 1, 2, 2))
    np.testing.assert_array_equal(np.asarray(found), [[[[0, 0], [0, 24]]]])
    assert np.asarray(found, np.float32).dtype == np.float32


def test_what_is_better_done_in_steps() -> None:
    x, w, b, *_ = problem("lenet first", np.float32)

    def taken(x: Any, w: Any, b: Any = None, gradients: bool = True, **options: Any) -> bool:
        return conv2d_pooled(x, w, b, relu=True, gradients=gradients, **options) is not None

    assert taken(x, w, b) == takes_direct(x, w)
    half = [a.astype(np.float16) for a in (x, w, b)]
    assert not taken(*half)
    assert not taken(x.tolist(), w.astype(np.float64))
    assert not taken(x[:0], w)
    assert not taken(x[..., :5], w)
    deep, filters = np.ones((8, 256, 16, 16), np.float32), np.ones((256, 256, 3, 3), np.float32)
    assert not takes_direct(deep, filters)
    assert not taken(deep, filters)
    wide = np.ones((1, 3, 64, 2200), np.float32), np.ones((4, 3, 3, 3), np.float32)
    assert not taken(*wide, gradients=False)


def test_what_the_kernel_cannot_do_it_refuses() -> None:
    x, w = np.ones((2, 8, 9, 9), np.float32), np.ones((8, 1, 3, 3), np.float32)
    depthwise = geometry_of(x.shape, w.shape, 1, 0, 1, 8, "NCHW")
    maxima = np.empty((2, 8, 3, 3), np.float32)
    assert not core.can_forward(depthwise.core, False)
    with pytest.raises(ValueError, match="fastconv"):
        core.forward(depthwise.core, x, w, None, False, maxima, None)
    last = geometry_of((2, 9, 9, 8), (8, 8, 3, 3), 1, 0, 1, 1, "NHWC")
    assert not core.can_forward(last.core, False)
    with pytest.raises(ValueError, match="2 x 2"):
        core.Maxima(depthwise.core, 4, np.zeros((2, 8, 2, 2), np.uint8), None)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_no_memory_is_an_error(n: int) -> None:
    x, w, b, _, g = problem("lenet first", np.float32)
    maxima = np.empty((3, 20, 12, 12), np.float32)
    with failing_allocation(n), pytest.raises(MemoryError):
        core.forward(g.core, x, w, b, True, maxima, None)
