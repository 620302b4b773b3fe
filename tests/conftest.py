"""Shared by all tests: what runs is shown, and what a test sets is set back."""

from collections.abc import Iterator

import pytest

import fastconv as fc
from fastconv._core.runtime import selected_isa


def pytest_report_header() -> str:
    """Say which kernels the run exercises."""
    return f"fastconv {fc.__version__}: {selected_isa()} kernels, {fc.get_num_threads()} threads"


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    """Set the thread count back after every test."""
    before = fc.get_num_threads()
    yield
    fc.set_num_threads(before)
