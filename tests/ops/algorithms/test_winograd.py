"""Winograd: the transforms in exact arithmetic, error bounds, packed weights, scratch."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conv_cases import Case
from conv_checks import (
    assert_packed_weights_convolve_alike,
    assert_right_for_any_number_of_threads,
    assert_stays_inside,
)
from oracle import forward as oracle_forward
from oracle import gradients as oracle_gradients
from processes import output_of

import fastconv as fc
from fastconv._core.blocked import winograd as core
from fastconv._core.blocked import winograd_tiling
from fastconv._core.runtime import available_isas
from fastconv.ops.algorithms import winograd

#: Finite points, by the side of a tile.
POINTS = {
    5: [Fraction(7, 16), Fraction(-7, 16), Fraction(5, 4), Fraction(-5, 4)],
    6: [Fraction(0), Fraction(11, 16), Fraction(-11, 16), Fraction(3, 2), Fraction(-3, 2)],
}

#: Channels that are enough only where there are FMAs.
FEW = (16, 20, 24) if winograd.HAS_FMA else ()

#: Outputs and taps of a tile along an axis.
MEMBERS = [(4, 2), (3, 3), (4, 3), (3, 4), (2, 5)]

CASES = {
    "several chunks of channels": Case((2, 150, 13, 17), (70, 150, 3, 3), padding=1),
    "several chunks of channels, five": Case((2, 150, 13, 17), (70, 150, 5, 5), padding=2),
    "weights transformed on the way": Case((1, 520, 7, 9), (300, 520, 3, 3), padding=1),
    "weights transformed on the way, five": Case((1, 520, 5, 7), (300, 520, 5, 5), padding=2),
    "strips of a wide image": Case((1, 20, 9, 700), (33, 20, 5, 5), padding=2),
    "small tiles at all borders": Case((3, 70, 13, 19), (66, 70, 3, 3), padding=1),
    "small tiles above and below": Case((2, 166, 29, 11), (162, 166, 3, 3), padding=1),
    "small tiles at some borders": Case((5, 68, 9, 8), (65, 68, 3, 3), padding=((1, 0), (0, 2))),
    "small tiles in strips": Case((1, 64, 11, 700), (64, 64, 3, 3), padding=1),
    "several chunks of phases": Case((2, 70, 23, 29), (70, 70, 3, 3), 2, 1),
    "phases transformed on the way": Case((1, 300, 11, 13), (300, 300, 3, 3), 2, 1),
    "more phases than a panel": Case((2, 20, 41, 37), (70, 20, 8, 6), (4, 3), 2),
    "strips of folded pixels": Case((2, 3, 97, 700), (40, 3, 7, 7), 2, 3),
    "blocks of tiles, by groups": Case((5, 160, 24, 25), (96, 80, 5, 5), padding=2, groups=2),
}


def product_without(point, side):
    """Coefficients of the product of all (x - other point), lowest power first."""
    result = [Fraction(1)]
    for other in POINTS[side]:
        if other != point:
            shifted = [Fraction(0), *result]
            result = [a - other * b for a, b in zip(shifted, [*result, Fraction(0)], strict=True)]
    return result


def matrices(tile, taps):
    """At (tile x side), G (side x taps), Bt (side x side) of the documented points."""
    side = tile + taps - 1
    last = lambda size: [Fraction(0)] * (size - 1) + [Fraction(1)]  # noqa: E731
    output = [[p**i for p in POINTS[side]] + [last(tile)[i]] for i in range(tile)]
    weight, source = [], []
    for point in POINTS[side]:
        others = product_without(point, side)
        distance = sum(c * point**i for i, c in enumerate(others))
        weight.append([point**j / distance for j in range(taps)])
        source.append([*others, Fraction(0)])
    return output, [*weight, last(taps)], [*source, product_without(None, side)]


@pytest.mark.parametrize(("tile", "taps"), MEMBERS)
def test_the_documented_transforms_are_a_convolution(tile, taps):
    output, weight, source = matrices(tile, taps)
    side = len(source)
    for i, row in enumerate(output):
        for j in range(taps):
            for k in range(side):
                total = sum(row[p] * weight[p][j] * source[p][k] for p in range(side))
                assert total == (k == i + j)


def test_small_tiles_convolve_with_the_weights_of_large_ones():
    """Points 0, +-11/16 and infinity; the inputs make up for divisors that are of all six."""
    weight = matrices(4, 3)[1]
    points = POINTS[6][:3]
    output = [[p**i for p in points] + [Fraction(i)] for i in range(2)]
    source = []
    for point in points:
        one, other = (p for p in points if p != point)
        lacking = point**2 - POINTS[6][3] ** 2
        source.append([lacking * c for c in (one * other, -one - other, 1, 0)])
    source.append([0, -(points[1] ** 2), 0, 1])
    used = [*weight[:3], weight[-1]]
    for i, row in enumerate(output):
        for j in range(3):
            for k in range(4):
                total = sum(row[p] * used[p][j] * source[p][k] for p in range(4))
                assert total == (k == i + j)


@pytest.mark.parametrize(("tile", "taps"), MEMBERS)
def test_growth_is_that_of_the_matrices(tile, taps):
    size = lambda row: sum(map(abs, row))  # noqa: E731
    output, weight, source = matrices(tile, taps)
    points = range(len(source))
    growth = max(
        sum(abs(row[p]) * size(weight[p]) * size(source[p]) for p in points) for row in output
    )
    assert growth**2 <= winograd.GROWTH[tile, taps] <= 1.01 * growth**2


@pytest.mark.parametrize("spread", [0, 3])
@pytest.mark.parametrize("channels", [1, 20, 70, 130])
@pytest.mark.parametrize("taps", [2, 3, 4, 5])
def test_error_is_within_the_documented_bound(taps, channels, spread):
    """Also where magnitudes differ by powers of ten, as no average would have it."""
    generator = np.random.default_rng(channels)
    draw = lambda shape: (  # noqa: E731
        generator.standard_normal(shape) * 10.0 ** generator.uniform(-spread, spread, shape)
    ).astype(np.float32)
    x, w = draw((2, channels, 18, 18)), draw((9, channels, taps, taps))
    g = Case(x.shape, w.shape).geometry()
    factor, _ = winograd.error_bound(g, x.dtype)
    _, _, tile, _ = winograd_tiling(g.core, False, "forward")
    side = tile + taps - 1
    windows = np.lib.stride_tricks.sliding_window_view(abs(x), (side, side), (2, 3))
    largest = windows[:, :, ::tile, ::tile].max((4, 5)).astype(np.float64)
    scale = np.einsum("ncij,kc->nkij", largest, abs(w).max((2, 3)))
    scale = scale.repeat(tile, 2).repeat(tile, 3)[:, :, : g.out_height, : g.out_width]
    error = np.abs(fc.conv2d(x, w, algorithm="winograd") - oracle_forward(g, x, w))
    rows, columns = scale.shape[2:]
    assert rows >= g.out_height - tile + 1
    assert np.all(error[:, :, :rows, :columns] <= factor * scale)


def drawn(seed, *shapes):
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape).astype(np.float32) for shape in shapes]


def largest_error(run, *arrays):
    """Of run(algorithm, arrays), relative to the same of absolute values."""
    exact = [a.astype(np.float64) for a in arrays]
    error = np.abs(run("winograd", *arrays) - run("implicit_gemm", *exact))
    return (error / run("implicit_gemm", *map(abs, exact))).max()


def error_of_outputs(x, w, **options):
    return largest_error(lambda name, *a: fc.conv2d(*a, algorithm=name, **options), x, w)


def error_of_gradient(which, grad, x, w, **options):
    options["output_mask"] = (which == "input", which == "weight", False)
    run = lambda name, *a: fc.conv2d_backward(*a, algorithm=name, **options)  # noqa: E731
    return largest_error(lambda *a: getattr(run(*a), which), grad, x, w)


@pytest.mark.parametrize(
    ("taps", "channels"),
    [
        *((3, channels) for channels in FEW),
        *((5, channels) for channels in FEW[1:]),
        *((3, channels) for channels in (32, 48, 64, 128, 256, 512)),
        *((4, channels) for channels in (32, 128)),
        *((5, channels) for channels in (32, 64, 128, 512)),
    ],
)
def test_errors_of_normal_data_where_auto_may_take_it(taps, channels):
    pad, few, image = (taps - 1) // 2, 24, (28, 30) if taps == 5 else (24, 26)
    x, w = drawn(taps * channels, (1, channels, *image), (few, channels, taps, taps))
    assert winograd.averages(Case(x.shape, w.shape, padding=pad).geometry(), "forward")
    assert error_of_outputs(x, w, padding=pad) < winograd.LARGEST_ERROR
    source = [size + taps - 1 - 2 * pad for size in image]
    (small,) = drawn(taps, (1, few, *source))
    turned = w.transpose(1, 0, 2, 3).copy()
    g = Case(small.shape, turned.shape, padding=pad).geometry()
    # of 4 taps a corner's gradient sums 4 of 16
    assert winograd.averages(g, "grad_input") or (taps, channels) == (4, 32)
    error = error_of_gradient("input", x, small, turned, padding=pad)
    assert error < winograd.LARGEST_ERROR


@pytest.mark.skipif(not winograd.HAS_FMA, reason="without FMA the limits are others")
@pytest.mark.parametrize(
    ("taps", "size", "channels"),
    [(3, 14, 16), (3, 8, 28), (4, 15, 32), (4, 7, 48), (5, 28, 20), (5, 14, 32), (5, 8, 48)],
)
def test_errors_at_the_fewest_channels(taps, size, channels):
    """A quarter of a million results; the smaller an image, the more of them lie at its corners."""
    pad, images = (taps - 1) // 2, 1 + (1 << 12) // size**2
    x, w = drawn(taps, (images, channels, size, size), (64, channels, taps, taps))
    fewer = Case((1, channels - 1, size, size), (64, channels - 1, taps, taps), padding=pad)
    assert winograd.averages(Case(x.shape, w.shape, padding=pad).geometry(), "forward")
    assert not winograd.averages(fewer.geometry(), "forward")
    assert error_of_outputs(x, w, padding=pad) < winograd.LARGEST_ERROR


@pytest.mark.parametrize("which", ["forward", "input"])
@pytest.mark.parametrize("channels", [*FEW[:1], 64, 80, 128, 160, 192, 256, 320, 448, 512])
def test_errors_of_results_that_meet_padding(channels, which):
    """A quarter of a million of them on images of 8x8, where 28 of 64 lie at a border."""
    x, w = drawn(channels, (64, channels, 8, 8), (64, channels, 3, 3))
    largest = winograd.LARGEST_ERROR
    if which == "forward":
        assert error_of_outputs(x, w, padding=1) < largest
    else:
        other, w = np.zeros((64, 64, 8, 8), np.float32), w.transpose(1, 0, 2, 3).copy()
        assert error_of_gradient("input", x, other, w, padding=1) < largest


@pytest.mark.parametrize(
    ("channels", "points"),
    [(64, 86 * 86), (191, 86 * 86), (192, 86 * 84), (319, 86 * 84), (320, 84 * 84)],
)
def test_borders_of_few_channels_have_small_tiles(channels, points):
    """56 pixels are 14 tiles of four, or 13 between two of two."""
    case = Case((1, channels, 56, 56), (channels, channels, 3, 3), padding=1)
    for which in ("forward", "grad_input"):
        assert winograd_tiling(case.geometry().core, False, which)[1] == points
        assert winograd_tiling(case.geometry().core, True, which)[1] == 84 * 84
    assert winograd_tiling(case.geometry().core, False, "grad_weight")[1] == 84 * 84
    inner = Case((1, channels, 58, 58), (channels, channels, 3, 3))
    assert winograd_tiling(inner.geometry().core, False, "forward")[1] == 84 * 84


@pytest.mark.parametrize("padding", [0, 1, 2, ((1, 0), (0, 1))])
@pytest.mark.parametrize("channels", [64, 192])
def test_borders_of_images_of_any_size(channels, padding):
    for size in range(3, 16):
        case = Case((2, channels, size, size + 3), (channels, channels, 3, 3), padding=padding)
        x, w, b = case.arrays(np.float32)
        g = case.geometry()
        grad = np.random.default_rng(size).integers(-4, 5, g.output_shape).astype(np.float32)
        options = {"padding": padding, "algorithm": "winograd"}
        mine = fc.conv2d(x, w, b, **options), *fc.conv2d_backward(grad, x, w, **options)[:2]
        theirs = oracle_forward(g, x, w, b), *oracle_gradients(g, x, w, grad)[:2]
        for a, e in zip(mine, theirs, strict=True):
            assert np.abs(a - e).max() <= 64 * np.finfo(np.float32).eps * np.abs(e).max(), size


@pytest.mark.parametrize(
    ("which", "case"),
    [("forward", Case((4, 3, 111, 111), (24, 3, 11, 11), 4, 2)),
     ("forward", Case((4, 64, 30, 31), (24, 64, 3, 3), 2, 1)),
     ("forward", Case((1, 400, 30, 31), (24, 400, 3, 3), 2, 1)),
     ("forward", Case((1, 240, 30, 31), (24, 240, 4, 4), 2, 1)),
     ("forward", Case((1, 64, 30, 31), (24, 64, 5, 5), 2, 2)),
     ("forward", Case((1, 20, 30, 31), (24, 20, 7, 7), 2, 2)),
     ("grad_input", Case((1, 24, 30, 30), (96, 24, 7, 7), 2, 3)),
     ("grad_input", Case((1, 24, 30, 30), (96, 24, 4, 4), 1, 2))],
)  # fmt: skip
def test_errors_of_phases_where_auto_may_take_it(which, case):
    g = case.geometry()
    options = {"stride": case.stride, "padding": case.padding}
    assert winograd.averages(g, which)
    x, w, grad = drawn(5, case.input, case.weight, g.output_shape)
    if which == "forward":
        assert error_of_outputs(x, w, **options) < winograd.LARGEST_ERROR
    else:
        assert error_of_gradient("input", grad, x, w, **options) < winograd.LARGEST_ERROR


@pytest.mark.parametrize(
    ("which", "case"),
    [("forward", Case((8, 3, 224, 224), (64, 3, 7, 7), 2, 3)),
     ("forward", Case((8, 32, 56, 56), (128, 32, 3, 3), 2, 1)),
     ("forward", Case((8, 15, 32, 32), (16, 15, 3, 3), 1, 1)),
     ("forward", Case((1, 512, 9, 9), (8, 512, 4, 4), 2, 4)),
     ("grad_input", Case((16, 3, 224, 224), (64, 3, 11, 11), 4, 2)),
     ("grad_input", Case((1, 512, 10, 10), (512, 512, 3, 3), 2, 0)),
     ("grad_input", Case((1, 512, 10, 10), (512, 512, 3, 3))),
     ("grad_weight", Case((1, 16, 12, 12), (16, 16, 3, 3), 2, 1)),
     ("grad_weight", Case((8, 16, 5, 5), (16, 16, 3, 3), 1, 1)),
     ("grad_weight", Case((30, 16, 13, 13), (16, 16, 7, 7), 2, 3))],
)  # fmt: skip
def test_phases_that_auto_leaves_alone(which, case):
    """Few terms, or edges where an output meets few taps of its tile."""
    assert not winograd.averages(case.geometry(), which)


@pytest.mark.parametrize("outputs", [(16, 24), (7, 7), (5, 6)])
@pytest.mark.parametrize(
    ("taps", "stride"), [(2, 1), (3, 1), (5, 1), (4, 1), (3, 2), (7, 2), (11, 4)]
)
def test_errors_of_weight_gradients_where_auto_may_take_it(taps, stride, outputs):
    pad, weight = taps // 2, (48, 40, taps, taps)
    image = [(size - 1) * stride + taps - 2 * pad for size in outputs]
    cases = (Case((batch, 40, *image), weight, stride, pad) for batch in range(1, 400))
    case = next(c for c in cases if winograd.averages(c.geometry(), "grad_weight"))
    x, w, grad = drawn(taps, case.input, weight, case.geometry().output_shape)
    assert grad.shape[2:] == outputs
    error = error_of_gradient("weight", grad, x, w, stride=stride, padding=pad)
    assert error < winograd.LARGEST_ERROR


def test_pixels_that_no_output_reads_have_no_gradient():
    x, w = drawn(1, (2, 20, 12, 17), (24, 20, 5, 5))
    grad = np.ones((2, 24, 3, 5), np.float32)
    mask = (True, False, False)
    result = fc.conv2d_backward(grad, x, w, 3, 0, algorithm="winograd", output_mask=mask).input
    assert not result[:, :, 11:].any()
    assert result[:, :, :11].all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_packed_weights_give_the_same_bits(name, dtype):
    assert_packed_weights_convolve_alike(core, CASES[name], dtype)


@pytest.mark.parametrize("name", CASES)
def test_large_cases_are_right_and_the_same_bits_for_any_number_of_threads(name):
    assert_right_for_any_number_of_threads(CASES[name], "winograd")


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize(
    "name",
    [
        "strips of a wide image",
        "blocks of tiles, by groups",
        "more phases than a panel",
        "strips of folded pixels",
        *(name for name in CASES if name.startswith("small tiles")),
    ],
)
def test_large_cases_stay_inside(name, side):
    case = CASES[name]
    assert_stays_inside(core, case.geometry(), case.arrays(np.float32), side)


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"),
    [((3, 5), 1, 1), ((1, 1), 1, 1), ((7, 7), 1, 1), ((2, 2), 2, 1), ((3, 3), 3, 1),
     ((5, 5), (1, 2), 1), ((3, 3), 1, 2), ((5, 5), 1, (2, 1)), ((10, 10), 5, 1)],
)  # fmt: skip
def test_other_kernels_are_refused_by_python_and_by_the_core(kernel, stride, dilation):
    case = Case((1, 2, 16, 16), (3, 2, *kernel), stride, dilation=dilation)
    g = case.geometry()
    assert winograd.rejects(g, np.dtype(np.float32)) is not None
    x, w, _ = case.arrays(np.float32)
    y = np.zeros(g.output_shape, np.float32)
    for call in (
        lambda: core.forward(g.core, x, w, None, False, y),
        lambda: core.forward(g.core, x, np.empty(0, np.uint8), None, False, y),
        lambda: core.grad_input(g.core, y, w, x),
        lambda: core.grad_weight(g.core, x, y, w),
        lambda: core.pack_weight(g.core, "forward", w, np.empty(0, np.uint8)),
    ):
        with pytest.raises(ValueError, match="fastconv"):
            call()
    for which in ("forward", "grad_input", "grad_weight"):
        assert core.workspace(g.core, False, which) == 0
    assert core.packed_size(g.core, False, "forward") == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "filters", "taps", "stride"),
    [((4, 512, 28, 28), 512, 3, 1), ((4, 64, 224, 224), 64, 3, 1), ((1, 2048, 7, 7), 2048, 3, 1),
     ((64, 16, 32, 32), 16, 3, 1), ((16, 64, 27, 27), 192, 5, 1), ((8, 16, 28, 28), 32, 5, 1),
     ((1, 2048, 7, 7), 2048, 5, 1), ((4, 64, 224, 224), 64, 5, 1), ((1, 20, 9, 9000), 33, 5, 1),
     ((16, 3, 224, 224), 64, 11, 4), ((8, 3, 224, 224), 64, 7, 2), ((8, 128, 56, 56), 128, 3, 2),
     ((1, 1024, 14, 14), 1024, 3, 2), ((1, 64, 64, 64), 64, 16, 4), ((1, 3, 64, 9000), 64, 7, 3)],
)  # fmt: skip
def test_scratch_is_bounded(shape, filters, taps, stride, dtype):
    g = Case(shape, (filters, shape[1], taps, taps), stride, taps // 2).geometry()
    assert 0 < winograd.workspace(g, np.dtype(dtype)) <= 4 << 20


@pytest.mark.parametrize("isa", [n for n, able in available_isas().items() if able])
def test_every_instruction_set(isa):
    code = """
import sys
sys.path[:0] = [r'%s', r'%s']
import numpy as np, fastconv as fc
from conv_cases import CASES
from oracle import forward, gradients
from fastconv.ops.geometry import conv2d_geometry
for name in ('tiles cut short', 'small tiles at the borders', 'tiles of five cut short',
             'groups of tiles of five', 'tiles of four taps', 'phases of channels',
             'phases, folded', 'phases, folded unevenly',
             *(name for name in CASES if name.startswith('mosaic'))):
    case = CASES[name]
    for dtype in np.float32, np.float64:
        x, w, b = case.arrays(dtype)
        options = case.stride, case.padding, case.dilation, case.groups
        g = conv2d_geometry(case.input, case.weight, *options, 'NCHW')
        how = {'algorithm': 'winograd', **case.options}
        y = fc.conv2d(x, w, b, **how)
        grad = np.random.default_rng(2).integers(-4, 5, y.shape).astype(dtype)
        mine = y, *fc.conv2d_backward(grad, x, w, **how)
        theirs = forward(g, x, w, b), *gradients(g, x, w, grad)
        for a, b in zip(mine, theirs):
            assert np.max(np.abs(a - b)) <= 64 * np.finfo(dtype).eps * np.max(np.abs(b)), name
print('done')
"""
    folders = tuple(map(str, Path(__file__).parents[1:3]))
    assert output_of(code % folders, FASTCONV_ISA=isa) == "done"
