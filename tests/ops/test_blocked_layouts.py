"""The drivers' doors: either side of a convolution NCHW, NHWC or blocked."""

from pathlib import Path

import numpy as np
import pytest
from blocked_cases import (
    ALL,
    CORES,
    MORE,
    SIDES,
    check,
    cores,
    geometry_of,
    laid_out,
    results,
    spare_lanes,
)  # fmt: skip
from conv_cases import Case
from helpers import assert_threads_agree, failing_allocation, guarded
from processes import output_of

from fastconv._core import columns, conv
from fastconv._core.blocked import implicit_gemm
from fastconv._core.runtime import available_isas
from fastconv.ops.algorithms import direct, fft, im2col
from fastconv.ops.algorithms.packing import pack
from fastconv.ops.geometry import NEEDS_PLAIN, conv2d_geometry, with_layouts

BLOCKED_SIDES = [sides for sides in SIDES if "blocked" in sides]
GUARDED = [
    "one pixel", "odd everything", "stride three of one", "grouped", "one by one", "wide", "tall",
    "small images, big batch", "tiles cut short", "tiles of five cut short", *MORE,
]  # fmt: skip


def drawn(case, dtype=np.float32):
    """Input, weight, bias and the output's gradient, normally distributed."""
    generator = np.random.default_rng(3)
    plain = conv2d_geometry(
        case.input, case.weight, case.stride, case.padding, case.dilation, case.groups, "NCHW"
    )
    shapes = case.input, case.weight, case.weight[:1], plain.output_shape
    return [generator.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ALL)
def test_every_pair_of_layouts_gives_the_same(name, dtype):
    assert check(name, dtype) >= 4 * len(cores(ALL[name])) * 4


@pytest.mark.parametrize("sides", BLOCKED_SIDES, ids="-".join)
@pytest.mark.parametrize("name", MORE)
def test_results_are_the_same_bits_for_any_number_of_threads(name, sides):
    case = MORE[name]
    g, arrays = geometry_of(case, sides, np.float32), drawn(case)
    for algorithm in cores(case) if g else ():
        core = CORES[algorithm]
        assert_threads_agree(lambda core=core: tuple(results(core, g, sides, arrays)))


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", GUARDED)
def test_convolutions_stay_inside(name, dtype, side):
    case = ALL[name]
    x, w, b, grad = drawn(case, dtype)
    w, b = guarded(w, side), guarded(b, side)
    for sides in BLOCKED_SIDES:
        g = geometry_of(case, sides, dtype)
        for algorithm in cores(case) if g else ():
            image, gradient = (
                guarded(laid_out(a, layout), side)
                for a, layout in zip((x, grad), sides, strict=True)
            )
            y, gx, gw = (guarded(np.full_like(a, np.nan), side) for a in (gradient, image, w))
            CORES[algorithm].forward(g.core, image, w, b, True, y)
            CORES[algorithm].grad_input(g.core, gradient, w, gx)
            CORES[algorithm].grad_weight(g.core, image, gradient, gw)
            assert all(np.isfinite(a).all() for a in (y, gx, gw))


@pytest.mark.parametrize("sides", BLOCKED_SIDES, ids="-".join)
@pytest.mark.parametrize("name", ["fifty channels", "tiles cut short", "no padding, strided"])
def test_packed_weights_give_the_same_bits(name, sides):
    case = ALL[name]
    g, (x, w, b, _) = geometry_of(case, sides, np.float32), drawn(case)
    for algorithm in cores(case):
        core, image = CORES[algorithm], laid_out(x, sides[0])
        y, from_packed = (np.empty(g.output_shape, np.float32) for _ in range(2))
        core.forward(g.core, image, w, b, True, y)
        core.forward(g.core, image, pack(core, g, "forward", w), b, True, from_packed)
        assert from_packed.tobytes() == y.tobytes()


@pytest.mark.parametrize("algorithm", CORES)
@pytest.mark.parametrize("layout", ["NCHW", "blocked"])
def test_lanes_past_the_last_channel_are_zeros_whatever_is_summed(layout, algorithm):
    case = Case((1, 20, 8, 8), (21, 20, 3, 3), padding=1)
    g, (x, w, b, _) = geometry_of(case, (layout, "blocked"), np.float32), drawn(case)
    x[:, 3, 4] = np.nan
    x[:, 5, 1] = np.inf
    y = np.full(g.output_shape, np.nan, np.float32)
    CORES[algorithm].forward(g.core, laid_out(x, layout), w, b, False, y)
    assert not np.isfinite(y).all()
    assert not spare_lanes(y, 21).any()


@pytest.mark.parametrize(
    "sides", [("NCHW", "NHWC"), ("NHWC", "NCHW"), *BLOCKED_SIDES], ids="-".join
)
def test_other_algorithms_refuse(sides):
    case = Case((1, 64, 6, 6), (64, 64, 3, 3))
    g, (x, w, _, grad) = geometry_of(case, sides, np.float32), drawn(case)
    for module in direct, im2col, fft:
        assert module.rejects(g, np.dtype(np.float32)) == NEEDS_PLAIN
    x, grad = laid_out(x, sides[0]), laid_out(grad, sides[1])
    calls = [
        lambda: conv.direct_forward(g.core, x, w, None, False, grad),
        lambda: conv.direct_grad_input(g.core, grad, w, x),
        lambda: conv.direct_grad_weight(g.core, x, grad, w),
    ]
    if sides[1] == "blocked":
        calls.append(lambda: conv.grad_bias(g.core, grad, np.empty(64, np.float32)))
    for call in calls:
        with pytest.raises(ValueError, match="fastconv"):
            call()
    assert columns.slab_workspace(g.core, False) == 0
    assert conv.direct_workspace(g.core, False, "forward") == 0


@pytest.mark.parametrize("sides", [("blocked", "NCHW"), ("NCHW", "blocked")], ids="-".join)
@pytest.mark.parametrize("algorithm", CORES)
def test_groups_that_share_a_block_are_refused_by_python_and_by_the_core(algorithm, sides):
    shapes = (1, 36, 6, 6), (36, 18, 3, 3)
    plain = conv2d_geometry(*shapes, 1, 0, 1, 2, "NCHW")
    with pytest.raises(ValueError, match="groups: expected a multiple of"):
        with_layouts(plain, *sides, 4)
    core = CORES[algorithm]
    geometry = conv.Conv2d(1, 2, 36, 36, (6, 6), (3, 3), (4, 4), (1, 1), (1, 1), (0, 0), *sides)
    x, w, y = (np.ones(shape, np.float32) for shape in (*shapes, plain.output_shape))
    x, y = laid_out(x, sides[0]), laid_out(y, sides[1])
    for call in (
        lambda: core.forward(geometry, x, w, None, False, y),
        lambda: core.grad_input(geometry, y, w, x),
        lambda: core.grad_weight(geometry, x, y, w),
    ):
        with pytest.raises(ValueError, match="fastconv"):
            call()


def test_unknown_layouts_are_refused():
    with pytest.raises(ValueError, match="not in"):
        conv.Conv2d(1, 1, 1, 1, (1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (0, 0), "CHWN", "NCHW")


def test_images_in_place_need_less_scratch():
    case = Case((1, 256, 56, 56), (64, 256, 1, 1))
    layouts = ("NCHW", "blocked"), ("blocked", "blocked")
    geometries = (geometry_of(case, sides, np.float32) for sides in layouts)
    packed, in_place = (implicit_gemm.workspace(g.core, False, "forward") for g in geometries)
    assert 0 < in_place < 4096 < packed


@pytest.mark.parametrize("algorithm", CORES)
def test_failing_allocations(algorithm):
    case = MORE["groups of whole blocks"]
    sides = "blocked", "blocked"
    g, arrays = geometry_of(case, sides, np.float32), drawn(case)
    for n in (1, 2, 3):
        with failing_allocation(n), pytest.raises(MemoryError):
            results(CORES[algorithm], g, sides, arrays)


@pytest.mark.parametrize("isa", [n for n, able in available_isas().items() if able])
def test_every_instruction_set(isa):
    code = """
import sys
sys.path[:0] = [r'%s', r'%s']
import numpy as np
from blocked_cases import MORE, check
sides = [('NCHW', 'blocked'), ('blocked', 'NHWC'), ('blocked', 'blocked')]
names = [*MORE, 'odd everything', 'grouped', 'tiles cut short', 'groups of tiles of five']
print(sum(check(name, dtype, sides) for name in names for dtype in (np.float32, np.float64)) > 300)
"""
    folders = tuple(map(str, (Path(__file__).parent, Path(__file__).parents[1])))
    assert output_of(code % folders, FASTCONV_ISA=isa) == "True"
