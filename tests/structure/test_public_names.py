"""The face that users see: documented, paired with gradients, and light to import."""

import doctest
import inspect
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from processes import output_of

import fastconv as fc
from fastconv import ops

#: Public operations that have no gradient, and why.
NO_GRADIENT = {
    "autotune_conv2d": "measures",
    "clear_autotune": "forgets measurements",
    "explain_conv2d": "explains",
    "load_autotune": "reads measurements",
    "prepack_conv2d_weight": "lays out a weight",
    "save_autotune": "writes measurements",
}
FUNCTIONS = {n: f for n in ops.__all__ if inspect.isfunction(f := getattr(fc, n))}
FORWARD = [n for n in FUNCTIONS if not n.endswith("_backward") and n not in NO_GRADIENT]

#: Slow to import, or not installed with fastconv alone: only what uses them imports them.
HEAVY = ("scipy", "matplotlib", "sklearn", "PIL", "tqdm", "safetensors", "multiprocessing")


def test_all_names_exist() -> None:
    assert len(set(fc.__all__)) == len(fc.__all__)
    for name in fc.__all__:
        assert hasattr(fc, name)


def test_there_are_operations() -> None:
    assert {"conv2d", "im2col", "relu"} <= set(FORWARD)
    assert set(NO_GRADIENT) <= set(FUNCTIONS)


@pytest.mark.parametrize("name", FORWARD)
def test_every_operation_has_a_backward(name: str) -> None:
    backward = FUNCTIONS.get(f"{name}_backward")
    assert backward is not None, f"{name}_backward is not exported by fastconv.ops"
    assert next(iter(inspect.signature(backward).parameters)) == "grad_output"


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n.endswith("_backward")])
def test_every_backward_has_an_operation(name: str) -> None:
    assert name.removesuffix("_backward") in FUNCTIONS


def parsed(function: Callable[..., Any]) -> list[doctest.Example]:
    """The examples in a docstring."""
    return doctest.DocTestParser().get_examples(function.__doc__ or "")


@pytest.mark.parametrize("name", FORWARD)
def test_every_operation_shows_an_example(name: str) -> None:
    assert parsed(FUNCTIONS[name]), f"{name} has no >>> in its docstring"


@pytest.mark.parametrize("name", [*FUNCTIONS, "num_threads", "release_memory", "show_config"])
def test_examples_are_true(name: str) -> None:
    function = getattr(fc, name)
    assert (function.__doc__ or "").strip()
    names = {**vars(inspect.getmodule(function)), "fc": fc, "np": np}
    finder = doctest.DocTestFinder(recurse=False)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in finder.find(inspect.unwrap(function), name, globs=names):
        assert runner.run(test).failed == 0


LOADED = """
import json, sys, numpy
before = set(sys.modules)
{statement}
print(json.dumps(sorted({{name.split(".")[0] for name in set(sys.modules) - before}})))
"""


@pytest.mark.parametrize(
    "statement",
    [
        "import fastconv",
        "import fastconv as fc; fc.conv2d(numpy.ones((1, 1, 8, 8)), numpy.ones((1, 1, 3, 3)))",
        "from fastconv import data, models, nn, optim, training",
        "from fastconv.cli import build_parser; build_parser()",
    ],
)
def test_imports_are_light(statement: str) -> None:
    loaded = json.loads(output_of(LOADED.format(statement=statement)))
    assert "fastconv" in loaded
    assert [name for name in HEAVY if name in loaded] == []
