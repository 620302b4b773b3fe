"""Threads and configuration: what a user can see and set of the machine room."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastconv._core.memory import (
    get_output_cache,
    output_cache_idle,
    release_memory,
    set_output_cache,
)
from fastconv._core.runtime import (
    available_isas,
    get_num_threads,
    selected_isa,
    set_num_threads,
)
from fastconv._version import __version__

__all__ = [
    "get_include",
    "get_num_threads",
    "get_output_cache",
    "num_threads",
    "release_memory",
    "selected_isa",
    "set_num_threads",
    "set_output_cache",
    "show_config",
]


MB = 1e6


@contextmanager
def num_threads(threads: int) -> Iterator[None]:
    """Use up to `threads` threads within a `with` block, whatever it was before.

    The setting is the process's, as in other libraries; results do not depend on it.

    Examples
    --------
    >>> before = get_num_threads()
    >>> with num_threads(1):
    ...     get_num_threads()
    1
    >>> get_num_threads() == before
    True
    """
    before = get_num_threads()
    set_num_threads(threads)
    try:
        yield
    finally:
        set_num_threads(before)


def get_include() -> str:
    """Return the folder of `fastconv.h`, for Cython and C code that calls the library."""
    return str(Path(__file__).parent / "_core" / "include")


def show_config() -> str:
    """Print and return the configuration: version, instruction sets, threads, memory, BLAS, build.

    Examples
    --------
    >>> print(show_config().splitlines()[0])  # doctest: +ELLIPSIS
    fastconv ...
    """
    import platform

    import numpy
    import scipy

    from fastconv._core.blas import description

    usable = [name for name, supported in available_isas().items() if supported]
    lacking = [name for name, supported in available_isas().items() if not supported]
    lines = [
        f"fastconv {__version__}",
        f"  instruction set  {selected_isa()} (of {', '.join(usable)} here"
        + (f"; compiled but not on this CPU: {', '.join(lacking)})" if lacking else ")"),
        f"  threads          {get_num_threads()}",
        f"  output cache     {output_cache_idle() / MB:.1f} MB idle, "
        f"at most {get_output_cache() / MB:.1f} MB",
        f"  BLAS (im2col)    {description()}",
        f"  built            {build_description()}",
        f"  Python           {platform.python_version()}, NumPy {numpy.__version__}, "
        f"SciPy {scipy.__version__}, {platform.machine()}",
    ]
    text = "\n".join(lines)
    print(text)
    return text


def build_description() -> str:
    """Return the compiler and the flags that the C library was built with."""
    from fastconv._core import runtime

    return str(runtime.build_description())
