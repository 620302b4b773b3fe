"""Elementwise activations: buffers in, status out."""

cimport numpy as cnp

from fastconv._core.c_api cimport (
    data_of, dtype_of, fc_activation, fc_activation_backward, fc_activation_forward, fc_dtype,
    fc_status, raise_status,
)

cnp.import_array()

cdef extern from "fastconv.h":
    """
    static const char* const activation_names[] = {
    #define FC_ACTIVATION(name) #name,
    #include "fastconv_activations.inc"
    #undef FC_ACTIVATION
    };
    """
    const char* activation_names[]
    int FC_ACTIVATIONS

#: Name -> number of every activation that the C library has.
ACTIVATIONS = {activation_names[i].decode(): i for i in range(FC_ACTIVATIONS)}


def forward(int f, double parameter, cnp.ndarray input, cnp.ndarray output):
    """output = f(input), elementwise."""
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef cnp.int64_t size = cnp.PyArray_SIZE(input)
    cdef void* x = data_of(input, number, size)
    cdef void* y = data_of(output, number, size)
    cdef fc_status status
    with nogil:
        status = fc_activation_forward(<fc_activation>f, dtype, size, parameter, x, y)
    raise_status(status)


def backward(int f, double parameter, cnp.ndarray grad_output, cnp.ndarray saved,
             cnp.ndarray grad_input):
    """grad_input = grad_output * f'(saved), elementwise."""
    cdef fc_dtype dtype = dtype_of(saved)
    cdef int number = cnp.PyArray_TYPE(saved)
    cdef cnp.int64_t size = cnp.PyArray_SIZE(saved)
    cdef void* g = data_of(grad_output, number, size)
    cdef void* s = data_of(saved, number, size)
    cdef void* y = data_of(grad_input, number, size)
    cdef fc_status status
    with nogil:
        status = fc_activation_backward(<fc_activation>f, dtype, size, parameter, g, s, y)
    raise_status(status)
