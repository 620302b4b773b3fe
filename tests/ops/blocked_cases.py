"""Layouts of the two sides of a convolution, and every pass held against the oracle."""

from itertools import product
from typing import Any

import numpy as np
from conv_cases import CASES, Case
from oracle import forward, gradients

from fastconv._core import images
from fastconv._core.blocked import implicit_gemm, winograd
from fastconv.ops.algorithms import winograd as winograd_module
from fastconv.ops.geometry import conv2d_geometry, with_layouts

LAYOUTS = ("NCHW", "NHWC", "blocked")
SIDES = list(product(LAYOUTS, repeat=2))

#: Tails of channels, sums where they belong, and whatever keeps images from being slabs.
MORE = {
    "three channels": Case((2, 3, 12, 13), (20, 3, 3, 3), 1, 1),
    "fifty channels": Case((2, 50, 12, 13), (20, 50, 1, 1)),
    "a column of taps, several images": Case((3, 50, 8, 8), (50, 50, 3, 1)),
    "no padding": Case((2, 64, 18, 17), (64, 64, 3, 3)),
    "no padding, strided": Case((2, 64, 18, 17), (48, 64, 3, 3), 2),
    "a padded 1x1 wider than a block": Case((1, 5, 6, 1100), (32, 5, 1, 1), padding=1),
    "several chunks of channels": Case((1, 700, 14, 33), (64, 700, 1, 1)),
    "several chunks of channels and taps": Case((1, 300, 16, 33), (35, 300, 3, 1)),
    "groups of whole blocks": Case((2, 64, 9, 9), (96, 32, 3, 3), 1, 1, 1, 2),
    "groups of whole blocks, 1x1": Case((2, 64, 9, 9), (96, 32, 1, 1), groups=2),
    "groups of whole blocks, mosaic": Case((5, 64, 6, 5), (96, 32, 3, 3), 1, 1, 1, 2),
    "few pixels, much weight": Case((2, 160, 7, 7), (288, 160, 3, 3), padding=1),
}
ALL = {**CASES, **MORE}

CORES = {"implicit_gemm": implicit_gemm, "winograd": winograd}


def laid_out(planes: Any, layout: str) -> Any:
    """NCHW images in another layout, by NumPy alone."""
    if layout == "NCHW":
        return planes
    if layout == "NHWC":
        return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    lanes = images.lanes(planes.dtype == np.float64)
    batch, channels, *size = planes.shape
    blocks = -(-channels // lanes)
    padded = np.zeros((batch, blocks * lanes, *size), planes.dtype)
    padded[:, :channels] = planes
    return np.ascontiguousarray(
        padded.reshape(batch, blocks, lanes, *size).transpose(0, 1, 3, 4, 2)
    )


def spare_lanes(blocked: Any, channels: int) -> Any:
    """The lanes of blocked images past their last channel."""
    full = channels % blocked.shape[-1] == 0
    return blocked[..., :0] if full else blocked[:, -1, ..., channels % blocked.shape[-1] :]


def planar(case: Case) -> Any:
    """The geometry as of NCHW images."""
    options = (case.stride, case.padding, case.dilation, case.groups)
    return conv2d_geometry(case.input, case.weight, *options, "NCHW")


def geometry_of(case: Case, sides: tuple[str, str], dtype: Any) -> Any:
    """The geometry with a layout for each side, None where groups do not fit blocks."""
    lanes = images.lanes(dtype == np.float64)
    for layout, channels in zip(sides, (case.input[1], case.weight[0]), strict=True):
        if layout == "blocked" and case.groups > 1 and channels // case.groups % lanes:
            return None
    return with_layouts(planar(case), *sides, np.dtype(dtype).itemsize)


def cores(case: Case) -> list[str]:
    """The algorithms that can do it."""
    can = winograd_module.rejects(planar(case), np.dtype(np.float32)) is None
    return ["implicit_gemm", "winograd"] if can else ["implicit_gemm"]


def results(core: Any, g: Any, sides: tuple[str, str], arrays: Any) -> list[Any]:
    """Output with bias and ReLU, output without either, and both gradients, as they are laid out."""
    x, w, b, grad = arrays
    x, grad = laid_out(x, sides[0]), laid_out(grad, sides[1])
    clipped, plain = (np.full(g.output_shape, np.nan, x.dtype) for _ in range(2))
    grad_input, grad_weight = (np.full(a.shape, np.nan, x.dtype) for a in (x, w))
    core.forward(g.core, x, w, b, True, clipped)
    core.forward(g.core, x, w, None, False, plain)
    core.grad_input(g.core, grad, w, grad_input)
    core.grad_weight(g.core, x, grad, grad_weight)
    return [clipped, plain, grad_input, grad_weight]


def check(name: str, dtype: Any, pairs: Any = SIDES) -> int:
    """Hold every pass of every algorithm with every pair of layouts against the oracle.

    The implicit GEMM is exact on these integers; lanes past the last channel are zeros throughout.
    Returns how many arrays were compared.
    """
    case, compared = ALL[name], 0
    x, w, b = case.arrays(dtype)
    plain = planar(case)
    y = forward(plain, x, w)
    grad = np.random.default_rng(2).integers(-4, 5, y.shape).astype(dtype)
    gx, gw, _ = gradients(plain, x, w, grad)
    clipped = np.maximum(y + b[:, None, None], 0)
    for sides in pairs:
        g = geometry_of(case, sides, dtype)
        for algorithm in cores(case) if g else ():
            mine = results(CORES[algorithm], g, sides, (x, w, b, grad))
            theirs = [laid_out(a.astype(dtype), sides[1]) for a in (clipped, y)]
            theirs += [laid_out(gx.astype(dtype), sides[0]), gw]
            exact = algorithm == "implicit_gemm"
            for which, (a, e) in enumerate(zip(mine, theirs, strict=True)):
                bound = 0 if exact else 128 * np.finfo(dtype).eps * np.abs(e).max()
                assert np.max(np.abs(a - e)) <= bound, (name, sides, algorithm, which)
                if which < 3:
                    side, channels = (0, x.shape[1]) if which == 2 else (1, w.shape[0])
                    assert sides[side] != "blocked" or not spare_lanes(a, channels).any(), name
                compared += 1
    return compared
