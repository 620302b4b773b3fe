"""2-D convolution by implicit GEMM: buffers in, status out. Shapes are ops/geometry.py's business.

Weights come as OIHW, or packed: bytes that `pack_weight` wrote for the same geometry, pass and
instruction set, aligned to 64.
"""

cimport numpy as cnp
from libc.stdint cimport int64_t

from fastconv._core.c_api cimport (
    data_of, dtype_of, fc_conv2d_implicit_gemm_forward, fc_conv2d_implicit_gemm_grad_input,
    fc_conv2d_implicit_gemm_grad_weight, fc_conv2d_implicit_gemm_pack_weight,
    fc_conv2d_implicit_gemm_packed_size, fc_conv2d_implicit_gemm_workspace, fc_conv2d_weight,
    fc_dtype, fc_status, raise_status, FC_FLOAT32, FC_FLOAT64,
)
from fastconv._core.conv cimport Conv2d

cnp.import_array()


cdef int pass_of(str which) except -1:
    return ("forward", "grad_input", "grad_weight").index(which)


cdef fc_conv2d_weight weight_of(Conv2d conv, cnp.ndarray weight, fc_dtype dtype, int which) except *:
    """The weight's memory: packed ones are bytes."""
    cdef fc_conv2d_weight result
    if cnp.PyArray_TYPE(weight) == cnp.NPY_UINT8:
        result.weight = NULL
        result.packed = data_of(weight, cnp.NPY_UINT8,
                                fc_conv2d_implicit_gemm_packed_size(&conv.c, dtype, which))
        if <size_t>result.packed % 64:
            raise ValueError("fastconv: packed weights must be aligned to 64 bytes")
    else:
        result.weight = conv.weight_of(weight, cnp.NPY_FLOAT32 if dtype == FC_FLOAT32 else cnp.NPY_FLOAT64)
        result.packed = NULL
    return result


def forward(Conv2d conv, cnp.ndarray input, cnp.ndarray weight, cnp.ndarray bias, bint relu,
            cnp.ndarray output):
    """output = conv(input, weight) + bias (or None), then max(0, .) if relu."""
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef void* x = conv.input_of(input, number)
    cdef fc_conv2d_weight w = weight_of(conv, weight, dtype, 0)
    cdef void* b = NULL if bias is None else conv.bias_of(bias, number)
    cdef void* y = conv.output_of(output, number)
    cdef fc_status status
    with nogil:
        status = fc_conv2d_implicit_gemm_forward(&conv.c, dtype, x, &w, b, relu, y)
    raise_status(status)


def grad_input(Conv2d conv, cnp.ndarray grad_output, cnp.ndarray weight, cnp.ndarray result):
    """Gradient with respect to the input."""
    cdef fc_dtype dtype = dtype_of(result)
    cdef int number = cnp.PyArray_TYPE(result)
    cdef void* g = conv.output_of(grad_output, number)
    cdef fc_conv2d_weight w = weight_of(conv, weight, dtype, 1)
    cdef void* x = conv.input_of(result, number)
    cdef fc_status status
    with nogil:
        status = fc_conv2d_implicit_gemm_grad_input(&conv.c, dtype, g, &w, x)
    raise_status(status)


def grad_weight(Conv2d conv, cnp.ndarray input, cnp.ndarray grad_output, cnp.ndarray result):
    """Gradient with respect to the weight."""
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef void* x = conv.input_of(input, number)
    cdef void* g = conv.output_of(grad_output, number)
    cdef void* w = conv.weight_of(result, number)
    cdef fc_status status
    with nogil:
        status = fc_conv2d_implicit_gemm_grad_weight(&conv.c, dtype, x, g, w)
    raise_status(status)


def packed_size(Conv2d conv, bint double, str which):
    """Bytes of packed weights: `which` is "forward" or "grad_input"."""
    return fc_conv2d_implicit_gemm_packed_size(
        &conv.c, FC_FLOAT64 if double else FC_FLOAT32, pass_of(which))


def pack_weight(Conv2d conv, str which, cnp.ndarray weight, cnp.ndarray packed):
    """Write the weight in the order of "forward" or "grad_input" to `packed`, an array of bytes."""
    cdef fc_dtype dtype = dtype_of(weight)
    cdef int number = pass_of(which)
    cdef void* w = conv.weight_of(weight, cnp.PyArray_TYPE(weight))
    cdef fc_conv2d_weight to = weight_of(conv, packed, dtype, number)
    cdef fc_status status
    if to.packed == NULL:
        raise ValueError("fastconv: packed weights are bytes")
    with nogil:
        status = fc_conv2d_implicit_gemm_pack_weight(&conv.c, dtype, number, w, <void*>to.packed)
    raise_status(status)


def workspace(Conv2d conv, bint double, str which):
    """Bytes of scratch of one task and of what tasks share, packed weights apart."""
    return fc_conv2d_implicit_gemm_workspace(
        &conv.c, FC_FLOAT64 if double else FC_FLOAT32, pass_of(which))
