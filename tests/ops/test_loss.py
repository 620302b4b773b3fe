"""Cross-entropy: PyTorch's meaning against the reference, gradients, labels, bad input."""

import itertools
from typing import Any

import numpy as np
import pytest
from helpers import assert_threads_agree, failing_allocation, guarded, layouts, numeric_gradient

import fastconv as fc
from fastconv import reference
from fastconv._core import loss as core

DTYPES = (np.float32, np.float64)
SHAPES = [(1, 2), (4, 10), (5, 16), (3, 17), (7, 100), (9,), (2, 3, 4), (2, 5, 3, 7), (3, 4, 40)]
OPTIONS = list(itertools.product((False, True), ("mean", "sum", "none"), (0.0, 0.1, 1.0)))


def problem(shape: tuple[int, ...], dtype: Any, weighted: bool = False) -> Any:
    """Scores, labels and class weights (or None)."""
    random = np.random.default_rng(sum(shape))
    axis = 1 if len(shape) > 1 else 0
    input = (random.standard_normal(shape) * 3).astype(dtype)
    target = random.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :])
    weight = random.uniform(0.1, 1, shape[axis]).astype(dtype) if weighted else None
    return input, target, weight


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("weighted", "reduction", "smoothing"), OPTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_reference(
    shape: Any, weighted: bool, reduction: str, smoothing: float, dtype: Any
) -> None:
    input, target, weight = problem(shape, dtype, weighted)
    options = (target, weight, reduction, smoothing)
    loss = fc.cross_entropy(input, *options)
    expected = np.asarray(reference.cross_entropy(input, *options))
    assert loss.dtype == dtype
    assert loss.shape == expected.shape
    classes = input.shape[1 if input.ndim > 1 else 0]
    one = (classes + 10 + 2 * np.abs(input).max()) * np.finfo(dtype).eps / 2
    bound = one * (1 + expected.max()) * (target.size if reduction == "sum" else 1)
    np.testing.assert_allclose(loss, expected, rtol=0, atol=bound)
    grad = np.random.default_rng(1).standard_normal(expected.shape).astype(dtype)
    given = grad if reduction == "none" else float(grad)
    result = fc.cross_entropy_backward(given, input, *options)
    oracle = reference.cross_entropy_backward(given, input, *options)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, oracle, rtol=0, atol=8 * one)


@pytest.mark.parametrize(("weighted", "reduction", "smoothing"), OPTIONS)
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 5)])
def test_gradient_by_differences(
    shape: Any, weighted: bool, reduction: str, smoothing: float
) -> None:
    input, target, weight = problem(shape, np.float64, weighted)
    target.flat[0] = -100
    options = (target, weight, reduction, smoothing)
    grad = np.random.default_rng(2).standard_normal(fc.cross_entropy(input, *options).shape)
    given = grad if reduction == "none" else float(grad)
    expected = numeric_gradient(lambda x: fc.cross_entropy(x, *options), input, grad)
    np.testing.assert_allclose(
        fc.cross_entropy_backward(given, input, *options), expected, atol=1e-8
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(6, 5), (2, 5, 3)])
def test_ignored_labels_count_for_nothing(shape: Any, weighted: bool, smoothing: float) -> None:
    input, target, weight = problem(shape, np.float64, weighted)
    target.flat[1] = target.flat[4] = 2
    kept = target != 2
    rows, labels = np.moveaxis(input, 1, -1)[kept], target[kept]
    for reduction in ("mean", "sum"):
        options = (weight, reduction, smoothing)
        loss = fc.cross_entropy(input, target, *options, ignore_index=2)
        np.testing.assert_allclose(loss, fc.cross_entropy(rows, labels, *options), rtol=1e-14)
        grad = fc.cross_entropy_backward(1.0, input, target, *options, ignore_index=2)
        expected = np.zeros((*target.shape, shape[1]))
        expected[kept] = fc.cross_entropy_backward(1.0, rows, labels, *options)
        np.testing.assert_allclose(np.moveaxis(grad, 1, -1), expected, atol=1e-15)
    assert (fc.cross_entropy(input, target, None, "none", ignore_index=2)[~kept] == 0).all()
    none = np.full(target.shape, 2)
    assert np.isnan(fc.cross_entropy(input, none, ignore_index=2))
    assert not fc.cross_entropy_backward(1.0, input, none, ignore_index=2).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_scores(dtype: Any) -> None:
    """Huge scores cost no accuracy; an impossible class costs infinity; NaN and +inf spread."""
    largest, inf = np.finfo(dtype).max, np.inf
    scores = np.array(
        [[largest, 0], [0, largest], [-inf, 0], [0, -inf], [inf, 0], [np.nan, 0], [-inf, -inf]],
        dtype,
    )
    losses = fc.cross_entropy(scores, np.zeros(7, int), reduction="none")
    np.testing.assert_array_equal(losses, np.array([0, largest, inf, 0, *[np.nan] * 3], dtype))
    grads = fc.cross_entropy_backward(np.ones(4, dtype), scores[:4], np.zeros(4, int), None, "none")
    np.testing.assert_array_equal(grads, [[0, 0], [-1, 1], [-1, 1], [0, 0]])


@pytest.mark.parametrize("position", [0, 5, 7])
@pytest.mark.parametrize(
    "label", [-1, 3, -101, 2**31, 2**32 + 1, -(2**32), 2**63 - 1, -(2**63), 2**63 + 5, 2**64 - 100]
)
def test_labels_are_checked_at_full_width(label: int, position: int) -> None:
    input, target, _ = problem((2, 3, 4), np.float32)
    target = target.astype(np.uint64 if label >= 2**63 else np.int64)
    target.flat[position] = label
    where = rf"\({position // 4}, {position % 4}\)"
    text = f"target: label {label} at position {where} is outside the 3 classes"
    with pytest.raises(IndexError, match=text):
        fc.cross_entropy(input, target)
    with pytest.raises(IndexError, match=text):
        fc.cross_entropy_backward(1.0, input, target)


def test_labels_of_every_integer_type_and_layout() -> None:
    input, target, weight = problem((4, 10), np.float64, True)
    expected = fc.cross_entropy(input, target, weight)
    for kind in (np.int8, np.uint8, np.int16, np.int32, np.uint32, np.uint64, ">i8", list):
        labels = target.tolist() if kind is list else target.astype(kind)
        assert fc.cross_entropy(input, labels, weight) == expected
    for kind, array in layouts(input).items():
        assert fc.cross_entropy(array, target, weight) == expected, kind
    half = fc.cross_entropy(input.astype(np.float16), target)
    assert half.dtype == np.float16
    assert fc.cross_entropy_backward(1.0, input.astype(np.float16), target).dtype == np.float16
    assert np.isnan(fc.cross_entropy(np.ones((0, 3)), np.ones(0, int)))
    assert fc.cross_entropy(np.ones((0, 3)), [], reduction="sum") == 0
    assert fc.cross_entropy_backward(1.0, np.ones((2, 3, 0)), np.ones((2, 0), int)).size == 0


def test_threads_agree() -> None:
    for shape in ((60_001, 10), (3, 7, 130, 121)):
        input, target, weight = problem(shape, np.float32, True)
        assert_threads_agree(
            lambda problem=(input, target, weight): (
                fc.cross_entropy(*problem),
                fc.cross_entropy(*problem, label_smoothing=0.1),
                fc.cross_entropy_backward(1.0, *problem, label_smoothing=0.1),
            )
        )


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_stays_inside_its_buffers(dtype: Any, side: str) -> None:
    for lines in ((1, 1, 1), (3, 10, 1), (2, 16, 1), (3, 17, 1), (2, 3, 5), (2, 3, 16), (1, 4, 21)):
        outer, classes, inner = lines
        x = guarded(np.ones(lines, dtype), side)
        target = guarded(np.full((outer, inner), classes - 1), side)
        weight = guarded(np.ones(classes, dtype), side)
        losses = guarded(np.ones((outer, inner), dtype), side)
        result = guarded(np.ones(lines, dtype), side)
        options = (x, target, weight, float(classes), 0.1, -100)
        core.forward(lines, *options, losses)
        core.backward(lines, *options, losses, 1.0, result)


def test_out_of_memory() -> None:
    with failing_allocation(1), pytest.raises(MemoryError):
        fc.cross_entropy(np.ones((4, 3)), np.zeros(4, int))


def test_bad_input_is_explained() -> None:
    x, t = np.ones((4, 3)), np.zeros(4, int)
    for arguments, error, text in (
        ((x, t + 0.5), TypeError, "target: expected integer labels, got floats"),
        ((x, t.astype(bool)), TypeError, "target: expected integers, got bool"),
        ((x, t[:3]), ValueError, r"target: expected shape \(4,\)"),
        ((np.array(1.0), t), ValueError, r"input: expected scores \(N, C\)"),
        ((np.ones((4, 0)), t), ValueError, "input: expected at least one class"),
        ((x, t, np.ones(2)), ValueError, r"weight: expected one for each class, shape \(3,\)"),
        ((x, t, np.ones(3, np.float32)), TypeError, "weight: expected float64"),
        ((x, t, None, "avg"), ValueError, "reduction: expected one of 'mean', 'sum', 'none'"),
        ((x, t, None, "sum", 1.5), ValueError, "label_smoothing: expected a number from 0 to 1"),
        ((x, t, None, "sum", 0.0, 1.5), TypeError, "ignore_index: expected an int, got 1.5"),
        ((x, t, None, "sum", 0.0, 2**63), ValueError, "ignore_index: expected an int of 64 bits"),
    ):
        with pytest.raises(error, match=text):
            fc.cross_entropy(*arguments)
    with pytest.raises(
        ValueError, match=r"grad_output: expected shape \(4,\) for reduction='none'"
    ):
        fc.cross_entropy_backward(1.0, x, t, reduction="none")
    with pytest.raises(TypeError, match="grad_output: expected a number"):
        fc.cross_entropy_backward("1", x, t)
