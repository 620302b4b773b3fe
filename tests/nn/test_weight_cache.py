"""A layer's packed weight is kept in evaluation mode, and never outlives the weight it was made of."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn, optim
from fastconv._core.runtime import selected_isa
from fastconv.ops.algorithms.costs import COSTS
from fastconv.ops.algorithms.select import select

X = np.random.default_rng(0).standard_normal((2, 96, 24, 24)).astype(np.float32)


@pytest.fixture(autouse=True)
def no_columns(monkeypatch):
    """However fast the BLAS behind im2col is, "auto" shall take an algorithm that packs weights."""
    costs = COSTS[selected_isa()]["float32"]["im2col"]
    monkeypatch.setitem(costs, "forward", (1.0, *costs["forward"][1:]))
    select.cache_clear()
    yield
    select.cache_clear()


def make(dtype=np.float32):
    return nn.Conv2d(96, 96, 3, padding=1, rng=0, dtype=dtype).eval()


def plain(layer, x=X):
    """What the layer should give."""
    bias = None if layer.bias is None else layer.bias.peek()
    options = layer.stride, layer.padding, layer.dilation, layer.groups
    return fc.conv2d(x, layer.weight.peek(), bias, *options)


def check(layer, x=X):
    """Twice: what fills the cache, and what reads it."""
    for _ in range(2):
        assert layer(x).tobytes() == plain(layer, x).tobytes()


def test_it_is_used_again_in_evaluation_mode_alone(monkeypatch):
    from fastconv.ops.algorithms import winograd

    made = []
    pack = winograd.pack_weight
    monkeypatch.setattr(winograd, "pack_weight", lambda *a: made.append(1) or pack(*a))
    layer = make()
    assert fc.explain_conv2d(X.shape, (96, 96, 3, 3), padding=1).algorithm == "winograd"
    for _ in range(3):
        check(layer)
    assert len(made) == 1
    assert layer._packed.nbytes > 0
    layer.train()
    assert layer._packed.nbytes == 0
    check(layer)
    assert layer._packed.nbytes == 0
    nn.Sequential(layer).eval()
    check(layer)
    assert len(made) == 2
    nn.Sequential(layer).train()
    assert layer._packed.nbytes == 0


def double(layer):
    layer.weight.data = layer.weight.data * 2


def scale_in_place(layer):
    layer.weight.data *= 2


def write_one(layer):
    layer.weight.data[3, 4, 1, 1] += 1


def step(layer):
    layer.weight.grad = np.ones(layer.weight.shape, np.float32)
    optim.SGD([layer.weight], lr=0.1).step()


def load(layer):
    layer.load_state_dict(nn.Conv2d(96, 96, 3, padding=1, rng=1).state_dict())


def replace_parameter(layer):
    layer.weight = nn.Conv2d(96, 96, 3, rng=2).weight


def train_a_little(layer):
    layer.train()
    layer.backward(np.ones_like(layer(X)))
    optim.SGD(layer.parameters(), lr=0.01).step()
    layer.eval()


CHANGES = [
    double,
    scale_in_place,
    write_one,
    step,
    load,
    replace_parameter,
    train_a_little,
]


@pytest.mark.parametrize("change", CHANGES)
def test_no_change_goes_unseen(change):
    layer = make()
    check(layer)
    before = layer(X)
    assert layer._packed.nbytes > 0
    change(layer)
    check(layer)
    assert layer(X).tobytes() != before.tobytes()


@pytest.mark.parametrize(
    "hold",
    [
        lambda array: array,
        lambda array: array[:, 1:],
        lambda array: memoryview(array),
        lambda array: np.from_dlpack(array),
        lambda array: array.reshape(-1),
    ],
    ids=["array", "view", "buffer", "dlpack", "flat"],
)
@pytest.mark.parametrize("early", [True, False])
def test_writes_through_what_was_taken_earlier_are_seen(hold, early):
    """Nothing is cached as long as somebody could write without our knowing."""
    layer = make()
    if not early:
        check(layer)
    held = hold(layer.weight.data)
    check(layer)
    assert layer._packed.nbytes == 0
    np.asarray(held)[...] = 0.5
    assert (layer.weight.peek() == 0.5).sum() > 80000
    check(layer)
    del held
    check(layer)
    assert layer._packed.nbytes > 0


def test_arrays_of_others_are_not_cached():
    layer, theirs = make(), np.ones((97, 96, 3, 3), np.float32)
    layer.weight.data = theirs[1:]
    check(layer)
    theirs *= 2
    check(layer)
    assert layer._packed.nbytes == 0
    layer.weight.data = whole = np.ones((96, 96, 3, 3), np.float32)
    check(layer)
    whole *= 3
    check(layer)


def test_shared_parameters_and_shared_arrays():
    one, other = make(), make()
    other.weight = one.weight
    check(one)
    check(other)
    one.weight.data[...] = 0.25
    check(one)
    check(other)
    third = make()
    third.weight.data = one.weight.data
    check(third)
    assert third._packed.nbytes == 0


def test_sizes_dtypes_and_options_may_change():
    layer = make()
    for shape in (2, 96, 10, 10), (1, 96, 40, 40), (5, 96, 7, 30), (0, 96, 9, 9), (2, 96, 10, 10):
        check(layer, np.ones(shape, np.float32))
    for name, value in ("stride", (2, 2)), ("dilation", (2, 1)), ("padding", 0), ("stride", 1):
        setattr(layer, name, value)
        check(layer)
    layer.weight.data = layer.weight.data.astype(np.float64)
    layer.bias.data = layer.bias.data.astype(np.float64)
    check(layer, X.astype(np.float64))
    with pytest.raises(TypeError, match="weight"):
        layer(X)
    check(make(), X.astype(np.float16))
    with pytest.raises(ValueError, match="input"):
        make()(np.ones((3, 3), np.float32))
    wide = nn.Conv2d(48, 64, 1, rng=0).eval()
    for size in 3, 32, 3:
        check(wide, np.ones((1, 48, size, size), np.float32))


def test_copies_start_without():
    layer = make()
    check(layer)
    for other in copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)):
        assert other._packed.nbytes == 0
        check(other)
    other = copy.deepcopy(layer)
    other.weight.data[...] = 1
    check(other)
    check(layer)
    assert layer._packed.nbytes > 0
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_shallow_copies_share_the_array():
    layer = make()
    check(layer)
    other = copy.copy(layer)
    other.weight = copy.copy(layer.weight)
    other.weight.data[...] = 1
    assert (layer.weight.peek() == 1).all()
    check(layer)
    check(other)
    assert layer._packed.nbytes == 0


def test_many_threads_and_one_that_writes():
    layer = make()
    inputs = [np.ascontiguousarray(X[:, :, : 4 + i % 5]) for i in range(40)]
    with ThreadPoolExecutor(6) as pool:
        for round_ in range(4):
            layer.weight.data[...] += round_
            expected = [plain(layer, x) for x in inputs]
            for y, right in zip(pool.map(layer, inputs), expected, strict=True):
                assert y.tobytes() == right.tobytes()
