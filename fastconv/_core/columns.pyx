"""im2col and col2im: buffers in, status out."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from fastconv._core.c_api cimport (
    FC_FLOAT32, FC_FLOAT64, data_of, dtype_of, fc_col2im, fc_conv2d_im2col_workspace, fc_dtype,
    fc_im2col, fc_status, raise_status,
)
from fastconv._core.conv cimport Conv2d

cnp.import_array()


cdef int64_t columns_size(Conv2d conv):
    return (conv.c.batch * conv.c.in_channels * conv.c.kernel_size[0] * conv.c.kernel_size[1]
            * conv.c.out_size[0] * conv.c.out_size[1])


def im2col(Conv2d conv, cnp.ndarray input, cnp.ndarray columns):
    """columns (N, C * KH * KW, OH * OW) of an NCHW input."""
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef void* x = conv.input_of(input, number)
    cdef void* y = data_of(columns, number, columns_size(conv))
    cdef fc_status status
    with nogil:
        status = fc_im2col(&conv.c, dtype, x, y)
    raise_status(status)


def col2im(Conv2d conv, cnp.ndarray columns, cnp.ndarray image):
    """The NCHW image in which every column element is added to the pixel that it came from."""
    cdef fc_dtype dtype = dtype_of(columns)
    cdef int number = cnp.PyArray_TYPE(columns)
    cdef void* x = data_of(columns, number, columns_size(conv))
    cdef void* y = conv.input_of(image, number)
    cdef fc_status status
    with nogil:
        status = fc_col2im(&conv.c, dtype, x, y)
    raise_status(status)


def slab_workspace(Conv2d conv, bint double):
    """Bytes of one slab of columns in the im2col algorithm."""
    return fc_conv2d_im2col_workspace(&conv.c, FC_FLOAT64 if double else FC_FLOAT32)
