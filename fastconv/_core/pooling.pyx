"""Max and average pooling: buffers in, status out."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from fastconv._core.c_api cimport data_of, dtype_of, fc_dtype, fc_status, raise_status

cnp.import_array()


cdef class Pool2d:
    """A pooling's sizes as the C library takes them, filled once."""

    cdef fc_pool2d c
    cdef int64_t inputs, outputs

    def __init__(self, int64_t planes, input_size, output_size, kernel, stride, padding, dilation):
        self.c.planes = planes
        self.c.input[0], self.c.input[1] = input_size
        self.c.output[0], self.c.output[1] = output_size
        self.c.kernel[0], self.c.kernel[1] = kernel
        self.c.stride[0], self.c.stride[1] = stride
        self.c.padding[0], self.c.padding[1] = padding
        self.c.dilation[0], self.c.dilation[1] = dilation
        self.c.count_include_pad = False
        self.c.divisor = 0
        self.inputs = planes * self.c.input[0] * self.c.input[1]
        self.outputs = planes * self.c.output[0] * self.c.output[1]

    cdef fc_pool2d counting(self, bint count_include_pad, int64_t divisor) noexcept:
        """The same for an average."""
        cdef fc_pool2d pool = self.c
        pool.count_include_pad, pool.divisor = count_include_pad, divisor
        return pool


def max_forward(Pool2d geometry not None, cnp.ndarray input, cnp.ndarray output, cnp.ndarray indices):
    """Fill output, and indices (int64) unless it is None."""
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef void* x = data_of(input, number, geometry.inputs)
    cdef void* y = data_of(output, number, geometry.outputs)
    cdef int64_t* places = NULL
    cdef fc_status status
    if indices is not None:
        places = <int64_t*>data_of(indices, cnp.NPY_INT64, geometry.outputs)
    with nogil:
        status = fc_max_pool2d_forward(&geometry.c, dtype, x, y, places)
    raise_status(status)


def max_backward(int64_t planes, int64_t in_area, int64_t out_area, cnp.ndarray grad_output,
                 cnp.ndarray indices, cnp.ndarray maxima, cnp.ndarray grad_input):
    """Fill grad_input; with maxima, those of a ReLU, its gradient too. IndexError if an index is
    outside its plane."""
    cdef fc_dtype dtype = dtype_of(grad_output)
    cdef int number = cnp.PyArray_TYPE(grad_output)
    cdef fc_max_pool_gradient pool
    pool.planes, pool.in_area, pool.out_area = planes, in_area, out_area
    pool.indices = <int64_t*>data_of(indices, cnp.NPY_INT64, planes * out_area)
    pool.places = NULL
    pool.maxima = NULL if maxima is None else data_of(maxima, number, planes * out_area)
    cdef void* g = data_of(grad_output, number, planes * out_area)
    cdef void* y = data_of(grad_input, number, planes * in_area)
    cdef fc_status status
    with nogil:
        status = fc_max_pool_backward(&pool, dtype, g, y)
    raise_status(status)


def avg_forward(Pool2d geometry not None, bint count_include_pad, int64_t divisor, cnp.ndarray input,
                cnp.ndarray output):
    """Fill output; divisor 0 counts."""
    cdef fc_pool2d pool = geometry.counting(count_include_pad, divisor)
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef void* x = data_of(input, number, geometry.inputs)
    cdef void* y = data_of(output, number, geometry.outputs)
    cdef fc_status status
    with nogil:
        status = fc_avg_pool2d_forward(&pool, dtype, x, y)
    raise_status(status)


def avg_backward(Pool2d geometry not None, bint count_include_pad, int64_t divisor, cnp.ndarray grad_output,
                 cnp.ndarray grad_input):
    """Fill grad_input."""
    cdef fc_pool2d pool = geometry.counting(count_include_pad, divisor)
    cdef fc_dtype dtype = dtype_of(grad_output)
    cdef int number = cnp.PyArray_TYPE(grad_output)
    cdef void* g = data_of(grad_output, number, geometry.outputs)
    cdef void* y = data_of(grad_input, number, geometry.inputs)
    cdef fc_status status
    with nogil:
        status = fc_avg_pool2d_backward(&pool, dtype, g, y)
    raise_status(status)
