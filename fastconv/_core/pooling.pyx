"""Max and average pooling: buffers in, status out."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from fastconv._core.c_api cimport (
    data_of, dtype_of, fc_avg_pool2d_backward, fc_avg_pool2d_forward, fc_dtype,
    fc_max_pool2d_forward, fc_max_pool_backward, fc_pool2d, fc_status, raise_status,
)

cnp.import_array()


cdef fc_pool2d pool_of(geometry, bint count_include_pad, int64_t divisor) except *:
    """A Pool2dGeometry as the C library takes it."""
    cdef fc_pool2d pool
    pool.planes = geometry.planes
    pool.input[0], pool.input[1] = geometry.input_size
    pool.output[0], pool.output[1] = geometry.output_size
    pool.kernel[0], pool.kernel[1] = geometry.kernel
    pool.stride[0], pool.stride[1] = geometry.stride
    pool.padding[0], pool.padding[1] = geometry.padding
    pool.dilation[0], pool.dilation[1] = geometry.dilation
    pool.count_include_pad = count_include_pad
    pool.divisor = divisor
    return pool


cdef int64_t inputs_of(const fc_pool2d* pool) noexcept:
    return pool.planes * pool.input[0] * pool.input[1]


cdef int64_t outputs_of(const fc_pool2d* pool) noexcept:
    return pool.planes * pool.output[0] * pool.output[1]


def max_forward(geometry, cnp.ndarray input, cnp.ndarray output, cnp.ndarray indices):
    """Fill output, and indices (int64) unless it is None."""
    cdef fc_pool2d pool = pool_of(geometry, False, 0)
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef void* x = data_of(input, number, inputs_of(&pool))
    cdef void* y = data_of(output, number, outputs_of(&pool))
    cdef int64_t* places = NULL
    cdef fc_status status
    if indices is not None:
        places = <int64_t*>data_of(indices, cnp.NPY_INT64, outputs_of(&pool))
    with nogil:
        status = fc_max_pool2d_forward(&pool, dtype, x, y, places)
    raise_status(status)


def max_backward(int64_t planes, int64_t in_area, int64_t out_area, cnp.ndarray grad_output,
                 cnp.ndarray indices, cnp.ndarray grad_input):
    """Fill grad_input; IndexError if an index is outside its plane."""
    cdef fc_dtype dtype = dtype_of(grad_output)
    cdef int number = cnp.PyArray_TYPE(grad_output)
    cdef void* g = data_of(grad_output, number, planes * out_area)
    cdef int64_t* places = <int64_t*>data_of(indices, cnp.NPY_INT64, planes * out_area)
    cdef void* y = data_of(grad_input, number, planes * in_area)
    cdef fc_status status
    with nogil:
        status = fc_max_pool_backward(dtype, planes, in_area, out_area, g, places, y)
    raise_status(status)


def avg_forward(geometry, bint count_include_pad, int64_t divisor, cnp.ndarray input,
                cnp.ndarray output):
    """Fill output; divisor 0 counts."""
    cdef fc_pool2d pool = pool_of(geometry, count_include_pad, divisor)
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef void* x = data_of(input, number, inputs_of(&pool))
    cdef void* y = data_of(output, number, outputs_of(&pool))
    cdef fc_status status
    with nogil:
        status = fc_avg_pool2d_forward(&pool, dtype, x, y)
    raise_status(status)


def avg_backward(geometry, bint count_include_pad, int64_t divisor, cnp.ndarray grad_output,
                 cnp.ndarray grad_input):
    """Fill grad_input."""
    cdef fc_pool2d pool = pool_of(geometry, count_include_pad, divisor)
    cdef fc_dtype dtype = dtype_of(grad_output)
    cdef int number = cnp.PyArray_TYPE(grad_output)
    cdef void* g = data_of(grad_output, number, outputs_of(&pool))
    cdef void* y = data_of(grad_input, number, inputs_of(&pool))
    cdef fc_status status
    with nogil:
        status = fc_avg_pool2d_backward(&pool, dtype, g, y)
    raise_status(status)
