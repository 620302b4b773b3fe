"""A 2-D convolution and the max-pool after it: buffers in, status out."""

cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t

from fastconv._core.c_api cimport (
    data_of, dtype_of, fc_conv2d, fc_dtype, fc_status, raise_status, FC_FLOAT32, FC_FLOAT64,
)
from fastconv._core.conv cimport Conv2d
from fastconv._core.pooling cimport fc_max_pool_gradient

cdef extern from "fastconv.h" nogil:
    ctypedef struct fc_conv2d_maxima:
        void* maxima
        uint8_t* places

    bint fc_conv2d_direct_pooled_can(const fc_conv2d* conv, fc_dtype dtype)
    fc_status fc_conv2d_direct_pooled_forward(const fc_conv2d* conv, fc_dtype dtype,
                                              const void* input, const void* weight,
                                              const void* bias, int relu,
                                              const fc_conv2d_maxima* result)
    bint fc_conv2d_pooled_can(const fc_conv2d* conv, fc_dtype dtype, int64_t maxima)
    bint fc_conv2d_pooled_pays(const fc_conv2d* conv, fc_dtype dtype, int64_t maxima)
    fc_status fc_conv2d_pooled_grad_input(const fc_conv2d* conv, const fc_max_pool_gradient* pool,
                                          fc_dtype dtype, const void* grad_maxima,
                                          const void* weight, void* grad_input)
    fc_status fc_conv2d_pooled_grad_weight(const fc_conv2d* conv, const fc_max_pool_gradient* pool,
                                           fc_dtype dtype, const void* input,
                                           const void* grad_maxima, void* grad_weight,
                                           void* grad_bias)

cnp.import_array()


cdef int64_t windows_of(Conv2d conv) noexcept:
    """Windows of 2 x 2 in a plane of the output."""
    return conv.c.out_size[0] // 2 * (conv.c.out_size[1] // 2)


cdef class Maxima:
    """Where the maxima of a convolution's output came from: indices (int64), or what `forward` made
    (uint8). `output` are they, where a ReLU came between, or None."""

    cdef fc_max_pool_gradient c
    cdef int64_t size
    cdef int number  # of the maxima's dtype, -1 without them
    cdef object kept

    def __init__(self, Conv2d conv, int64_t maxima, cnp.ndarray indices, cnp.ndarray output):
        self.c.planes = conv.c.batch * conv.c.out_channels
        self.c.in_area = conv.c.out_size[0] * conv.c.out_size[1]
        self.c.out_area = maxima
        self.size = self.c.planes * maxima
        self.c.indices, self.c.places = NULL, NULL
        if cnp.PyArray_TYPE(indices) == cnp.NPY_UINT8:
            if maxima != windows_of(conv):
                raise ValueError("fastconv: these are not the places of windows of 2 x 2")
            self.c.places = <uint8_t*>data_of(indices, cnp.NPY_UINT8, self.size)
        else:
            self.c.indices = <int64_t*>data_of(indices, cnp.NPY_INT64, self.size)
        self.c.maxima = NULL
        self.number = -1
        if output is not None:
            self.number = cnp.PyArray_TYPE(output)
            self.c.maxima = data_of(output, self.number, self.size)
        self.kept = indices, output

    cdef void* gradients_of(self, cnp.ndarray array, int number) except NULL:
        if self.number not in (-1, number):
            raise ValueError("fastconv: maxima and their gradients have one dtype")
        return data_of(array, number, self.size)


def can_forward(Conv2d conv, bint double):
    """Can `forward` do this convolution?"""
    return fc_conv2d_direct_pooled_can(&conv.c, FC_FLOAT64 if double else FC_FLOAT32)


def forward(Conv2d conv, cnp.ndarray input, cnp.ndarray weight, cnp.ndarray bias, bint relu,
            cnp.ndarray output, cnp.ndarray places):
    """Maxima of windows of 2 x 2 of conv(input, weight) + bias (or None), of its max(0, .) if relu,
    as "direct" sums it; and unless it is None, fill places (uint8), 0 to 3."""
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef int64_t size = conv.c.batch * conv.c.out_channels * windows_of(conv)
    cdef void* x = conv.input_of(input, number)
    cdef void* w = conv.weight_of(weight, number)
    cdef void* b = NULL if bias is None else conv.bias_of(bias, number)
    cdef fc_conv2d_maxima result
    cdef fc_status status
    result.maxima = data_of(output, number, size)
    result.places = NULL
    if places is not None:
        result.places = <uint8_t*>data_of(places, cnp.NPY_UINT8, size)
    with nogil:
        status = fc_conv2d_direct_pooled_forward(&conv.c, dtype, x, w, b, relu, &result)
    raise_status(status)


def can(Conv2d conv, int64_t maxima, bint double):
    """Can this convolution's gradients be summed maximum by maximum, `maxima` a plane?"""
    return fc_conv2d_pooled_can(&conv.c, FC_FLOAT64 if double else FC_FLOAT32, maxima)


def pays(Conv2d conv, int64_t maxima, bint double):
    """Can they, and should it take less time than the gradients of images?"""
    return fc_conv2d_pooled_pays(&conv.c, FC_FLOAT64 if double else FC_FLOAT32, maxima)


def grad_input(Conv2d conv, Maxima maxima not None, cnp.ndarray grad_maxima, cnp.ndarray weight,
               cnp.ndarray result):
    """Gradient with respect to the input. IndexError if an index is outside its plane."""
    cdef fc_dtype dtype = dtype_of(weight)
    cdef int number = cnp.PyArray_TYPE(weight)
    cdef void* g = maxima.gradients_of(grad_maxima, number)
    cdef void* w = conv.weight_of(weight, number)
    cdef void* x = conv.input_of(result, number)
    cdef fc_status status
    with nogil:
        status = fc_conv2d_pooled_grad_input(&conv.c, &maxima.c, dtype, g, w, x)
    raise_status(status)


def grad_weight(Conv2d conv, Maxima maxima not None, cnp.ndarray grad_maxima, cnp.ndarray input,
                cnp.ndarray result, cnp.ndarray bias_result):
    """Gradients with respect to the weight and, unless its array is None, the bias. IndexError if
    an index is outside its plane."""
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef void* g = maxima.gradients_of(grad_maxima, number)
    cdef void* x = conv.input_of(input, number)
    cdef void* w = conv.weight_of(result, number)
    cdef void* b = NULL if bias_result is None else conv.bias_of(bias_result, number)
    cdef fc_status status
    with nogil:
        status = fc_conv2d_pooled_grad_weight(&conv.c, &maxima.c, dtype, x, g, w, b)
    raise_status(status)
