"""fastconv: fast convolutional networks on a CPU for people who hold NumPy arrays.

>>> import numpy as np, fastconv as fc
>>> fc.conv2d(np.ones((1, 3, 32, 32), np.float32), np.ones((8, 3, 5, 5), np.float32)).shape
(1, 8, 28, 28)

Operations are here; layers, optimisers, data, models, training and the plain-Python reference are
the submodules nn, optim, data, models, training and reference, imported when first used.
"""

from importlib import import_module
from typing import Any

from fastconv import ops
from fastconv._version import __version__
from fastconv.configuration import (
    get_include,
    get_num_threads,
    get_output_cache,
    num_threads,
    release_memory,
    set_num_threads,
    set_output_cache,
    show_config,
)
from fastconv.ops import *  # noqa: F403

_SUBMODULES = ("data", "models", "nn", "optim", "reference", "testing", "training")

__all__ = [
    "__version__",
    "get_include",
    "get_num_threads",
    "get_output_cache",
    "num_threads",
    "release_memory",
    "set_num_threads",
    "set_output_cache",
    "show_config",
    *ops.__all__,
    *_SUBMODULES,
]


def __getattr__(name: str) -> Any:
    """Import a submodule on first use."""
    if name in _SUBMODULES:
        return import_module(f"fastconv.{name}")
    raise AttributeError(f"module 'fastconv' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the submodules too."""
    return sorted(__all__)
