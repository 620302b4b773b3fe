"""Known networks by name.

>>> from fastconv import models
>>> len(models.build("lenet", hidden=32, rng=0))
9
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastconv import nn
from fastconv.models.lenet import lenet

#: Name -> function that builds the network; what `build`, checkpoints and the command line know.
MODELS: dict[str, Callable[..., nn.Sequential]] = {"lenet": lenet}


def build(name: str, **options: Any) -> nn.Sequential:
    """Return the network `name` built with `options`. Raises ValueError for an unknown name."""
    if name not in MODELS:
        raise ValueError(f"model {name!r} is unknown: use one of {', '.join(MODELS)}")
    return MODELS[name](**options)


__all__ = ["MODELS", "build", "lenet"]
