"""Steps of optimisers: buffers in, status out; one call for all parameters."""

cimport numpy as cnp
from fastconv._core.c_api cimport data_of, dtype_of, raise_status

cnp.import_array()

#: Numbers of the rules, as fc_optimizer has them.
SGD, RMSPROP, ADAM = FC_SGD, FC_RMSPROP, FC_ADAM


def ready(tuple entry not None):
    """Whether `step` can take the arrays of (step, data, grad, three states or None) as they are."""
    cdef cnp.ndarray array, data = entry[1]
    cdef int position, number = cnp.PyArray_TYPE(data)
    if number != cnp.NPY_FLOAT32 and number != cnp.NPY_FLOAT64:
        return False
    for position in range(1, len(entry)):
        if entry[position] is None:
            continue
        if not isinstance(entry[position], cnp.ndarray):
            return False  # 0-dimensional arithmetic gives scalars
        array = entry[position]
        if (cnp.PyArray_TYPE(array) != number or not cnp.PyArray_ISCARRAY_RO(array)
                or (position != 2 and not cnp.PyArray_ISWRITEABLE(array))):
            return False
    return True


cdef void* written(cnp.ndarray array, int number, int64_t size) except NULL:
    """Memory of an array that a step changes."""
    if not cnp.PyArray_ISWRITEABLE(array):
        raise ValueError("fastconv: the core was to write to a read-only array")
    return data_of(array, number, size)


cdef int fill(fc_optimizer_array* array, tuple entry) except -1:
    cdef cnp.ndarray data = entry[1], grad = entry[2], state
    cdef int position, number = cnp.PyArray_TYPE(data)
    array.dtype = dtype_of(data)
    array.size = cnp.PyArray_SIZE(data)
    array.step = entry[0]
    array.data = written(data, number, array.size)
    array.grad = data_of(grad, number, array.size)
    for position in range(3):
        array.state[position] = NULL
        state = entry[3 + position]
        if state is not None:
            array.state[position] = written(state, number, array.size)
    return 0


def step(int rule, double lr, double weight_decay, double momentum, double dampening,
         tuple betas not None, double eps, bint nesterov, list entries not None):
    """One step for every entry, in place."""
    cdef fc_optimizer optimizer
    cdef int64_t position, count = len(entries)
    cdef bytearray table = bytearray(count * sizeof(fc_optimizer_array))
    cdef fc_optimizer_array* arrays = <fc_optimizer_array*><char*>table
    cdef fc_status status
    optimizer.rule = <fc_optimizer_rule>rule
    optimizer.lr, optimizer.weight_decay = lr, weight_decay
    optimizer.momentum, optimizer.dampening = momentum, dampening
    optimizer.betas[0], optimizer.betas[1] = betas
    optimizer.eps, optimizer.nesterov = eps, nesterov
    for position in range(count):
        fill(&arrays[position], entries[position])
    with nogil:
        status = fc_optimizer_step(&optimizer, count, arrays)
    raise_status(status)
