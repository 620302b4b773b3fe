"""Steps of optimisers: within their bounds, on every instruction set, whatever the arrays."""

from pathlib import Path

import numpy as np
import pytest
from helpers import assert_threads_agree, failing_allocation, guarded, layouts
from processes import output_of

from fastconv._core import runtime
from fastconv.ops.optimizer import ADAM, RMSPROP, SGD, Rule, optimizer_step

#: Rule, states that it keeps.
RULES = {
    "sgd": (Rule(SGD, 0.1), ""),
    "decay": (Rule(SGD, 0.1, weight_decay=0.3), ""),
    "momentum": (Rule(SGD, 0.1, 0.2, momentum=0.9), "v"),
    "dampening": (Rule(SGD, 0.1, momentum=0.9, dampening=0.3), "v"),
    "nesterov": (Rule(SGD, 0.1, 0.2, momentum=0.9, nesterov=True), "v"),
    "rmsprop": (Rule(RMSPROP, 0.1, 0.2, betas=(0.9, 0), eps=1e-3), "s"),
    "centered": (Rule(RMSPROP, 0.1, betas=(0.9, 0), eps=1e-3), "sa"),
    "rmsprop momentum": (Rule(RMSPROP, 0.1, 0.2, 0.8, betas=(0.9, 0), eps=1e-3), "sv"),
    "rmsprop all": (Rule(RMSPROP, 0.1, 0.2, 0.8, betas=(0.9, 0), eps=1e-3), "sav"),
    "adam": (Rule(ADAM, 0.1, 0.2, betas=(0.8, 0.95), eps=1e-3), "mv"),
}
PLACES = {SGD: "v", RMSPROP: "sav", ADAM: "mv"}


def problem(name, size, dtype, step=3):
    """An entry of random arrays, squares above squared means."""
    rule, kept = RULES[name]
    generator = np.random.default_rng(size)
    data, grad = generator.standard_normal((2, size)).astype(dtype)
    values = {k: generator.standard_normal(size).astype(dtype) for k in kept}
    if "s" in kept:
        values["s"] = np.abs(values["s"]) + values.get("a", dtype(0)) ** 2
    if rule.number == ADAM:
        values["v"] = np.abs(values["v"])
    return step, data, grad, *(values.get(k) for k in PLACES[rule.number].ljust(3))


def exact(rule, entry):
    """The step in long double: each result and its bound in units of u."""
    step, p, g, *states = (a if np.ndim(a) == 0 else a.astype(np.longdouble) for a in entry)
    terms, g = abs(g) + rule.weight_decay * abs(p), g + rule.weight_decay * p
    results, rate = {}, rule.lr
    if rule.number == SGD:
        move, size = g, terms
        if states[0] is not None:
            keep, momentum = (0, 1) if step == 1 else (rule.momentum, 1 - rule.dampening)
            move = keep * states[0] + momentum * g
            size = keep * abs(states[0]) + momentum * terms
            results[0] = move, 4 * size
        if rule.nesterov:
            move, size = g + rule.momentum * move, terms + rule.momentum * size
        return {**results, -1: (p - rate * move, abs(p) + 8 * rate * size)}
    beta, other = rule.betas
    if rule.number == ADAM:
        mean = beta * states[0] + (1 - beta) * g
        square = other * states[1] + (1 - other) * g**2
        size = beta * abs(states[0]) + (1 - beta) * terms
        results = {0: (mean, 4 * size), 1: (square, 6 * squares(states[1], terms, other))}
        rate = rule.lr / (1 - beta**step)
        root = np.sqrt(square / (1 - other**step)) + rule.eps
        size = size + abs(mean) * squares(states[1], terms, other) / square
        return {**results, -1: (p - rate * mean / root, abs(p) + 16 * rate * size / root)}
    square = beta * states[0] + (1 - beta) * g**2
    worse = squares(states[0], terms, beta) / square
    results[0] = square, 6 * square * worse
    under = square
    if states[1] is not None:
        mean = beta * states[1] + (1 - beta) * g
        size = beta * abs(states[1]) + (1 - beta) * terms
        results[1] = mean, 4 * size
        under = square - mean**2
        worse = (square * worse + size**2) / under
    move = g / (np.sqrt(under) + rule.eps)
    size = terms / (np.sqrt(under) + rule.eps) * worse
    if states[2] is not None:
        move = rule.momentum * states[2] + move
        size = rule.momentum * abs(states[2]) + size
        results[2] = move, 16 * size
    return {**results, -1: (p - rate * move, abs(p) + 16 * rate * size)}


def squares(before, terms, beta):
    """What the new squares would be, did nothing cancel in the gradient."""
    return beta * before + (1 - beta) * terms**2


def check(name, size, dtype, step=3):
    rule, _ = RULES[name]
    entry = problem(name, size, dtype, step)
    expected = exact(rule, entry)
    grad = entry[2].copy()
    optimizer_step(rule, [entry])
    np.testing.assert_array_equal(entry[2], grad)
    unit = np.finfo(dtype).eps / 2
    for place, (result, bound) in expected.items():
        found = entry[1] if place < 0 else entry[3 + place]
        worst = float(np.max(abs(found - result) / bound)) / unit
        assert worst <= 1, f"{name}, state {place}: {worst:.2f} of the bound"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", RULES)
def test_steps_are_within_their_bounds(name, dtype):
    for size, step in ((1, 1), (15, 2), (64, 1), (1003, 3), (40000, 50)):
        check(name, size, dtype, step)


@pytest.mark.parametrize("isa", [n for n, able in runtime.available_isas().items() if able])
def test_every_instruction_set_is_within_the_bounds(isa):
    code = f"""
sys.path[:0] = {[str(folder) for folder in Path(__file__).parents[:2]]!r}
import numpy as np, test_optimizer
for name in test_optimizer.RULES:
    for dtype in np.float32, np.float64:
        test_optimizer.check(name, 77, dtype)
print("done")
"""
    assert output_of(code, FASTCONV_ISA=isa) == "done"


@pytest.mark.parametrize("name", RULES)
def test_same_bits_for_any_number_of_threads(name):
    def run():
        entries = [problem(name, size, np.float32) for size in (300_000, 0, 7, 100_000)]
        optimizer_step(RULES[name][0], entries)
        return tuple(a for entry in entries for a in entry[1:] if a is not None)

    assert_threads_agree(run)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_beyond_the_arrays_is_touched(dtype, side):
    for name in RULES:
        for size in (1, 13, 33):
            step, *arrays = problem(name, size, dtype)
            arrays = [None if a is None else guarded(a, side) for a in arrays]
            optimizer_step(RULES[name][0], [(step, *arrays)])


def test_arrays_of_any_layout_are_changed_in_place():
    rule, _ = RULES["adam"]
    shape = (4, 6)
    step, *plain, _ = problem("adam", 24, np.float32)
    plain = [a.reshape(shape) for a in plain]
    for layout in ("Fortran order", "every second", "reversed", "byte-swapped", "misaligned"):
        arrays = [layouts(a)[layout] for a in plain]
        expected = [a.copy() for a in plain]
        optimizer_step(rule, [(step, *arrays, None)])
        optimizer_step(rule, [(step, *expected, None)])
        for array, wanted in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(array, wanted, err_msg=layout)


def test_half_precision_is_computed_in_single():
    entry = problem("momentum", 40, np.float16)
    wide = tuple(a.astype(np.float32) if isinstance(a, np.ndarray) else a for a in entry)
    optimizer_step(RULES["momentum"][0], [entry])
    optimizer_step(RULES["momentum"][0], [wide])
    assert entry[1].dtype == np.float16
    np.testing.assert_array_equal(entry[1], wide[1].astype(np.float16))
    np.testing.assert_array_equal(entry[3], wide[3].astype(np.float16))


def test_dtypes_may_differ_between_parameters():
    entries = [problem("adam", 50, dtype) for dtype in (np.float32, np.float64)]
    wanted = [problem("adam", 50, dtype) for dtype in (np.float32, np.float64)]
    optimizer_step(RULES["adam"][0], entries)
    for entry in wanted:
        optimizer_step(RULES["adam"][0], [entry])
    for mine, other in zip(entries, wanted, strict=True):
        np.testing.assert_array_equal(mine[1], other[1])


def test_a_read_only_parameter_is_refused_before_anything_is_changed():
    first, second = (problem("sgd", 5, np.float32) for _ in range(2))
    second[1].flags.writeable = False
    before = first[1].copy()
    with pytest.raises(ValueError, match=r"data.*read-only"):
        optimizer_step(RULES["sgd"][0], [first, second])
    np.testing.assert_array_equal(first[1], before)


def test_integers_are_refused():
    with pytest.raises(TypeError, match="data: expected float32"):
        optimizer_step(RULES["sgd"][0], [(1, np.ones(2, int), np.ones(2), None, None, None)])


def test_states_must_be_those_of_the_rule():
    step, data, grad, *_ = problem("sgd", 5, np.float32)
    with pytest.raises(ValueError, match="argument"):
        optimizer_step(RULES["adam"][0], [(step, data, grad, None, None, None)])


def test_running_out_of_memory():
    entry = problem("sgd", 5, np.float32)
    before = entry[1].copy()
    with failing_allocation(1), pytest.raises(MemoryError):
        optimizer_step(RULES["sgd"][0], [entry])
    np.testing.assert_array_equal(entry[1], before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["momentum", "rmsprop all", "adam"])
def test_averages_decay_to_zero_not_to_subnormals(name, dtype):
    """Arithmetic on subnormal numbers is slow, and 0.9 times the smallest rounds back to it."""
    rule, kept = RULES[name]
    rule = rule._replace(weight_decay=0.0, momentum=0.75, betas=(0.75, 0.75))
    least, linear = np.finfo(dtype).smallest_normal, "m" if rule.number == ADAM else "av"
    start = np.array([least, -least, 4 * least, -4 * least, np.nan] * 9, dtype)
    states = {place: (start if place in linear else np.ones_like(start)).copy() for place in kept}
    data, grad = np.zeros((2, *start.shape), dtype)
    order = PLACES[rule.number].ljust(3)
    optimizer_step(rule, [(3, data, grad, *map(states.get, order))])
    for place in set(kept) & set(linear):
        expected = np.array([0, 0, 3 * least, -3 * least, np.nan] * 9, dtype)
        np.testing.assert_array_equal(states[place], expected, err_msg=place)
