"""Images that stay blocked: conversion, and conv2d_blocked, the door for whoever keeps them."""

import doctest

import numpy as np
import pytest
from blocked_cases import laid_out, spare_lanes
from helpers import assert_threads_agree, guarded

import fastconv as fc
from fastconv._core import images as core
from fastconv.ops import blocked
from fastconv.ops.algorithms.select import estimate, load
from fastconv.ops.blocked import BlockedImages, conv2d_blocked, prepack_blocked
from fastconv.ops.geometry import conv2d_geometry, with_layouts

SHAPES = [
    (1, 1, 1, 1), (2, 3, 5, 7), (1, 16, 4, 4), (3, 20, 9, 2), (1, 50, 1, 33), (2, 33, 130, 61),
    (0, 4, 3, 3), (2, 0, 3, 3), (1, 5, 0, 4), (1, 5, 4, 0),
]  # fmt: skip


def numbers(shape, dtype=np.float32):
    return np.random.default_rng(1).standard_normal(shape).astype(dtype)


def test_examples_are_true():
    assert doctest.testmod(blocked).failed == 0


# ---- conversion ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_there_and_back(shape, dtype, layout):
    planes = numbers(shape, dtype)
    plain = laid_out(planes, layout)
    images = BlockedImages.from_plain(plain, layout)
    assert images.shape == shape
    assert images.dtype == dtype
    np.testing.assert_array_equal(images.array, laid_out(planes, "blocked"))
    np.testing.assert_array_equal(images.to_plain(layout), plain)
    np.testing.assert_array_equal(images.to_plain(), planes)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES[:6])
def test_conversion_stays_inside(shape, dtype, layout, side):
    planes = numbers(shape, dtype)
    plain, expected = laid_out(planes, layout), laid_out(planes, "blocked")
    to, back = (guarded(np.full_like(a, np.nan), side) for a in (expected, plain))
    core.to_blocked(guarded(plain, side), layout, to)
    np.testing.assert_array_equal(to, expected)
    core.from_blocked(to, layout, back)
    np.testing.assert_array_equal(back, plain)


def test_conversion_by_any_number_of_threads():
    planes = numbers(SHAPES[5])
    assert_threads_agree(lambda: BlockedImages.from_plain(planes).array)


def test_the_core_checks_sizes():
    plain, blocked_images = np.ones((1, 3, 4, 4), np.float32), np.ones(17, np.float32)
    for call in (core.to_blocked, core.from_blocked):
        arrays = (plain, "NCHW", blocked_images)
        with pytest.raises(ValueError, match="needs"):
            call(*(arrays if call is core.to_blocked else arrays[::-1]))
    with pytest.raises(ValueError, match="four axes"):
        core.to_blocked(plain[0], "NCHW", blocked_images)
    with pytest.raises(ValueError, match="fastconv"):
        core.to_blocked(plain, "blocked", BlockedImages.from_plain(plain).array)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [(lambda a: a[0], ValueError, "shape"), (lambda a: a[:, :1], ValueError, "shape"),
     (lambda a: a[..., :1], ValueError, "shape"), (lambda a: a[:, :, ::2], ValueError, "contiguous"),
     (lambda a: a.astype(np.float16), TypeError, "float16"), (lambda a: a.tolist(), TypeError, "list")],
)  # fmt: skip
def test_what_is_no_blocked_image_is_refused(change, error, text):
    images = BlockedImages.from_plain(numbers((2, 40, 4, 4)))
    with pytest.raises(error, match=text):
        BlockedImages(change(images.array), 40)


def test_layouts_of_conversion_are_checked():
    with pytest.raises(ValueError, match="layout: expected 'NCHW', 'NHWC', got 'blocked'"):
        BlockedImages.from_plain(numbers((1, 1, 2, 2)), "blocked")
    with pytest.raises(ValueError, match="4 dimensions"):
        BlockedImages.from_plain(numbers((1, 2, 2)))
    with pytest.raises(ValueError, match="layout"):
        BlockedImages.from_plain(numbers((1, 1, 2, 2))).to_plain("CHWN")


# ---- convolution ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("first", ["NCHW", "NHWC"])
@pytest.mark.parametrize("last", ["NCHW", "NHWC"])
def test_a_network_that_keeps_its_activations_blocked(first, last, dtype):
    """Three channels in, tails of channels between, a stride: as conv2d layer by layer."""
    x = numbers((2, 3, 20, 18), dtype)
    layers = [
        ((20, 3, 3, 3), 1, 1),
        ((70, 20, 3, 3), 2, 1),
        ((70, 70, 3, 3), 1, 1),
        ((11, 70, 1, 1), 1, 0),
    ]
    expected, hidden, layout = x, laid_out(x, first), first
    for i, (shape, stride, padding) in enumerate(layers):
        w, b = numbers(shape, dtype) / 8, numbers(shape[:1], dtype)
        options = {"stride": stride, "padding": padding, "activation": "relu"}
        expected = fc.conv2d(expected, w, b, **options, algorithm="direct")
        output_layout = last if i == len(layers) - 1 else "blocked"
        hidden = conv2d_blocked(hidden, w, b, layout=layout, output_layout=output_layout, **options)
        if output_layout == "blocked":
            assert hidden.shape == expected.shape
            assert not spare_lanes(hidden.array, shape[0]).any()
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(
        hidden, laid_out(expected, last), rtol=0, atol=1e3 * eps * expected.max()
    )


@pytest.mark.parametrize("algorithm", ["implicit_gemm", "winograd"])
def test_packed_weights_give_the_same_bits(algorithm):
    images, w, b = (
        BlockedImages.from_plain(numbers((1, 48, 9, 9))),
        numbers((40, 48, 3, 3)),
        numbers(40),
    )
    plain = conv2d_blocked(images, w, b, padding=1, algorithm=algorithm)
    for packed in (
        prepack_blocked(w, images.shape, padding=1, algorithm=algorithm),
        fc.prepack_conv2d_weight(w, images.shape, padding=1, algorithm=algorithm),
    ):
        mine = conv2d_blocked(images, packed, b, padding=1)
        assert mine.array.tobytes() == plain.array.tobytes()
    with pytest.raises(ValueError, match="packed for"):
        conv2d_blocked(images, packed, b, padding=1, algorithm="direct")


def test_weights_that_nchw_reads_as_they_are_are_packed_for_blocked_images():
    x, w = numbers((1, 32, 16, 16)), numbers((24, 32, 1, 1))
    images, packed = BlockedImages.from_plain(x), prepack_blocked(w, x.shape)
    as_it_is = fc.prepack_conv2d_weight(w, x.shape, algorithm="implicit_gemm")
    results = [conv2d_blocked(images, each).array for each in (packed, as_it_is, w)]
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()
    with pytest.raises(ValueError, match="another order"):
        fc.conv2d(x, packed)


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (2, 3, 8, 8)])
def test_nothing_to_compute(shape):
    filters = 0 if shape[0] else 4
    y = conv2d_blocked(numbers(shape), numbers((filters, 3, 3, 3)))
    assert y.shape == (shape[0], filters, 6, 6)
    assert y.to_plain().size == 0


def test_float16_is_taken_as_float32():
    x, w = (numbers(shape).astype(np.float16) for shape in ((1, 3, 4, 4), (5, 3, 1, 1)))
    y = conv2d_blocked(x, w, output_layout="NCHW")
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, fc.conv2d(x, w), rtol=1e-2)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"output_layout": "CHWN"}, ValueError, "output_layout"),
        ({"layout": "blocked"}, ValueError, "layout"),
        ({"algorithm": "fft"}, ValueError, "both sides alike"),
        ({"algorithm": "none"}, ValueError, "algorithm"),
        ({"activation": "tanh"}, ValueError, "activation"),
        ({"groups": 2}, ValueError, "groups"),
        ({"bias": np.ones(3, np.float32)}, ValueError, "bias"),
        ({"weight": np.ones((5, 6, 3, 3))}, TypeError, "weight"),
        ({"images": np.ones((6, 8, 8), np.float32)}, ValueError, "images"),
        (
            {"images": np.ones((1, 0, 8, 8)), "weight": np.ones((5, 0, 3, 3))},
            ValueError,
            "at least one channel",
        ),
    ],
)
def test_arguments_are_checked(change, error, text):
    given = {"images": numbers((1, 6, 8, 8)), "weight": numbers((5, 6, 3, 3)), **change}
    with pytest.raises(error, match=text):
        conv2d_blocked(given.pop("images"), given.pop("weight"), given.pop("bias", None), **given)


def test_layouts_count_as_arrays_of_their_own_only():
    """Blocked images say what they are, whatever `layout` is."""
    images, w = BlockedImages.from_plain(numbers((1, 6, 8, 8))), numbers((5, 6, 3, 3))
    assert conv2d_blocked(images, w, layout="NHWC").shape == (1, 5, 6, 6)


def test_no_packing_is_charged_where_there_is_none():
    gemm, dtype = load("implicit_gemm"), np.dtype(np.float32)
    plain = conv2d_geometry((1, 64, 56, 56), (256, 64, 1, 1), 1, 0, 1, 1, "NCHW")
    inside = with_layouts(plain, "blocked", "blocked", 4)
    assert gemm.features(inside, dtype, "forward")[1:3] == [0, 0]
    assert gemm.features(inside, dtype, "grad_input")[1:3] == [0, 0]
    last = with_layouts(plain, "blocked", "NCHW", 4)
    assert gemm.features(last, dtype, "forward")[1:3] == [0, 256 * 56 * 56]
    assert gemm.features(last, dtype, "grad_input")[1:3] == [256 * 56 * 56, 0]
    how = dtype, "forward", "avx512", 2
    assert estimate(gemm, inside, *how) < estimate(gemm, last, *how)
    assert estimate(gemm, inside, *how) < estimate(gemm, plain, *how)
