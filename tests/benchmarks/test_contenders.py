"""Every contender that is installed computes the same layers as the reference."""

from importlib import import_module

import numpy as np
import pytest

from benchmarks.peers import field, networks, run
from benchmarks.peers.contender import Contender, Prepared, problem
from benchmarks.peers.errors import Reference
from benchmarks.peers.layers import Layer

LAYERS = [
    Layer("plain", 2, 3, 9, 8, 4, (3, 3), padding=(1, 1)),
    Layer("strided", 2, 3, 11, 10, 8, (5, 3), stride=2, padding=(2, 0)),
    Layer("long", 1, 4, 8, 9, 8, (1, 7), padding=(0, 3)),
    Layer("depthwise", 2, 8, 9, 9, 8, (3, 3), stride=2, padding=(1, 1), groups=8),
]


@pytest.fixture
def contenders(request):
    """An adapter's contenders; autograd is left as it was."""
    packages = request.param.removesuffix("_peer").replace("onnxruntime", "onnx onnxruntime")
    for package in packages.split():
        module = pytest.importorskip(package)
    grad = module.is_grad_enabled() if packages == "torch" else None
    yield import_module(f"benchmarks.peers.{request.param}").contenders()
    if grad is not None:
        module.set_grad_enabled(grad)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
@pytest.mark.parametrize("contenders", field.ADAPTERS, indirect=True)
def test_contenders_compute_the_layer(contenders, layer):
    for contender in contenders:
        for which in contender.passes:
            for dtype in contender.dtypes:
                for reused in (False, True):
                    asked = problem(layer, which, dtype, reused=reused, threads=1)
                    prepared = contender.prepare(asked)
                    run.checked(prepared, Reference(asked), contender.name, dtype)
                    first = prepared.arrays(prepared.call())[0]
                    shape = layer.output_shape if which == "forward" else layer.input_shape
                    assert first.shape == shape
                    assert first.dtype == dtype


@pytest.mark.parametrize("contenders", ["fastconv_peer"], indirect=True)
def test_a_reused_output_is_the_same_memory(contenders):
    asked = problem(LAYERS[0], "forward", "float32", reused=True, threads=1)
    for contender in contenders:
        prepared = contender.prepare(asked)
        assert np.shares_memory(prepared.call(), prepared.call())


def test_a_missing_peer_is_a_note(monkeypatch):
    def missing(name):
        if name.endswith("ncnn_peer"):
            raise ImportError("No module named 'ncnn'")
        return import_module("benchmarks.peers.fastconv_peer")

    monkeypatch.setattr(field, "import_module", missing)
    found, notes = field.gather()
    assert {contender.package for contender in found} == {"fastconv"}
    assert notes == [
        "ncnn is left out (No module named 'ncnn'): pip install -r benchmarks/requirements-peers.txt"
    ]


BOTH = ("forward", "backward")


def contender(name, **more):
    return Contender(
        name,
        name.removesuffix(" out="),
        "p",
        lambda _: Prepared(lambda: None, lambda _: ()),
        **more,
    )


def test_who_enters():
    everyone = [
        contender("fastconv", passes=BOTH),
        contender("fastconv NHWC", passes=BOTH),
        contender("torch out=", passes=BOTH, dtypes=("float32", "float64"), reused_only=True),
        contender("ncnn"),
    ]

    def names(wanted, which, dtype, *, reused):
        entered = field.entered(everyone, wanted, which, dtype, reused=reused)
        return [one.name for one in entered]

    assert names(None, "forward", "float32", reused=False) == ["fastconv", "ncnn"]
    assert names([], "forward", "float32", reused=True) == ["fastconv", "torch out=", "ncnn"]
    assert names(None, "backward", "float32", reused=True) == ["fastconv"]
    assert names(["torch", "fastconv NHWC"], "forward", "float32", reused=True) == [
        "fastconv NHWC", "torch out=",
    ]  # fmt: skip
    assert names(None, "forward", "float64", reused=True) == ["torch out="]


def test_a_contender_that_computes_something_else_stops_the_run():
    asked = problem(LAYERS[0], "forward", "float32", reused=False, threads=1)
    wrong = Prepared(lambda: np.zeros(LAYERS[0].output_shape), lambda output: (output,))
    with pytest.raises(RuntimeError, match="cheat is wrong by"):
        run.checked(wrong, Reference(asked), "cheat", "float32")


def test_our_training_step_learns():
    images = np.random.default_rng(0).random((8, 1, 28, 28), np.float32)
    labels = np.arange(8)
    model = networks.lenet(networks.nn)
    assert model(images).shape == (8, 10)
    step = networks.our_step(images, labels, 1)
    assert step() is None
