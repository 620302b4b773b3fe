"""The compiled floor: small Cython modules, one per family of operations, over libfastconv.

libgomp's idle threads spin for milliseconds by default. Where cores are shared with anything else
that is ruinous: a spinning thread uses up its time slice and is then missing when the next
operation needs it. So libgomp, which reads its environment when it is loaded, here and only here,
is told to spin for 0.1 to 0.3 ms, by the processor (the gap between two operations of a network),
and then to sleep.
Whoever sets OMP_WAIT_POLICY or GOMP_SPINCOUNT keeps what they set.
"""

import os
from importlib.util import find_spec


def _load() -> None:
    if "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ:
        return
    os.environ["GOMP_SPINCOUNT"] = "8000"
    try:
        from fastconv._core import runtime  # noqa: F401
    finally:
        del os.environ["GOMP_SPINCOUNT"]


if find_spec("fastconv._core.runtime") is None:
    raise ImportError(
        f"fastconv: {os.path.dirname(__file__)} is source code without compiled modules. Python "
        "found it before the installed package: run from another folder, or install with "
        "'pip install -e .'"
    )
_load()
