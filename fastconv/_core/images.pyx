"""Whole images between NCHW or NHWC and the engine's blocked order: buffers in, status out."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from fastconv._core.c_api cimport (
    data_of, dtype_of, fc_blocked_lanes, fc_dtype, fc_images, fc_images_from_blocked,
    fc_images_to_blocked, fc_status, raise_status, FC_BLOCKED, FC_FLOAT32, FC_FLOAT64, FC_NHWC,
)
from fastconv._core.conv cimport layout_of, size_of

cnp.import_array()


cdef fc_images images_of(cnp.ndarray plain, str layout) except *:
    cdef fc_images images
    cdef int axis
    if cnp.PyArray_NDIM(plain) != 4:
        raise ValueError("fastconv: images have four axes")
    images.layout = layout_of(layout)
    images.batch = plain.shape[0]
    images.channels = plain.shape[3 if images.layout == FC_NHWC else 1]
    for axis in range(2):
        images.size[axis] = plain.shape[axis + (1 if images.layout == FC_NHWC else 2)]
    return images


cdef void* blocked_data(cnp.ndarray blocked, int number, const fc_images* images) except NULL:
    cdef int64_t pixels = images.batch * images.size[0] * images.size[1]
    return data_of(blocked, number, size_of(FC_BLOCKED, number, pixels, images.channels))


def lanes(bint double):
    """Channels of a block: those of a vector of this process's instruction set."""
    return fc_blocked_lanes(FC_FLOAT64 if double else FC_FLOAT32)


def to_blocked(cnp.ndarray plain, str layout, cnp.ndarray blocked):
    """Write images of layout "NCHW" or "NHWC" to (batch, blocks, height, width, lanes)."""
    cdef fc_dtype dtype = dtype_of(plain)
    cdef int number = cnp.PyArray_TYPE(plain)
    cdef fc_images images = images_of(plain, layout)
    cdef void* x = data_of(plain, number, cnp.PyArray_SIZE(plain))
    cdef void* y = blocked_data(blocked, number, &images)
    cdef fc_status status
    with nogil:
        status = fc_images_to_blocked(&images, dtype, x, y)
    raise_status(status)


def from_blocked(cnp.ndarray blocked, str layout, cnp.ndarray plain):
    """Write blocked images to NCHW or NHWC ones."""
    cdef fc_dtype dtype = dtype_of(plain)
    cdef int number = cnp.PyArray_TYPE(plain)
    cdef fc_images images = images_of(plain, layout)
    cdef void* x = blocked_data(blocked, number, &images)
    cdef void* y = data_of(plain, number, cnp.PyArray_SIZE(plain))
    cdef fc_status status
    with nogil:
        status = fc_images_from_blocked(&images, dtype, x, y)
    raise_status(status)
