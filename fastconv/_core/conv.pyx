"""2-D convolution by direct sums: buffers in, status out. Shapes are ops/geometry.py's business."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from fastconv._core.c_api cimport (
    data_of, dtype_of, fc_blocked_lanes, fc_conv2d_direct_forward, fc_conv2d_direct_grad_input,
    fc_conv2d_direct_grad_weight, fc_conv2d_direct_work, fc_conv2d_direct_workspace,
    fc_conv2d_grad_bias, fc_dtype, fc_layout, fc_status, raise_status, FC_BLOCKED, FC_FLOAT32,
    FC_FLOAT64,
)

cnp.import_array()


cdef fc_layout layout_of(str name) except *:
    return <fc_layout><int>("NCHW", "NHWC", "blocked").index(name)


cdef int64_t size_of(fc_layout layout, int number, int64_t pixels, int64_t channels) noexcept:
    """Elements of images; blocked ones have whole vectors of channels."""
    cdef int64_t lanes
    if layout == FC_BLOCKED:
        lanes = fc_blocked_lanes(FC_FLOAT32 if number == cnp.NPY_FLOAT32 else FC_FLOAT64)
        channels = (channels + lanes - 1) // lanes * lanes
    return pixels * channels


cdef class Conv2d:
    """A convolution's geometry in C: sizes, strides, dilations and the padding before each axis.

    Layouts are "NCHW", "NHWC" or "blocked".
    """

    def __init__(self, int64_t batch, int64_t groups, int64_t in_channels, int64_t out_channels,
                 in_size, kernel_size, out_size, stride, dilation, padding,
                 str input_layout, str output_layout):
        cdef int axis
        self.c.batch, self.c.groups = batch, groups
        self.c.in_channels, self.c.out_channels = in_channels, out_channels
        self.c.in_layout, self.c.out_layout = layout_of(input_layout), layout_of(output_layout)
        for axis in range(2):
            self.c.in_size[axis] = in_size[axis]
            self.c.kernel_size[axis] = kernel_size[axis]
            self.c.out_size[axis] = out_size[axis]
            self.c.stride[axis] = stride[axis]
            self.c.dilation[axis] = dilation[axis]
            self.c.padding[axis] = padding[axis]
        if min(groups, *stride, *dilation, *kernel_size) < 1 or in_channels % groups or out_channels % groups:
            raise ValueError("fastconv: not a convolution")
        self.weight_size = out_channels * (in_channels // groups) * kernel_size[0] * kernel_size[1]

    cdef void* input_of(self, cnp.ndarray array, int number) except NULL:
        cdef int64_t pixels = self.c.batch * self.c.in_size[0] * self.c.in_size[1]
        return data_of(array, number, size_of(self.c.in_layout, number, pixels, self.c.in_channels))

    cdef void* weight_of(self, cnp.ndarray array, int number) except NULL:
        return data_of(array, number, self.weight_size)

    cdef void* output_of(self, cnp.ndarray array, int number) except NULL:
        cdef int64_t pixels = self.c.batch * self.c.out_size[0] * self.c.out_size[1]
        return data_of(array, number, size_of(self.c.out_layout, number, pixels, self.c.out_channels))

    cdef void* bias_of(self, cnp.ndarray array, int number) except NULL:
        return data_of(array, number, self.c.out_channels)


def direct_forward(Conv2d conv, cnp.ndarray input, cnp.ndarray weight, cnp.ndarray bias, bint relu,
                   cnp.ndarray output):
    """output = conv(input, weight) + bias (or None), then max(0, .) if relu."""
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef void* x = conv.input_of(input, number)
    cdef void* w = conv.weight_of(weight, number)
    cdef void* b = NULL if bias is None else conv.bias_of(bias, number)
    cdef void* y = conv.output_of(output, number)
    cdef fc_status status
    with nogil:
        status = fc_conv2d_direct_forward(&conv.c, dtype, x, w, b, relu, y)
    raise_status(status)


def direct_grad_input(Conv2d conv, cnp.ndarray grad_output, cnp.ndarray weight,
                      cnp.ndarray grad_input, cnp.ndarray bias=None):
    """Gradient with respect to the input, and to the bias unless that is None."""
    cdef fc_dtype dtype = dtype_of(weight)
    cdef int number = cnp.PyArray_TYPE(weight)
    cdef void* g = conv.output_of(grad_output, number)
    cdef void* w = conv.weight_of(weight, number)
    cdef void* x = conv.input_of(grad_input, number)
    cdef void* b = NULL if bias is None else conv.bias_of(bias, number)
    cdef fc_status status
    with nogil:
        status = fc_conv2d_direct_grad_input(&conv.c, dtype, g, w, x, b)
    raise_status(status)


def direct_grad_weight(Conv2d conv, cnp.ndarray input, cnp.ndarray grad_output,
                       cnp.ndarray grad_weight):
    """Gradient with respect to the weight."""
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef void* x = conv.input_of(input, number)
    cdef void* g = conv.output_of(grad_output, number)
    cdef void* w = conv.weight_of(grad_weight, number)
    cdef fc_status status
    with nogil:
        status = fc_conv2d_direct_grad_weight(&conv.c, dtype, x, g, w)
    raise_status(status)


def direct_backward(Conv2d conv, cnp.ndarray grad_output, cnp.ndarray input, cnp.ndarray weight,
                    cnp.ndarray grad_input, cnp.ndarray grad_weight, cnp.ndarray bias=None):
    """All gradients at one reading of grad_output, the bias' unless that is None."""
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef fc_conv2d_operands operands
    cdef fc_conv2d_gradients to
    operands.input, operands.weight = conv.input_of(input, number), conv.weight_of(weight, number)
    operands.grad_output = conv.output_of(grad_output, number)
    to.input, to.weight = conv.input_of(grad_input, number), conv.weight_of(grad_weight, number)
    to.bias = NULL if bias is None else conv.bias_of(bias, number)
    cdef fc_status status
    with nogil:
        status = fc_conv2d_direct_backward(&conv.c, dtype, &operands, &to)
    raise_status(status)


def grad_bias(Conv2d conv, cnp.ndarray grad_output, cnp.ndarray result):
    """Gradient with respect to the bias: sums over images and pixels."""
    cdef fc_dtype dtype = dtype_of(grad_output)
    cdef int number = cnp.PyArray_TYPE(grad_output)
    cdef void* g = conv.output_of(grad_output, number)
    cdef void* b = conv.bias_of(result, number)
    cdef fc_status status
    with nogil:
        status = fc_conv2d_grad_bias(&conv.c, dtype, g, b)
    raise_status(status)


def direct_workspace(Conv2d conv, bint double, str which):
    """Bytes of scratch of one task: `which` is "forward", "grad_input" or "grad_weight"."""
    cdef int number = ("forward", "grad_input", "grad_weight").index(which)
    return fc_conv2d_direct_workspace(&conv.c, FC_FLOAT64 if double else FC_FLOAT32, number)


def direct_work(Conv2d conv, bint double, str which):
    """FMAs of a pass, lost lanes included; of "backward" 0 where it can't be done at one reading."""
    cdef int number = ("forward", "grad_input", "grad_weight", "backward").index(which)
    return fc_conv2d_direct_work(&conv.c, FC_FLOAT64 if double else FC_FLOAT32, number)
