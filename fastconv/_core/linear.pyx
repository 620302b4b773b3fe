"""The fully connected layer: buffers in, status out."""

cimport numpy as cnp

from fastconv._core.c_api cimport (
    data_of, dtype_of, fc_dtype, fc_linear, fc_linear_forward, fc_linear_grad_input,
    fc_linear_grad_weight, fc_status, raise_status,
)

cnp.import_array()


cdef fc_linear shape_of(cnp.ndarray input, cnp.ndarray weight) except *:
    cdef fc_linear linear
    linear.out_features, linear.in_features = (<object>weight).shape
    linear.rows = cnp.PyArray_SIZE(input) // linear.in_features
    return linear


def forward(cnp.ndarray input, cnp.ndarray weight, cnp.ndarray bias, bint relu,
            cnp.ndarray output):
    """output = input weight^T + bias (or None), then max(0, .) if relu."""
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef fc_linear s = shape_of(input, weight)
    cdef void* x = data_of(input, number, s.rows * s.in_features)
    cdef void* w = data_of(weight, number, s.out_features * s.in_features)
    cdef void* b = NULL if bias is None else data_of(bias, number, s.out_features)
    cdef void* y = data_of(output, number, s.rows * s.out_features)
    cdef fc_status status
    with nogil:
        status = fc_linear_forward(&s, dtype, x, w, b, relu, y)
    raise_status(status)


def grad_input(cnp.ndarray grad_output, cnp.ndarray weight, cnp.ndarray result):
    """result = grad_output weight."""
    cdef fc_dtype dtype = dtype_of(weight)
    cdef int number = cnp.PyArray_TYPE(weight)
    cdef fc_linear s = shape_of(result, weight)
    cdef void* g = data_of(grad_output, number, s.rows * s.out_features)
    cdef void* w = data_of(weight, number, s.out_features * s.in_features)
    cdef void* x = data_of(result, number, s.rows * s.in_features)
    cdef fc_status status
    with nogil:
        status = fc_linear_grad_input(&s, dtype, g, w, x)
    raise_status(status)


def grad_weight(cnp.ndarray input, cnp.ndarray grad_output, cnp.ndarray result):
    """result = grad_output^T input."""
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef fc_linear s = shape_of(input, result)
    cdef void* x = data_of(input, number, s.rows * s.in_features)
    cdef void* g = data_of(grad_output, number, s.rows * s.out_features)
    cdef void* w = data_of(result, number, s.out_features * s.in_features)
    cdef fc_status status
    with nogil:
        status = fc_linear_grad_weight(&s, dtype, x, g, w)
    raise_status(status)
