"""Centring, standardising and batch normalisation: notes 004 section 6.5; 003 sections 3.3, 4.6."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy.typing as npt

from fastconv.reference.arrays import (
    FloatArray,
    as_float64,
    axis_lanes,
    flat,
    map_elements,
    to_array,
)


class FeatureStatistics(NamedTuple):
    """Mean and standard deviation of each feature over a training set.

    >>> FeatureStatistics._fields
    ('mean', 'deviation')
    """

    mean: FloatArray
    deviation: FloatArray


class BatchNormResult(NamedTuple):
    """``output`` as the input; ``mean`` and (biased) ``variance`` of the batch, (C,) each.

    >>> BatchNormResult._fields
    ('output', 'mean', 'variance')
    """

    output: FloatArray
    mean: FloatArray
    variance: FloatArray


class BatchNormGradients(NamedTuple):
    """Gradients of `batch_norm`: ``input`` as the input, ``weight`` and ``bias`` (C,).

    >>> BatchNormGradients._fields
    ('input', 'weight', 'bias')
    """

    input: FloatArray
    weight: FloatArray
    bias: FloatArray


def _mean(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


def _variance(values: list[float], mean: float) -> float:
    return _mean([(value - mean) * (value - mean) for value in values])


def feature_statistics(data: npt.ArrayLike) -> FeatureStatistics:
    """Return mean and deviation over axis 0 of ``data`` (m, ...): eq. 6.24; notes 003, section 3.3.

    >>> feature_statistics([[1, 0], [3, 4]])
    FeatureStatistics(mean=array([2., 2.]), deviation=array([1., 2.]))
    """
    data = as_float64(data)
    values = flat(data)
    lanes = [[values[index] for index in lane] for lane in axis_lanes(data.shape, 0)]
    means = [_mean(lane) for lane in lanes]
    deviations = [math.sqrt(_variance(lane, mean)) for lane, mean in zip(lanes, means, strict=True)]
    return FeatureStatistics(to_array(means, data.shape[1:]), to_array(deviations, data.shape[1:]))


def subtract_mean(data: npt.ArrayLike, mean: npt.ArrayLike) -> FloatArray:
    """Return ``x - mean`` for each sample: notes 004, eq. 6.25, with the training set's mean.

    >>> subtract_mean([[1, 0], [3, 4]], [2, 2]).tolist()
    [[-1.0, -2.0], [1.0, 2.0]]
    """
    data, means = as_float64(data), flat(mean)
    centred = [value - means[i % len(means)] for i, value in enumerate(flat(data))]
    return to_array(centred, data.shape)


def standardize(data: npt.ArrayLike, statistics: FeatureStatistics) -> FloatArray:
    """Return ``(x - mean) / deviation``: notes 003, section 3.3.

    ``statistics`` come from the training set for the test set too (the notes' warning there).

    >>> train = [[1, 0], [3, 4]]
    >>> standardize([[5, 2]], feature_statistics(train)).tolist()
    [[3.0, 0.0]]
    """
    data, deviations = as_float64(data), flat(statistics.deviation)
    centred = flat(subtract_mean(data, statistics.mean))
    scaled = [value / deviations[i % len(deviations)] for i, value in enumerate(centred)]
    return to_array(scaled, data.shape)


def _channels(input: FloatArray) -> list[list[int]]:
    """Flat indices of each channel (axis 1) over batch and positions."""
    inner = math.prod(input.shape[2:])
    channels: list[list[int]] = [[] for _ in range(input.shape[1])]
    for index in range(input.size):
        channels[index // inner % input.shape[1]].append(index)
    return channels


def _per_channel(values: npt.ArrayLike | None, count: int, default: float) -> list[float]:
    return [default] * count if values is None else flat(values)


def batch_norm(
    input: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    bias: npt.ArrayLike | None = None,
    eps: float = 1e-5,
) -> BatchNormResult:
    """Normalise each channel of (N, C, ...) over the batch, then scale and shift: notes 003, 4.6.

    ``weight * (z - mean) / sqrt(variance + eps) + bias``; the variance divides by m, not m - 1.

    Correction: with weight ``sqrt(variance + eps)`` and bias ``mean`` the notes print
    ``z_use = z_norm``; the transform is then undone and ``z_use = z``.

    >>> batch_norm([[1.0], [3.0]], weight=[2.0], bias=[10.0], eps=0.0).output.tolist()
    [[8.0], [12.0]]
    """
    input = as_float64(input)
    values, count = flat(input), input.shape[1]
    scales, shifts = _per_channel(weight, count, 1.0), _per_channel(bias, count, 0.0)
    output, means, variances = [0.0] * input.size, [], []
    for c, indices in enumerate(_channels(input)):
        mean = _mean([values[index] for index in indices])
        variance = _variance([values[index] for index in indices], mean)
        for index in indices:
            normal = (values[index] - mean) / math.sqrt(variance + eps)
            output[index] = scales[c] * normal + shifts[c]
        means.append(mean)
        variances.append(variance)
    return BatchNormResult(
        to_array(output, input.shape), to_array(means, (count,)), to_array(variances, (count,))
    )


def batch_norm_backward(
    grad_output: npt.ArrayLike,
    input: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    eps: float = 1e-5,
) -> BatchNormGradients:
    """Gradients through the batch's own mean and variance.

    ``dx = weight / sqrt(variance + eps) (g - mean(g) - z_norm mean(g z_norm))``.

    >>> batch_norm_backward([[1.0], [1.0]], [[1.0], [3.0]]).bias.tolist()
    [2.0]
    """
    input = as_float64(input)
    values, grads, count = flat(input), flat(grad_output), input.shape[1]
    scales = _per_channel(weight, count, 1.0)
    grad_input, grad_weight, grad_bias = [0.0] * input.size, [0.0] * count, [0.0] * count
    for c, indices in enumerate(_channels(input)):
        mean = _mean([values[index] for index in indices])
        root = math.sqrt(_variance([values[index] for index in indices], mean) + eps)
        for index in indices:
            grad_bias[c] += grads[index]
            grad_weight[c] += grads[index] * (values[index] - mean) / root
        for index in indices:
            normal = (values[index] - mean) / root
            slope = grads[index] - (grad_bias[c] + normal * grad_weight[c]) / len(indices)
            grad_input[index] = scales[c] * slope / root
    return BatchNormGradients(
        to_array(grad_input, input.shape),
        to_array(grad_weight, (count,)),
        to_array(grad_bias, (count,)),
    )


def batch_norm_inference(
    input: npt.ArrayLike,
    running_mean: npt.ArrayLike,
    running_variance: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    bias: npt.ArrayLike | None = None,
    eps: float = 1e-5,
) -> FloatArray:
    """Normalise each channel with estimates kept from training: notes 003, end of section 4.6.

    >>> batch_norm_inference([[5.0]], [1.0], [4.0], eps=0.0).tolist()
    [[2.0]]
    """
    input = as_float64(input)
    values, count = flat(input), input.shape[1]
    means, variances = flat(running_mean), flat(running_variance)
    scales, shifts = _per_channel(weight, count, 1.0), _per_channel(bias, count, 0.0)
    output = [0.0] * input.size
    for c, indices in enumerate(_channels(input)):
        for index in indices:
            normal = (values[index] - means[c]) / math.sqrt(variances[c] + eps)
            output[index] = scales[c] * normal + shifts[c]
    return to_array(output, input.shape)


def running_average(
    running: npt.ArrayLike, batch: npt.ArrayLike, momentum: float = 0.1
) -> FloatArray:
    """``(1 - momentum) running + momentum batch``: the notes' exponentially weighted average.

    ``momentum`` is the weight of the new value, as in PyTorch; the notes' beta is ``1 - momentum``.

    >>> running_average([0.0], [4.0], momentum=0.5).tolist()
    [2.0]
    """
    return map_elements(lambda old, new: (1.0 - momentum) * old + momentum * new, running, batch)
