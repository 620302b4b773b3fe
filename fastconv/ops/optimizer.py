"""Steps of optimisers, for all parameters in one call: what `fastconv.optim` is made of.

Data, gradient and state are read once and written once, by as many threads as the sizes are worth;
the formulas are in src_c/kernels/optimizer.inc and in the docstrings of `fastconv.optim`.

With u = 2^-24 or 2^-53 and the arrays as they were before a step, its results are within

    velocities, means   4 u (sum of the absolute values of the formula's terms; RMSprop's velocity
                        16 u)
    squares             6 u of what they would be, did no terms of the gradient cancel
    data                u |p| + 8 u rate (sum of the absolute values of the terms of what the rate
                        multiplies); RMSprop and Adam: 16 u, of the terms over the root, and as much
                        more as terms cancel in the squares (centered: in s - a^2)

where the terms of a gradient are g and weight_decay p. Velocities and means below the smallest
normal number become zero: a unit without a gradient does not end in slow, subnormal arithmetic.
"""

from typing import NamedTuple

import numpy as np

from fastconv._core import optimizer as core
from fastconv.ops.arrays import Array, as_floats

SGD, RMSPROP, ADAM = core.SGD, core.RMSPROP, core.ADAM

#: The number of the step (from 1), the data, their gradient, and three states. None: not kept.
Entry = tuple[int, Array, Array, Array | None, Array | None, Array | None]


class Rule(NamedTuple):
    """An update rule and its numbers; a rule leaves those alone that it has no use for.

    SGD keeps the velocity (first state, with momentum); RMSPROP squares, means (centered) and
    velocity (with momentum), its alpha is betas[0]; ADAM first and second moments.
    """

    number: int
    lr: float
    weight_decay: float = 0.0
    momentum: float = 0.0
    dampening: float = 0.0
    betas: tuple[float, float] = (0.0, 0.0)
    eps: float = 0.0
    nesterov: bool = False


def _copied(entry: Entry) -> Entry:
    """The entry with copies that the core takes: float16 as float32, rows one after the other."""
    step, data, *others = entry
    if not data.flags.writeable:
        raise ValueError("data: a parameter's array is read-only, and a step would change it")
    dtype = as_floats("data", data).dtype
    grad, first, second, third = (
        None if array is None else np.array(array, dtype, order="C") for array in others
    )
    assert grad is not None
    return step, np.array(data, dtype, order="C"), grad, first, second, third


def optimizer_step(rule: Rule, entries: list[Entry]) -> None:
    """Take one step of `rule` for every entry, changing its data and states in place.

    Arrays of an entry have one shape. Native, aligned, C-contiguous float32 or float64 arrays are
    changed where they lie, others through a copy. No array that is changed may share memory with
    another of the call. TypeError: data are no floats that fastconv has; ValueError: data that
    would be changed are read-only.

    Examples
    --------
    >>> data, velocity = np.array([1.0, 2.0]), np.zeros(2)
    >>> rule = Rule(SGD, lr=0.5, momentum=0.9)
    >>> optimizer_step(rule, [(1, data, np.array([2.0, 4.0]), velocity, None, None)])
    >>> data, velocity
    (array([0., 0.]), array([2., 4.]))
    """
    copies = {i: _copied(entry) for i, entry in enumerate(entries) if not core.ready(entry)}
    core.step(*rule, [copies.get(i, e) for i, e in enumerate(entries)] if copies else entries)
    for i, copy in copies.items():
        given = entries[i]
        for array, changed in zip(given[1:2] + given[3:], copy[1:2] + copy[3:], strict=True):
            if array is not None:
                array[...] = changed
