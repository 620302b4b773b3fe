"""Memory of results: large arrays in blocks that are used again (src_c/runtime/output_cache.c).

Importing this module sets how much may lie idle: FASTCONV_OUTPUT_CACHE, or the default.

NumPy gets the blocks through its own interface for allocators (NEP 49), so that the arrays are like
any other: they own their memory, can be resized, and are seen by tracemalloc. Each gives its block
back when its last view is gone.
"""

import os

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_New
from cpython.ref cimport Py_INCREF
from libc.string cimport memset, strcpy

from fastconv._core.c_api cimport (
    fc_output_acquire, fc_output_default_limit, fc_output_fail_at, fc_output_idle, fc_output_limit,
    fc_output_release, fc_output_release_idle, fc_output_resize, fc_output_set_limit,
    fc_workspace_release,
)

cdef extern from "numpy/arrayobject.h":
    object PyArray_Empty(int axes, cnp.npy_intp* shape, cnp.dtype dtype, int fortran)  # keeps dtype

cnp.import_array()

cdef enum:
    AXES = 64  # NumPy's own limit
    # From here on malloc gives memory back as soon as a few arrays are freed together.
    SMALLEST = 64 << 10


cdef void* acquire(void* context, size_t size) noexcept nogil:
    return fc_output_acquire(size)


cdef void* acquire_cleared(void* context, size_t count, size_t size) noexcept nogil:
    cdef void* data = fc_output_acquire(count * size)
    return data if data is NULL else memset(data, 0, count * size)


cdef void* resize(void* context, void* data, size_t size) noexcept nogil:
    return fc_output_resize(data, size)


cdef void release(void* context, void* data, size_t size) noexcept nogil:
    fc_output_release(data)


cdef cnp.PyDataMem_Handler handler
strcpy(<char*>handler.name, "fastconv_output_cache")
handler.version = 1
handler.allocator.ctx = NULL
handler.allocator.malloc = acquire
handler.allocator.calloc = acquire_cleared
handler.allocator.realloc = resize
handler.allocator.free = release
cdef object capsule = PyCapsule_New(&handler, "mem_handler", NULL)


def empty(tuple shape not None, cnp.dtype dtype not None):
    """A new array for a result, C-contiguous and not cleared; MemoryError if there is no memory.

    From 64 KiB on, its memory was often a result before: such an array is ready to be written,
    where every page of a fresh one is first cleared by the system. Memory that an array or a view
    still holds is never given out again.
    """
    cdef cnp.npy_intp sizes[AXES]
    cdef int axis, axes = len(shape)
    cdef double size = dtype.itemsize
    if axes > AXES:
        raise ValueError(f"shape: expected at most {AXES} axes, got {axes}")
    for axis in range(axes):
        sizes[axis] = shape[axis]
        size *= sizes[axis]
    Py_INCREF(dtype)  # for PyArray_Empty, which also refuses negative and overflowing sizes
    if size < SMALLEST or fc_output_limit() == 0:
        return PyArray_Empty(axes, sizes, dtype, 0)
    usual = cnp.PyDataMem_SetHandler(capsule)
    try:
        return PyArray_Empty(axes, sizes, dtype, 0)
    finally:
        cnp.PyDataMem_SetHandler(usual)


def get_output_cache():
    """How many bytes of memory of freed results may lie idle."""
    return fc_output_limit()


def set_output_cache(limit):
    """Let up to `limit` bytes of memory of freed results wait for the next; 0 turns this off.

    Raises TypeError unless `limit` is an int, ValueError if it is negative. What lies idle above it
    is given back to the system at once, what was freed longest ago first. By default the limit is
    256 MiB or an eighth of the memory, whichever is less; FASTCONV_OUTPUT_CACHE sets another.
    """
    if isinstance(limit, bool) or not hasattr(limit, "__index__"):
        raise TypeError(f"limit: expected an int, got {type(limit).__name__}")
    if not 0 <= limit < 2**63:
        raise ValueError(f"limit: expected 0 to 2**63 - 1 bytes, got {limit}")
    fc_output_set_limit(limit)


def output_cache_idle():
    """Bytes of memory of freed results that lie idle now."""
    return fc_output_idle()


def release_memory():
    """Give memory that lies idle back to the system, and return how many bytes that were.

    That is the memory of freed results, and the scratch memory that the calling thread keeps between
    operations. Arrays that are alive are not touched.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> result = fc.relu(np.zeros((256, 1024), np.float32))
    >>> del result
    >>> fc.release_memory() > 0
    True
    """
    cdef size_t released
    with nogil:
        released = fc_output_release_idle() + <size_t>fc_workspace_release()
    return released


def fail_output(n):
    """Testing: let the n-th request for a large result's memory from now fail; 0 ends that."""
    fc_output_fail_at(n)


def _configure_from_environment():
    limit = os.environ.get("FASTCONV_OUTPUT_CACHE")
    if not limit:
        fc_output_set_limit(fc_output_default_limit())
        return
    try:
        set_output_cache(int(limit))
    except ValueError:
        raise ImportError(
            f"FASTCONV_OUTPUT_CACHE={limit!r}: expected a number of bytes; 0 turns the cache off"
        ) from None


_configure_from_environment()
