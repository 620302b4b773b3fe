"""The engine of matrix products: every way of doing one, on strides, at the edges of memory."""

from itertools import product

import numpy as np
import pytest
from helpers import assert_threads_agree, failing_allocation, guarded

import fastconv as fc
from fastconv._core import matmul as core
from fastconv._core import runtime

TRANSPOSED = list(product((False, True), repeat=2))
#: (m, n, k): dots and streams of one and of several rows, sums of few steps (narrow ones, and with
#: columns cut into tasks of which the last has but a few), tiles of every kind, operands that change
#: places, panels packed by a task and for all, strides that meet in the cache, several chunks of
#: depth, sums cut into parts.
SHAPES = [(1, 1, 1), (3, 5, 2), (1, 40, 70), (4, 16, 600), (2, 33, 1500), (15, 17, 31), (40, 7, 1100),
          (17, 127, 255), (70, 600, 40), (230, 33, 70), (64, 130, 530), (33, 1024, 1024),
          (300, 290, 530), (3, 20, 9000), (48, 70, 8200),
          (60, 70, 1), (5, 3, 2), (9, 4099, 3), (37, 129, 4)]  # fmt: skip


def matrices(m, n, k, transposed, dtype, draw="integers"):
    """a, b, bias of columns, bias of rows, addend."""
    random = np.random.default_rng(m + n + k)
    new = (lambda s: random.integers(-4, 5, s)) if draw == "integers" else random.standard_normal
    shapes = (
        ((k, m) if transposed[0] else (m, k)),
        ((n, k) if transposed[1] else (k, n)),
        n,
        m,
        (m, n),
    )
    return [new(s).astype(dtype) for s in shapes]


def turned(a, b, transposed):
    """op(a), op(b)."""
    return (a.T if transposed[0] else a), (b.T if transposed[1] else b)


def strided(matrix, gap, side):
    """The same matrix in rows that lie `gap` elements further apart, beside a forbidden page."""
    rows, columns = matrix.shape
    flat = np.full(rows * (columns + gap) - gap, np.nan, matrix.dtype)
    flat = guarded(flat, side)
    step = matrix.itemsize
    view = np.lib.stride_tricks.as_strided(flat, matrix.shape, ((columns + gap) * step, step))
    view[...] = matrix
    return view


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", TRANSPOSED)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_exact_on_integers_and_inside_its_arrays(m, n, k, transposed, dtype):
    a, b, columns, rows, addend = matrices(m, n, k, transposed, dtype)
    left, right = turned(a, b, transposed)
    expected = left @ right
    for side, gap in (("before", 0), ("after", 0), ("after", 3)):
        x, y, c, add = (strided(array, gap, side)[None] for array in (a, b, addend, addend))
        bias, row_bias = guarded(columns, side), guarded(rows, side)
        core.forward(x, y, None, None, c, *transposed, False, False)
        np.testing.assert_array_equal(c[0], expected)
        core.forward(x, y, bias, None, c, *transposed, False, True)
        np.testing.assert_array_equal(c[0], np.maximum(expected + columns, 0))
        core.forward(x, y, row_bias, add, c, *transposed, True, False)
        np.testing.assert_array_equal(c[0], expected + rows[:, None] + addend)
        core.forward(x, y, bias, c, c, *transposed, False, True)
        np.testing.assert_array_equal(
            c[0], np.maximum(2 * expected + columns + rows[:, None] + addend, 0)
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_packed_operand(m, n, k, transpose_b, dtype):
    a, b, columns, _, _ = matrices(m, n, k, (False, transpose_b), dtype)
    packed = guarded(np.empty(core.packed_size(b[None], transpose_b), dtype))
    core.pack(guarded(b)[None], transpose_b, packed)
    c = guarded(np.empty((m, n), dtype))
    core.forward(guarded(a)[None], packed, columns, None, c[None], False, transpose_b, False, False)
    np.testing.assert_array_equal(c, np.matmul(*turned(a, b, (False, transpose_b))) + columns)


@pytest.mark.parametrize("shared", [False, True])
def test_packed_batch(shared):
    random = np.random.default_rng(0)
    a = random.integers(-4, 5, (3, 20, 33)).astype(np.float32)
    b = random.integers(-4, 5, (1 if shared else 3, 33, 50)).astype(np.float32)
    packed = np.empty(core.packed_size(b, False), np.float32)
    core.pack(b, False, packed)
    c = np.empty((3, 20, 50), np.float32)
    core.forward(a, packed, None, None, c, False, False, False, False)
    np.testing.assert_array_equal(c, a @ b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", TRANSPOSED)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_error_bound(m, n, k, transposed, dtype):
    a, b, *_ = matrices(m, n, k, transposed, dtype, "normal")
    left, right = (x.astype(np.longdouble) for x in turned(a, b, transposed))
    result = fc.matmul(a, b, transpose_a=transposed[0], transpose_b=transposed[1])
    bound = (k + 2) * np.finfo(dtype).eps / 2 * (abs(left) @ abs(right))
    assert np.all(abs(result - left @ right) <= bound)


@pytest.mark.parametrize("transposed", TRANSPOSED)
@pytest.mark.parametrize(("m", "n", "k"), [s for s in SHAPES if np.prod(s) > 400_000])
def test_same_bits_for_any_number_of_threads(m, n, k, transposed):
    a, b, bias, *_ = matrices(m, n, k, transposed, np.float32, "normal")
    how = {"transpose_a": transposed[0], "transpose_b": transposed[1]}
    assert_threads_agree(lambda: fc.matmul(a, b, bias=bias, activation="relu", **how))


@pytest.mark.parametrize("transposed", TRANSPOSED)
@pytest.mark.parametrize(("m", "n", "k"), [(1, 40, 70), (20, 33, 9), (230, 33, 70), (4, 9, 9000)])
def test_nan_and_infinity_stay_in_their_rows(m, n, k, transposed):
    a, b, *_ = matrices(m, n, k, transposed, np.float32)
    left, right = turned(a, b, transposed)
    left[0, -1], right[-1, n - 1] = np.nan, np.inf
    right[0, n // 2] = -np.inf
    with np.errstate(invalid="ignore"):
        expected = left @ right
    result = fc.matmul(a, b, transpose_a=transposed[0], transpose_b=transposed[1])
    np.testing.assert_array_equal(np.isnan(result), np.isnan(expected))
    np.testing.assert_array_equal(result, expected)
    relu = fc.matmul(a, b, transpose_a=transposed[0], transpose_b=transposed[1], activation="relu")
    np.testing.assert_array_equal(relu, np.where(np.isnan(expected), np.nan, expected.clip(0)))


@pytest.mark.parametrize("transposed", TRANSPOSED)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_failing_allocation(m, n, k, transposed):
    a, b, *_ = matrices(m, n, k, transposed, np.float32)
    how = {"transpose_a": transposed[0], "transpose_b": transposed[1]}
    expected = fc.matmul(a, b, **how)
    runtime.set_num_threads(1)
    for n_th in (1, 2, 3):
        with failing_allocation(n_th):
            try:
                result = fc.matmul(a, b, **how)
            except MemoryError:
                continue
        np.testing.assert_array_equal(result, expected)
    # with something to clip every way needs scratch; sums of few steps alone need none
    with failing_allocation(1), pytest.raises(MemoryError):
        fc.matmul(a, b, **how, activation="relu")


def test_the_core_refuses_what_does_not_fit():
    a, b, c = np.ones((1, 3, 4)), np.ones((1, 4, 5)), np.ones((1, 3, 5))
    plain = (False, False, False, False)
    for wrong in (a.astype(np.float32), a[:, :, ::-1], np.ones((2, 3, 4)), np.ones((3, 4))):
        with pytest.raises(ValueError, match="fastconv: "):
            core.forward(wrong, b, None, None, c, *plain)
    with pytest.raises(ValueError, match="addend is not laid out like c"):
        core.forward(a, b, None, np.ones((1, 3, 9))[:, :, :5], c, *plain)
    with pytest.raises(ValueError, match="fastconv: "):
        core.forward(a, np.ones(7), None, None, c, *plain)
