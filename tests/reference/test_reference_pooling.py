"""The reference's pooling: hand numbers, PyTorch's corner rules, and differences."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastconv import reference

NAN, INF = float("nan"), float("inf")


def row(*values):
    return np.asarray([[[values]]], dtype=np.float64)


class TestOutputSize:
    @pytest.mark.parametrize(
        ("size", "kernel", "stride", "padding", "dilation", "ceil_mode", "expected"),
        [
            (5, 2, 2, 0, 1, False, 2),
            (5, 2, 2, 0, 1, True, 3),
            (5, 3, 2, 1, 1, False, 3),
            (6, 3, 2, 1, 1, False, 3),
            (6, 3, 2, 1, 1, True, 4),
            (7, 2, 1, 0, 3, False, 4),
            (4, 1, 3, 0, 1, True, 2),
            (3, 1, 3, 0, 1, True, 1),  # a second window would start at 3, past the end
            (5, 2, 3, 1, 1, True, 2),  # a third would start at 5: only right padding
            (4, 2, 5, 1, 1, True, 1),  # a second would start at 4
        ],
    )
    def test_counts(self, size, kernel, stride, padding, dilation, ceil_mode, expected):
        count = reference.pool_output_size(size, kernel, stride, padding, dilation, ceil_mode)
        assert count == expected

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((5, 2, 2, 2), "half"),
            ((5, 0, 1), "impossible"),
            ((5, 2, 0), "impossible"),
            ((2, 3, 1), "does not fit"),
        ],
    )
    def test_errors(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            reference.pool_output_size(*arguments)


class TestMaxPool:
    @pytest.mark.parametrize(
        ("values", "expected", "index"),
        [
            ((1, 3, 2), 3, 1),
            ((3, 1, 3), 3, 0),  # the first of equals
            ((1, NAN, 5), NAN, 1),
            ((NAN, 5, NAN), NAN, 2),  # the last NaN
            ((-INF, -INF, -INF), -INF, 0),
            ((-INF, NAN, -INF), NAN, 1),
            ((INF, NAN, INF), NAN, 1),
            ((-0.0, 0.0, -0.0), 0, 0),  # -0 and 0 are equal
        ],
    )
    def test_one_window(self, values, expected, index):
        output, indices = reference.max_pool2d(row(*values), (1, 3))
        assert_array_equal(output, row(expected))
        assert indices.item() == index
        assert indices.dtype == np.int64

    def test_padding_never_wins(self):
        output, indices = reference.max_pool2d(row(-5, -7), (1, 2), (1, 1), (0, 1))
        assert output.ravel().tolist() == [-5, -5, -7]
        assert indices.ravel().tolist() == [0, 0, 1]

    def test_window_of_minus_infinity_names_its_first_element_inside(self):
        _, indices = reference.max_pool2d(row(-INF, -INF, -INF), (1, 2), (1, 2), (0, 1))
        assert indices.ravel().tolist() == [0, 1]

    def test_dilation_and_overlap(self):
        output, indices = reference.max_pool2d(row(9, 1, 2, 8, 3), (1, 2), (1, 1), 0, (1, 2))
        assert output.ravel().tolist() == [9, 8, 3]
        assert indices.ravel().tolist() == [0, 3, 4]

    def test_dilated_padding_names_the_first_tap_inside(self):
        """Taps at -1 and 1 and then at 0 and 2: -1 is padding, so the first index is 1."""
        _, indices = reference.max_pool2d(row(*[-INF] * 3), (1, 2), 1, (0, 1), (1, 2))
        assert indices.ravel().tolist() == [1, 0, 1]

    def test_ceil_mode(self):
        output, _ = reference.max_pool2d(row(1, 5, 2, 4, 3), (1, 2), ceil_mode=True)
        assert output.ravel().tolist() == [5, 4, 3]

    def test_indices_are_flat_in_each_plane(self):
        input = np.stack([np.eye(4), np.eye(4)[::-1]])[None]
        _, indices = reference.max_pool2d(input, 2)
        assert indices.tolist() == [[[[0, 2], [8, 10]], [[0, 3], [9, 10]]]]
        assert_array_equal(np.take(input[0, 1].ravel(), indices[0, 1]), [[0, 1], [1, 0]])

    def test_a_window_of_padding_alone_is_refused(self):
        """H = 1, taps at -1 and 1. PyTorch answers -inf with an index outside the plane."""
        with pytest.raises(ValueError, match="padding alone"):
            reference.max_pool2d(np.zeros((1, 1, 1, 3)), (2, 1), 1, (1, 0), (2, 1))

    def test_overlapping_windows_add_their_gradients(self):
        grad = reference.max_pool2d_backward(
            row(1, 10, 100), row(0, 2, 2).astype(int), (1, 1, 1, 3)
        )
        assert grad.ravel().tolist() == [1, 0, 110]

    @pytest.mark.parametrize("index", [-1, 3])
    def test_indices_are_checked(self, index):
        with pytest.raises(ValueError, match="outside a 1 x 3 plane"):
            reference.max_pool2d_backward(row(1), [[[[index]]]], (1, 1, 1, 3))

    def test_gradient_against_differences(self):
        rng = np.random.default_rng(0)
        input = rng.permutation(50).reshape(1, 2, 5, 5).astype(np.float64)
        options = {"kernel_size": (3, 2), "stride": 2, "padding": (1, 0), "dilation": (1, 2)}
        output, indices = reference.max_pool2d(input, **options)
        scale = rng.normal(size=output.shape)
        grad = reference.max_pool2d_backward(scale, indices, input.shape)
        error = reference.gradient_error(
            lambda x: float((reference.max_pool2d(x, **options).output * scale).sum()), grad, input
        )
        assert error < 1e-8


class TestAveragePool:
    """Five elements 1..5, windows of 3 by steps of 2, one zero each side (and ceil-mode rests)."""

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, [3 / 3, 9 / 3, 9 / 3]),
            ({"count_include_pad": False}, [3 / 2, 9 / 3, 9 / 2]),
            ({"divisor_override": 5}, [3 / 5, 9 / 5, 9 / 5]),
            ({"divisor_override": 5, "count_include_pad": False}, [3 / 5, 9 / 5, 9 / 5]),
        ],
    )
    def test_divisors(self, options, expected):
        output = reference.avg_pool2d(row(1, 2, 3, 4, 5), (1, 3), (1, 2), (0, 1), **options)
        assert output.ravel().tolist() == pytest.approx(expected)

    @pytest.mark.parametrize(("include", "expected"), [(True, 6 / 2), (False, 6 / 1)])
    def test_ceil_mode_counts_up_to_the_right_padding(self, include, expected):
        """1..6: the fourth window starts at 5, is cut at 6 + 1 and holds 6 and one zero."""
        output = reference.avg_pool2d(
            row(1, 2, 3, 4, 5, 6), (1, 3), (1, 2), (0, 1), True, count_include_pad=include
        )
        assert output.shape == (1, 1, 1, 4)
        assert output[0, 0, 0, 3] == expected

    def test_ceil_mode_without_padding_divides_by_what_is_there(self):
        output = reference.avg_pool2d(row(1, 2, 3, 4, 5), (1, 2), ceil_mode=True)
        assert output.ravel().tolist() == [1.5, 3.5, 5]

    def test_zero_divisor(self):
        with pytest.raises(ValueError, match="divisor_override"):
            reference.avg_pool2d(row(1, 2), (1, 2), divisor_override=0)

    @pytest.mark.parametrize("ceil_mode", [False, True])
    @pytest.mark.parametrize("count_include_pad", [False, True])
    @pytest.mark.parametrize("divisor_override", [None, 7])
    def test_gradient_against_differences(self, ceil_mode, count_include_pad, divisor_override):
        rng = np.random.default_rng(1)
        input = rng.normal(size=(1, 2, 5, 6))
        options = ((3, 2), (2, 3), (1, 1), ceil_mode, count_include_pad, divisor_override)
        scale = rng.normal(size=reference.avg_pool2d(input, *options).shape)
        grad = reference.avg_pool2d_backward(scale, input.shape, *options)
        error = reference.gradient_error(
            lambda x: float((reference.avg_pool2d(x, *options) * scale).sum()), grad, input
        )
        assert error < 1e-8
