"""What an adapter offers: a name, what it can do, and a call that is ready to be timed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.layers import Layer

Array = NDArray[Any]


@dataclass(frozen=True)
class Problem:
    """One layer's arrays and what is asked for; arrays are C-contiguous NCHW and OIHW."""

    layer: Layer
    which: str  # "forward" or "backward"
    dtype: str
    reused: bool  # the output's memory is there before the call
    threads: int
    input: Array
    weight: Array
    grad_output: Array


def problem(layer: Layer, which: str, dtype: str, *, reused: bool, threads: int) -> Problem:
    """Return a problem on normal data; weights are scaled so that outputs are about one."""
    generator = np.random.default_rng(0)
    shapes = layer.input_shape, layer.weight_shape, layer.output_shape
    image, weight, grad = (generator.standard_normal(shape).astype(dtype) for shape in shapes)
    weight *= np.sqrt(weight[0].size) ** -1
    return Problem(layer, which, dtype, reused, threads, image, weight, grad)


@dataclass(frozen=True)
class Prepared:
    """A call without arguments, and how its value becomes NumPy arrays.

    `arrays` gives (output,) in NCHW for a forward pass, (grad_input, grad_weight, grad_bias) for a
    backward one.
    """

    call: Callable[[], Any]
    arrays: Callable[[Any], tuple[Array, ...]]


@dataclass(frozen=True)
class Contender:
    """A library in one of its memory layouts: a column of the table, or one of several ways to one."""

    name: str
    column: str  # of the ways to a column the faster one counts
    package: str  # the distribution whose version is printed
    prepare: Callable[[Problem], Prepared]
    passes: tuple[str, ...] = ("forward",)
    dtypes: tuple[str, ...] = ("float32",)
    reused_only: bool = False  # it exists for reused outputs of the forward pass
    follows_isa: bool = False  # its kernels can be held to an instruction set
    note: str = ""  # what a reader must know about its figures,
    reuse: str = ""  # and about those with reused outputs

    def can(self, which: str, dtype: str) -> bool:
        """Say whether it has this pass in this dtype."""
        return which in self.passes and dtype in self.dtypes
