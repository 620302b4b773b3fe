"""Checks for people who write operations, layers and losses: the gradient check.

The notes (003, section 3.6): compare each derivative with the two-sided difference quotient
(f(x + eps) - f(x - eps)) / (2 eps), and judge by the relative distance
||a - b||_2 / (||a||_2 + ||b||_2): 1e-7 is good, 1e-5 suspicious, more is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["gradcheck", "relative_distance"]

Array = npt.NDArray[Any]


def relative_distance(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Return ||a - b||_2 / (||a||_2 + ||b||_2), and 0.0 when both are zero.

    >>> relative_distance([1.0, 0.0], [1.0, 0.0])
    0.0
    >>> relative_distance([1.0], [-1.0])
    1.0
    """
    first = np.asarray(a, dtype=np.float64)
    second = np.asarray(b, dtype=np.float64)
    scale = float(np.linalg.norm(first) + np.linalg.norm(second))
    return float(np.linalg.norm(first - second)) / scale if scale else 0.0


def _first(output: Any) -> Array:
    """The differentiable output: the first, where there are several (max_pool2d's indices)."""
    return np.asarray(output[0] if isinstance(output, tuple) else output)


def _difference_quotients(
    evaluate: Callable[[], Array], array: Array, grad_output: Array, eps: float
) -> Array:
    """Return d sum(grad_output * f) / d array, entry by entry; `array` is changed and put back."""
    quotients = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        original = array[index]
        array[index] = original + eps
        above = np.array(evaluate())
        array[index] = original - eps
        below = np.array(evaluate())
        array[index] = original
        quotients[index] = np.sum((above - below) * grad_output) / (2.0 * eps)
    return quotients


def _compare(name: str, gradient: Any, expected: Array, tolerance: float) -> float:
    """Return the relative distance, or raise AssertionError naming the worst entry."""
    if gradient is None:
        raise AssertionError(f"the gradient of {name} is None")
    gradient = np.asarray(gradient)
    if gradient.shape != expected.shape:
        raise AssertionError(
            f"the gradient of {name} has shape {gradient.shape}, {name} has {expected.shape}"
        )
    distance = relative_distance(gradient, expected)
    if not distance <= tolerance:
        error = np.nan_to_num(np.abs(gradient - expected), nan=np.inf)
        worst = tuple(int(i) for i in np.unravel_index(int(error.argmax()), error.shape))
        entry = f"{name}[{', '.join(map(str, worst))}]"
        raise AssertionError(
            f"the gradient of {name} is at a relative distance of {distance:.3g} from the "
            f"difference quotients (tolerance {tolerance:.3g}); worst entry {entry}: backward "
            f"gives {gradient[worst]:.9g}, the quotient is {expected[worst]:.9g}"
        )
    return distance


def _as_inputs(inputs: Any) -> list[Array]:
    """Copies of the inputs, floating-point ones in float64; labels and indices stay integers."""
    given = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    arrays = [np.array(value) for value in given]
    return [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]


def gradcheck(
    function: Any,
    inputs: npt.ArrayLike | Sequence[Any],
    backward: Callable[..., Any] | None = None,
    *,
    eps: float = 1e-6,
    tolerance: float = 1e-7,
    seed: int = 0,
) -> dict[str, float]:
    """Check backward against two-sided differences in float64; return the relative distances.

    `function` is a `fastconv.nn` layer, model or loss (its parameters are checked too, converted to
    float64 for the while), or a function with `backward(grad_output, *inputs)` that returns its
    gradients, None where there is none. `inputs` is an array or a tuple of arrays; integer arrays
    are passed on but not differentiated. The output's entries are weighed with a random
    `grad_output`, so that errors cannot cancel. Functions must be repeatable: no dropout. Points
    where the function has a kink (ReLU at 0, ties in max-pooling) must be farther than `eps`.

    Returns {"input0": distance, ..., "weight": distance, ...}. Raises AssertionError naming the
    worst entry of the first array that is farther than `tolerance`.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> distances = gradcheck(nn.Linear(3, 2, rng=0), np.ones((4, 3)))
    >>> sorted(distances)
    ['bias', 'input0', 'weight']
    >>> sorted(gradcheck(np.sin, np.ones(3), lambda grad, x: grad * np.cos(x)))
    ['input0']
    """
    arrays = _as_inputs(inputs)
    named = list(function.named_parameters()) if hasattr(function, "named_parameters") else []
    kept = [(parameter, parameter.data, parameter.grad) for _, parameter in named]
    try:
        for parameter, data, _ in kept:
            parameter.data, parameter.grad = data.astype(np.float64), None
        output = _first(function(*arrays))
        grad_output = np.random.default_rng(seed).uniform(0.5, 1.5, output.shape)
        if backward is None:
            gradients = function.backward(grad_output if output.ndim else float(grad_output))
        else:
            gradients = backward(grad_output, *arrays)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        if any(array.dtype.kind == "f" for array in arrays[len(gradients) :]):
            raise AssertionError(f"{len(gradients)} gradients came back for {len(arrays)} inputs")
        checks = [
            (f"input{i}", array, gradient)
            for i, (array, gradient) in enumerate(zip(arrays, gradients, strict=False))
            if array.dtype.kind == "f" and (gradient is not None or backward is None)
        ]
        checks += [(name, parameter.data, parameter.grad) for name, parameter in named]

        def evaluate() -> Array:
            return _first(function(*arrays))

        return {
            name: _compare(
                name, gradient, _difference_quotients(evaluate, array, grad_output, eps), tolerance
            )
            for name, array, gradient in checks
        }
    finally:
        for parameter, data, grad in kept:
            parameter.data, parameter.grad = data, grad
