"""The reference's convolutions against scipy.signal, each other, hand numbers and differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import signal

from fastconv import reference


def integers(shape, seed=0):
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float64)


@pytest.mark.parametrize("name", ["conv2d", "conv2d_im2col", "conv2d_fft"])
class TestForward:
    """Shared by the three formulations."""

    @staticmethod
    def tolerance(name):
        return 1e-10 if name == "conv2d_fft" else 0

    def test_against_scipy(self, name):
        input, weight, bias = integers((2, 3, 6, 7)), integers((4, 3, 3, 2), 1), integers(4, 2)
        expected = np.zeros((2, 4, 4, 6))
        for n, o in np.ndindex(2, 4):
            for c in range(3):
                expected[n, o] += signal.correlate2d(input[n, c], weight[o, c], "valid")
            expected[n, o] += bias[o]
        actual = getattr(reference, name)(input, weight, bias)
        assert_allclose(actual, expected, rtol=0, atol=self.tolerance(name))

    def test_stride_padding_dilation_by_hand(self, name):
        """One row 1..6, kernel (1, 10), dilation 2, stride 3, one zero left and two right."""
        actual = getattr(reference, name)(
            [[[[1, 2, 3, 4, 5, 6]]]], [[[[1, 10]]]], None, (1, 3), ((0, 0), (1, 2)), (1, 2)
        )
        assert_allclose(actual, [[[[20, 53, 6]]]], rtol=0, atol=self.tolerance(name))

    def test_groups_by_hand(self, name):
        """Two groups of one channel each, two filters a group."""
        actual = getattr(reference, name)(
            [[[[2]], [[3]]]], [[[[1]]], [[[10]]], [[[100]]], [[[1000]]]], groups=2
        )
        expected = [[[[2]], [[20]], [[300]], [[3000]]]]
        assert_allclose(actual, expected, rtol=0, atol=self.tolerance(name) * 100)

    @pytest.mark.parametrize(
        ("kernel", "dilation", "edges"),
        [((3, 3), 1, (1, 1, 1, 1)), ((2, 4), 1, (0, 1, 1, 2)), ((3, 2), (2, 3), (2, 2, 1, 2))],
    )
    def test_same_padding(self, name, kernel, dilation, edges):
        input, weight = integers((1, 2, 5, 6)), integers((2, 2, *kernel), 1)
        convolve = getattr(reference, name)
        padded = np.pad(input, ((0, 0), (0, 0), edges[:2], edges[2:]))
        actual = convolve(input, weight, padding="same", dilation=dilation)
        assert actual.shape == (1, 2, 5, 6)
        expected = reference.conv2d(padded, weight, padding="valid", dilation=dilation)
        assert_allclose(actual, expected, rtol=0, atol=self.tolerance(name))

    def test_empty_batch(self, name):
        actual = getattr(reference, name)(np.zeros((0, 2, 5, 5)), np.zeros((3, 2, 3, 3)))
        assert actual.shape == (0, 3, 3, 3)

    def test_float32_is_computed_in_float64(self, name):
        input = np.asarray([[[[1e8, 1.0, -1e8]]]], dtype=np.float32)
        actual = getattr(reference, name)(input, np.ones((1, 1, 1, 3), np.float32))
        assert actual.dtype == np.float64
        assert actual[0, 0, 0, 0] == pytest.approx(1.0, abs=1e-6)


@st.composite
def problems(draw):
    """Small random geometries that give at least one output."""
    number = st.integers
    kernel = draw(st.tuples(number(1, 3), number(1, 3)))
    dilation = draw(st.tuples(number(1, 2), number(1, 2)))
    padding = draw(st.tuples(*[st.tuples(number(0, 2), number(0, 2))] * 2))
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    least = [max(1, e - sum(p)) for e, p in zip(extent, padding, strict=True)]
    size = [draw(number(smallest, smallest + 3)) for smallest in least]
    groups = draw(number(1, 2))
    input_shape = (draw(number(1, 2)), groups * draw(number(1, 2)), *size)
    weight_shape = (groups * draw(number(1, 2)), input_shape[1] // groups, *kernel)
    options = {
        "stride": draw(st.tuples(number(1, 3), number(1, 3))),
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
    }
    return integers(input_shape, draw(number(0, 99))), integers(weight_shape, 7), options


@settings(max_examples=60, deadline=None)
@given(problems())
def test_formulations_and_gradients_agree(problem):
    """Same numbers three ways; and <conv(x, w), g> = <x, dx> = <w, dw>, both being linear maps."""
    input, weight, options = problem
    bias = integers(weight.shape[0], 3)
    expected = reference.conv2d(input, weight, bias, **options)
    assert_array_equal(reference.conv2d_im2col(input, weight, bias, **options), expected)
    assert_allclose(
        reference.conv2d_fft(input, weight, bias, **options), expected, rtol=0, atol=1e-10
    )
    grad_output = integers(expected.shape, 5)
    grads = reference.conv2d_backward(grad_output, input, weight, **options)
    inner = float((reference.conv2d(input, weight, **options) * grad_output).sum())
    assert float((grads.input * input).sum()) == inner
    assert float((grads.weight * weight).sum()) == inner
    assert_array_equal(grads.bias, grad_output.sum(axis=(0, 2, 3)))


@pytest.mark.parametrize(
    "options",
    [{}, {"stride": (2, 1), "padding": ((1, 0), (2, 1)), "dilation": (1, 2)}, {"groups": 2}],
    ids=["plain", "strided", "grouped"],
)
def test_gradients_against_differences(options):
    rng = np.random.default_rng(4)
    input = rng.normal(size=(1, 2, 4, 4))
    weight = rng.normal(size=(2, 2 // options.get("groups", 1), 2, 2))
    bias = rng.normal(size=2)
    scale = rng.normal(size=reference.conv2d(input, weight, bias, **options).shape)
    grads = reference.conv2d_backward(scale, input, weight, **options)

    def loss(input, weight, bias):
        return float((reference.conv2d(input, weight, bias, **options) * scale).sum())

    error = reference.gradient_error
    assert error(lambda x: loss(x, weight, bias), grads.input, input) < 1e-8
    assert error(lambda w: loss(input, w, bias), grads.weight, weight) < 1e-8
    assert error(lambda b: loss(input, weight, b), grads.bias, bias) < 1e-8


class TestColumns:
    def test_channel_is_the_slowest_row_index(self):
        columns = reference.im2col([[[[1, 2]], [[3, 4]]]], (1, 2))
        assert columns.tolist() == [[[1], [2], [3], [4]]]

    def test_padding_is_zero(self):
        columns = reference.im2col([[[[5]]]], 2, padding=1)
        assert columns[0].tolist() == [[0, 0, 0, 5], [0, 0, 5, 0], [0, 5, 0, 0], [5, 0, 0, 0]]

    @settings(max_examples=30, deadline=None)
    @given(problems())
    def test_fold_is_the_adjoint_of_unfold(self, problem):
        input, weight, options = problem
        options.pop("groups")
        columns = reference.im2col(input, weight.shape[2:], **options)
        other = integers(columns.shape, 8)
        folded = reference.col2im(other, input.shape[2:], weight.shape[2:], **options)
        assert float((columns * other).sum()) == float((input * folded).sum())

    def test_notes_matrix_times_filters(self):
        """Eq. 6.20 in the notes' own H x W x D layout and column-by-column order."""
        input, weight = integers((1, 2, 4, 5)), integers((3, 2, 2, 3), 1)
        rows = reference.im2row(input[0].transpose(1, 2, 0), (2, 3))
        filters = np.stack([kernel.transpose(0, 2, 1).ravel() for kernel in weight], axis=1)
        product = reference.matrix_product(rows, filters)
        expected = reference.conv2d(input, weight)[0]
        assert_array_equal(product.T.reshape(3, 3, 3), expected.transpose(0, 2, 1))

    def test_wrong_number_of_columns(self):
        with pytest.raises(ValueError, match="columns has shape"):
            reference.col2im(np.zeros((1, 4, 3)), (2, 3), 2)

    def test_matrix_product_needs_matching_shapes(self):
        with pytest.raises(ValueError, match="do not chain"):
            reference.matrix_product([[1, 2]], [[3, 4]])


class TestFourier:
    @pytest.mark.parametrize("length", [1, 2, 8, 32])
    def test_against_numpy(self, length):
        values = np.random.default_rng(0).normal(size=length)
        assert_allclose(reference.fft(values.tolist()), np.fft.fft(values), atol=1e-12)
        assert_allclose(reference.ifft(values.tolist()), np.fft.ifft(values), atol=1e-12)

    def test_two_dimensions_against_numpy(self):
        plane = np.random.default_rng(0).normal(size=(4, 8))
        assert_allclose(reference.fft2(plane.tolist()), np.fft.fft2(plane), atol=1e-12)
        assert_allclose(reference.ifft2(plane.tolist()), np.fft.ifft2(plane), atol=1e-12)

    @pytest.mark.parametrize("length", [0, 3, 12])
    def test_other_lengths_are_refused(self, length):
        with pytest.raises(ValueError, match="power-of-two"):
            reference.fft([1.0] * length)

    def test_convolution_theorem_of_the_notes(self):
        """Eq. 6.13 for a true, circular convolution of (1, 2, 3, 0) and (0, 1, 0, 0)."""
        spectra = zip(reference.fft([1, 2, 3, 0]), reference.fft([0, 1, 0, 0]), strict=True)
        product = reference.ifft([f * g for f, g in spectra])
        assert_allclose(np.real(product), [0, 1, 2, 3], atol=1e-12)


class TestGeometry:
    def test_dilation(self):
        assert reference.conv2d_output_size((7, 9), (3, 2), dilation=(3, 4)) == (1, 5)

    def test_kernel_beyond_the_padded_input(self):
        with pytest.raises(ValueError, match="more than the padded input"):
            reference.conv2d_output_size(2, 5, padding=1)

    @pytest.mark.parametrize("padding", ["full", (1, 2, 3), ((1, 2, 3), 0)])
    def test_bad_padding(self, padding):
        with pytest.raises(ValueError, match="padding"):
            reference.conv2d_output_size(9, 3, padding=padding)

    def test_same_needs_stride_one(self):
        with pytest.raises(ValueError, match="stride 1"):
            reference.conv2d_output_size(9, 3, 2, "same")

    @pytest.mark.parametrize("kernel", [0, 2, 4])
    def test_equal_padding_needs_an_odd_kernel(self, kernel):
        with pytest.raises(ValueError, match="odd"):
            reference.same_padding(kernel)

    def test_receptive_field_with_strides(self):
        """A 2 x 2 pool between two 3 x 3 layers: 3, then +1 at step 1, then +2 at step 2."""
        assert reference.receptive_field([3, 2, 3], [1, 2, 1]) == 8

    @pytest.mark.parametrize(
        ("weight_shape", "groups", "message"),
        [
            ((2, 3, 1, 1), 1, "channels"),
            ((3, 2, 1, 1), 2, "must divide"),
            ((2, 4, 1, 1), 0, "groups"),
        ],
    )
    def test_channel_mismatch(self, weight_shape, groups, message):
        with pytest.raises(ValueError, match=message):
            reference.conv2d(np.zeros((1, 4, 2, 2)), np.zeros(weight_shape), groups=groups)

    def test_bad_bias_rank_and_grad_output(self):
        image, weight = np.zeros((1, 1, 3, 3)), np.zeros((2, 1, 2, 2))
        with pytest.raises(ValueError, match="bias has 3 entries"):
            reference.conv2d(image, weight, [1, 2, 3])
        with pytest.raises(ValueError, match="4 dimensions"):
            reference.conv2d(image[0], weight)
        with pytest.raises(ValueError, match="grad_output has shape"):
            reference.conv2d_backward(np.zeros((1, 1, 2, 2)), image, weight)
