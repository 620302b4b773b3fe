"""One line about the machine that figures came from."""

import platform
from datetime import UTC, datetime
from pathlib import Path

import numpy
import scipy

import fastconv as fc
from fastconv._version import __version__
from fastconv.configuration import selected_isa


def processor() -> str:
    """Return the CPU's name as the operating system has it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def describe() -> str:
    """Return machine, instruction set, threads, versions and date."""
    threads = fc.get_num_threads()
    return (
        f"{processor()}, {selected_isa()}, {threads} thread{'s' * (threads > 1)}; "
        f"fastconv {__version__}, Python {platform.python_version()}, NumPy {numpy.__version__}, "
        f"SciPy {scipy.__version__}; {datetime.now(UTC):%Y-%m-%d}"
    )
