"""Files and functions stay small enough to be read in one go (DESIGN, "Sizes and habits")."""

import ast
from pathlib import Path

import pytest
from structure.tree import BENCHMARK_FILES, C_FILES, PACKAGE, PYTHON_FILES, name

#: Lines at which a file must be split. The guide is lower: 250 for C, 150 for .pyx, 250 for Python.
LIMITS = {".c": 400, ".h": 400, ".inc": 200, ".pyx": 200, ".pxd": 250, ".pyi": 200, ".py": 300}
CORE_FILES = sorted(p for p in (PACKAGE / "_core").glob("*.p*") if p.suffix in LIMITS)
ALL_FILES = sorted({*C_FILES, *PYTHON_FILES, *CORE_FILES, *BENCHMARK_FILES})
ALL_PYTHON_FILES = [path for path in ALL_FILES if path.suffix == ".py"]


@pytest.mark.parametrize("path", ALL_FILES, ids=name)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LIMITS[path.suffix]


@pytest.mark.parametrize("path", ALL_PYTHON_FILES, ids=name)
def test_python_functions_are_short(path: Path) -> None:
    """Sixty lines, docstring aside."""
    long = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            text = ast.get_docstring(node) and (first.end_lineno or 0) - first.lineno + 1
            lines = (node.end_lineno or 0) - node.lineno + 1 - (text or 0)
            if lines > 60:
                long.append((node.name, lines))
    assert long == []
