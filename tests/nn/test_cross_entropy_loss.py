"""The loss layer: value, gradient, reductions."""

import numpy as np
import pytest

from fastconv import nn
from fastconv.testing import gradcheck

LOGITS = np.random.default_rng(0).normal(size=(5, 4))
TARGET = np.array([0, 3, 1, 1, 2])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weight", [None, [1.0, 0.5, 2.0, 3.0]])
def test_gradient(reduction, smoothing, weight):
    loss = nn.CrossEntropyLoss(weight, reduction, smoothing)
    assert gradcheck(loss, (LOGITS, TARGET)).keys() == {"input0"}


def test_value_is_the_mean_negative_log_likelihood():
    shifted = LOGITS - LOGITS.max(axis=1, keepdims=True)
    log_likelihood = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    expected = -log_likelihood[np.arange(5), TARGET]
    value = nn.CrossEntropyLoss()(LOGITS, TARGET)
    assert isinstance(value, float)
    assert value == pytest.approx(expected.mean(), abs=1e-12)
    assert nn.CrossEntropyLoss(reduction="sum")(LOGITS, TARGET) == pytest.approx(expected.sum())
    np.testing.assert_allclose(nn.CrossEntropyLoss(reduction="none")(LOGITS, TARGET), expected)


def test_gradient_is_softmax_minus_one_hot_over_the_batch():
    loss = nn.CrossEntropyLoss()
    loss(LOGITS, TARGET)
    exponentials = np.exp(LOGITS)
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    expected[np.arange(5), TARGET] -= 1
    np.testing.assert_allclose(loss.backward(), expected / 5, atol=1e-14)


def test_backward_needs_a_loss_each_time():
    loss = nn.CrossEntropyLoss()
    with pytest.raises(RuntimeError, match=r"call loss\(logits, target\)"):
        loss.backward()
    loss(LOGITS, TARGET)
    loss.backward()
    with pytest.raises(RuntimeError, match="once for each"):
        loss.backward()


def test_class_weights_follow_the_logits_dtype():
    loss = nn.CrossEntropyLoss([1.0, 2.0, 1.0, 1.0])
    loss(LOGITS.astype(np.float32), TARGET)
    assert loss.backward().dtype == np.float32
