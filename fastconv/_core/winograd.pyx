"""2-D convolution by Winograd F(4x4, 3x3): buffers in, status out."""

cimport numpy as cnp

from fastconv._core.c_api cimport (
    data_of, dtype_of, fc_conv2d_winograd_forward, fc_conv2d_winograd_forward_packed,
    fc_conv2d_winograd_grad_input, fc_conv2d_winograd_grad_weight,
    fc_conv2d_winograd_pack_weight, fc_conv2d_winograd_packed_bytes, fc_conv2d_winograd_workspace,
    fc_dtype, fc_status, raise_status, FC_FLOAT32, FC_FLOAT64,
)
from fastconv._core.conv cimport Conv2d

cnp.import_array()


cdef void check(Conv2d conv) except *:
    cdef int axis
    for axis in range(2):
        if conv.c.kernel_size[axis] != 3 or conv.c.stride[axis] != 1 or conv.c.dilation[axis] != 1:
            raise ValueError("fastconv: not a 3x3 convolution with stride 1 and dilation 1")


def forward(Conv2d conv, cnp.ndarray input, cnp.ndarray weight, cnp.ndarray bias, bint relu,
            cnp.ndarray output):
    """output = conv(input, weight) + bias (or None), then max(0, .) if relu."""
    check(conv)
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef void* x = conv.input_of(input, number)
    cdef void* w = conv.weight_of(weight, number)
    cdef void* b = NULL if bias is None else conv.bias_of(bias, number)
    cdef void* y = conv.output_of(output, number)
    cdef fc_status status
    with nogil:
        status = fc_conv2d_winograd_forward(&conv.c, dtype, x, w, b, relu, y)
    raise_status(status)


def forward_packed(Conv2d conv, cnp.ndarray input, cnp.ndarray packed, cnp.ndarray bias, bint relu,
                   cnp.ndarray output):
    """`forward` with weights from `pack_weight`."""
    check(conv)
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef void* x = conv.input_of(input, number)
    cdef void* w = data_of(packed, number, packed_size(conv, dtype == FC_FLOAT64))
    cdef void* b = NULL if bias is None else conv.bias_of(bias, number)
    cdef void* y = conv.output_of(output, number)
    cdef fc_status status
    with nogil:
        status = fc_conv2d_winograd_forward_packed(&conv.c, dtype, x, w, b, relu, y)
    raise_status(status)


def pack_weight(Conv2d conv, cnp.ndarray weight, cnp.ndarray packed):
    """packed = the transformed weights, `packed_size` elements."""
    check(conv)
    cdef fc_dtype dtype = dtype_of(weight)
    cdef int number = cnp.PyArray_TYPE(weight)
    cdef void* w = conv.weight_of(weight, number)
    cdef void* p = data_of(packed, number, packed_size(conv, dtype == FC_FLOAT64))
    cdef fc_status status
    with nogil:
        status = fc_conv2d_winograd_pack_weight(&conv.c, dtype, w, p)
    raise_status(status)


cpdef packed_size(Conv2d conv, bint double):
    """Elements of the transformed weights."""
    check(conv)
    return fc_conv2d_winograd_packed_bytes(&conv.c, FC_FLOAT64 if double else FC_FLOAT32) // (
        8 if double else 4)


def grad_input(Conv2d conv, cnp.ndarray grad_output, cnp.ndarray weight, cnp.ndarray result):
    """Gradient with respect to the input."""
    check(conv)
    cdef fc_dtype dtype = dtype_of(weight)
    cdef int number = cnp.PyArray_TYPE(weight)
    cdef void* g = conv.output_of(grad_output, number)
    cdef void* w = conv.weight_of(weight, number)
    cdef void* x = conv.input_of(result, number)
    cdef fc_status status
    with nogil:
        status = fc_conv2d_winograd_grad_input(&conv.c, dtype, g, w, x)
    raise_status(status)


def grad_weight(Conv2d conv, cnp.ndarray input, cnp.ndarray grad_output, cnp.ndarray result):
    """Gradient with respect to the weight."""
    check(conv)
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef void* x = conv.input_of(input, number)
    cdef void* g = conv.output_of(grad_output, number)
    cdef void* w = conv.weight_of(result, number)
    cdef fc_status status
    with nogil:
        status = fc_conv2d_winograd_grad_weight(&conv.c, dtype, x, g, w)
    raise_status(status)


def workspace(Conv2d conv, bint double, str which):
    """Bytes of scratch a thread: `which` is "forward", "grad_input" or "grad_weight"."""
    check(conv)
    return fc_conv2d_winograd_workspace(
        &conv.c, FC_FLOAT64 if double else FC_FLOAT32,
        ("forward", "grad_input", "grad_weight").index(which),
    )
