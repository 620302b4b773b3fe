"""Activations: error bounds over dense samples, special values, gradients, layouts, bad input."""

import math
from typing import Any

import numpy as np
import pytest
from helpers import assert_threads_agree, guarded, layouts, numeric_gradient, ulps

import fastconv as fc
from fastconv import reference

L = np.longdouble
DTYPES = (np.float32, np.float64)
#: name -> (options, does the gradient take the output?)
FUNCTIONS: dict[str, tuple[dict[str, Any], bool]] = {
    "relu": ({}, True),
    "leaky_relu": ({"negative_slope": 0.1}, False),
    "elu": ({"alpha": 1.5}, False),
    "sigmoid": ({}, True),
    "tanh": ({}, True),
    "silu": ({}, False),
    "hardswish": ({}, False),
    "gelu": ({}, False),
    "gelu_tanh": ({"approximate": "tanh"}, False),
}


def call(name: str, *arrays: Any, backward: bool = False) -> Any:
    """Run an operation, or its gradient, with its row's options."""
    base = "gelu" if name == "gelu_tanh" else name
    return getattr(fc, base + "_backward" * backward)(*arrays, **FUNCTIONS[name][0])


def oracle(name: str, *arrays: Any, backward: bool = False) -> Any:
    """The reference's answer; its gradients all take the input."""
    base = "gelu" if name == "gelu_tanh" else name
    return getattr(reference, base + "_backward" * backward)(*arrays, **FUNCTIONS[name][0])


def samples(dtype: Any, span: float) -> Any:
    """Dense numbers of both signs: even, and even in the exponent."""
    random = np.random.default_rng(0)
    even = np.linspace(-span, span, 40001)
    small = 10.0 ** random.uniform(-30, math.log10(span), 20000) * random.choice([-1, 1], 20000)
    return np.concatenate([even, random.uniform(-3, 3, 40000), small]).astype(dtype)


def _erfc_half(x: Any) -> Any:
    """erfc(x / sqrt 2) / 2, x >= 0: libm's value, with the rounding of its argument undone."""
    root = x.astype(L) / np.sqrt(L(2))
    rounded = root.astype(np.float64)
    values = np.array([math.erfc(v) for v in rounded.tolist()]).astype(L)
    return values * np.exp(2 * rounded.astype(L) * (rounded.astype(L) - root)) / 2


def _wide(name: str, x: Any) -> Any:
    """The function in long double."""
    w = x.astype(L)
    if name == "sigmoid":
        return 1 / (1 + np.exp(-w))
    if name == "tanh":
        return np.tanh(w)
    if name == "elu":
        return np.where(w > 0, w, L(1.5) * np.expm1(np.minimum(w, 0)))
    if name == "silu":
        return w / (1 + np.exp(-w))
    if name == "hardswish":
        return w * np.clip(w + 3, 0, 6) / 6
    assert name == "gelu"
    tail = _erfc_half(np.abs(x))
    return w * np.where(w < 0, tail, 1 - tail)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "bound", "span"),
    [("sigmoid", 3, 80), ("tanh", 3, 20), ("elu", 3, 80), ("silu", 4, 80), ("gelu", 6, 12)],
)
def test_error_bound(name: str, bound: float, span: float, dtype: Any) -> None:
    x = samples(dtype, span)
    assert ulps(call(name, x), _wide(name, x)) <= bound


@pytest.mark.parametrize("dtype", DTYPES)
def test_exponential_bound_and_ends(dtype: Any) -> None:
    """The gradient of elu with alpha = grad = 1 is exp itself for x <= 0; subnormals included."""
    low = -103.9 if dtype is np.float32 else -745.1
    x = np.concatenate([np.linspace(low, 0, 50001), -np.logspace(-300, 2, 9999)]).astype(dtype)
    assert ulps(fc.elu_backward(np.ones_like(x), x, 1.0), np.exp(x.astype(L))) <= 1
    assert fc.elu_backward(np.ones(2, dtype), np.array([-np.inf, low - 1], dtype)).tolist() == [
        0,
        0,
    ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_tanh_form_of_gelu(dtype: Any) -> None:
    """Within 6 + 8 |u| ulp, u the argument of its tanh."""
    x = samples(dtype, 7)
    w = x.astype(L)
    u = np.sqrt(L(2) / (4 * np.arctan(L(1)))) * (w + L("0.044715") * w**3)
    expected = w / (1 + np.exp(-2 * u))
    unit = np.spacing(np.abs(expected).astype(dtype)).astype(L)
    error = np.abs(call("gelu_tanh", x).astype(L) - expected) / unit
    assert (error <= 6 + 8 * np.abs(u)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_agrees_with_the_reference(name: str, dtype: Any) -> None:
    tight = 1e-5 if dtype is np.float32 else 1e-13
    x = np.random.default_rng(1).uniform(-6, 6, (3, 67)).astype(dtype)
    x[0, :7] = [0.0, -0.0, 3.0, -3.0, 1e-30, -1e-30, 5.5]
    grad = np.random.default_rng(2).standard_normal(x.shape).astype(dtype)
    output = call(name, x)
    assert output.dtype == dtype
    np.testing.assert_allclose(output, oracle(name, x), rtol=tight, atol=tight)
    saved = output if FUNCTIONS[name][1] else x
    result = call(name, grad, saved, backward=True)
    np.testing.assert_allclose(result, oracle(name, grad, x, backward=True), rtol=tight, atol=tight)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradient_by_differences(name: str) -> None:
    x = np.random.default_rng(3).uniform(-5, 5, 41)
    x = x[np.abs(np.abs(x) - 3) > 0.01]
    grad = np.random.default_rng(4).standard_normal(x.shape)
    saved = call(name, x) if FUNCTIONS[name][1] else x
    expected = numeric_gradient(lambda v: call(name, v), x, grad)
    np.testing.assert_allclose(call(name, grad, saved, backward=True), expected, atol=1e-8)


SPECIAL = {  # at inf, -inf, NaN, a huge and a hugely negative number
    "relu": [np.inf, 0, np.nan, 1e30, 0],
    "leaky_relu": [np.inf, -np.inf, np.nan, 1e30, -1e29],
    "elu": [np.inf, -1.5, np.nan, 1e30, -1.5],
    "sigmoid": [1, 0, np.nan, 1, 0],
    "tanh": [1, -1, np.nan, 1, -1],
    "silu": [np.inf, np.nan, np.nan, 1e30, 0],
    "hardswish": [np.inf, 0, np.nan, 1e30, 0],
    "gelu": [np.inf, np.nan, np.nan, 1e30, 0],
    "gelu_tanh": [np.inf, np.nan, np.nan, 1e30, 0],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(name: str, dtype: Any) -> None:
    x = np.array([np.inf, -np.inf, np.nan, 1e30, -1e30], dtype)
    np.testing.assert_allclose(call(name, x), np.array(SPECIAL[name], dtype), rtol=1e-6)
    saved = call(name, x) if FUNCTIONS[name][1] else x
    slopes = call(name, np.ones_like(x), saved, backward=True)
    flat = name in ("sigmoid", "tanh")
    low = 0.1 if name == "leaky_relu" else 0.0
    np.testing.assert_allclose(slopes[[0, 1, 3, 4]], [1 - flat, low, 1 - flat, low], atol=1e-6)
    assert name in ("relu", "leaky_relu", "hardswish") or np.isnan(slopes[2])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_layouts_sizes_and_threads(name: str) -> None:
    x = np.random.default_rng(5).standard_normal((3, 5, 7))
    expected = call(name, x)
    for kind, array in layouts(x).items():
        np.testing.assert_array_equal(call(name, array), expected, err_msg=kind)
    for shape in ((), (0,), (2, 0, 3), (1,), (15,), (17,), (64,), (65,)):
        got = call(name, np.full(shape, 0.5, np.float32))
        assert got.shape == shape
        assert got.dtype == np.float32
    half = call(name, x.astype(np.float16))
    assert half.dtype == np.float16
    large = np.random.default_rng(6).standard_normal(1_000_003).astype(np.float32)
    assert_threads_agree(lambda: (call(name, large), call(name, large, large, backward=True)))


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_stays_inside_its_buffers(dtype: Any, side: str) -> None:
    from fastconv._core import activation as core

    for size in (1, 3, 7, 8, 15, 16, 17, 31, 33, 1000):
        x, y = guarded(np.ones(size, dtype), side), guarded(np.zeros(size, dtype), side)
        for number in core.ACTIVATIONS.values():
            core.forward(number, 1.0, x, y)
            core.backward(number, 1.0, x, x, y)


def test_bad_input_is_explained() -> None:
    with pytest.raises(TypeError, match=r"input: expected float32.*int64"):
        fc.relu(np.arange(3))
    with pytest.raises(ValueError, match="approximate: expected one of 'none', 'tanh', got 'erf'"):
        fc.gelu(np.ones(2), approximate="erf")
    with pytest.raises(TypeError, match="alpha: expected a number, got '1'"):
        fc.elu(np.ones(2), alpha="1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="negative_slope: expected a number, got True"):
        fc.leaky_relu(np.ones(2), negative_slope=True)
    with pytest.raises(ValueError, match=r"grad_output: expected the shape of input, \(2,\)"):
        fc.silu_backward(np.ones(3), np.ones(2))
    with pytest.raises(TypeError, match="grad_output: expected float32 like the other arrays"):
        fc.relu_backward(np.ones(3), np.ones(3, np.float32))


def test_maxout_agrees_with_the_reference() -> None:
    random = np.random.default_rng(7)
    for shape, pieces, axis in (
        ((2, 6), 3, 1),
        ((2, 6, 3, 5), 2, 1),
        ((4, 3), 4, 0),
        ((8,), 2, -1),
    ):
        x = random.integers(-3, 4, shape).astype(np.float32)
        output = fc.maxout(x, pieces, axis)
        np.testing.assert_array_equal(output, reference.maxout(x, pieces, axis))
        grad = random.integers(-9, 9, output.shape).astype(np.float32)
        expected = reference.maxout_backward(grad, x, pieces, axis)
        np.testing.assert_array_equal(fc.maxout_backward(grad, x, pieces, axis), expected)
    assert np.isnan(fc.maxout(np.array([[np.nan, 1.0]]), 2)).all()
    with pytest.raises(ValueError, match="pieces: expected a divisor of the 6 channels"):
        fc.maxout(np.ones((2, 6)), 4)
    with pytest.raises(ValueError, match="axis: expected -2 to 1"):
        fc.maxout(np.ones((2, 6)), 2, axis=2)
    with pytest.raises(TypeError, match=r"pieces: expected an int, got 2\.0"):
        fc.maxout(np.ones((2, 6)), 2.0)  # type: ignore[arg-type]
