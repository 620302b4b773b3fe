"""What conv2d would do, and why."""

from dataclasses import replace
from typing import Any

import numpy as np

from fastconv._core.runtime import get_num_threads, selected_isa
from fastconv.ops.algorithms import autotune
from fastconv.ops.algorithms.select import PASSES, Plan, joins, select
from fastconv.ops.conv_arguments import geometry_of

#: What the reason of a gradient's plan ends with where it may not be summed alone.
TOGETHER = "of both gradients: 'direct', at one reading of grad_output"


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """Return float32 or float64 as a dtype; TypeError for any other."""
    number_type = np.dtype(dtype)
    if number_type.name not in ("float32", "float64"):
        raise TypeError(f"dtype: expected float32 or float64, got {number_type}")
    return number_type


def explain_conv2d(
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
    layout: str = "NCHW",
    dtype: Any = np.float32,
    which: str = "forward",
) -> Plan:
    """Return what `conv2d` would do with such arrays, and why; nothing is computed.

    Parameters
    ----------
    input_shape, weight_shape, stride, padding, dilation, groups, algorithm, layout
        As for `conv2d`.
    dtype : float32 or float64
    which : str
        "forward", "grad_input" or "grad_weight": each pass has an algorithm of its own. Where
        `conv2d_backward`, asked for both gradients, would sum them together, the reason says so.

    Returns
    -------
    Plan
        algorithm, reason, flops, scratch_bytes, packed_weight_bytes (what a call makes of the weight
        and holds beside its scratch, unless it comes prepacked; 0: it is read as it is), error_bound,
        candidates, ...; print it.

    Examples
    --------
    >>> plan = explain_conv2d((1, 1, 8, 8), (4, 1, 3, 3))
    >>> plan.algorithm, plan.flops
    ('direct', 2592)
    """
    if which not in PASSES:
        raise ValueError(f"which: expected one of {PASSES}, got {which!r}")
    number_type = as_dtype(dtype)
    shapes = tuple(map(int, input_shape)), tuple(map(int, weight_shape))
    g = geometry_of(*shapes, stride, padding, dilation, groups, layout)
    threads, isa = get_num_threads(), selected_isa()
    plan = select(g, number_type, which, algorithm, isa, threads, autotune.table, True)
    if which != "forward" and joins(g, number_type, algorithm, isa, autotune.table):
        return replace(plan, reason=f"{plan.reason}; {TOGETHER}")
    return plan
