"""Softmax, log-softmax and logsumexp: buffers in, status out."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from fastconv._core.c_api cimport (
    FC_LOG_SOFTMAX, FC_LOGSUMEXP, FC_SOFTMAX, data_of, dtype_of, fc_dtype, fc_lines, fc_softmax,
    fc_softmax_backward, fc_softmax_forward, fc_status, raise_status,
)

cnp.import_array()

SOFTMAX, LOG_SOFTMAX, LOGSUMEXP = FC_SOFTMAX, FC_LOG_SOFTMAX, FC_LOGSUMEXP


def forward(int mode, int64_t outer, int64_t size, int64_t inner, cnp.ndarray input,
            cnp.ndarray output):
    """output = f(input) along the middle axis of (outer, size, inner)."""
    cdef fc_lines lines = fc_lines(outer, size, inner)
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef int64_t total = outer * size * inner
    cdef void* x = data_of(input, number, total)
    cdef void* y = data_of(output, number, outer * inner if mode == FC_LOGSUMEXP else total)
    cdef fc_status status
    with nogil:
        status = fc_softmax_forward(<fc_softmax>mode, dtype, &lines, x, y)
    raise_status(status)


def backward(int mode, int64_t outer, int64_t size, int64_t inner, cnp.ndarray grad_output,
             cnp.ndarray saved, cnp.ndarray output, cnp.ndarray grad_input):
    """grad_input from the forward output (logsumexp: its input as `saved`, and `output`)."""
    cdef fc_lines lines = fc_lines(outer, size, inner)
    cdef fc_dtype dtype = dtype_of(saved)
    cdef int number = cnp.PyArray_TYPE(saved)
    cdef int64_t total = outer * size * inner
    cdef int64_t reduced = outer * inner if mode == FC_LOGSUMEXP else total
    cdef void* g = data_of(grad_output, number, reduced)
    cdef void* s = data_of(saved, number, total)
    cdef void* o = NULL
    cdef void* y = data_of(grad_input, number, total)
    cdef fc_status status
    if mode == FC_LOGSUMEXP:
        o = data_of(output, number, reduced)
    with nogil:
        status = fc_softmax_backward(<fc_softmax>mode, dtype, &lines, g, s, o, y)
    raise_status(status)
