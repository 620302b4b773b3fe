"""Inverted dropout."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastconv.ops.arguments import as_float
from fastconv.ops.arrays import Array, as_floats, empty, restore


def _scale(p: float) -> float:
    """What a kept element is multiplied by; with p = 1 none is kept."""
    return 1.0 / (1.0 - p) if p < 1.0 else 0.0


def _masked(values: Array, mask: Array, p: float) -> Array:
    """values * scale where kept, zero elsewhere, whatever stands there (NaN and infinity too)."""
    output = empty(values.shape, values.dtype)
    output[...] = 0
    np.multiply(values, values.dtype.type(_scale(p)), out=output, where=mask)
    return output


def dropout(
    input: Any, p: float = 0.5, rng: "np.random.Generator | int | None" = None
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Zero each element with probability `p`, divide the others by 1 - p (notes 003, 3.2.1).

    Inverted dropout: the expectation stays, so nothing is done at test time. `p` is the probability
    of dropping, as in PyTorch (in notes 004, section 6.4, of keeping).

    Parameters
    ----------
    input : array_like
        Any shape; float32, float64 or float16.
    p : float
        From 0 to 1.
    rng : numpy.random.Generator, int or None
        Where the mask is drawn from; an int is a seed. The mask depends on the seed and the shape
        alone.

    Returns
    -------
    output, mask : the result, and a bool array, True where an element was kept, for the gradient.

    Examples
    --------
    >>> output, mask = dropout(np.ones(4), p=0.5, rng=0)
    >>> output, mask
    (array([2., 2., 2., 0.]), array([ True,  True,  True, False]))
    """
    x = as_floats("input", input)
    p = as_float("p", p, 0.0, 1.0)
    if not isinstance(rng, np.random.Generator):
        rng = np.random.default_rng(rng)
    mask = rng.random(x.shape, dtype=np.float32) >= np.float32(p)
    return restore(_masked(x, mask, p), input), mask


def dropout_backward(grad_output: Any, mask: Any, p: float = 0.5) -> Array:
    """Gradient of `dropout`: grad_output / (1 - p) where `mask` kept an element, else 0.

    Examples
    --------
    >>> dropout_backward(np.ones(2), np.array([True, False]), p=0.75)
    array([4., 0.])
    """
    grad = as_floats("grad_output", grad_output)
    kept = np.asarray(mask)
    if kept.dtype != np.bool_:
        raise TypeError(f"mask: expected the bool array that dropout returned, got {kept.dtype}")
    if kept.shape != grad.shape:
        raise ValueError(f"mask: expected grad_output's shape {grad.shape}, got {kept.shape}")
    return restore(_masked(grad, kept, as_float("p", p, 0.0, 1.0)), grad_output)
