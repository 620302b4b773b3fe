"""fastconv itself: forward and backward, float32 and float64, NCHW and NHWC."""

from functools import partial
from typing import Any

import numpy as np

import fastconv as fc
from benchmarks.peers.contender import Array, Contender, Prepared, Problem
from benchmarks.peers.layers import PASSES

OURS = "fastconv"


def _prepare(problem: Problem, *, layout: str) -> Prepared:
    """Close over the arrays in the layout that is asked for."""
    fc.set_num_threads(problem.threads)
    layer, last = problem.layer, layout == "NHWC"
    options: dict[str, Any] = {
        "stride": layer.stride, "padding": layer.padding, "groups": layer.groups, "layout": layout,
    }  # fmt: skip
    image, grad = (_channels_last(a) if last else a for a in (problem.input, problem.grad_output))
    weight = problem.weight

    def planes(array: Array) -> Array:
        return array.transpose(0, 3, 1, 2) if last else array

    if problem.which == "backward":
        return Prepared(
            lambda: fc.conv2d_backward(grad, image, weight, **options),
            lambda gradients: (planes(gradients.input), gradients.weight, gradients.bias),
        )
    if problem.reused:
        options["out"] = fc.conv2d(image, weight, **options)
    return Prepared(lambda: fc.conv2d(image, weight, **options), lambda output: (planes(output),))


def _channels_last(array: Array) -> Array:
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def contenders() -> list[Contender]:
    """Return the NCHW door, which the ratios are of, and the NHWC one."""
    return [
        Contender(
            name, name, "fastconv", partial(_prepare, layout=layout), PASSES, ("float32", "float64"),
            follows_isa=True,
            note='algorithm="auto", weights as they are', reuse="`out=` an earlier result",
        )
        for name, layout in ((OURS, "NCHW"), (f"{OURS} NHWC", "NHWC"))
    ]  # fmt: skip


def scratch_bytes(problem: Problem) -> int:
    """Return the most scratch a thread that any part of the pass asks for."""
    layer = problem.layer
    parts = ("forward",) if problem.which == "forward" else ("grad_input", "grad_weight")
    fc.set_num_threads(problem.threads)
    plans = (
        fc.explain_conv2d(
            layer.input_shape, layer.weight_shape, layer.stride, layer.padding,
            groups=layer.groups, dtype=problem.dtype, which=part,
        )
        for part in parts
    )  # fmt: skip
    return max(plan.scratch_bytes for plan in plans)
