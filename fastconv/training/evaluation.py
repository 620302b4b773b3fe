"""What a classifier makes of labelled images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastconv import nn

Array = npt.NDArray[Any]


class Evaluation(NamedTuple):
    """Mean cross-entropy, share of right answers, probabilities (N, classes) and labels (N,)."""

    loss: float
    accuracy: float
    probabilities: Array
    labels: Array

    @property
    def predictions(self) -> Array:
        """The likeliest class of each image, (N,) int64."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def errors(self) -> Array:
        """Positions of the misread images, the most confident mistake first."""
        wrong = np.flatnonzero(self.predictions != self.labels)
        confidence = self.probabilities[wrong, self.predictions[wrong]]
        return wrong[np.argsort(-confidence, kind="stable")]

    def confusion(self) -> Array:
        """Counts (classes, classes): rows are the true classes, columns the predicted ones."""
        classes = self.probabilities.shape[1]
        flat = self.labels * classes + self.predictions
        return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def predict(model: nn.Module, images: Array) -> Array:
    """Return class probabilities (N, classes) of prepared images, in evaluation mode."""
    was_training = model.training
    model.eval()
    try:
        return nn.Softmax(-1).eval()(model(images))
    finally:
        model.train(was_training)


def evaluate(model: nn.Module, batches: Iterable[tuple[Array, Array]]) -> Evaluation:
    """Run `model` in evaluation mode over (images, labels) batches; its mode is put back.

    >>> from fastconv import nn
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, rng=0))
    >>> batch = np.zeros((5, 1, 2, 2), dtype=np.float32), np.array([0, 1, 2, 0, 1])
    >>> evaluate(model, [batch]).probabilities.shape
    (5, 3)
    """
    was_training = model.training
    model.eval()
    try:
        outputs = [(model(images), labels) for images, labels in batches]
    finally:
        model.train(was_training)
    logits = np.concatenate([output for output, _ in outputs])
    labels = np.concatenate([labels for _, labels in outputs])
    probabilities = nn.Softmax(-1).eval()(logits)
    loss = float(nn.CrossEntropyLoss()(logits, labels))
    accuracy = float(np.mean(logits.argmax(axis=1) == labels))
    return Evaluation(loss, accuracy, probabilities, labels)
