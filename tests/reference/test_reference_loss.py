"""The reference's softmax and losses against SciPy, tables and differences."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special

from fastconv import reference

NAN, INF = math.nan, math.inf


class TestSoftmax:
    @pytest.mark.parametrize("axis", [0, 1, -1])
    def test_against_scipy(self, axis):
        scores = np.random.default_rng(0).normal(scale=20, size=(2, 3, 4))
        assert_allclose(reference.softmax(scores, axis), special.softmax(scores, axis), rtol=1e-13)
        expected = special.log_softmax(scores, axis)
        assert_allclose(reference.log_softmax(scores, axis), expected, rtol=1e-12, atol=1e-14)
        expected = special.logsumexp(scores, axis)
        assert_allclose(reference.logsumexp(scores, axis), expected, rtol=1e-14)

    @pytest.mark.parametrize(
        ("scores", "shares", "total"),
        [
            ([-INF, -INF], [NAN, NAN], -INF),
            ([INF, 0.0], [NAN, NAN], INF),
            ([NAN, 0.0], [NAN, NAN], NAN),
            ([0.0, NAN], [NAN, NAN], NAN),
            ([-INF, 3.0], [0.0, 1.0], 3.0),
            ([1e308, -1e308], [1.0, 0.0], 1e308),
        ],
    )
    def test_special_values(self, scores, shares, total):
        assert_array_equal(reference.softmax(scores), shares)
        assert_array_equal(reference.logsumexp(scores), total)
        logs = reference.log_softmax(scores)
        assert_array_equal(np.isnan(logs), np.isnan(shares))

    def test_logarithm_of_a_tiny_share(self):
        """exp underflows; the logarithm does not."""
        assert reference.log_softmax([0.0, 1000.0]).tolist() == [-1000, 0]

    @pytest.mark.parametrize("name", ["softmax", "log_softmax"])
    @pytest.mark.parametrize("axis", [0, 1])
    def test_gradient_against_differences(self, name, axis):
        rng = np.random.default_rng(2)
        scores, scale = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
        forward = getattr(reference, name)
        grad = getattr(reference, f"{name}_backward")(scale, forward(scores, axis), axis)
        error = reference.gradient_error(
            lambda s: float((forward(s, axis) * scale).sum()), grad, scores
        )
        assert error < 1e-8

    @pytest.mark.parametrize("keepdims", [False, True])
    def test_gradient_of_logsumexp(self, keepdims):
        rng = np.random.default_rng(2)
        scores = rng.normal(size=(3, 4))
        scale = rng.normal(size=reference.logsumexp(scores, 0, keepdims).shape)
        grad = reference.logsumexp_backward(scale, scores, 0)
        error = reference.gradient_error(
            lambda s: float((reference.logsumexp(s, 0, keepdims) * scale).sum()), grad, scores
        )
        assert error < 1e-8

    def test_axis_outside(self):
        with pytest.raises(ValueError, match="axis 2"):
            reference.softmax(np.zeros((2, 2)), axis=2)


class TestCrossEntropy:
    LOGS = np.log([[0.1, 0.2, 0.6, 0.1], [0.25, 0.25, 0.25, 0.25]])

    def test_reductions(self):
        first, second = -math.log(0.2), math.log(4)
        losses = reference.cross_entropy(self.LOGS, [1, 3], reduction="none")
        assert losses.tolist() == pytest.approx([first, second])
        total = reference.cross_entropy(self.LOGS, [1, 3], reduction="sum")
        assert total == pytest.approx(first + second)
        assert reference.cross_entropy(self.LOGS, [1, 3]) == pytest.approx((first + second) / 2)

    def test_weighted_mean_divides_by_the_weights_of_the_labels(self):
        actual = reference.cross_entropy(self.LOGS, [1, 3], weight=[7, 3, 7, 1])
        assert actual == pytest.approx((-3 * math.log(0.2) + math.log(4)) / 4)

    def test_label_smoothing(self):
        """0.8 of the label's loss and 0.2 / 4 of every class's."""
        actual = reference.cross_entropy(self.LOGS[:1], [1], label_smoothing=0.2)
        spread = -0.05 * sum(math.log(p) for p in (0.1, 0.2, 0.6, 0.1))
        assert actual == pytest.approx(-0.8 * math.log(0.2) + spread)

    def test_smoothing_with_weights(self):
        weight = [1.0, 2.0, 3.0, 4.0]
        actual = reference.cross_entropy(self.LOGS[:1], [1], weight, label_smoothing=0.2)
        logs = [math.log(p) for p in (0.1, 0.2, 0.6, 0.1)]
        spread = -0.05 * sum(w * log for w, log in zip(weight, logs, strict=True))
        assert actual == pytest.approx((-0.8 * 2 * logs[1] + spread) / 2)

    def test_probabilities(self):
        target = [[0.5, 0.5, 0, 0], [0.0, 0, 0, 1]]
        actual = reference.cross_entropy(self.LOGS, target)
        assert actual == pytest.approx((-math.log(0.1 * 0.2) / 2 + math.log(4)) / 2)

    def test_one_sample_and_images(self):
        assert reference.cross_entropy(self.LOGS[0], 1) == pytest.approx(-math.log(0.2))
        image = self.LOGS.T[None]  # one sample, four classes, two positions
        assert reference.cross_entropy(image, [[1, 3]], reduction="none").shape == (1, 2)
        expected = reference.cross_entropy(self.LOGS, [1, 3])
        assert reference.cross_entropy(image, [[1, 3]]) == pytest.approx(expected)

    def test_impossible_class(self):
        """A score of -inf elsewhere costs nothing; at the label it costs infinity."""
        scores = [[0.0, -INF]]
        assert reference.cross_entropy(scores, [0]) == 0
        assert reference.cross_entropy(scores, [1]) == INF

    @pytest.mark.parametrize("target", [[4, 0], [-1, 0], [0], [[0.5, 0.5]]])
    def test_bad_targets(self, target):
        with pytest.raises(ValueError, match=r"label|target"):
            reference.cross_entropy(self.LOGS, target)

    def test_bad_options(self):
        with pytest.raises(ValueError, match="reduction"):
            reference.cross_entropy(self.LOGS, [0, 0], reduction="average")
        with pytest.raises(ValueError, match="weight has 2"):
            reference.cross_entropy(self.LOGS, [0, 0], weight=[1, 2])

    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    @pytest.mark.parametrize("weight", [None, [0.5, 2.0, 1.0]])
    @pytest.mark.parametrize("smoothing", [0.0, 0.3])
    @pytest.mark.parametrize("kind", ["labels", "probabilities", "image"])
    def test_gradient_against_differences(self, reduction, weight, smoothing, kind):
        rng = np.random.default_rng(6)
        scores = rng.normal(size=(2, 3, 2) if kind == "image" else (4, 3))
        target = {
            "labels": np.asarray([2, 0, 1, 1]),
            "probabilities": special.softmax(rng.normal(size=(4, 3)), 1),
            "image": np.asarray([[2, 0], [1, 1]]),
        }[kind]
        options = (weight, reduction, smoothing)
        losses = reference.cross_entropy(scores, target, *options)
        scale = rng.normal(size=np.shape(losses))
        grad = reference.cross_entropy_backward(scale, scores, target, *options)

        def loss(s):
            return float(np.sum(reference.cross_entropy(s, target, *options) * scale))

        assert reference.gradient_error(loss, grad, scores) < 1e-8


class TestOtherLosses:
    def test_logistic_loss_is_cross_entropy_of_two_scores(self):
        z = np.asarray([0.3, -1.2, 2.0])
        scores = np.stack([np.zeros(3), z], axis=1)
        expected = reference.cross_entropy(scores, [1, 0, 1])
        actual = reference.logistic_loss(reference.sigmoid(z), [1, 0, 1])
        assert actual == pytest.approx(expected)

    def test_certainty_costs_nothing(self):
        assert reference.logistic_loss([1.0, 0.0], [1, 0]) == 0

    @pytest.mark.parametrize("name", ["logistic_loss", "squared_error"])
    def test_gradient_against_differences(self, name):
        prediction, target = np.asarray([0.2, 0.7, 0.4]), [1.0, 0.0, 0.5]
        grad = getattr(reference, f"{name}_backward")(3.0, prediction, target)
        error = reference.gradient_error(
            lambda a: 3.0 * getattr(reference, name)(a, target), grad, prediction
        )
        assert error < 1e-8

    def test_gradient_of_the_penalty(self):
        weight = np.asarray([[1.0, -2.0], [0.5, 3.0]])
        grad = reference.l2_regularization_backward(weight, 0.3)
        error = reference.gradient_error(
            lambda w: reference.l2_regularization(w, 0.3), grad, weight
        )
        assert error < 1e-8
