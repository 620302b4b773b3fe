"""Packages that only data sets, training and pictures need, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any


def require(module: str, purpose: str) -> Any:
    """Import and return `module`; ImportError says what it is for and how to install it.

    >>> require("json", "reading metrics").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs the package {module.split('.')[0]!r} ({error}): "
            'pip install "fastconv[train]"'
        ) from error
