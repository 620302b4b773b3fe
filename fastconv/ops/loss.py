"""Loss functions and their gradients."""

import math
from typing import Any, NamedTuple

import numpy as np

from fastconv._core import loss as core
from fastconv.ops.arguments import as_float, as_int, as_number, one_of
from fastconv.ops.arrays import Array, as_floats, as_indices, empty, restore


class Problem(NamedTuple):
    """The checked arguments that cross_entropy and its gradient share."""

    given: Any  # the input as it came
    input: Array
    target: Array
    labels: Array  # as given, for error messages
    weight: Array | None
    weight_sum: float
    reduction: str
    label_smoothing: float
    ignore_index: int

    @property
    def lines(self) -> tuple[int, int, int]:
        """(samples, classes, positions)."""
        shape = self.input.shape
        if len(shape) == 1:
            return 1, shape[0], 1
        return shape[0], shape[1], math.prod(shape[2:])

    @property
    def options(self) -> tuple[Array, Array, Array | None, float, float, int]:
        """What the core takes between the shape and its outputs."""
        return (
            self.input,
            self.target,
            self.weight,
            self.weight_sum,
            self.label_smoothing,
            self.ignore_index,
        )

    def bad_label(self) -> IndexError:
        """Name the first label that is out of range."""
        classes = self.lines[1]
        bad = (self.target < 0) | (self.target >= classes)
        place = int(np.flatnonzero(bad & (self.target != self.ignore_index))[0])
        where = tuple(int(i) for i in np.unravel_index(place, self.labels.shape))
        label = int(self.labels[where])
        return IndexError(
            f"target: label {label} at position {where} is outside the {classes} classes of the "
            f"input; expected 0 to {classes - 1}, or ignore_index ({self.ignore_index})"
        )


def _labels(target: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """The labels as given, and as native int64."""
    if np.asarray(target).dtype.kind == "f" and np.shape(target) != (0,):
        raise TypeError(
            "target: expected integer labels, got floats; class probabilities are not supported: "
            "pass the number of each sample's class"
        )
    labels, native = as_indices("target", target)
    if labels.shape != shape:
        raise ValueError(
            f"target: expected shape {shape}, one label for each sample and position of the "
            f"input, got {labels.shape}"
        )
    return labels, native


def problem_of(
    input: Any,
    target: Any,
    weight: Any,
    reduction: str,
    label_smoothing: float,
    ignore_index: int = -100,
) -> Problem:
    """Check the arguments of `cross_entropy`."""
    x = as_floats("input", input)
    if x.ndim == 0:
        raise ValueError("input: expected scores (N, C), (N, C, d1, ...) or (C,), got shape ()")
    axis = 1 if x.ndim > 1 else 0
    classes = x.shape[axis]
    if classes == 0:
        raise ValueError(f"input: expected at least one class on axis {axis}, got {x.shape}")
    labels, native = _labels(target, x.shape[:axis] + x.shape[axis + 1 :])
    weight_sum = float(classes)
    if weight is not None:
        weight = as_floats("weight", weight, x.dtype)
        if weight.shape != (classes,):
            raise ValueError(
                f"weight: expected one for each class, shape ({classes},), got {weight.shape}"
            )
        weight_sum = float(weight.sum(dtype=np.float64))
    ignored = as_int("ignore_index", ignore_index)
    if not -(2**63) <= ignored < 2**63:
        raise ValueError(f"ignore_index: expected an int of 64 bits, got {ignored}")
    return Problem(
        given=input,
        input=x,
        target=native,
        labels=labels,
        weight=weight,
        weight_sum=weight_sum,
        reduction=one_of("reduction", reduction, ("mean", "sum", "none")),
        label_smoothing=as_float("label_smoothing", label_smoothing, 0.0, 1.0),
        ignore_index=ignored,
    )


def value_of(problem: Problem) -> tuple[Array, float]:
    """What `cross_entropy` returns, and the sum of the labels' weights."""
    losses = empty(problem.labels.shape, problem.input.dtype)
    try:
        total, mass = core.forward(problem.lines, *problem.options, losses)
    except IndexError:
        raise problem.bad_label() from None
    if problem.reduction == "none":
        return restore(losses, problem.given), mass
    if problem.reduction == "mean":
        total = total / mass if mass else math.nan
    return restore(problem.input.dtype.type(total), problem.given), mass


def gradient_of(problem: Problem, grad_output: Any, mass: float) -> Array:
    """Gradient of `cross_entropy` by its input; `mass`: the sum of the labels' weights."""
    x = problem.input
    expected = problem.labels.shape if problem.reduction == "none" else ()
    if np.shape(grad_output) != expected:
        raise ValueError(
            f"grad_output: expected shape {expected} for reduction={problem.reduction!r}, "
            f"got {np.shape(grad_output)}"
        )
    grad, scale = None, 1.0
    if problem.reduction == "none":
        grad = as_floats("grad_output", grad_output, x.dtype)
    else:
        scale = as_number("grad_output", grad_output)
    if problem.reduction == "mean":
        scale = scale / mass if mass else math.nan
    grad_input = empty(x.shape, x.dtype)
    try:
        core.backward(problem.lines, *problem.options, grad, scale, grad_input)
    except IndexError:
        raise problem.bad_label() from None
    return restore(grad_input, problem.given)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
) -> Array:
    """Cross-entropy of labels, -log softmax(input)[target] (notes 004, eq. 3.16-3.18).

    Parameters
    ----------
    input : array_like, (N, C), (N, C, d1, ...) or (C,)
        Scores, float32, float64 or float16; C classes.
    target : array_like of integers, (N,), (N, d1, ...) or ()
        Labels from 0 to C - 1; samples with the label `ignore_index` count for nothing.
    weight : array_like, (C,), optional
        Weight of each class, of the input's dtype.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the sum of the labels' weights (NaN if no label counts).
    label_smoothing : float
        a in [0, 1]: the target becomes (1 - a) [k = label] + a / C.

    Returns
    -------
    A scalar of the input's dtype, or for "none" the losses, shaped like `target`. Each loss is
    within (C + 10 + 2 max|x|) u, u = 2^-24 or 2^-53, for weights of at most one.

    Raises
    ------
    IndexError
        A label is out of range: its value, its position and the number of classes are named.
    TypeError, ValueError
        Labels are no integers, shapes disagree, an option is out of range.

    Examples
    --------
    >>> float(cross_entropy(np.log([[0.1, 0.2, 0.6, 0.1]]), [1]).round(6))
    1.609438
    """
    problem = problem_of(input, target, weight, reduction, label_smoothing, ignore_index)
    return value_of(problem)[0]


def cross_entropy_backward(
    grad_output: Any,
    input: Any,
    target: Any,
    weight: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
) -> Array:
    """Gradient of `cross_entropy` by its `input` (notes 004, eq. 3.44-3.47).

    For one plain label it is softmax(x) - e_label; with t_k = weight_k target_k in general
    softmax(x)_k sum(t) - t_k, times `grad_output`: a number, or for reduction="none" an array
    shaped like `target`. The other arguments are cross_entropy's, and so are the errors.

    Examples
    --------
    >>> cross_entropy_backward(1.0, np.zeros((1, 2)), [1])
    array([[ 0.5, -0.5]])
    """
    problem = problem_of(input, target, weight, reduction, label_smoothing, ignore_index)
    return gradient_of(problem, grad_output, _weight_of_labels(problem))


def _weight_of_labels(problem: Problem) -> float:
    """What the mean divides by; labels out of range are left for the core to refuse."""
    counted = problem.target != problem.ignore_index
    if problem.weight is None:
        return float(np.count_nonzero(counted))
    labels = problem.target[counted]
    return float(problem.weight.take(labels, mode="clip").sum(dtype=np.float64))
