"""Gradients below a max-pool against those of images: exactness, bounds, memory, threads."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from helpers import assert_threads_agree, failing_allocation, guarded
from processes import output_of

import fastconv as fc
from fastconv._core import conv_pooled as core
from fastconv._core import runtime
from fastconv.ops.conv_arguments import geometry_of
from fastconv.ops.conv_pooled import Pooled, conv2d_pooled_backward


class Case(NamedTuple):
    input_shape: tuple[int, int, int, int]
    weight_shape: tuple[int, int, int, int]
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    pool: tuple[Any, ...] = (2,)


CASES = {
    "lenet first": Case((3, 1, 28, 28), (20, 1, 5, 5)),
    "lenet second": Case((5, 20, 12, 12), (50, 20, 5, 5)),
    "one image": Case((1, 20, 12, 12), (7, 20, 5, 5)),
    "more images than slices": Case((37, 2, 6, 6), (3, 2, 3, 3)),
    "odd sizes": Case((2, 3, 11, 13), (7, 3, 3, 2), (2, 1), (1, 2), (2, 1), (3, 2, 1)),
    "a channel more than lanes": Case((4, 17, 9, 9), (5, 17, 3, 3), 2, 1),
    "one row of taps": Case((2, 33, 8, 20), (4, 33, 1, 3), 1, 0, 1, (3,)),
    "overlapping windows": Case((3, 5, 10, 10), (40, 5, 3, 3), 1, 1, 1, (3, 2)),
    "kernel beyond the image": Case((2, 3, 2, 2), (3, 3, 4, 4), 1, 2),
    "rows that no window meets": Case((2, 16, 8, 9), (3, 16, 3, 3), 3, 0, 1, (1,)),
    "a channel, padded": Case((3, 1, 13, 11), (6, 1, 3, 3), 2, 1),
    "a channel, rows apart": Case((2, 1, 17, 9), (4, 1, 5, 3), 1, (2, 1), (2, 1)),
    "a channel, rows of half a vector": Case((2, 1, 20, 20), (3, 1, 8, 3)),
    "a channel, more rows than lanes": Case((2, 1, 24, 24), (3, 1, 17, 2)),
    "padded on one side": Case((2, 4, 9, 9), (3, 4, 3, 3), (1, 2), ((2, 0), (0, 1))),
}


def problem(case: Case, dtype: Any, integers: bool = True) -> Any:
    """Input, weight, what the pooling kept, the gradient of the maxima, and the geometry."""
    rng = np.random.default_rng(0)
    x, w = (
        (rng.integers(-3, 4, s) if integers else rng.standard_normal(s)).astype(dtype)
        for s in (case.input_shape, case.weight_shape)
    )
    options = case.stride, case.padding, case.dilation
    output, indices = fc.max_pool2d(fc.relu(fc.conv2d(x, w, None, *options)), *case.pool)
    grad = rng.integers(-3, 4, output.shape) if integers else rng.standard_normal(output.shape)
    g = geometry_of(x.shape, w.shape, *options, 1, "NCHW")
    return x, w, output, indices, grad.astype(dtype), g


def by_images(case: Case, dtype: Any, integers: bool, relu: bool) -> tuple[Any, Any, Any]:
    """The same from the gradient of the convolution's output, written out."""
    x, w, output, indices, grad, g = problem(case, dtype, integers)
    grad = np.where(output <= 0, 0, grad).astype(dtype) if relu else grad
    whole = fc.max_pool2d_backward(grad, indices, g.output_shape)
    return fc.conv2d_backward(whole, x, w, case.stride, case.padding, case.dilation)


def by_maxima(
    case: Case, dtype: Any, integers: bool, relu: bool, side: str | None = None
) -> tuple[Any, Any, Any]:
    """By the kernels themselves, whether or not that pays; between guards, if a side is given."""
    x, w, output, indices, grad, g = problem(case, dtype, integers)
    results = np.empty_like(x), np.empty_like(w), np.empty(w.shape[0], dtype)
    assert core.can(g.core, output[0, 0].size, dtype is np.float64)
    if side:
        x, w, output, indices, grad = (guarded(a, side) for a in (x, w, output, indices, grad))
        results = tuple(guarded(a, side) for a in results)
    maxima = core.Maxima(g.core, output[0, 0].size, indices, output if relu else None)
    core.grad_input(g.core, maxima, grad, w, results[0])
    core.grad_weight(g.core, maxima, grad, x, *results[1:])
    return results


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_integers_are_exact(case: Case, dtype: Any, relu: bool) -> None:
    for found, expected in zip(
        by_maxima(case, dtype, True, relu), by_images(case, dtype, True, relu), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_within_the_bound_of_a_sum(case: Case) -> None:
    x, w, output, indices, grad, g = problem(case, np.float32, integers=False)
    double = [a.astype(np.float64) for a in (x, w, output, grad)]
    options = case.stride, case.padding, case.dilation
    pooled = Pooled(indices, double[2])
    exact = conv2d_pooled_backward(double[3], pooled, *double[:2], *options)
    sizes = conv2d_pooled_backward(abs(double[3]), pooled, *map(abs, double[:2]), *options)
    terms = w[0, 0].size * w.shape[0], grad[:, 0].size, grad[:, 0].size
    maxima = core.Maxima(g.core, output[0, 0].size, indices, output)
    found = np.empty_like(x), np.empty_like(w), np.empty(w.shape[0], np.float32)
    core.grad_input(g.core, maxima, grad, w, found[0])
    core.grad_weight(g.core, maxima, grad, x, *found[1:])
    for f, e, s, k in zip(found, exact, sizes, terms, strict=True):
        assert np.all(abs(f - e) <= (k + 2) * 2.0**-24 * s)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_no_byte_outside_the_arrays(case: Case, dtype: Any, side: str) -> None:
    for found, expected in zip(
        by_maxima(case, dtype, True, True, side), by_images(case, dtype, True, True), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["lenet first", "lenet second", "more images than slices"])
def test_same_bits_for_any_number_of_threads(name: str) -> None:
    case = CASES[name]._replace(input_shape=(37, *CASES[name].input_shape[1:]))
    assert_threads_agree(lambda: by_maxima(case, np.float32, False, True))


@pytest.mark.parametrize("isa", [name for name, able in runtime.available_isas().items() if able])
def test_every_instruction_set(isa: str) -> None:
    code = """
import sys; sys.path[:0] = {folders!r}
import numpy as np
from test_conv_pooled import CASES, by_images, by_maxima
print(all(
    np.array_equal(a, b)
    for case in CASES.values() for dtype in (np.float32, np.float64)
    for a, b in zip(by_maxima(case, dtype, True, True), by_images(case, dtype, True, True))
))
"""
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    assert output_of(code.format(folders=folders), FASTCONV_ISA=isa, timeout=300) == "True"


def test_the_function_takes_either_way() -> None:
    paid = set()
    not_by_maxima = Case((2, 3, 11, 13), (7, 3, 3, 2), 1, 0, (1, 2))
    for case in (*CASES.values(), not_by_maxima):
        x, w, output, indices, grad, g = problem(case, np.float32)
        paid.add(core.pays(g.core, output[0, 0].size, False))
        options = case.stride, case.padding, case.dilation
        for relu in (False, True):
            pooled = Pooled(indices, output if relu else None)
            found = conv2d_pooled_backward(grad, pooled, x, w, *options)
            for a, b in zip(found, by_images(case, np.float32, True, relu), strict=True):
                np.testing.assert_array_equal(a, b)
        only = conv2d_pooled_backward(
            grad, pooled, x, w, *options, output_mask=(False, False, True)
        )
        assert only.input is None
        assert only.weight is None
        np.testing.assert_array_equal(only.bias, found.bias)
    assert paid == {False, True}


def test_the_gradient_of_a_nan_goes_through() -> None:
    x, w, output, indices, grad, g = problem(CASES["one image"], np.float32)
    output = np.where(grad > 0, np.nan, output)
    grad = np.where(np.isnan(output), 1, 0).astype(np.float32)
    maxima = core.Maxima(g.core, output[0, 0].size, indices, output.astype(np.float32))
    bias = np.empty(w.shape[0], np.float32)
    core.grad_weight(g.core, maxima, grad, x, np.empty_like(w), bias)
    np.testing.assert_array_equal(bias, grad.sum((0, 2, 3)))


@pytest.mark.parametrize("index", [-1, 64, 2**62])
def test_indices_are_checked(index: int) -> None:
    x, w, output, indices, grad, g = problem(CASES["lenet second"], np.float32)
    indices[3, 7, 1, 2] = index
    maxima = core.Maxima(g.core, 16, indices, output)
    with pytest.raises(IndexError):
        core.grad_input(g.core, maxima, grad, w, np.empty_like(x))
    with pytest.raises(IndexError):
        core.grad_weight(g.core, maxima, grad, x, np.empty_like(w), None)


def test_what_does_not_fit_is_refused() -> None:
    x, w, output, indices, grad, g = problem(CASES["lenet second"], np.float32)
    pooled = Pooled(indices, output)
    with pytest.raises(ValueError, match="grad_output"):
        conv2d_pooled_backward(grad[:, :3], pooled, x, w)
    with pytest.raises(ValueError, match="indices"):
        conv2d_pooled_backward(grad[..., :3], pooled, x, w)
    with pytest.raises(TypeError, match="maxima"):
        conv2d_pooled_backward(grad, Pooled(indices, output.astype(np.float64)), x, w)
    other = core.Maxima(g.core, 16, indices, output.astype(np.float64))
    with pytest.raises(ValueError, match="one dtype"):
        core.grad_input(g.core, other, grad, w, x)


@pytest.mark.parametrize(
    ("shape", "weight", "options"),
    [
        ((2, 4, 8, 8), (4, 2, 3, 3), {"groups": 2}),
        ((2, 4, 8, 8), (4, 4, 3, 3), {"dilation": (1, 2)}),
        ((1, 64, 112, 112), (4, 64, 3, 3), {}),
        ((1, 512, 7, 7), (512, 512, 3, 3), {}),
        ((1, 1, 40, 8), (2, 1, 33, 3), {}),
    ],
)
def test_what_the_kernels_cannot_do_they_refuse(shape: Any, weight: Any, options: Any) -> None:
    x, w = np.ones(shape, np.float32), np.ones(weight, np.float32)
    chosen = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | options
    g = geometry_of(shape, weight, *chosen.values(), "NCHW")
    output, indices = fc.max_pool2d(np.ones(g.output_shape, np.float32), 2)
    assert not core.can(g.core, output[0, 0].size, False)
    assert not core.pays(g.core, output[0, 0].size, False)
    maxima = core.Maxima(g.core, output[0, 0].size, indices, output)
    with pytest.raises(ValueError, match="fastconv"):
        core.grad_input(g.core, maxima, output, w, np.empty_like(x))
    with pytest.raises(ValueError, match="fastconv"):
        core.grad_weight(g.core, maxima, output, x, np.empty_like(w), None)


@pytest.mark.parametrize("n", [1, 2, 22])
def test_no_memory_is_an_error(n: int) -> None:
    """The tables, the first task of the first region, a task of the second."""
    x, w, output, indices, grad, g = problem(CASES["lenet first"], np.float32)
    maxima = core.Maxima(g.core, output[0, 0].size, indices, output)
    with failing_allocation(n), pytest.raises(MemoryError):
        core.grad_input(g.core, maxima, grad, w, np.empty_like(x))
    with failing_allocation(n), pytest.raises(MemoryError):
        core.grad_weight(g.core, maxima, grad, x, np.empty_like(w), None)
