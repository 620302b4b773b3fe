"""Convolution by explicit columns and SciPy's BLAS; importing this imports scipy.linalg.

The routines are taken from scipy.linalg.cython_blas at run time, so nothing here is built against
SciPy. Our threads call BLAS concurrently, each for its own slab, so BLAS must open no threads of its
own meanwhile: where its library is an OpenBLAS, `_Serial` turns them off and on again. Where that is
not possible (another BLAS), slabs run one after the other and BLAS may use its own threads.
"""

import ctypes
import os
import threading

import scipy.linalg.cython_blas as cython_blas

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer

from fastconv._core.c_api cimport (
    dtype_of, fc_blas, fc_conv2d_im2col_forward, fc_conv2d_im2col_grad_input,
    fc_conv2d_im2col_grad_weight, fc_dtype, fc_gemm, fc_status, raise_status,
)
from fastconv._core.conv cimport Conv2d

cnp.import_array()

cdef fc_blas blas


cdef fc_gemm routine(name) except NULL:
    capsule = cython_blas.__pyx_capi__[name]
    return <fc_gemm>PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule))


def _thread_functions():
    """OpenBLAS's get and set of its thread count, found among cython_blas's own dependencies."""
    library = ctypes.CDLL(cython_blas.__file__)
    for prefix in "scipy_openblas", "openblas":
        for suffix in "", "64_", "_64":
            try:
                get = getattr(library, f"{prefix}_get_num_threads{suffix}")
                set_ = getattr(library, f"{prefix}_set_num_threads{suffix}")
            except AttributeError:
                continue
            get.restype, get.argtypes = ctypes.c_int, []
            set_.restype, set_.argtypes = None, [ctypes.c_int]
            return get, set_
    return None


class _Serial:
    """Keeps OpenBLAS on one thread while at least one convolution is inside."""

    def __init__(self, functions):
        self.get, self.set = functions or (lambda: 1, lambda count: None)
        self.lock = threading.Lock()
        self.inside = 0
        self.before = 1

    def __enter__(self):
        with self.lock:
            if self.inside == 0:
                self.before = self.get()
                if self.before != 1:
                    self.set(1)
            self.inside += 1

    def __exit__(self, *exception):
        with self.lock:
            self.inside -= 1
            if self.inside == 0 and self.before != 1:
                self.set(self.before)

    def in_child(self):
        """After a fork, with the lock held: the threads that were inside stayed with the parent."""
        if self.inside and self.before != 1:
            self.set(self.before)
        self.inside = 0
        self.lock.release()


_functions = _thread_functions()
_serial = _Serial(_functions)
# A child must not inherit the lock from a thread that it does not have, nor OpenBLAS half changed.
os.register_at_fork(before=_serial.lock.acquire, after_in_parent=_serial.lock.release,
                    after_in_child=_serial.in_child)
blas.gemm[0] = routine("sgemm")
blas.gemm[1] = routine("dgemm")
blas.concurrent = _functions is not None


def description():
    """Which BLAS was found, and how its threads are handled."""
    handled = "its threads off inside ours" if blas.concurrent else "its own threads, slabs in turn"
    return f"SciPy's {'OpenBLAS' if blas.concurrent else 'BLAS'} ({handled})"


def forward(Conv2d conv, cnp.ndarray input, cnp.ndarray weight, cnp.ndarray bias, bint relu,
            cnp.ndarray output):
    """output = conv(input, weight) + bias (or None), then max(0, .) if relu."""
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef void* x = conv.input_of(input, number)
    cdef void* w = conv.weight_of(weight, number)
    cdef void* b = NULL if bias is None else conv.bias_of(bias, number)
    cdef void* y = conv.output_of(output, number)
    cdef fc_status status
    with _serial:
        with nogil:
            status = fc_conv2d_im2col_forward(&conv.c, dtype, &blas, x, w, b, relu, y)
    raise_status(status)


def grad_input(Conv2d conv, cnp.ndarray grad_output, cnp.ndarray weight, cnp.ndarray result):
    """Gradient with respect to the input."""
    cdef fc_dtype dtype = dtype_of(weight)
    cdef int number = cnp.PyArray_TYPE(weight)
    cdef void* g = conv.output_of(grad_output, number)
    cdef void* w = conv.weight_of(weight, number)
    cdef void* x = conv.input_of(result, number)
    cdef fc_status status
    with _serial:
        with nogil:
            status = fc_conv2d_im2col_grad_input(&conv.c, dtype, &blas, g, w, x)
    raise_status(status)


def grad_weight(Conv2d conv, cnp.ndarray input, cnp.ndarray grad_output, cnp.ndarray result):
    """Gradient with respect to the weight."""
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef void* x = conv.input_of(input, number)
    cdef void* g = conv.output_of(grad_output, number)
    cdef void* w = conv.weight_of(result, number)
    cdef fc_status status
    with _serial:
        with nogil:
            status = fc_conv2d_im2col_grad_weight(&conv.c, dtype, &blas, x, g, w)
    raise_status(status)
