"""Winograd on the small images of a batch, side by side: which, how they agree, what they share."""

import numpy as np
import pytest
from conv_cases import CASES as TABLE
from conv_cases import Case
from conv_checks import (
    assert_packed_weights_convolve_alike,
    assert_right_for_any_number_of_threads,
    assert_stays_inside,
    normal,
)
from oracle import forward as oracle_forward
from oracle import gradients as oracle_gradients

import fastconv as fc
from fastconv._core.blocked import winograd as core
from fastconv._core.blocked import winograd_tiling
from fastconv.ops.algorithms import winograd

PASSES = ("forward", "grad_input", "grad_weight")
BATCHES = (1, 2, 3, 5, 17)
SIZES = [(13, 13), (14, 14), (5, 5), (6, 17)]

CASES = {
    "shared blocks": Case((17, 170, 13, 13), (96, 170, 3, 3), padding=1),
    "weights transformed on the way": Case((9, 300, 6, 10), (330, 300, 3, 3), padding=1),
    "a tall column of images": Case((40, 170, 5, 5), (40, 170, 3, 3), padding=1),
    "wide images in strips": Case((4, 40, 5, 601), (33, 40, 3, 3), padding=1),
    "groups": Case((11, 64, 9, 5), (66, 32, 3, 3), padding=((0, 2), (2, 1)), groups=2),
    "two taps": Case((6, 40, 11, 7), (40, 40, 2, 2), padding=((0, 1), (1, 0))),
}


def tiles_of(conv, which):
    return winograd_tiling(conv, False, which)[0]


def small(batch, size, channels=320, filters=320, **options):
    """A 3x3 convolution that keeps the images' size."""
    shape = (batch, channels, *size), (filters, channels, 3, 3)
    return Case(*shape, **{"padding": 1, **options})


def plain_tiles(case, which):
    """Tiles of 4x4 of each image by itself."""
    g = case.geometry()
    height, width = (
        (g.in_height, g.in_width) if which == "grad_input" else (g.out_height, g.out_width)
    )
    return g.batch * -(-height // 4) * -(-width // 4)


@pytest.mark.parametrize(("batch", "size", "tiles"), [(16, 13, 196), (4, 5, 9), (16, 14, 225)])
def test_small_images_share_tiles(batch, size, tiles):
    case = small(batch, (size, size))
    for which in PASSES:
        assert tiles_of(case.geometry().core, which) == tiles < plain_tiles(case, which)


@pytest.mark.parametrize("size", [7, 8, 27, 28, 56])
@pytest.mark.parametrize("batch", [1, 16])
def test_images_that_gain_nothing_stay_apart(batch, size):
    case = small(batch, (size, size))
    for which in PASSES:
        assert tiles_of(case.geometry().core, which) == plain_tiles(case, which)


def test_tiles_never_rise_nor_follow_the_threads():
    for batch in BATCHES:
        for size in range(3, 30):
            case = small(batch, (size, size + batch % 3))
            for which in PASSES:
                counts = set()
                for threads in (1, 2, 8):
                    with fc.num_threads(threads):
                        counts.add(tiles_of(case.geometry().core, which))
                (tiles,) = counts
                assert 0 < tiles <= plain_tiles(case, which)


def test_cost_features_count_shared_tiles():
    sixteen, one = (small(n, (13, 13)).geometry() for n in (16, 1))
    for which in PASSES:
        many, few = (winograd.features(g, np.dtype(np.float32), which) for g in (sixteen, one))
        assert many[0] / few[0] == many[1] / few[1] == 196 / 16
        assert many[2] == few[2]


@pytest.mark.parametrize("name", [n for n in TABLE if n.startswith("mosaic")])
def test_the_table_has_mosaics(name):
    g = TABLE[name].geometry()
    apart = Case((1, *TABLE[name].input[1:]), TABLE[name].weight, **TABLE[name].options).geometry()
    assert any(tiles_of(g.core, which) < g.batch * tiles_of(apart.core, which) for which in PASSES)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", BATCHES)
def test_odd_batches(batch, size, dtype, layout):
    """Bias, ReLU and all gradients against the oracle."""
    case = small(batch, size, 168, 162)
    x, w, b = case.arrays(dtype)
    g = case.geometry()
    y = oracle_forward(g, x, w, b)
    grad = np.random.default_rng(1).integers(-4, 5, y.shape).astype(dtype)
    expected = np.maximum(y, 0), *oracle_gradients(g, x, w, grad)[:2]
    if layout == "NHWC":
        x, grad = (np.ascontiguousarray(a.transpose(0, 2, 3, 1)) for a in (x, grad))
    how = {"algorithm": "winograd", "layout": layout, **case.options}
    mine = [fc.conv2d(x, w, b, activation="relu", **how)]
    mine += fc.conv2d_backward(grad, x, w, **how)[:2]
    if layout == "NHWC":
        mine[:2] = (a.transpose(0, 3, 1, 2) for a in mine[:2])
    for a, e in zip(mine, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=64 * np.finfo(dtype).eps * np.abs(e).max())


@pytest.mark.parametrize("name", CASES)
def test_the_same_bits_for_any_number_of_threads(name):
    assert_right_for_any_number_of_threads(CASES[name], "winograd")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_packed_weights_give_the_same_bits(name, dtype):
    assert_packed_weights_convolve_alike(core, CASES[name], dtype)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("name", CASES)
def test_mosaics_stay_inside(name, side):
    case = CASES[name]
    assert_stays_inside(core, case.geometry(), case.arrays(np.float32), side)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_scratch_is_bounded(name, dtype):
    assert 0 < winograd.workspace(CASES[name].geometry(), np.dtype(dtype)) <= 4 << 20


def run(images, weight, which):
    """One pass over images of 3x3 convolutions."""
    g = Case(images.shape, weight.shape, padding=1).geometry()
    result = np.empty_like(images)
    if which == "forward":
        core.forward(g.core, images, weight, None, False, result)
    else:
        core.grad_input(g.core, images, weight, result)
    return result


def alone(images, weight, which):
    """The same, each image in a call of its own."""
    return np.concatenate([run(image[None], weight, which) for image in images])


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("which", ["forward", "grad_input"])
def test_what_is_not_finite_stays_in_its_image(which, value, threads):
    """Next to a neighbour's edge; 3e38 is finite, but overflows within the transforms."""
    case = small(5, (13, 13))
    assert tiles_of(case.geometry().core, which) < plain_tiles(case, which)
    source, w = normal(case, np.float32, 4)
    source[1, :, -1, 3] = source[3, :, 0, 12] = value
    source[2, :, 6, 0] = -value

    with fc.num_threads(threads):
        joined, apart = run(source, w, which), alone(source, w, which)
    assert joined.tobytes() == apart.tobytes()
    finite = np.isfinite(joined).all((1, 2, 3))
    np.testing.assert_array_equal(finite, [True, False, False, False, True])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [0, 1e-4, 0.2, 5, 1e30])
@pytest.mark.parametrize("which", ["forward", "grad_input"])
def test_images_of_other_magnitudes_are_not_joined(which, factor, dtype):
    case = small(5, (13, 13))
    images, w = normal(case, dtype, 4)
    images = np.clip(images, -2, 2)
    assert run(images, w, which).tobytes() != alone(images, w, which).tobytes()
    for number in (0, 4):
        scaled = images.copy()
        scaled[number] *= dtype(factor)
        assert run(scaled, w, which).tobytes() == alone(scaled, w, which).tobytes()


def test_results_do_not_depend_on_other_images_beyond_rounding():
    case = small(16, (14, 14))
    x, w = normal(case, np.float32, 5)
    joined = fc.conv2d(x, w, padding=1, algorithm="winograd")
    apart = np.concatenate(
        [fc.conv2d(image[None], w, padding=1, algorithm="winograd") for image in x]
    )
    scale = fc.conv2d(abs(x), abs(w), padding=1, algorithm="direct")
    assert 0 < (np.abs(joined - apart) / scale).max() < 2 * winograd.LARGEST_ERROR
