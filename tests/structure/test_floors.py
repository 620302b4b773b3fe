"""One way down, never up: which part of the package may import which (DESIGN, "The tree")."""

import ast
from pathlib import Path

import pytest
from structure.tree import PACKAGE, PYTHON_FILES, name

#: Part -> the parts of fastconv that it may import. "fastconv" is the public namespace itself.
MAY_IMPORT = {
    "_version": set(),
    "_core": set(),
    "configuration": {"_core", "_version"},
    "ops": {"_core"},
    "nn": {"ops"},
    "models": {"nn"},
    "training": {"models", "nn", "optim", "data", "fastconv"},
    "benchmark": {"fastconv", "_version", "configuration", "reference", "data"},
    "cli": {"training", "benchmark", "data", "fastconv"},
    "__main__": {"cli"},
    # It knows arrays only, but one pass over all of a step's arrays is compiled code's: as NumPy
    # calls, five passes or more, a step of SGD took two fifths of LeNet's training step at batch 1.
    "optim": {"ops"},
    # They know arrays only.
    "data": set(),
    "testing": set(),
    "reference": set(),
    # The public namespace; submodules are imported lazily, by name.
    "fastconv": {"_version", "configuration", "ops"},
}


def part_of(path: Path) -> str:
    """The part of the package that a file belongs to."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "fastconv" if parts == ("__init__",) else parts[0]


def imported_parts(path: Path) -> set[str]:
    """Parts of fastconv that a file imports, anywhere in it."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}:{node.lineno}: a relative import"
            ours = node.module == "fastconv"
            modules |= {f"fastconv.{a.name}" if ours else f"{node.module}" for a in node.names}
    ours = [module.split(".") for module in modules if module.split(".")[0] == "fastconv"]
    parts = {module[1] if len(module) > 1 else "fastconv" for module in ours}
    files = {path.stem for path in PACKAGE.iterdir()}
    return {part if part in files else "fastconv" for part in parts}


@pytest.mark.parametrize("path", PYTHON_FILES, ids=name)
def test_imports_go_down(path: Path) -> None:
    part = part_of(path)
    assert part in MAY_IMPORT, f"a new part of the package: say in MAY_IMPORT what {part} imports"
    upward = imported_parts(path) - MAY_IMPORT[part] - {part}
    assert not upward, f"{name(path)} imports {sorted(upward)}"


def test_no_circles() -> None:
    """The table itself has a top and a bottom."""
    remaining = {part: parts - {"fastconv"} for part, parts in MAY_IMPORT.items()}
    while remaining:
        grounded = {part for part, parts in remaining.items() if not parts & remaining.keys()}
        assert grounded, f"these import each other: {remaining}"
        remaining = {part: parts for part, parts in remaining.items() if part not in grounded}


@pytest.mark.parametrize("path", sorted((PACKAGE / "_core").glob("*.p[xy][xdi]")), ids=name)
def test_the_core_imports_nothing_above_it(path: Path) -> None:
    for line in path.read_text().splitlines():
        words = line.split()
        if words[:1] in (["from"], ["import"], ["cimport"]) and words[1].startswith("fastconv"):
            assert words[1].startswith("fastconv._core."), f"{name(path)}: {line}"
