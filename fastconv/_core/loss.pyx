"""Cross-entropy of labels: buffers in, status out."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from fastconv._core.c_api cimport (
    data_of, dtype_of, fc_cross_entropy, fc_cross_entropy_backward, fc_cross_entropy_forward,
    fc_dtype, fc_lines, fc_status, raise_status,
)

cnp.import_array()


cdef fc_cross_entropy problem_of(tuple shape, cnp.ndarray input, cnp.ndarray target,
                                 cnp.ndarray weight, double weight_sum, double label_smoothing,
                                 int64_t ignore_index) except *:
    cdef int64_t outer = shape[0], size = shape[1], inner = shape[2]
    cdef fc_cross_entropy problem
    problem.lines = fc_lines(outer, size, inner)
    problem.target = <const int64_t*>data_of(target, cnp.NPY_INT64, outer * inner)
    problem.weight = NULL
    if weight is not None:
        problem.weight = data_of(weight, cnp.PyArray_TYPE(input), size)
    problem.weight_sum = weight_sum
    problem.label_smoothing = label_smoothing
    problem.ignore_index = ignore_index
    return problem


def forward(tuple shape, cnp.ndarray input, cnp.ndarray target, cnp.ndarray weight,
            double weight_sum, double label_smoothing, int64_t ignore_index, cnp.ndarray losses):
    """Fill losses (outer, inner); return their sum and the sum of the labels' weights."""
    cdef fc_cross_entropy problem = problem_of(
        shape, input, target, weight, weight_sum, label_smoothing, ignore_index)
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef int64_t lines = problem.lines.outer * problem.lines.inner
    cdef void* x = data_of(input, number, lines * problem.lines.size)
    cdef void* y = data_of(losses, number, lines)
    cdef double[2] sums
    cdef fc_status status
    with nogil:
        status = fc_cross_entropy_forward(&problem, dtype, x, y, sums)
    raise_status(status)
    return sums[0], sums[1]


def backward(tuple shape, cnp.ndarray input, cnp.ndarray target, cnp.ndarray weight,
             double weight_sum, double label_smoothing, int64_t ignore_index,
             cnp.ndarray grad_losses, double scale, cnp.ndarray grad_input):
    """Fill grad_input; grad_losses (outer, inner), or None: `scale` for every loss."""
    cdef fc_cross_entropy problem = problem_of(
        shape, input, target, weight, weight_sum, label_smoothing, ignore_index)
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef int64_t lines = problem.lines.outer * problem.lines.inner
    cdef void* g = NULL
    cdef void* x = data_of(input, number, lines * problem.lines.size)
    cdef void* y = data_of(grad_input, number, lines * problem.lines.size)
    cdef fc_status status
    if grad_losses is not None:
        g = data_of(grad_losses, number, lines)
    with nogil:
        status = fc_cross_entropy_backward(&problem, dtype, g, scale, x, y)
    raise_status(status)
