"""FFT convolution: three passes against direct sums, its error bound, scratch and determinism."""

import doctest
import tracemalloc
from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

import fastconv as fc
from fastconv.ops.algorithms import fft
from fastconv.ops.algorithms.fft import axis as fft_axis
from fastconv.ops.algorithms.fft import plan as fft_plan
from fastconv.ops.algorithms.fft import products as fft_products
from fastconv.ops.algorithms.fft import spectra as fft_spectra
from fastconv.ops.algorithms.fft import threads as fft_threads

Pair = tuple[int, int]


def at(threads: int, run_pass: Any, *arguments: Any) -> None:
    """Run a pass with so many threads."""
    with fc.num_threads(threads):
        run_pass(*arguments)


def geometry_of(
    input_shape: tuple[int, int, int, int],
    weight_shape: tuple[int, int, int, int],
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
    groups: int = 1,
    channels_last: bool = False,
) -> Any:
    """The fields of a geometry that an algorithm reads, from logical (NCHW, OIHW) shapes."""
    batch, in_channels, *size = input_shape
    out_channels, _, *kernel = weight_shape
    out = [
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, k, s, d, p in zip(size, kernel, stride, dilation, padding, strict=True)
    ]
    return SimpleNamespace(
        batch=batch,
        in_channels=in_channels,
        in_height=size[0],
        in_width=size[1],
        out_channels=out_channels,
        kernel_height=kernel[0],
        kernel_width=kernel[1],
        out_height=out[0],
        out_width=out[1],
        stride=stride,
        dilation=dilation,
        padding=padding,
        groups=groups,
        channels_last=channels_last,
        is_plain=True,
    )


def shapes(g: Any) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Logical shapes of input, weight and output."""
    kernel = g.kernel_height, g.kernel_width
    return (
        (g.batch, g.in_channels, g.in_height, g.in_width),
        (g.out_channels, g.in_channels // g.groups, *kernel),
        (g.batch, g.out_channels, g.out_height, g.out_width),
    )


def direct(g: Any, x: Any, w: Any, dy: Any) -> tuple[Any, Any, Any]:
    """Output and gradients of input and weight as plain sums in extended precision; NCHW."""
    (top, bottom), (left, right) = g.padding
    x, w, dy = (a.astype(np.longdouble) for a in (x, w, dy))
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    span = [
        d * (k - 1) + 1 for d, k in zip(g.dilation, (g.kernel_height, g.kernel_width), strict=True)
    ]
    steps = (..., *(slice(None, None, s) for s in (*g.stride, *g.dilation)))
    windows = sliding_window_view(padded, span, axis=(2, 3))[steps]
    y, dpadded, dw = np.zeros_like(dy), np.zeros_like(padded), np.zeros_like(w)
    ins, outs = g.in_channels // g.groups, g.out_channels // g.groups
    for group in range(g.groups):
        c, k = slice(group * ins, (group + 1) * ins), slice(group * outs, (group + 1) * outs)
        y[:, k] = np.einsum("ncijrs,kcrs->nkij", windows[:, c], w[k])
        dw[k] = np.einsum("nkij,ncijrs->kcrs", dy[:, k], windows[:, c])
        for r, s in product(range(g.kernel_height), range(g.kernel_width)):
            rows = slice(r * g.dilation[0], None, g.stride[0])
            columns = slice(s * g.dilation[1], None, g.stride[1])
            target = dpadded[:, c, rows, columns][..., : g.out_height, : g.out_width]
            target += np.einsum("nkij,kc->ncij", dy[:, k], w[k, :, r, s])
    return y, dpadded[:, :, top : top + g.in_height, left : left + g.in_width], dw


def norms(planes: Any) -> Any:
    """Euclidean norm of each plane."""
    return np.sqrt((planes.astype(np.float64) ** 2).sum((2, 3)))


def bounds(g: Any, x: Any, w: Any, dy: Any) -> list[Any]:
    """The documented error bounds, with whole planes for tiles (which they are at least)."""
    split_x, split_dy = (norms(a).reshape(g.batch, g.groups, -1) for a in (x, dy))
    split_w = norms(w).reshape(g.groups, -1, w.shape[1])
    scales = (
        np.einsum("ngc,gkc->ngk", split_x, split_w).reshape(g.batch, -1),
        np.einsum("ngk,gkc->ngc", split_dy, split_w).reshape(g.batch, -1),
        np.einsum("ngk,ngc->gkc", split_dy, split_x).reshape(w.shape[:2]),
    )
    return [
        fft.bound_of(g, x.dtype, pass_) * scale[..., None, None]
        for pass_, scale in zip(fft_plan.PASSES, scales, strict=True)
    ]


def run(g: Any, x: Any, w: Any, dy: Any, threads: int = 1) -> list[Any]:
    """All three passes of NCHW arrays, through the geometry's layout, into arrays of NaN."""

    def laid_out(planes: Any) -> Any:
        planes = planes.transpose(0, 2, 3, 1) if g.channels_last else planes
        planes = np.ascontiguousarray(planes)
        planes.flags.writeable = False
        return planes

    x, dy, w = laid_out(x), laid_out(dy), w.copy()
    w.flags.writeable = False
    results = [np.full(a.shape, np.nan, a.dtype) for a in (dy, x, w)]
    at(threads, fft.forward, g, x, w, None, False, results[0])
    at(threads, fft.grad_input, g, dy, w, results[1])
    at(threads, fft.grad_weight, g, x, dy, results[2])
    if g.channels_last:
        results[:2] = [a.transpose(0, 3, 1, 2) for a in results[:2]]
    return results


def numbers(g: Any, dtype: Any, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes(g)]


def check(g: Any, dtype: Any, seed: int = 0) -> None:
    """Run all passes and hold them to the documented bound."""
    x, w, dy = numbers(g, dtype, seed)
    for pass_, result, expected, bound in zip(
        fft_plan.PASSES,
        run(g, x, w, dy),
        direct(g, x, w, dy),
        bounds(g, x, w, dy),
        strict=True,
    ):
        error = np.abs(result - expected)
        assert (error <= bound).all(), f"{pass_} of {g}: {(error / bound).max()} of the bound"


GEOMETRIES = {
    "one_pixel": geometry_of((1, 1, 1, 1), (1, 1, 1, 1)),
    "1x1_kernel": geometry_of((2, 3, 9, 11), (4, 3, 1, 1)),
    "1x1_kernel_stride": geometry_of((2, 3, 9, 11), (4, 3, 1, 1), stride=(3, 2)),
    "1x1_kernel_dilation": geometry_of((2, 3, 9, 11), (4, 3, 1, 1), dilation=(7, 2)),
    "notes": geometry_of((1, 1, 4, 4), (1, 1, 3, 3), padding=((1, 1), (1, 1))),
    "kernel_is_image": geometry_of((3, 4, 7, 6), (5, 4, 7, 6)),
    "kernel_beyond_image": geometry_of((2, 2, 3, 2), (3, 2, 7, 8), padding=((3, 4), (5, 3))),
    "even_kernel": geometry_of((2, 2, 12, 9), (3, 2, 4, 2), padding=((1, 2), (0, 1))),
    "stride": geometry_of((2, 3, 17, 20), (4, 3, 5, 3), (2, 3), padding=((2, 1), (0, 2))),
    "stride_beyond_kernel": geometry_of((2, 2, 23, 19), (3, 2, 2, 3), (5, 7)),
    "stride_beyond_image": geometry_of((2, 2, 5, 6), (3, 2, 3, 3), (50, 60)),
    "dilation": geometry_of((2, 2, 21, 24), (3, 2, 3, 4), (1, 1), (3, 5)),
    "dilation_beyond_output": geometry_of((1, 2, 22, 9), (3, 2, 3, 3), (1, 1), (9, 4)),
    "stride_and_dilation": geometry_of((2, 2, 30, 31), (3, 2, 5, 4), (4, 3), (6, 2)),
    "stride_is_dilation": geometry_of((2, 2, 16, 16), (2, 2, 3, 3), (2, 3), (2, 3)),
    "padding_alone": geometry_of((1, 1, 2, 2), (1, 1, 2, 2), padding=((6, 1), (0, 9))),
    "padding_beyond_dilation": geometry_of(
        (2, 2, 6, 5), (2, 2, 3, 3), (2, 1), (3, 2), ((9, 0), (1, 8))
    ),
    "groups": geometry_of((2, 6, 11, 12), (9, 2, 3, 3), groups=3),
    "groups_stride": geometry_of((2, 6, 14, 12), (4, 3, 3, 5), (2, 2), groups=2),
    "depthwise": geometry_of((2, 7, 15, 13), (7, 1, 5, 3), padding=((2, 2), (1, 1)), groups=7),
    "depthwise_multiplier": geometry_of((2, 4, 15, 13), (12, 1, 3, 3), (2, 1), groups=4),
    "nhwc": geometry_of((3, 5, 12, 17), (4, 5, 3, 5), padding=((1, 0), (2, 1)), channels_last=True),
    "nhwc_groups": geometry_of(
        (2, 6, 14, 12), (4, 3, 3, 5), (2, 1), (1, 2), groups=2, channels_last=True
    ),
    "wide": geometry_of((1, 1, 3, 3001), (2, 1, 2, 5)),
    "tall": geometry_of((1, 2, 2111, 2), (1, 2, 9, 1), padding=((4, 4), (0, 1))),
    "one_row": geometry_of((2, 3, 1, 400), (3, 3, 1, 31), padding=((0, 0), (15, 15))),
    "tiles": geometry_of((1, 2, 130, 170), (3, 2, 5, 7), padding=((2, 2), (3, 3))),
    "tiles_stride": geometry_of((2, 3, 160, 130), (8, 3, 7, 7), (2, 2), padding=((3, 3), (3, 3))),
    "channels": geometry_of((3, 20, 6, 6), (24, 20, 3, 3), padding=((1, 1), (1, 1))),
    "one_image": geometry_of((1, 40, 6, 6), (30, 40, 3, 3), padding=((1, 1), (1, 1))),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("g", GEOMETRIES.values(), ids=GEOMETRIES)
def test_three_passes(g: Any, dtype: Any) -> None:
    check(g, dtype)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Plans whose every dimension is cut, whose tiles are small, and whose products are split."""

    def tilings(axis: fft_axis.Axis) -> list[fft_axis.Axis]:
        return [axis.tiled(min(3, axis.outs))]

    def forget() -> None:
        fft_plan._shortlist.cache_clear()
        fft_plan._cheapest.cache_clear()

    monkeypatch.setattr(fft_axis.Axis, "tilings", tilings)
    monkeypatch.setattr(fft_plan, "WEIGHT_BYTES", 700)
    monkeypatch.setattr(fft_plan, "TILE_BYTES", 500)
    monkeypatch.setattr(fft_products, "SLICE_BYTES", 300)
    monkeypatch.setattr(fft_plan, "LEAST_BYTES", 100)
    monkeypatch.setattr(fft_products, "_SERIAL_GEMM", 40)
    monkeypatch.setattr(fft_products, "_SERIAL_GEMV", 6)
    monkeypatch.setattr(fft_products, "_FEW", 8)
    forget()
    yield
    forget()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("g", GEOMETRIES.values(), ids=GEOMETRIES)
def test_three_passes_in_small_blocks(g: Any) -> None:
    check(g, np.float64)


@pytest.mark.usefixtures("small_blocks")
def test_small_blocks_cut_every_dimension() -> None:
    g = GEOMETRIES["groups"]
    for pass_ in fft_plan.PASSES:
        plan = fft_plan.make_plan(g, np.float64, pass_)
        assert plan.sites > 1
        assert plan.tile_block < plan.batch * plan.sites
        assert plan.group_block < plan.groups
    for pass_, name in ("forward", "out"), ("grad_input", "in"), ("grad_weight", "out"):
        plan = fft_plan.make_plan(GEOMETRIES["one_image"], np.float64, pass_)
        assert plan.in_block < plan.in_channels
        assert getattr(plan, f"{name}_block") < getattr(plan, f"{name}_channels")


PAIRS = st.tuples(st.integers(1, 5), st.integers(1, 5))
EDGES = st.tuples(st.integers(0, 4), st.integers(0, 4))


@settings(max_examples=80, deadline=None)
@given(
    batch=st.integers(1, 3),
    groups=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    size=st.tuples(st.integers(1, 25), st.integers(1, 25)),
    kernel=PAIRS,
    stride=PAIRS,
    dilation=PAIRS,
    padding=st.tuples(EDGES, EDGES),
    channels_last=st.booleans(),
)
def test_any_geometry(
    batch: int,
    groups: int,
    channels: Pair,
    size: Pair,
    kernel: Pair,
    stride: Pair,
    dilation: Pair,
    padding: tuple[Pair, Pair],
    channels_last: bool,
) -> None:
    g = geometry_of(
        (batch, groups * channels[0], *size),
        (groups * channels[1], channels[0], *kernel),
        *(stride, dilation, padding, groups, channels_last),
    )
    assume(min(g.out_height, g.out_width) > 0)
    check(g, np.float64)


def test_bias_and_relu() -> None:
    for g in GEOMETRIES["groups"], GEOMETRIES["nhwc"], GEOMETRIES["tiles"]:
        x, w, dy = numbers(g, np.float64)
        bias = np.random.default_rng(1).standard_normal(g.out_channels)
        axes = (0, 2, 3, 1) if g.channels_last else (0, 1, 2, 3)
        expected = np.maximum(direct(g, x, w, dy)[0] + bias[:, None, None], 0).transpose(axes)
        output = np.full(expected.shape, np.nan)
        at(1, fft.forward, g, np.ascontiguousarray(x.transpose(axes)), w, bias, True, output)
        np.testing.assert_allclose(output, expected.astype(np.float64), atol=1e-12)
        assert (output == 0).any()


def _patterns(shape: tuple[int, ...]) -> dict[str, Any]:
    """Planes on which transforms err differently: noise, one sign, peaks, decay, one frequency."""
    rng = np.random.default_rng(5)
    rows, columns = np.ogrid[: shape[2], : shape[3]]
    noise = rng.standard_normal(shape)
    return {
        "noise": noise,
        "positive": rng.random(shape),
        "ones": np.ones(shape),
        "peaks": noise + 1e3 * (rng.random(shape) < 2 / (shape[2] * shape[3])),
        "decay": np.exp(-12 * (rows / shape[2] + columns / shape[3])) + np.zeros(shape),
        "wave": np.cos(2.1 * columns) * np.cos(1.3 * rows) + np.zeros(shape),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "g",
    [
        geometry_of((64, 1, 3, 3), (1, 1, 1, 3)),
        geometry_of((1, 1, 1, 3), (1, 1, 1, 2)),
        geometry_of((1, 1, 30, 20), (2, 1, 11, 9)),
        geometry_of((1, 100, 5, 5), (20, 100, 3, 3)),
        geometry_of((2, 3, 16, 16), (2, 3, 5, 5), (2, 2)),
    ],
    ids=["rows", "line", "large_kernel", "channels", "stride"],
)
def test_error_bound(g: Any, dtype: Any) -> None:
    worst = 0.0
    inputs, weights, grads = (_patterns(shape) for shape in shapes(g))
    for pattern, kernel in product(inputs, weights):
        arrays = (inputs[pattern], weights[kernel], grads[pattern])
        x, w, dy = (a.astype(dtype) for a in arrays)
        for result, expected, bound in zip(
            run(g, x, w, dy), direct(g, x, w, dy), bounds(g, x, w, dy), strict=True
        ):
            worst = max(worst, float((np.abs(result - expected) / bound).max()))
    assert 0.02 < worst < 1, f"{worst} of the bound"


def test_error_bound_is_the_largest_of_the_passes() -> None:
    g = GEOMETRIES["tiles_stride"]
    each = [fft.bound_of(g, np.float32, pass_) for pass_ in fft_plan.PASSES]
    assert fft.error_bound(g, np.float32)[0] == max(each)
    assert 1e-6 < max(each) < 1e-4


LARGE = {
    "large_image": geometry_of((1, 3, 900, 1100), (8, 3, 15, 15)),
    "large_batch": geometry_of((64, 8, 40, 40), (16, 8, 3, 3), padding=((1, 1), (1, 1))),
    "many_channels": geometry_of((2, 128, 20, 20), (192, 128, 5, 5), padding=((2, 2), (2, 2))),
    "strides": geometry_of((4, 3, 224, 224), (32, 3, 11, 11), (4, 4)),
    "depthwise": geometry_of((2, 64, 56, 56), (64, 1, 7, 7), groups=64),
    "large_kernel": geometry_of((1, 2, 700, 700), (2, 2, 400, 400)),
}


@pytest.mark.parametrize("g", LARGE.values(), ids=LARGE)
def test_workspace(g: Any) -> None:
    x, w, dy = numbers(g, np.float32)
    y, dx, dw = (np.empty_like(a) for a in (dy, x, w))
    passes = (
        lambda threads: at(threads, fft.forward, g, x, w, None, False, y),
        lambda threads: at(threads, fft.grad_input, g, dy, w, dx),
        lambda threads: at(threads, fft.grad_weight, g, x, dy, dw),
    )
    peaks = []
    bound = fft.workspace(g, np.float32)
    for run_pass, threads in product(passes, (1, 8)):
        tracemalloc.start()
        run_pass(threads)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert bound / 6 < max(peaks) <= bound <= fft_plan.SCRATCH_LIMIT


def test_workspace_does_not_grow_with_the_image() -> None:
    for size in (10**3, 10**4, 10**6):
        for kernel in (3, 100):
            g = geometry_of((8, 64, size, size), (64, 64, kernel, kernel))
            assert fft.workspace(g, np.float64) <= fft_plan.SCRATCH_LIMIT


def check_threads(g: Any, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold the results of 2, 3 and 8 threads to be those of one, bit for bit."""
    monkeypatch.setattr(fft_spectra, "_TOO_SHORT", 0)
    arrays = numbers(g, dtype)
    first = run(g, *arrays, threads=1)
    for threads in (2, 3, 8):
        for one, other in zip(first, run(g, *arrays, threads=threads), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["large_batch", "strides", "depthwise"])
def test_threads_are_bit_identical(name: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for pass_ in fft_plan.PASSES:
        assert fft_plan.make_plan(LARGE[name], dtype, pass_).lanes > 1
    check_threads(LARGE[name], dtype, monkeypatch)


def test_threads_are_bit_identical_within_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    g = geometry_of((1, 96, 12, 12), (96, 96, 3, 3), padding=((1, 1), (1, 1)))
    assert fft_plan.make_plan(g, np.float32, "forward").lanes == 1
    check_threads(g, np.float32, monkeypatch)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", ["tiles_stride", "notes", "groups", "nhwc_groups", "wide"])
def test_threads_are_bit_identical_in_small_blocks(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_threads(GEOMETRIES[name], np.float64, monkeypatch)


def test_nan_spreads_over_its_tile_only() -> None:
    g = geometry_of((2, 1, 300, 300), (1, 1, 3, 3))
    plan = fft_plan.make_plan(g, np.float32, "forward")
    assert plan.rows.tiles * plan.columns.tiles > 1
    x, w, dy = numbers(g, np.float32)
    clean = np.empty_like(dy)
    at(1, fft.forward, g, x, w, None, False, clean)
    x[0, 0, 0, 0] = np.nan
    dirty = np.empty_like(dy)
    at(1, fft.forward, g, x, w, None, False, dirty)
    assert np.isnan(dirty[0, 0, : plan.rows.tile, : plan.columns.tile]).all()
    dirty[0, 0, : plan.rows.tile, : plan.columns.tile] = 0
    clean[0, 0, : plan.rows.tile, : plan.columns.tile] = 0
    np.testing.assert_array_equal(dirty, clean)


def test_rejects() -> None:
    g = GEOMETRIES["notes"]
    assert fft.rejects(g, np.dtype(np.float32)) is None
    assert fft.rejects(g, np.float64) is None
    assert "int32" in str(fft.rejects(g, np.int32))
    for field in "batch", "in_channels", "out_channels", "out_height":
        empty = SimpleNamespace(**{**vars(g), field: 0})
        assert "size is 0" in str(fft.rejects(empty, np.float32))


def test_flops() -> None:
    g = geometry_of((1, 2, 4, 4), (3, 2, 4, 4))
    transforms = (2 + 6 + 3) * 2.5 * 16 * 4
    products = 6 * (4 * 3) * 8
    for pass_ in fft_plan.PASSES:
        assert fft.flops(g, np.float32, pass_) == transforms + products
        assert fft.features(g, np.float32, pass_)[0] > 0


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", ["groups_stride", "one_image", "stride_and_dilation", "notes"])
def test_planes_are_the_transforms_done(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    g = GEOMETRIES[name]
    planes = 0

    def counted(function: Any, axes: int) -> Any:
        def call(array: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal planes
            planes += int(np.prod(array.shape[:-axes]))
            return function(array, *args, **kwargs)

        return call

    monkeypatch.setattr(fft_spectra, "transform", counted(fft_spectra.transform, 2))
    monkeypatch.setattr(fft_spectra, "inverse", counted(fft_spectra.inverse, 1))
    run(g, *numbers(g, np.float64))
    plans = [fft_plan.make_plan(g, np.float64, pass_) for pass_ in fft_plan.PASSES]
    assert planes == sum(sum(plan.planes()) for plan in plans)


def test_groups_are_cut_before_channels() -> None:
    """A block of groups costs nothing; a block of channels transforms something again."""
    for g in (
        geometry_of((8, 512, 20, 20), (512, 128, 5, 5), groups=4),
        geometry_of((1, 1024, 6, 6), (1024, 256, 5, 5), groups=4),
    ):
        for pass_ in fft_plan.PASSES:
            plan = fft_plan.make_plan(g, np.float32, pass_)
            assert plan.group_block < plan.groups
            assert plan.in_block == plan.in_channels
            assert plan.out_block == plan.out_channels


def test_strides_and_dilations_cost_what_their_products_cost() -> None:
    plain = geometry_of((4, 8, 128, 128), (8, 8, 9, 9))
    stride = geometry_of((4, 8, 128, 128), (8, 8, 9, 9), stride=(2, 2))
    dilation = geometry_of((4, 8, 128, 128), (8, 8, 9, 9), dilation=(2, 2))
    work = [fft.flops(g, np.float32, "forward") for g in (plain, stride, dilation)]
    assert work[1] < 0.8 * work[0]
    assert work[2] < 1.2 * work[0]


@pytest.mark.parametrize("module", [fft, fft_axis, fft_threads])
def test_examples(module: Any) -> None:
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0
