"""src_c/build_flags.py, the table that setup.py compiles by, for the tests."""

import importlib.util
import sys
from types import ModuleType

from structure.tree import SOURCE


def load() -> ModuleType:
    """Import the table from its file: it belongs to the build, not to the package."""
    spec = importlib.util.spec_from_file_location("fastconv_build_flags", SOURCE / "build_flags.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module
