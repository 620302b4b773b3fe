"""Declarations of fastconv.h for pooling."""

from libc.stdint cimport int64_t, uint8_t

from fastconv._core.c_api cimport fc_dtype, fc_status


cdef extern from "fastconv.h" nogil:
    ctypedef struct fc_pool2d:
        int64_t planes
        int64_t[2] input
        int64_t[2] output
        int64_t[2] kernel
        int64_t[2] stride
        int64_t[2] padding
        int64_t[2] dilation
        int count_include_pad
        int64_t divisor

    fc_status fc_max_pool2d_forward(const fc_pool2d* pool, fc_dtype dtype, const void* input,
                                    void* output, int64_t* indices)
    fc_status fc_avg_pool2d_forward(const fc_pool2d* pool, fc_dtype dtype, const void* input,
                                    void* output)

    ctypedef struct fc_max_pool_gradient:
        int64_t planes, in_area, out_area
        const int64_t* indices
        const void* maxima
        const uint8_t* places

    fc_status fc_max_pool_backward(const fc_max_pool_gradient* pool, fc_dtype dtype,
                                   const void* grad_output, void* grad_input)
    fc_status fc_avg_pool2d_backward(const fc_pool2d* pool, fc_dtype dtype,
                                     const void* grad_output, void* grad_input)
