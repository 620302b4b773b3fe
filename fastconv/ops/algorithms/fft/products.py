"""Transforms, and products of spectra contracted over channels.

A spectrum holds its frequencies in one last axis. A product contracts, for every group and
frequency, a complex matrix by a complex matrix. The transforms leave frequencies contiguous and the
matrices strided, so slices of frequencies are copied into matrices, multiplied, and copied back
while they are in cache. As (a + ib)(c + id) is [a b] @ [[c, d], [-d, c]], NumPy's *real* matrix
product does it: with the small matrices that a CNN has, up to 6 times faster than its complex one.
"""

from math import ceil

import numpy as np
import scipy.fft

from fastconv.ops.algorithms.fft.plan import SLICE_BYTES
from fastconv.ops.algorithms.fft.threads import ranges, share
from fastconv.ops.arrays import Array

# Below these OpenBLAS keeps to the calling thread (its interface/gemm.c and gemv.c). Above them its
# own threads join for every one of the thousands of products: 30 times slower on a busy machine.
_SERIAL_GEMM = 1 << 18
_SERIAL_GEMV = 9216
_FEW = 64  # multiply-adds for which a matrix product is not worth its call
_MIN_RUN = 256  # frequencies that an elementwise product takes at once

_SHARE = 1 << 17  # bytes of planes for which one more thread is worth waking


def transform(samples: Array, length: int, workers: int, conjugate: bool = False) -> Array:
    """Return the spectra (..., frequencies) of real planes (..., rows, columns).

    The planes are extended by rows of zeros to `length`. The conjugate spectrum of a real plane is
    its transform with the other sign of the exponent: it costs nothing.
    """
    workers = min(workers, 1 + samples.nbytes // _SHARE)
    if conjugate:
        half = scipy.fft.ihfft(samples, axis=-1, norm="forward", workers=workers)
        if length > 1:
            half = scipy.fft.ifft(
                half, length, axis=-2, norm="forward", overwrite_x=True, workers=workers
            )
    else:
        half = scipy.fft.rfft(samples, axis=-1, workers=workers)
        if length > 1:
            half = scipy.fft.fft(half, length, axis=-2, overwrite_x=True, workers=workers)
    return half.reshape(*half.shape[:-2], -1)


def inverse(spectra: Array, rows: int, columns: int, keep: int, workers: int) -> Array:
    """Return the first `keep` rows of the real planes of `spectra`, which is overwritten."""
    workers = min(workers, 1 + spectra.nbytes // _SHARE)
    half = spectra.reshape(*spectra.shape[:-1], rows, columns // 2 + 1)
    if rows > 1:
        half = scipy.fft.ifft(half, axis=-2, overwrite_x=True, workers=workers)
    return scipy.fft.irfft(half[..., :keep, :], columns, axis=-1, workers=workers)


def is_elementwise(rows: int, reduction: int, columns: int) -> bool:
    """Is a product of such matrices better done without a matrix product?"""
    return reduction == 1 or rows * reduction * columns <= _FEW


def expand(right: Array, threads: int = 1) -> Array:
    """Return complex matrices (G, R, N, F) as real ones (F, G, 2R, 2N): see above."""
    groups, reduction, columns, count = right.shape
    real = right.real.dtype
    whole = np.empty((count, groups, reduction, 2, columns, 2), real)

    def job(part: slice) -> None:
        source = np.ascontiguousarray(right[..., part].transpose(3, 0, 1, 2))
        target = whole[part]
        target[:, :, :, 0] = source.view(real).reshape(*source.shape, 2)
        np.negative(source.imag, out=target[:, :, :, 1, :, 0])
        target[:, :, :, 1, :, 1] = source.real

    step = max(1, SLICE_BYTES // max(1, 3 * right[..., 0].nbytes))
    share(job, list(ranges(count, step)), threads)
    return whole.reshape(count, groups, 2 * reduction, 2 * columns)


def _matmul(left: Array, right: Array) -> Array:
    """Multiply stacks of real matrices in pieces that BLAS does not hand to its own threads."""
    rows, reduction = left.shape[-2:]
    columns = right.shape[-1]
    if rows == 1:
        row_step, column_step = 1, max(1, _SERIAL_GEMV // reduction)
    else:
        column_step = max(8, min(columns, _SERIAL_GEMM // (reduction * min(rows, 16))))
        row_step = max(2, _SERIAL_GEMM // (reduction * column_step))
    row_step = ceil(rows / ceil(rows / row_step))
    column_step = ceil(columns / ceil(columns / column_step))
    if row_step >= rows and column_step >= columns:
        return np.matmul(left, right)
    out = np.empty((*left.shape[:-1], columns), left.dtype)
    for i in ranges(rows, row_step):
        for j in ranges(columns, column_step):
            np.matmul(left[..., i, :], right[..., j], out=out[..., i, j])
    return out


def multiply(left: Array, right: Array, out: Array, add: bool, threads: int) -> None:
    """Set (or add to) out (G, M, N, F) the products of left (G, M, R, F) and right (G, R, N, F).

    `right` may come from `expand`. Each frequency is summed in one fixed order, so the result does
    not depend on how the slices are shared out.
    """
    groups, rows, reduction, count = left.shape
    columns = out.shape[2]
    if right.dtype.kind == "c" and is_elementwise(rows, reduction, columns):
        _multiply_elements(left, right, out, add, threads)
        return
    real = left.real.dtype
    ready = right.dtype.kind == "f"

    def job(part: slice) -> None:
        matrices = np.ascontiguousarray(left[..., part].transpose(3, 0, 1, 2))
        factor = right[part] if ready else expand(right[..., part])
        product = _matmul(matrices.view(real), factor).view(matrices.dtype).transpose(1, 2, 3, 0)
        if add:
            out[..., part] += product
        else:
            out[..., part] = product

    numbers = groups * (rows * (reduction + columns) + (0 if ready else 3 * reduction * columns))
    step = max(1, SLICE_BYTES // (numbers * left.itemsize))
    share(job, list(ranges(count, step)), threads)


def _multiply_elements(left: Array, right: Array, out: Array, add: bool, threads: int) -> None:
    """`multiply` without matrices: nothing is transposed."""

    def job(part: slice) -> None:
        target = out[..., part]
        for r in range(left.shape[2]):
            factors = left[:, :, r, None, part], right[:, None, r, :, part]
            if add or r:
                target += factors[0] * factors[1]
            else:
                np.multiply(*factors, out=target)

    share(job, list(ranges(left.shape[3], _MIN_RUN)), threads)
