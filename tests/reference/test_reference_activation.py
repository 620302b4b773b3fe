"""The reference's activations against SciPy, tables and differences."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special

from fastconv import reference

NAN = math.nan
POINTS = np.asarray([-800.0, -40.0, -5.0, -3.5, -1.0, -1e-8, 1e-8, 0.5, 2.0, 3.5, 40.0, 800.0])

ACTIVATIONS = [
    ("relu", {}, lambda s: np.maximum(s, 0)),
    ("leaky_relu", {"negative_slope": 0.2}, lambda s: np.where(s > 0, s, 0.2 * s)),
    ("elu", {"alpha": 1.5}, lambda s: np.where(s > 0, s, 1.5 * np.expm1(np.minimum(s, 0)))),
    ("sigmoid", {}, special.expit),
    ("tanh", {}, np.tanh),
    ("gelu", {}, lambda s: s * special.ndtr(s)),
    (
        "gelu",
        {"approximate": "tanh"},
        lambda s: 0.5 * s * (1 + np.tanh(math.sqrt(2 / math.pi) * (s + 0.044715 * s**3))),
    ),
    ("silu", {}, lambda s: s * special.expit(s)),
    ("hardswish", {}, lambda s: s * np.clip(s + 3, 0, 6) / 6),
]
IDS = ["-".join([name, *map(str, options.values())]) for name, options, _ in ACTIVATIONS]


@pytest.mark.parametrize(("name", "options", "formula"), ACTIVATIONS, ids=IDS)
class TestActivations:
    def test_values(self, name, options, formula):
        actual = getattr(reference, name)(POINTS, **options)
        assert_allclose(actual, formula(POINTS), rtol=1e-13, atol=1e-15)

    def test_gradient_against_differences(self, name, options, formula):
        points = np.asarray([-4.0, -2.5, -0.7, 0.3, 1.9, 4.0])
        grad = getattr(reference, f"{name}_backward")(np.arange(1.0, 7.0), points, **options)

        def loss(s):
            return float((getattr(reference, name)(s, **options) * np.arange(1.0, 7.0)).sum())

        assert reference.gradient_error(loss, grad, points) < 1e-8

    def test_far_out_the_slope_is_finite(self, name, options, formula):
        far = [-1e200, -800.0, 800.0, 1e200]
        grad = getattr(reference, f"{name}_backward")(np.ones(4), far, **options)
        assert np.isfinite(grad).all()

    def test_nan_stays_nan_and_shape_is_kept(self, name, options, formula):
        value = np.asarray([[NAN, 1.0]])
        actual = getattr(reference, name)(value, **options)
        assert actual.shape == (1, 2)
        assert np.isnan(actual).tolist() == [[True, False]]
        assert getattr(reference, name)(np.zeros((0, 3)), **options).shape == (0, 3)


def test_corner_slopes():
    """At their kinks: relu 0, leaky relu its slope, elu alpha, hardswish the slope outside."""
    assert reference.relu_backward([1.0], [0.0]).tolist() == [0]
    assert reference.leaky_relu_backward([1.0], [0.0], 0.2).tolist() == [0.2]
    assert reference.elu_backward([1.0], [0.0], 1.5).tolist() == [1.5]
    assert reference.hardswish_backward([1.0, 1.0], [-3.0, 3.0]).tolist() == [0, 1]


def test_gelu_keeps_its_left_tail():
    """s * Phi(s) at -10: the subtraction 1 + erf would leave nothing of it."""
    assert reference.gelu([-10.0])[0] == pytest.approx(-7.619853024160525e-23, rel=1e-12)


def test_unknown_approximation_and_unequal_shapes():
    with pytest.raises(ValueError, match="approximate"):
        reference.gelu([1.0], approximate="exact")
    with pytest.raises(ValueError, match="one shape"):
        reference.relu_backward([1.0, 2.0], [1.0])


class TestMaxout:
    def test_channels_of_images(self):
        image = np.arange(8.0).reshape(1, 4, 1, 2)[:, [3, 0, 1, 2]]
        output = reference.maxout(image, 2)
        assert output.tolist() == [[[[6, 7]], [[4, 5]]]]

    def test_last_axis_and_ties(self):
        value = [[2.0, 2.0, 1.0]]
        assert reference.maxout(value, 3, axis=-1).tolist() == [[2]]
        assert reference.maxout_backward([[5.0]], value, 3, axis=-1).tolist() == [[5, 0, 0]]

    def test_nan_wins(self):
        assert np.isnan(reference.maxout([[1.0, NAN, 5.0]], 3)).all()

    def test_pieces_must_divide(self):
        with pytest.raises(ValueError, match="must divide"):
            reference.maxout(np.zeros((1, 5)), 2)
