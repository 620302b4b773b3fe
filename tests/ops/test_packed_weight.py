"""Prepacked weights: the bits of the plain call, or an error that says what to do."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conv_cases import CASES, PAIRS

import fastconv as fc
from fastconv.ops.algorithms.select import ALGORITHMS

PACKING = ("implicit_gemm", "winograd")


def numbers(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "algorithm"), PAIRS)
def test_results_are_the_bits_of_the_plain_call(name, algorithm, dtype, layout):
    case = CASES[name]
    x, w, b = numbers(case.input, dtype), numbers(case.weight, dtype, 1), numbers(case.weight[0])
    if layout == "NHWC":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    how = {**case.options, "layout": layout}
    packed = fc.prepack_conv2d_weight(w, x.shape, algorithm=algorithm, **how)
    plain = fc.conv2d(x, w, b.astype(dtype), algorithm=algorithm, activation="relu", **how)
    for asked in "auto", packed.algorithm:
        y = fc.conv2d(x, packed, b.astype(dtype), algorithm=asked, activation="relu", **how)
        assert y.tobytes() == plain.tobytes()


@pytest.mark.parametrize("algorithm", PACKING)
@pytest.mark.parametrize(
    ("shape", "padding", "layout"),
    [
        ((3, 20, 6, 7), 1, "NCHW"),
        ((1, 20, 40, 33), 0, "NCHW"),
        ((2, 20, 9, 9), ((2, 0), (1, 3)), "NCHW"),
        ((2, 11, 9, 20), 1, "NHWC"),
        ((0, 20, 9, 9), 1, "NCHW"),
    ],
)
def test_other_batches_sizes_paddings_and_layouts(algorithm, shape, padding, layout):
    w = numbers((33, 20, 3, 3))
    packed = fc.prepack_conv2d_weight(w, (1, 20, 12, 12), padding=1, algorithm=algorithm)
    assert packed.nbytes > w.nbytes
    x = numbers(shape)
    how = {"padding": padding, "layout": layout, "algorithm": algorithm}
    assert fc.conv2d(x, packed, **how).tobytes() == fc.conv2d(x, w, **how).tobytes()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_holds_a_copy_that_nobody_changes(algorithm):
    x, w = numbers((1, 3, 9, 9)), numbers((4, 3, 3, 3))
    expected = fc.conv2d(x, w, algorithm=algorithm)
    packed = fc.prepack_conv2d_weight(w, x.shape, algorithm=algorithm)
    w[...] = 0
    np.testing.assert_array_equal(fc.conv2d(x, packed), expected)
    for name in "shape", "dtype", "algorithm", "nbytes", "other":
        with pytest.raises(AttributeError):
            setattr(packed, name, None)
    assert packed.shape == (4, 3, 3, 3)
    assert packed.dtype == np.float32
    assert packed.algorithm == algorithm
    assert packed.nbytes >= w.nbytes
    assert repr(packed) == (
        f"PackedConv2dWeight(shape=(4, 3, 3, 3), dtype=float32, algorithm={algorithm!r}, "
        f"nbytes={packed.nbytes})"
    )


def test_half_precision_and_array_likes():
    x, w = numbers((1, 3, 9, 9), np.float16), numbers((4, 3, 3, 3), np.float16)
    packed = fc.prepack_conv2d_weight(w, x.shape)
    assert packed.dtype == np.float32
    y = fc.conv2d(x, packed)
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y, fc.conv2d(x, w))
    lists = fc.prepack_conv2d_weight(w.astype(float)[:, :, ::-1].tolist(), list(x.shape), [1, 1])
    assert lists.dtype == np.float64


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 4, 9, 9), {"stride": 2}, r"stride \(1, 1\), got \(2, 2\)"),
        ((1, 4, 9, 9), {"dilation": (1, 2)}, r"dilation \(1, 1\), got \(1, 2\)"),
        ((1, 8, 9, 9), {"groups": 2}, "groups 1, got 2"),
        ((1, 6, 9, 9), {}, r"shape\[1\] = in_channels / groups = 6"),
        ((1, 4, 2, 2), {}, r"kernel spans \(3, 3\)"),
    ],
)
def test_another_geometry_is_refused(algorithm, shape, options, message):
    packed = fc.prepack_conv2d_weight(numbers((6, 4, 3, 3)), (1, 4, 9, 9), algorithm=algorithm)
    with pytest.raises(ValueError, match=message):
        fc.conv2d(numbers(shape), packed, **options)


def test_refusals_say_what_to_do():
    packed = fc.prepack_conv2d_weight(numbers((6, 4, 3, 3)), (1, 4, 9, 9), algorithm="direct")
    x = numbers((1, 4, 9, 9))
    with pytest.raises(ValueError, match=r"dtype float32, got float64; .*prepack_conv2d_weight"):
        fc.conv2d(x.astype(float), packed)
    with pytest.raises(ValueError, match=r"algorithm: expected 'auto' or 'direct'.*got 'winograd'"):
        fc.conv2d(x, packed, algorithm="winograd")
    with pytest.raises(TypeError, match="plain array"):
        fc.conv2d_backward(np.ones((1, 6, 7, 7), np.float32), x, packed)
    with pytest.raises(TypeError, match="plain array"):
        fc.prepack_conv2d_weight(packed, x.shape)
    with pytest.raises(TypeError, match="plain array"):
        np.asarray(packed)
    with pytest.raises(ValueError, match="can't do this problem"):
        fc.prepack_conv2d_weight(numbers((6, 4, 1, 1)), x.shape, algorithm="winograd")


def test_an_image_that_the_algorithm_reads_in_another_order():
    """1x1 kernels: small planes read packed weights, large ones the weight as it is."""
    w = numbers((32, 48, 1, 1))
    small, large = numbers((1, 48, 3, 3)), numbers((1, 48, 32, 32))
    packed = fc.prepack_conv2d_weight(w, small.shape, algorithm="implicit_gemm")
    with pytest.raises(ValueError, match=r"input \(1, 48, 3, 3\), got \(1, 48, 32, 32\)"):
        fc.conv2d(large, packed)
    plain = fc.prepack_conv2d_weight(w, large.shape, algorithm="implicit_gemm")
    for x in small, large:
        expected = fc.conv2d(x, w, algorithm="implicit_gemm")
        assert fc.conv2d(x, plain).tobytes() == expected.tobytes()


def test_an_image_beyond_the_algorithm():
    packed = fc.prepack_conv2d_weight(numbers((1, 1, 50, 50)), (1, 1, 50, 50), algorithm="direct")
    with pytest.raises(ValueError, match=r"'direct', got a call that it can't do: .*scratch"):
        fc.conv2d(numbers((1, 1, 200, 200)), packed)


def test_weights_that_grow_too_much_are_kept_plain():
    w = np.zeros((512, 512, 3, 3), np.float32)
    packed = fc.prepack_conv2d_weight(w, (1, 512, 7, 7), padding=1, algorithm="winograd")
    assert packed.nbytes == w.nbytes


@pytest.mark.parametrize("shape", [(0, 3, 3, 3), (4, 0, 3, 3)])
@pytest.mark.parametrize("algorithm", ["auto", *PACKING])
def test_nothing_to_sum(shape, algorithm):
    x = np.ones((2, shape[1], 5, 5), np.float32)
    packed = fc.prepack_conv2d_weight(np.ones(shape, np.float32), x.shape, algorithm=algorithm)
    assert fc.conv2d(x, packed).shape == (2, shape[0], 3, 3)


def test_copies_are_the_same_and_pickles_are_refused():
    packed = fc.prepack_conv2d_weight(numbers((6, 4, 3, 3)), (1, 4, 9, 9))
    assert copy.copy(packed) is packed
    assert copy.deepcopy(packed) is packed
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(packed)


@pytest.mark.parametrize("algorithm", PACKING)
def test_threads_share_one(algorithm):
    w = numbers((33, 20, 3, 3))
    packed = fc.prepack_conv2d_weight(w, (1, 20, 9, 9), algorithm=algorithm)
    inputs = [numbers((1 + i % 3, 20, 9 + i % 4, 12), seed=i) for i in range(24)]
    expected = [fc.conv2d(x, w, algorithm=algorithm) for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        for y, other in zip(
            pool.map(lambda x: fc.conv2d(x, packed), inputs), expected, strict=True
        ):
            assert y.tobytes() == other.tobytes()


def test_plans_tell_what_packed_weights_take():
    shapes = (1, 20, 9, 9), (33, 20, 3, 3)
    for algorithm in PACKING:
        plan = fc.explain_conv2d(*shapes, algorithm=algorithm)
        packed = fc.prepack_conv2d_weight(
            np.ones(shapes[1], np.float32), shapes[0], algorithm=algorithm
        )
        assert plan.packed_weight_bytes == packed.nbytes
        assert f"{packed.nbytes / 1024:.0f} KB packed" in str(plan)
        last = fc.explain_conv2d(*shapes, algorithm=algorithm, which="grad_weight")
        assert last.packed_weight_bytes == 0
    assert "not packed" in str(fc.explain_conv2d(*shapes, algorithm="direct"))
