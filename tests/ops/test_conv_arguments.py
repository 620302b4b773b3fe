"""conv2d's door: what it takes, what it refuses, and how it says so."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv as fc
from fastconv.ops.geometry import as_pair, conv2d_geometry, output_length

X = np.arange(2 * 3 * 6 * 7, dtype=np.float32).reshape(2, 3, 6, 7)
W = np.ones((4, 3, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"input": X[0]}, ValueError, ["input", "4 dimensions", "(3, 6, 7)", "input[None]"]),
        ({"input": X.astype(int)}, TypeError, ["input", "float32", "int64", "astype"]),
        ({"input": "no"}, TypeError, ["input", "float32"]),
        ({"input": [[1.0], [1.0, 2.0]]}, TypeError, ["input", "array"]),
        ({"weight": W[0]}, ValueError, ["weight", "4 dimensions", "(3, 3, 3)"]),
        ({"weight": W.astype(np.float64)}, TypeError, ["weight", "float32", "float64"]),
        ({"weight": W[:, :2]}, ValueError, ["weight", "shape[1]", "3", "2"]),
        ({"weight": W[:, :, :0]}, ValueError, ["weight", "1x1"]),
        ({"weight": np.ones((4, 3, 9, 9), np.float32)}, ValueError, ["(9, 9)", "(6, 7)", "pad"]),
        ({"bias": np.ones(3, np.float32)}, ValueError, ["bias", "(4,)", "(3,)"]),
        ({"bias": np.ones(4)}, TypeError, ["bias", "float32", "float64"]),
        ({"stride": 0}, ValueError, ["stride", "at least 1", "0"]),
        ({"stride": (1, 2, 3)}, ValueError, ["stride", "two"]),
        ({"stride": 1.5}, TypeError, ["stride", "int", "1.5"]),
        ({"stride": True}, TypeError, ["stride", "bool"]),
        ({"stride": np.array(["1"])}, TypeError, ["stride"]),
        ({"padding": -1}, ValueError, ["padding", "at least 0"]),
        ({"padding": "full"}, ValueError, ["padding", "'same'", "'full'"]),
        ({"padding": "same", "stride": 2}, ValueError, ["padding", "stride 1"]),
        ({"padding": ((1, 2), 3)}, ValueError, ["padding", "((top, bottom), (left, right))"]),
        ({"dilation": 0}, ValueError, ["dilation"]),
        ({"groups": 2}, ValueError, ["groups", "divisor", "3"]),
        ({"groups": 0}, ValueError, ["groups", "at least 1"]),
        ({"layout": "CHWN"}, ValueError, ["layout", "NCHW", "NHWC", "CHWN"]),
        ({"layout": "NHWC"}, ValueError, ["weight", "NHWC"]),
        ({"algorithm": "quick"}, ValueError, ["algorithm", "'auto'", "'direct'", "'quick'"]),
        ({"algorithm": "winograd", "stride": 5}, ValueError, ["winograd", "strides up to 4"]),
        ({"algorithm": "winograd", "stride": 3}, ValueError, ["winograd", "stride 3x3"]),
        ({"activation": "tanh"}, ValueError, ["activation", "relu", "tanh"]),
        ({"out": np.empty((2, 4, 4, 4), np.float32)}, ValueError, ["out", "(2, 4, 4, 5)"]),
        ({"out": np.empty((2, 4, 4, 5))}, TypeError, ["out", "float32"]),
        ({"out": [1]}, TypeError, ["out", "NumPy array"]),
        ({"out": np.empty((2, 4, 4, 10), np.float32)[..., ::2]}, ValueError, ["out", "contig"]),
        ({"padding": 2**62}, ValueError, ["bytes"]),
    ],
)
def test_refusals_name_the_argument_and_say_what_was_expected(change, error, words):
    arguments = {"input": X, "weight": W, **change}
    with pytest.raises(error) as caught:
        fc.conv2d(**arguments)
    for word in words:
        assert word in str(caught.value)


def test_out_is_written_and_may_not_overlap():
    out = np.empty((2, 4, 4, 5), np.float32)
    assert fc.conv2d(X, W, out=out) is out
    np.testing.assert_array_equal(out, fc.conv2d(X, W))
    square = np.ones((1, 1, 4, 4), np.float32)
    with pytest.raises(ValueError, match="overlaps"):
        fc.conv2d(square, np.ones((1, 1, 1, 1), np.float32), out=square)
    frozen = np.empty_like(out)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        fc.conv2d(X, W, out=frozen)


class Wrapped:
    """An array that speaks DLPack alone."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def misaligned(array):
    """The same numbers, one byte off."""
    raw = np.empty(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    assert not view.flags.aligned
    return view


@pytest.mark.parametrize(
    "disguise",
    [
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=3)[..., ::2],
        lambda a: a[::-1][::-1],
        lambda a: a.astype(a.dtype.newbyteorder()),
        misaligned,
        Wrapped,
        lambda a: a.view(np.matrix) if a.ndim == 2 else a.view(type("Sub", (np.ndarray,), {})),
    ],
    ids=["fortran", "strided", "reversed", "swapped", "misaligned", "dlpack", "subclass"],
)
def test_any_kind_of_array_works(disguise):
    expected = fc.conv2d(X, W)
    before = X.copy(), W.copy()
    np.testing.assert_array_equal(fc.conv2d(disguise(X), disguise(W)), expected)
    grad = np.ones_like(expected)
    plain, odd = (
        fc.conv2d_backward(*arrays)
        for arrays in ((grad, X, W), (disguise(grad), disguise(X), disguise(W)))
    )
    for mine, theirs in zip(odd, plain, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(W, before[1])


def test_lists_and_read_only_arrays_work():
    frozen = X.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(fc.conv2d(frozen, W), fc.conv2d(X, W))
    result = fc.conv2d([[[[1.0, 2.0], [3.0, 4.0]]]], [[[[1.0]]]], [1.0])
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result[0, 0], [[2, 3], [4, 5]])


def test_options_of_any_sequence_type():
    expected = fc.conv2d(X, W, stride=(2, 1), padding=((1, 1), (0, 2)))
    for padding in ([[1, 1], [0, 2]], np.array([[1, 1], [0, 2]])):
        np.testing.assert_array_equal(
            fc.conv2d(X, W, stride=[np.int64(2), 1], padding=padding), expected
        )


def test_float16_is_computed_in_float32():
    small = X / 64  # exact in float16, and gradients stay below its largest number
    x, w = small.astype(np.float16), W.astype(np.float16)
    result = fc.conv2d(x, w)
    assert result.dtype == np.float16
    np.testing.assert_array_equal(result, fc.conv2d(small, W).astype(np.float16))
    out = np.empty(result.shape, np.float16)
    assert fc.conv2d(x, w, out=out) is out
    np.testing.assert_array_equal(out, result)
    gradients = fc.conv2d_backward(result, x, w)
    assert all(gradient.dtype == np.float16 for gradient in gradients)


def test_no_images_no_channels():
    assert fc.conv2d(X[:0], W).shape == (0, 4, 4, 5)
    gradients = fc.conv2d_backward(np.empty((0, 4, 4, 5), np.float32), X[:0], W)
    assert gradients.input.shape == (0, 3, 6, 7)
    assert not gradients.weight.any()
    assert not gradients.bias.any()
    assert fc.conv2d(X, W[:0]).shape == (2, 0, 4, 5)
    bias = np.array([1, -2, 3, 4], np.float32)
    nothing = fc.conv2d(X[:, :0], W[:, :0], bias, activation="relu")
    np.testing.assert_array_equal(nothing[1, :, 2, 3], [1, 0, 3, 4])


def test_output_mask():
    grad = np.ones((2, 4, 4, 5), np.float32)
    only = fc.conv2d_backward(grad, X, W, output_mask=(False, True, False))
    assert only.input is None
    assert only.bias is None
    np.testing.assert_array_equal(only.weight, fc.conv2d_backward(grad, X, W).weight)
    with pytest.raises(ValueError, match="three bools"):
        fc.conv2d_backward(grad, X, W, output_mask=(True,))
    with pytest.raises(ValueError, match="grad_output"):
        fc.conv2d_backward(grad[:1], X, W)


@settings(max_examples=300, deadline=None)
@given(
    length=st.integers(1, 40), kernel=st.integers(1, 9), stride=st.integers(1, 9),
    dilation=st.integers(1, 5), before=st.integers(0, 9), after=st.integers(0, 9),
)  # fmt: skip
def test_output_length_counts_the_windows_that_fit(length, kernel, stride, dilation, before, after):
    span = dilation * (kernel - 1) + 1
    windows = len(range(0, length + before + after - span + 1, stride))
    assert output_length(length, kernel, stride, dilation, (before, after)) == windows
    arguments = (
        (1, 1, length, 1), (1, 1, kernel, 1), (stride, 1), ((before, after), (0, 0)),
        (dilation, 1), 1, "NCHW",
    )  # fmt: skip
    if windows == 0:
        with pytest.raises(ValueError, match="kernel spans"):
            conv2d_geometry(*arguments)
    else:
        assert conv2d_geometry(*arguments).out_height == windows


junk = st.one_of(
    st.none(), st.booleans(), st.floats(), st.text(max_size=3), st.integers(-3, 3),
    st.lists(st.one_of(st.integers(-1, 3), st.floats()), max_size=3),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(stride=junk, padding=junk, dilation=junk, groups=junk)
def test_junk_is_refused_with_the_right_exception(stride, padding, dilation, groups):
    said = ""
    try:
        result = fc.conv2d(X, W, None, stride, padding, dilation, groups)
    except (TypeError, ValueError) as error:
        said = str(error)
    names = ("stride", "padding", "dilation", "groups", "kernel")
    assert any(name in said for name in names) if said else result.shape[:2] == (2, 4)


def test_as_pair():
    assert as_pair("x", np.int32(3), 1) == (3, 3)
    assert as_pair("x", [4], 1) == (4, 4)


def test_nothing_to_sum_still_checks_the_algorithm():
    with pytest.raises(ValueError, match="algorithm"):
        fc.conv2d(X[:0], W, algorithm="quick")
    for algorithm in ("auto", "direct", "implicit_gemm", "im2col"):
        assert fc.conv2d(X[:0], W, algorithm=algorithm).shape == (0, 4, 4, 5)
        assert fc.explain_conv2d((0, 3, 6, 7), W.shape, algorithm=algorithm).scratch_bytes == 0
