"""Convolution by explicit columns and a BLAS matrix product (notes 004, section 6.2.2, eq. 6.20).

Columns are made in slabs of about 1 MB (src_c/ops/conv_im2col.c), so memory stays bounded. SciPy's
BLAS is imported on first use.
"""

from types import ModuleType
from typing import Any

import numpy as np

from fastconv._core import columns as core
from fastconv.ops.algorithms.direct import LARGEST_WORKSPACE
from fastconv.ops.arrays import Array
from fastconv.ops.geometry import NEEDS_PLAIN, Conv2dGeometry

name = "im2col"


def _blas() -> ModuleType:
    from fastconv._core import blas

    return blas


def rejects(geometry: Conv2dGeometry, dtype: np.dtype[Any]) -> str | None:
    """Return why the algorithm can't do the problem, or None."""
    if not geometry.is_plain:
        return NEEDS_PLAIN
    needed = workspace(geometry, dtype)
    if needed > LARGEST_WORKSPACE:
        return (
            f"a slab of {geometry.kernel_height}x{geometry.kernel_width} columns needs "
            f"{needed >> 20} MB of scratch a thread; its limit is {LARGEST_WORKSPACE >> 20} MB"
        )
    return None


def workspace(geometry: Conv2dGeometry, dtype: np.dtype[Any]) -> int:
    """Bytes of scratch that a thread needs: one slab of columns."""
    return core.slab_workspace(geometry.core, dtype.itemsize == 8)


def features(geometry: Conv2dGeometry, dtype: np.dtype[Any], which: str) -> list[float]:
    """Work that the cost model weighs: FMAs, column elements written, output elements."""
    g = geometry
    pixels = g.batch * g.out_height * g.out_width
    columns = pixels * g.in_channels * g.kernel_height * g.kernel_width
    return [g.flops / 2, columns, pixels * g.out_channels]


def error_bound(geometry: Conv2dGeometry, dtype: np.dtype[Any]) -> tuple[float, str]:
    """Return the bound's factor and what it multiplies; BLAS may sum in any order."""
    return (geometry.reduction + 2) * float(np.finfo(dtype).eps) / 2, "sum |x| |w|"


def forward(
    geometry: Conv2dGeometry,
    input: Array,
    weight: Array,
    bias: Array | None,
    relu: bool,
    output: Array,
) -> None:
    """Write conv(input, weight) + bias, clipped at 0 if `relu`, to `output`."""
    _blas().forward(geometry.core, input, weight, bias, relu, output)


def grad_input(geometry: Conv2dGeometry, grad_output: Array, weight: Array, result: Array) -> None:
    """Write the gradient with respect to the input to `result`."""
    _blas().grad_input(geometry.core, grad_output, weight, result)


def grad_weight(geometry: Conv2dGeometry, input: Array, grad_output: Array, result: Array) -> None:
    """Write the gradient with respect to the weight to `result`."""
    _blas().grad_weight(geometry.core, input, grad_output, result)
