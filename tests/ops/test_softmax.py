"""Softmax, log-softmax and logsumexp: any axis, special values, bounds, gradients, layouts."""

from typing import Any

import numpy as np
import pytest
from helpers import assert_threads_agree, guarded, layouts, numeric_gradient
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv as fc
from fastconv import reference
from fastconv._core import softmax as core

DTYPES = (np.float32, np.float64)
NAMES = ("softmax", "log_softmax", "logsumexp")
CASES = [
    ((10,), 0),
    ((64, 10), 1),
    ((3, 1), 1),
    ((5, 16), -1),
    ((5, 17), -1),
    ((2, 33), 1),
    ((7, 1000), 1),
    ((6, 5), 0),
    ((2, 3, 4), 1),
    ((2, 21, 5, 7), 1),
    ((3, 4, 65), 1),
    ((2, 3, 16), 0),
    ((1, 2, 3, 130), 2),
]


def backward(name: str, grad: Any, x: Any, output: Any, axis: int) -> Any:
    """The gradient, from what each function saves."""
    if name == "logsumexp":
        return fc.logsumexp_backward(grad, x, output, axis)
    return getattr(fc, name + "_backward")(grad, output, axis)


def wide(name: str, x: Any, axis: int) -> Any:
    """The function in long double."""
    w = x.astype(np.longdouble)
    top = w.max(axis, keepdims=True)
    total = np.exp(w - top).sum(axis, keepdims=True)
    if name == "softmax":
        return np.exp(w - top) / total
    level = top + np.log(total)
    return w - level if name == "log_softmax" else level.squeeze(axis)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shape", "axis"), CASES)
def test_agrees_within_the_bound(shape: Any, axis: int, name: str, dtype: Any) -> None:
    """The documented bounds hold against long double, and the reference agrees."""
    x = (np.random.default_rng(0).standard_normal(shape) * 10).astype(dtype)
    unit, n = np.finfo(dtype).eps / 2, shape[axis]
    output = getattr(fc, name)(x, axis)
    expected = wide(name, x, axis)
    assert output.dtype == dtype
    assert output.shape == expected.shape
    top = x.max(axis, keepdims=True).astype(np.longdouble)
    if name == "softmax":
        tiny = np.finfo(dtype).smallest_subnormal
        allowed = (n + 8 + np.abs(x - top)) * unit * expected + tiny
    elif name == "log_softmax":
        allowed = (n + 12 + 2 * np.abs(x - top)) * unit
    else:
        allowed = (n + 12 + np.abs(top).squeeze(axis)) * unit
    assert (np.abs(output - expected) <= allowed).all()
    oracle = getattr(reference, name)(x, axis)
    near = 1e-5 if dtype is np.float32 else 1e-13
    np.testing.assert_allclose(output, oracle, rtol=10 * near, atol=near)
    grad = np.random.default_rng(1).standard_normal(output.shape).astype(dtype)
    saved = (grad, x, axis) if name == "logsumexp" else (grad, oracle, axis)
    np.testing.assert_allclose(
        backward(name, grad, x, output, axis),
        getattr(reference, name + "_backward")(*saved),
        atol=(n + 50) * unit * 10,
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shape", "axis"), [((3, 7), 1), ((2, 4, 5), 1), ((4, 3), 0)])
def test_gradient_by_differences(shape: Any, axis: int, name: str) -> None:
    x = np.random.default_rng(2).standard_normal(shape)
    output = getattr(fc, name)(x, axis)
    grad = np.random.default_rng(3).standard_normal(output.shape)
    expected = numeric_gradient(lambda v: getattr(fc, name)(v, axis), x, grad)
    np.testing.assert_allclose(backward(name, grad, x, output, axis), expected, atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", [2, 3, 10, 16, 17, 40])
def test_special_lines(length: int, dtype: Any) -> None:
    """Huge scores are fine; -inf alone, +inf and NaN are as in PyTorch; other lines are spared."""
    inf, nan = np.inf, np.nan
    lines = np.zeros((6, length), dtype)
    lines[1] = -inf
    lines[2, -1] = inf
    lines[3, 0] = nan
    lines[4, :] = np.where(np.arange(length) == 1, 3.0, -inf)
    lines[5, :] = np.where(np.arange(length) % 2, np.finfo(dtype).max, -np.finfo(dtype).max)
    for axis, x in ((1, lines), (0, np.ascontiguousarray(lines.T))):
        turn = (lambda a: a) if axis else np.transpose
        share, logs, level = fc.softmax(x, axis), fc.log_softmax(x, axis), fc.logsumexp(x, axis)
        share, logs = turn(share), turn(logs)
        np.testing.assert_allclose(share[0], 1 / length, rtol=1e-6)
        assert np.isnan(share[1:4]).all()
        assert np.isnan(logs[1:4]).all()
        assert share[4].tolist() == [float(i == 1) for i in range(length)]
        assert logs[4, 1] == 0
        assert (np.delete(logs[4], 1) == -inf).all()
        np.testing.assert_allclose(share[5].sum(), 1, rtol=1e-6)
        assert (share[5, ::2] == 0).all()
        expected = [np.log(length), -inf, inf, nan, 3.0, np.finfo(dtype).max]
        np.testing.assert_allclose(level, np.array(expected, dtype), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_layouts_sizes_and_threads(name: str) -> None:
    f = getattr(fc, name)
    x = np.random.default_rng(4).standard_normal((4, 6, 5))
    for kind, array in layouts(x).items():
        np.testing.assert_array_equal(f(array, 1), f(x, 1), err_msg=kind)
    assert f(x.astype(np.float16)).dtype == np.float16
    for shape, axis in (((0, 3), 1), ((3, 0), 0), ((2, 0, 3), 0), ((0,), 0), ((3, 0), 1)):
        result = f(np.ones(shape, np.float32), axis)
        assert result.shape == (shape[:axis] + shape[axis + 1 :] if name == "logsumexp" else shape)
        assert not result.size or (result == -np.inf).all()
    rows = np.random.default_rng(5).standard_normal((30_001, 10)).astype(np.float32)
    images = np.random.default_rng(6).standard_normal((3, 9, 90, 77)).astype(np.float32)
    for array in (rows, images):

        def run(array: Any = array) -> Any:
            output = f(array, 1)
            return output, backward(name, output, array, output, 1)

        assert_threads_agree(run)


def test_logsumexp_keeps_the_axis_if_asked() -> None:
    x = np.random.default_rng(7).standard_normal((2, 3, 4))
    kept = fc.logsumexp(x, 1, keepdims=True)
    assert kept.shape == (2, 1, 4)
    np.testing.assert_array_equal(kept.squeeze(1), fc.logsumexp(x, 1))
    np.testing.assert_array_equal(
        fc.logsumexp_backward(kept, x, kept, 1), fc.logsumexp_backward(kept[:, 0], x, kept, 1)
    )


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_stays_inside_its_buffers(dtype: Any, side: str) -> None:
    for lines in ((1, 1, 1), (3, 10, 1), (2, 16, 1), (3, 17, 1), (2, 3, 5), (2, 3, 16), (1, 4, 21)):
        total, reduced = int(np.prod(lines)), lines[0] * lines[2]
        for mode in (core.SOFTMAX, core.LOG_SOFTMAX, core.LOGSUMEXP):
            size = reduced if mode == core.LOGSUMEXP else total
            x, result = guarded(np.ones(total, dtype), side), guarded(np.ones(total, dtype), side)
            y = guarded(np.ones(size, dtype), side)
            core.forward(mode, *lines, x, y)
            core.backward(mode, *lines, y, x, y, result)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.data())
def test_shares_add_up(shape: list[int], data: Any) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = np.random.default_rng(8).standard_normal(shape) * data.draw(st.floats(0, 1e6))
    share = fc.softmax(x, axis)
    np.testing.assert_allclose(share.sum(axis), 1, rtol=1e-12)
    np.testing.assert_allclose(np.exp(fc.log_softmax(x, axis)), share, rtol=1e-8, atol=1e-300)


def test_bad_input_is_explained() -> None:
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match="axis: expected -2 to 1 for 2 dimensions, got 2"):
        fc.softmax(x, 2)
    with pytest.raises(ValueError, match="no axes"):
        fc.softmax(np.array(1.0))
    with pytest.raises(TypeError, match="axis: expected an int, got None"):
        fc.softmax(x, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="input: expected float32"):
        fc.log_softmax(np.arange(3))
    with pytest.raises(ValueError, match=r"grad_output: expected the output's shape \(2, 3\)"):
        fc.softmax_backward(np.ones(3), x)
    with pytest.raises(ValueError, match=r"output: expected shape \(2,\) or \(2, 1\), got \(3,\)"):
        fc.logsumexp_backward(np.ones(2), x, np.ones(3))
