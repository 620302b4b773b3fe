"""The type stubs of the compiled modules name what the modules have, argument by argument."""

import ast
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import fastconv._core

CORE = Path(fastconv._core.__file__).parent
FOUND = {module.name for module in pkgutil.iter_modules(fastconv._core.__path__)}
MODULES = sorted(FOUND - {"libfastconv"})  # the C library lies among them, and looks like one


def stub_names(tree: ast.Module) -> dict[str, list[str] | None]:
    """Public name -> argument names of a function or of a class's __init__; None for a value."""
    names: dict[str, list[str] | None] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("_"):
            continue  # for the checker alone
        if isinstance(node, ast.FunctionDef):
            names[node.name] = [argument.arg for argument in node.args.args]
        elif isinstance(node, ast.ClassDef):
            members = {m.name: m for m in node.body if isinstance(m, ast.FunctionDef)}
            maker = members.get("__init__")
            names[node.name] = [a.arg for a in maker.args.args[1:]] if maker else None
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names[node.target.id] = None
    return names


def arguments(value: Any) -> list[str] | None:
    """Argument names of a compiled function or, from its embedded signature, of a class.

    None for a class that has none: its instances are the module's own.
    """
    if isinstance(value, type) and not value.__doc__.startswith(f"{value.__name__}("):
        return None
    if isinstance(value, type):
        found = re.match(rf"{value.__name__}\((.*)\)", value.__doc__ or "")
        assert found, f"{value.__name__} has no embedded signature"
        return [part.split("=")[0].split()[-1] for part in found[1].split(",")]
    return list(inspect.signature(value).parameters) if callable(value) else None


def module_names(module: ModuleType) -> dict[str, list[str] | None]:
    """Public name -> argument names of all that the compiled module defines itself."""
    return {
        name: arguments(value)
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
        if getattr(value, "__module__", module.__name__) == module.__name__
    }


def test_there_are_compiled_modules() -> None:
    assert {"runtime", "conv", "columns", "activation", "blas"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_stub_matches_module(name: str) -> None:
    stub = ast.parse((CORE / f"{name}.pyi").read_text())
    assert stub_names(stub) == module_names(importlib.import_module(f"fastconv._core.{name}"))


def test_no_stub_without_a_module() -> None:
    assert sorted(path.stem for path in CORE.glob("*.pyi")) == MODULES
