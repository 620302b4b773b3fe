"""conv2d and its gradients: every algorithm, dtype and layout against the reference."""

import numpy as np
import pytest
from conv_cases import CASES, PAIRS, TRANSFORMED
from oracle import forward as oracle_forward
from oracle import gradients as oracle_gradients

import fastconv as fc
from fastconv import reference

DTYPES = (np.float32, np.float64)
SMALL = [name for name, case in CASES.items() if np.prod(case.input) * np.prod(case.weight) < 4e5]


def to_layout(array, layout):
    """NCHW to the layout."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if layout == "NHWC" else array


def from_layout(array, layout):
    """Layout to NCHW."""
    return array.transpose(0, 3, 1, 2) if layout == "NHWC" else array


def algorithm_of(case, algorithm, which, dtype):
    """What "auto" stands for."""
    return fc.explain_conv2d(
        case.input, case.weight, dtype=dtype, algorithm=algorithm, which=which, **case.options
    ).algorithm


def assert_matches(algorithm, dtype, result, expected, scale):
    """Exact for sums of products in any order; else within a rounding budget."""
    assert result.dtype == dtype
    if algorithm in TRANSFORMED:
        np.testing.assert_allclose(result, expected, rtol=0, atol=64 * np.finfo(dtype).eps * scale)
    else:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", SMALL)
def test_the_quick_oracle_is_the_reference(name):
    case = CASES[name]
    x, w, b = case.arrays(np.float64)
    g = case.geometry()
    expected = reference.conv2d(x, w, b, **case.options)
    np.testing.assert_array_equal(oracle_forward(g, x, w, b), expected)
    grad = np.random.default_rng(1).integers(-4, 5, expected.shape).astype(np.float64)
    slow = reference.conv2d_backward(grad, x, w, **case.options)
    for ours, theirs in zip(oracle_gradients(g, x, w, grad), slow, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "algorithm"), PAIRS)
def test_forward(name, algorithm, dtype, layout):
    case = CASES[name]
    x, w, b = case.arrays(dtype)
    how = {"algorithm": algorithm, "layout": layout, **case.options}
    expected = oracle_forward(case.geometry(), x, w, b)
    result = from_layout(fc.conv2d(to_layout(x, layout), w, b, **how), layout)
    scale = 8 * np.linalg.norm(x) * np.linalg.norm(w)
    algorithm = algorithm_of(case, algorithm, "forward", dtype)
    assert_matches(algorithm, dtype, result, expected, scale)
    clipped = fc.conv2d(to_layout(x, layout), w, b, activation="relu", **how)
    assert_matches(algorithm, dtype, from_layout(clipped, layout), np.maximum(expected, 0), scale)
    without = fc.conv2d(to_layout(x, layout), w, **how)
    expected = oracle_forward(case.geometry(), x, w)
    assert_matches(algorithm, dtype, from_layout(without, layout), expected, scale)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "algorithm"), PAIRS)
def test_backward(name, algorithm, dtype, layout):
    case = CASES[name]
    x, w, _ = case.arrays(dtype)
    g = case.geometry()
    grad = np.random.default_rng(2).integers(-4, 5, g.output_shape).astype(dtype)
    gradients = fc.conv2d_backward(
        to_layout(grad, layout), to_layout(x, layout), w, algorithm=algorithm, layout=layout,
        **case.options,
    )  # fmt: skip
    expected = oracle_gradients(g, x, w, grad)
    scale = 8 * max(
        np.linalg.norm(grad) * np.linalg.norm(w), np.linalg.norm(grad) * np.linalg.norm(x)
    )
    ours = from_layout(gradients.input, layout), gradients.weight
    for which, mine, theirs in zip(("grad_input", "grad_weight"), ours, expected, strict=False):
        used = algorithm_of(case, algorithm, which, dtype)
        assert_matches(used, dtype, mine, theirs, scale)
    np.testing.assert_array_equal(gradients.bias, expected[2])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", ["direct", "implicit_gemm", "im2col"])
@pytest.mark.parametrize("name", CASES)
def test_error_is_within_the_documented_bound(name, algorithm, dtype):
    case = CASES[name]
    generator = np.random.default_rng(3)
    x, w = (generator.standard_normal(shape).astype(dtype) for shape in (case.input, case.weight))
    g = case.geometry()
    grad = generator.standard_normal(g.output_shape).astype(dtype)
    # the oracle itself rounds in float64: allow it its own bound
    unit = np.finfo(dtype).eps / 2 + (0 if dtype == np.float32 else np.finfo(np.float64).eps / 2)

    def check(result, expected, absolute, terms):
        bound = (terms + 2) * unit * absolute + np.finfo(dtype).tiny
        assert np.all(np.abs(result - expected) <= bound)

    how = {"algorithm": algorithm, **case.options}
    check(
        fc.conv2d(x, w, **how), oracle_forward(g, x, w), oracle_forward(g, abs(x), abs(w)),
        g.reduction,
    )  # fmt: skip
    plan = fc.explain_conv2d(case.input, case.weight, dtype=dtype, **how)
    assert plan.error_bound == (g.reduction + 2) * np.finfo(dtype).eps / 2
    result = fc.conv2d_backward(grad, x, w, **how)
    expected = oracle_gradients(g, x, w, grad)
    absolute = oracle_gradients(g, abs(x), abs(w), abs(grad))
    terms = (
        g.out_channels // g.groups * g.kernel_height * g.kernel_width,
        g.batch * g.out_height * g.out_width,
        g.batch * g.out_height * g.out_width,
    )
    for each in zip(result, expected, absolute, terms, strict=True):
        check(*each)


#: Cases whose larger batch is worth several threads.
THREADED = (
    "odd everything", "lenet second", "grouped", "many channels", "tiles cut short", "depthwise",
    "depthwise wide strided", "depthwise times two", "groups of four", "tiles of five cut short",
)  # fmt: skip


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("name", "algorithm"), [pair for pair in PAIRS if pair[0] in THREADED])
def test_same_bits_for_any_number_of_threads(name, algorithm, layout):
    case = CASES[name]
    generator = np.random.default_rng(4)
    # a batch large enough to be worth more than one thread
    shape = (24, *case.input[1:])
    x = to_layout(generator.standard_normal(shape).astype(np.float32), layout)
    w = generator.standard_normal(case.weight).astype(np.float32)
    how = {"algorithm": algorithm, "layout": layout, **case.options}
    results = []
    for threads in (1, 2, 3, 8):
        with fc.num_threads(threads):
            y = fc.conv2d(x, w, **how)
            results.append((y, *fc.conv2d_backward(np.sign(y), x, w, **how)))
    for other in results[1:]:
        for mine, first in zip(other, results[0], strict=True):
            assert mine.tobytes() == first.tobytes()


def test_gradients_are_derivatives():
    generator = np.random.default_rng(5)
    x, w = generator.standard_normal((2, 4, 6, 5)), generator.standard_normal((6, 2, 3, 2))
    options = {"stride": (2, 1), "padding": ((1, 2), (0, 1)), "dilation": (1, 2), "groups": 2}
    grad = generator.standard_normal(fc.conv2d(x, w, **options).shape)
    gradients = fc.conv2d_backward(grad, x, w, **options)
    eps = 1e-6
    for array, gradient in ((x, gradients.input), (w, gradients.weight)):
        numeric = np.empty_like(array)
        for i in np.ndindex(array.shape):
            kept = array[i]
            array[i] = kept + eps
            above = (fc.conv2d(x, w, **options) * grad).sum()
            array[i] = kept - eps
            below = (fc.conv2d(x, w, **options) * grad).sum()
            array[i] = kept
            numeric[i] = (above - below) / (2 * eps)
        distance = np.linalg.norm(numeric - gradient)
        assert distance / (np.linalg.norm(numeric) + np.linalg.norm(gradient)) < 1e-7


@pytest.mark.parametrize("algorithm", ["direct", "implicit_gemm", "im2col"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_stays_in_its_windows(algorithm, value):
    """One odd pixel marks exactly the outputs and weight gradients whose sums it is part of."""
    generator = np.random.default_rng(6)
    for shape, kernel in (((2, 3, 9, 20), 3), ((1, 1, 40, 60), 5)):
        x = generator.standard_normal(shape).astype(np.float32)
        w = generator.standard_normal((4, shape[1], kernel, kernel)).astype(np.float32)
        x[0, 0, -1, -1] = value
        y = fc.conv2d(x, w, algorithm=algorithm)
        marked = ~np.isfinite(y)
        assert marked.sum() == 4
        assert marked[0, :, -1, -1].all()
        grad = np.ones_like(y)
        gradient = fc.conv2d_backward(grad, x, w, algorithm=algorithm).weight
        expected = np.zeros(w.shape, bool)
        expected[:, 0, -1, -1] = True
        np.testing.assert_array_equal(~np.isfinite(gradient), expected)
        plain = x.copy()
        plain[0, 0, -1, -1] = 0
        clean = fc.conv2d_backward(grad, plain, w, algorithm=algorithm).weight
        np.testing.assert_allclose(gradient[~expected], clean[~expected], rtol=2e-4, atol=2e-4)


def test_huge_values_overflow_only_where_the_sum_does():
    x = np.full((1, 1, 4, 4), 1e38, np.float32)
    w = np.ones((1, 1, 3, 3), np.float32)
    assert np.isinf(fc.conv2d(x, w)).all()
    assert np.isfinite(fc.conv2d(x, w / 9)).all()
