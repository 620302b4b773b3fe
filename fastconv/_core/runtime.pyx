"""The runtime of the C library: instruction sets, threads, scratch memory.

Importing this module chooses the kernels: the best that this CPU runs, or FASTCONV_ISA.
"""

import os

from fastconv._core.c_api cimport (
    FC_OK, fc_build_description, fc_default_num_threads, fc_get_num_threads, fc_isa_name,
    fc_select_isa, fc_selected_isa, fc_set_num_threads, fc_workspace_fail_at, fc_workspace_held,
)


def available_isas():
    """Names of the instruction sets compiled in -> whether this CPU can run them, best first."""
    cdef int index = 0, supported = 0
    cdef const char* name
    names = {}
    while True:
        name = fc_isa_name(index, &supported)
        if name is NULL:
            return names
        names[name.decode()] = bool(supported)
        index += 1


def selected_isa():
    """Name of the instruction set whose kernels run."""
    return fc_selected_isa().decode()


def build_description():
    """The compiler and the flags that the C library was built with."""
    return fc_build_description().decode()


def get_num_threads():
    """How many threads an operation may use."""
    return fc_get_num_threads()


def set_num_threads(threads):
    """Let operations use up to `threads` threads (an int of at least 1); results do not change."""
    if isinstance(threads, bool) or not hasattr(threads, "__index__"):
        raise TypeError(f"threads: expected an int, got {type(threads).__name__}")
    if not 1 <= threads <= 1024:
        raise ValueError(f"threads: expected 1 to 1024, got {threads}")
    fc_set_num_threads(threads)


def workspace_held():
    """Bytes of scratch memory that the calling thread holds on to."""
    return fc_workspace_held()


def fail_allocation(n):
    """Testing: let the n-th request for scratch memory from now fail; 0 ends that."""
    fc_workspace_fail_at(n)


def _configure_from_environment():
    isa = os.environ.get("FASTCONV_ISA")
    name = os.fsencode(isa) if isa else None
    if fc_select_isa(<const char*>name if isa else NULL) != FC_OK:
        known = ", ".join(
            key + ("" if supported else " (not on this CPU)")
            for key, supported in available_isas().items()
        )
        raise ImportError(f"FASTCONV_ISA={isa!r}: expected one of {known}; unset it for the best")
    threads = os.environ.get("FASTCONV_NUM_THREADS")
    if threads:
        try:
            set_num_threads(int(threads))
        except ValueError:
            raise ImportError(
                f"FASTCONV_NUM_THREADS={threads!r}: expected a number from 1 to 1024"
            ) from None
    else:
        fc_set_num_threads(fc_default_num_threads())


_configure_from_environment()
