"""Every example in a docstring runs and prints what it says; so does the README's Python."""

import doctest
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import fastconv

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "benchmarks/README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKS = [
    (page, target)
    for page in PAGES
    for target in re.findall(r"\]\(((?!http)[^)]+)\)", page.read_text(encoding="utf-8"))
]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(fastconv.__path__, "fastconv.")
    if not module.name.endswith(("__main__", ".libfastconv"))
)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    result = doctest.testmod(import_module(name), extraglobs={"np": np})
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    examples = [t for name in MODULES for t in finder.find(import_module(name)) if t.examples]
    assert len(examples) > 150


def test_the_readme(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    for block in blocks:
        exec(block, names)  # a fresh reader's session: the blocks follow one another
    assert names["y"].shape == (8, 64, 112, 112)
    assert names["value"] > 0
    assert "conv2d forward" in capsys.readouterr().out


@pytest.mark.parametrize(("page", "target"), LINKS, ids=lambda value: str(value))
def test_links_lead_somewhere(page, target):
    assert (page.parent / target).exists()
