"""Sums at sampled places are those of the reference, and errors are measured in their size."""

import numpy as np
import pytest

from benchmarks.peers import errors
from benchmarks.peers.contender import problem
from benchmarks.peers.layers import Layer
from fastconv import reference

LAYERS = [
    Layer("plain", 2, 3, 6, 5, 4, (3, 3)),
    Layer("padded", 1, 2, 5, 5, 2, (3, 3), padding=(1, 1)),
    Layer("strided", 2, 3, 7, 8, 2, (3, 2), stride=2, padding=(1, 0)),
    Layer("long", 1, 2, 4, 9, 3, (1, 7), padding=(0, 3)),
    Layer("groups", 2, 4, 6, 6, 6, (3, 3), stride=2, padding=(1, 1), groups=2),
    Layer("depthwise", 1, 3, 5, 5, 3, (3, 3), padding=(1, 1), groups=3),
    Layer("gaps", 1, 1, 7, 7, 2, (1, 1), stride=3),
]


def exact(asked):
    """The reference's results of a pass, as float64 arrays."""
    layer = asked.layer
    options = (layer.stride, layer.padding, 1, layer.groups)
    if asked.which == "forward":
        return (np.asarray(reference.conv2d(asked.input, asked.weight, None, *options)),)
    gradients = reference.conv2d_backward(asked.grad_output, asked.input, asked.weight, *options)
    return tuple(np.asarray(gradient) for gradient in gradients)


@pytest.mark.parametrize("which", ["forward", "backward"])
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_the_sums_are_the_references(layer, which):
    asked = problem(layer, which, "float64", reused=False, threads=1)
    worst, rms = errors.Reference(asked).errors(exact(asked))
    assert rms <= worst < 1e-15


@pytest.mark.parametrize("part", [0, 1])
def test_an_error_in_either_gradient_is_seen(part):
    asked = problem(LAYERS[0], "backward", "float64", reused=False, threads=1)
    results = list(exact(asked))
    results[part] = results[part] * 1.01
    assert errors.Reference(asked).errors(tuple(results))[0] > 1e-4


def test_errors_are_in_units_of_the_sum_of_magnitudes():
    asked = problem(LAYERS[0], "forward", "float64", reused=False, threads=1)
    options = (1, 0)
    sizes = reference.conv2d(abs(asked.input), abs(asked.weight), None, *options)
    result = exact(asked)[0] + 1e-3 * np.asarray(sizes)
    worst, rms = errors.Reference(asked).errors((result,))
    assert worst == pytest.approx(1e-3)
    assert rms == pytest.approx(1e-3)


def test_a_place_without_products_must_be_zero():
    """With stride 3 and one tap most of the input meets no output."""
    asked = problem(LAYERS[-1], "backward", "float64", reused=False, threads=1)
    grad_input, *rest = exact(asked)
    assert errors.Reference(asked).errors((grad_input, *rest))[0] < 1e-15
    assert errors.Reference(asked).errors((grad_input + 1e-30, *rest))[0] == np.inf


def test_a_result_that_is_not_a_number_is_no_small_error():
    asked = problem(LAYERS[0], "forward", "float64", reused=False, threads=1)
    (output,) = exact(asked)
    assert not errors.Reference(asked).errors((output * np.nan,))[0] <= 1


def test_long_sums_are_sampled_at_fewer_places(monkeypatch):
    monkeypatch.setattr(errors, "PRODUCTS", 270)
    gathered = []
    terms = errors.forward_terms

    def watched(asked, places):
        gathered.append(len(places[0]))
        return terms(asked, places)

    monkeypatch.setitem(errors.RESULTS, "forward", [watched])
    monkeypatch.setattr(errors, "forward_terms", watched)
    asked = problem(LAYERS[0], "forward", "float32", reused=False, threads=1)
    errors.Reference(asked)
    assert gathered == [270 // 27]
