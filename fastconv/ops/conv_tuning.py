"""Let "auto" choose by what was measured on this machine, not by estimates."""

from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fastconv._core.runtime import get_num_threads, selected_isa
from fastconv.ops.algorithms import autotune
from fastconv.ops.algorithms.select import PASSES, Plan, eligible, load, select
from fastconv.ops.arrays import Array, empty
from fastconv.ops.conv_arguments import geometry_of
from fastconv.ops.conv_plan import as_dtype
from fastconv.ops.geometry import Conv2dGeometry


def autotune_conv2d(
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "NCHW",
    dtype: Any = np.float32,
    passes: Sequence[str] = PASSES,
) -> dict[str, Plan]:
    """Time the algorithms that "auto" may take for such arrays, and remember the times.

    From then on, and until `clear_autotune`, "auto" takes the fastest for exactly these shapes and
    options in this process. Algorithms that "auto" leaves to those who ask for them are not weighed,
    so every documented error bound holds as before.

    Parameters
    ----------
    input_shape, weight_shape, stride, padding, dilation, groups, layout
        As for `conv2d`.
    dtype : float32 or float64
    passes : sequence of str
        Of "forward", "grad_input" and "grad_weight"; each is tuned by itself.

    Returns
    -------
    dict of str to Plan
        The plan of each pass, as `explain_conv2d` gives it.

    Notes
    -----
    Takes about half a second a pass, with the current number of threads, and memory for arrays of
    these shapes; a choice counts for any number of threads. Tune before the work starts: the
    algorithm of a convolution, and with it the last bits of its results, may change.

    Examples
    --------
    >>> plans = autotune_conv2d((1, 3, 12, 12), (8, 3, 3, 3), passes=("forward",))
    >>> plans["forward"].reason
    'least measured time'
    >>> clear_autotune()
    """
    if isinstance(passes, str) or not set(passes) <= set(PASSES):
        raise ValueError(f"passes: expected a sequence of some of {PASSES}, got {passes!r}")
    number_type, isa = as_dtype(dtype), selected_isa()
    shapes = tuple(map(int, input_shape)), tuple(map(int, weight_shape))
    g = geometry_of(*shapes, stride, padding, dilation, groups, layout)
    found: dict[autotune.Key, dict[str, float]] = {}
    for which in passes:
        names = [] if g.empty else eligible(g, number_type, which)
        if len(names) > 1:
            arrays = _scratch(g, number_type)
            runs = {name: _run(load(name), g, which, arrays) for name in names}
            found[autotune.Key(g, number_type.name, which, isa)] = autotune.measure(runs)
    autotune.remember(found)
    arguments = "auto", isa, get_num_threads(), autotune.table, True
    return {which: select(g, number_type, which, *arguments) for which in passes}


def _scratch(g: Conv2dGeometry, dtype: np.dtype[Any]) -> tuple[Array, Array, Array]:
    """Input, weight and output of ordinary numbers: denormal ones would be slower."""
    shapes = g.input_shape, g.weight_shape, g.output_shape
    x, w, y = (empty(shape, dtype) for shape in shapes)
    for array in x, w, y:
        array[...] = 0.5
    return x, w, y


def _run(
    module: ModuleType, g: Conv2dGeometry, which: str, arrays: tuple[Array, Array, Array]
) -> Callable[[], object]:
    x, w, y = arrays
    if which == "forward":
        return partial(module.forward, g, x, w, None, False, y)
    if which == "grad_input":
        return partial(module.grad_input, g, y, w, empty(g.input_shape, x.dtype))
    return partial(module.grad_weight, g, x, y, empty(g.weight_shape, x.dtype))


def save_autotune(path: str | PathLike[str]) -> None:
    """Write what `autotune_conv2d` has measured in this process to a JSON file.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     save_autotune(folder + "/tuned.json")
    ...     load_autotune(folder + "/tuned.json")
    0
    """
    autotune.save(Path(path))


def load_autotune(path: str | PathLike[str]) -> int:
    """Add the measurements of a file from `save_autotune`; return of how many convolutions.

    They count where the instruction set is the one they were made with, and only where they cover
    all that "auto" may take. Raises ValueError, with nothing added, if the file is not one of those.
    """
    return autotune.load(Path(path))


def clear_autotune() -> None:
    """Forget all measurements: "auto" chooses by estimates again."""
    autotune.forget()
