"""A convolution's geometry as the C library takes it; other Cython code may cimport it."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from fastconv._core.c_api cimport fc_conv2d, fc_dtype, fc_layout, fc_status


cdef extern from "fastconv.h" nogil:
    ctypedef struct fc_conv2d_operands:
        const void* input
        const void* grad_output
        const void* weight

    ctypedef struct fc_conv2d_gradients:
        void* input
        void* weight
        void* bias

    fc_status fc_conv2d_direct_backward(const fc_conv2d* conv, fc_dtype dtype,
                                        const fc_conv2d_operands* operands,
                                        const fc_conv2d_gradients* gradients)


cdef fc_layout layout_of(str name) except *
cdef int64_t size_of(fc_layout layout, int number, int64_t pixels, int64_t channels) noexcept


cdef class Conv2d:
    """One fc_conv2d, filled and checked once, used by every call with that geometry."""

    cdef fc_conv2d c
    cdef int64_t weight_size

    cdef void* input_of(self, cnp.ndarray array, int number) except NULL
    cdef void* weight_of(self, cnp.ndarray array, int number) except NULL
    cdef void* output_of(self, cnp.ndarray array, int number) except NULL
    cdef void* bias_of(self, cnp.ndarray array, int number) except NULL
