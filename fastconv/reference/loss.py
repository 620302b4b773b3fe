"""Losses, the l2 penalty and the accuracy: notes 004 sections 3.3, 3.5; 003 section 1.2; 001."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastconv.reference.arrays import (
    FloatArray,
    as_float64,
    axis_lanes,
    flat,
    map_elements,
    to_array,
)
from fastconv.reference.softmax import log_softmax, softmax


def _class_targets(
    target: npt.ArrayLike, shape: tuple[int, ...], label_smoothing: float
) -> tuple[list[list[float]], list[int] | None]:
    """Smoothed target probabilities, one list a sample, and the labels if there were any."""
    axis = 1 if len(shape) > 1 else 0
    classes, array = shape[axis], np.asarray(target)
    labels: list[int] | None = None
    if np.issubdtype(array.dtype, np.floating):
        if array.shape != shape:
            raise ValueError(f"target probabilities have shape {array.shape}; expected {shape}")
        values = flat(array)
        rows = [[values[index] for index in lane] for lane in axis_lanes(shape, axis)]
    else:
        if array.shape != shape[:axis] + shape[axis + 1 :]:
            raise ValueError(f"target has shape {array.shape}; input has {shape}")
        labels = array.ravel().tolist()
        if any(not 0 <= label < classes for label in labels):
            raise ValueError(f"every label must lie in 0 ... {classes - 1}")
        rows = [[float(k == label) for k in range(classes)] for label in labels]
    keep, spread = 1.0 - label_smoothing, label_smoothing / classes
    return [[keep * value + spread for value in row] for row in rows], labels


def _divisor(labels: list[int] | None, weights: list[float], count: int) -> float:
    """What the mean divides by: the labels' weights, or the number of samples for probabilities."""
    if labels is None:
        return float(count)
    total = 0.0
    for label in labels:
        total += weights[label]
    return total


def _class_weights(weight: npt.ArrayLike | None, classes: int) -> list[float]:
    weights = [1.0] * classes if weight is None else flat(weight)
    if len(weights) != classes:
        raise ValueError(f"weight has {len(weights)} entries; expected {classes}")
    return weights


def cross_entropy(
    input: npt.ArrayLike,
    target: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> FloatArray | float:
    """``-log softmax(input)[target]``: notes 004, eq. 3.16-3.18, 3.43.

    ``input`` holds scores (C,), (N, C) or (N, C, d1, ...); ``target`` labels of that shape without
    C, or probabilities of that shape. Smoothing mixes in ``label_smoothing / C`` of every class.
    The "mean" divides by the sum of the labels' weights (for probabilities: by the number of
    samples); "none" returns the losses. PyTorch's meaning throughout.

    Correction: below eq. 3.20 the notes gloss the cross entropy as "hinge loss", another loss.

    >>> round(cross_entropy([[math.log(p) for p in (0.1, 0.2, 0.6, 0.1)]], [1]), 6)
    1.609438
    """
    input = as_float64(input)
    axis = 1 if input.ndim > 1 else 0
    rows, labels = _class_targets(target, input.shape, label_smoothing)
    weights = _class_weights(weight, input.shape[axis])
    logs = flat(log_softmax(input, axis))
    losses = []
    for lane, row in zip(axis_lanes(input.shape, axis), rows, strict=True):
        loss = 0.0
        for k, index in enumerate(lane):
            if row[k] != 0.0:  # an impossible class of no weight must not make 0 * inf
                loss -= weights[k] * row[k] * logs[index]
        losses.append(loss)
    if reduction == "none":
        return to_array(losses, input.shape[:axis] + input.shape[axis + 1 :])
    total = 0.0
    for loss in losses:
        total += loss
    if reduction == "sum":
        return total
    if reduction != "mean":
        raise ValueError(f'reduction must be "mean", "sum" or "none"; got {reduction!r}')
    divisor = _divisor(labels, weights, len(losses))
    return total / divisor if divisor else math.nan


def cross_entropy_backward(
    grad_output: npt.ArrayLike,
    input: npt.ArrayLike,
    target: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> FloatArray:
    """Gradient by ``input``: notes 004, eq. 3.44-3.47, ``softmax(s) - e_y`` for one plain label.

    With target masses ``t_k = weight_k target_k`` it is ``softmax(s) sum(t) - t``. ``grad_output``
    is a scalar, or has the losses' shape for ``reduction="none"``.

    Correction: eq. 3.44 sums over the very index ``j`` it differentiates by.

    >>> cross_entropy_backward(1.0, [[0.0, 0.0]], [1]).tolist()
    [[0.5, -0.5]]
    """
    input = as_float64(input)
    axis = 1 if input.ndim > 1 else 0
    rows, labels = _class_targets(target, input.shape, label_smoothing)
    weights = _class_weights(weight, input.shape[axis])
    grads = flat(grad_output)
    if reduction != "none":
        grads = grads * len(rows)
    divisor = _divisor(labels, weights, len(rows)) if reduction == "mean" else 1.0
    shares, grad_input = flat(softmax(input, axis)), [0.0] * input.size
    for lane, row, grad in zip(axis_lanes(input.shape, axis), rows, grads, strict=True):
        masses = [weights[k] * value for k, value in enumerate(row)]
        total = 0.0
        for mass in masses:
            total += mass
        for k, index in enumerate(lane):
            slope = shares[index] * total - masses[k]
            grad_input[index] = grad * slope / divisor if divisor else math.nan
    return to_array(grad_input, input.shape)


def logistic_loss(prediction: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """``-(y log a + (1 - y) log(1 - a))``, averaged: notes 003, section 1.2 (0x02).

    >>> round(logistic_loss([0.8, 0.1], [1, 0]), 6) == round(-math.log(0.8 * 0.9) / 2, 6)
    True
    """
    total, predictions = 0.0, flat(prediction)
    for a, y in zip(predictions, flat(target), strict=True):
        total -= (y * math.log(a) if y else 0.0) + ((1.0 - y) * math.log1p(-a) if y != 1.0 else 0.0)
    return total / len(predictions)


def logistic_loss_backward(
    grad_output: float, prediction: npt.ArrayLike, target: npt.ArrayLike
) -> FloatArray:
    """``(-y / a + (1 - y) / (1 - a)) / m``: notes 003, section 1.2; ``a - y`` before the sigmoid.

    >>> logistic_loss_backward(1.0, [0.5], [1]).tolist()
    [-2.0]
    """
    count = as_float64(prediction).size

    def slope(a: float, y: float) -> float:
        return grad_output * (-y / a + (1.0 - y) / (1.0 - a)) / count

    return map_elements(slope, prediction, target)


def squared_error(prediction: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """``1/2 sum (y - f)^2``: notes 001; PyTorch's ``mse_loss`` is the mean without the half.

    Correction: the MLP page sums over ``k`` but indexes the terms by ``m``.

    >>> squared_error([1, 5], [2, 3])
    2.5
    """
    total = 0.0
    for f, y in zip(flat(prediction), flat(target), strict=True):
        total += 0.5 * (y - f) * (y - f)
    return total


def squared_error_backward(
    grad_output: float, prediction: npt.ArrayLike, target: npt.ArrayLike
) -> FloatArray:
    """``f - y``: notes 001, the output layer's error before ``f'``.

    >>> squared_error_backward(1.0, [1, 5], [2, 3]).tolist()
    [-1.0, 2.0]
    """
    return map_elements(lambda f, y: grad_output * (f - y), prediction, target)


def l2_regularization(weight: npt.ArrayLike, weight_decay: float = 1.0) -> float:
    """``weight_decay / 2`` times the squared Frobenius norm: notes 004, eq. 3.22-3.24.

    Correction: eq. 3.22 sums ``W_dj``; the norm it names sums ``W_dj ** 2``.

    >>> l2_regularization([[3, -4]], weight_decay=2.0)
    25.0
    """
    total = 0.0
    for value in flat(weight):
        total += value * value
    return 0.5 * weight_decay * total


def l2_regularization_backward(weight: npt.ArrayLike, weight_decay: float = 1.0) -> FloatArray:
    """``weight_decay * W``: the last term of notes 004, eq. 3.37.

    >>> l2_regularization_backward([[3, -4]], weight_decay=2.0).tolist()
    [[6.0, -8.0]]
    """
    return map_elements(lambda value: weight_decay * value, weight)


def accuracy(scores: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Share of rows of ``scores`` (N, C) whose first largest entry is the label: eq. 3.50-3.52.

    >>> accuracy([[1, 2], [5, 3], [0, 1]], [1, 0, 0]) == 2 / 3
    True
    """
    rows, labels = as_float64(scores, 2).tolist(), np.asarray(target).tolist()
    hits = sum(row.index(max(row)) == label for row, label in zip(rows, labels, strict=True))
    return hits / len(rows)
