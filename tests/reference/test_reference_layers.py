"""The reference's linear layer, dropout and normalisation by hand and by differences."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastconv import reference

NAN = math.nan


class TestLayers:
    def test_linear_gradients_against_differences(self):
        rng = np.random.default_rng(1)
        input, weight, bias = rng.normal(size=(3, 4)), rng.normal(size=(2, 4)), rng.normal(size=2)
        scale = rng.normal(size=(3, 2))
        grads = reference.linear_backward(scale, input, weight)

        def loss(input, weight, bias):
            return float((reference.linear(input, weight, bias) * scale).sum())

        error = reference.gradient_error
        assert error(lambda x: loss(x, weight, bias), grads.input, input) < 1e-8
        assert error(lambda w: loss(input, w, bias), grads.weight, weight) < 1e-8
        assert error(lambda b: loss(input, weight, b), grads.bias, bias) < 1e-8

    def test_linear_shapes(self):
        with pytest.raises(ValueError, match="features"):
            reference.linear([[1, 2]], [[1, 2, 3]])

    def test_dropout(self):
        mask = reference.dropout_mask((100, 100), p=0.3, seed=1)
        assert mask.mean() == pytest.approx(0.7, abs=0.02)
        assert set(mask.ravel().tolist()) == {0, 1}
        value = reference.dropout(np.full((100, 100), 2.0), mask, p=0.3)
        assert value.mean() == pytest.approx(2.0, rel=0.03)
        assert_array_equal(reference.dropout_backward(np.full((100, 100), 2.0), mask, 0.3), value)

    def test_dropout_of_everything_and_nothing(self):
        assert reference.dropout([NAN, 2.0], [0, 0], p=1.0).tolist() == [0, 0]
        assert reference.dropout([1.0, 2.0], [1, 1], p=0.0).tolist() == [1, 2]
        with pytest.raises(ValueError, match="p must lie"):
            reference.dropout([1.0], [1], p=1.5)

    def test_batch_norm_by_hand(self):
        """Channel 0 holds 1, 3 (mean 2, variance 1); channel 1 holds 0, 8 (mean 4, variance 16)."""
        result = reference.batch_norm([[1, 0], [3, 8]], [2, 3], [10, 20], eps=0.0)
        assert result.output.tolist() == [[8, 17], [12, 23]]
        assert result.mean.tolist() == [2, 4]
        assert result.variance.tolist() == [1, 16]
        same = reference.batch_norm_inference(
            [[1, 0], [3, 8]], [2, 4], [1, 16], [2, 3], [10, 20], 0
        )
        assert_array_equal(same, result.output)

    def test_batch_norm_gradients_against_differences(self):
        rng = np.random.default_rng(3)
        input, weight, bias = rng.normal(size=(2, 3, 2, 2)), rng.normal(size=3), rng.normal(size=3)
        scale = rng.normal(size=input.shape)
        grads = reference.batch_norm_backward(scale, input, weight)

        def loss(input, weight, bias):
            return float((reference.batch_norm(input, weight, bias).output * scale).sum())

        error = reference.gradient_error
        assert error(lambda x: loss(x, weight, bias), grads.input, input) < 1e-7
        assert error(lambda w: loss(input, w, bias), grads.weight, weight) < 1e-8
        assert error(lambda b: loss(input, weight, b), grads.bias, bias) < 1e-8

    def test_standardized_data(self):
        data = np.random.default_rng(3).normal(5, 3, size=(50, 2, 2))
        scaled = reference.standardize(data, reference.feature_statistics(data))
        assert_allclose(scaled.mean(axis=0), np.zeros((2, 2)), atol=1e-14)
        assert_allclose(scaled.std(axis=0), np.ones((2, 2)), rtol=1e-14)
