"""Parameters, modules, Sequential, and state dictionaries."""

import copy
import pickle

import numpy as np
import pytest

from fastconv import nn


def small_network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3, rng=0), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3, rng=1))


def test_keys_and_shapes_are_torchs():
    shapes = {name: array.shape for name, array in small_network().state_dict().items()}
    assert shapes == {"0.weight": (2, 1, 3, 3), "0.bias": (2,), "3.weight": (3, 8), "3.bias": (3,)}


def test_nested_keys():
    network = nn.Sequential(nn.Sequential(nn.ReLU(), nn.Linear(2, 2)), nn.Linear(2, 1, bias=False))
    assert list(network.state_dict()) == ["0.1.weight", "0.1.bias", "1.weight"]


def test_modules_as_attributes_are_found():
    class Doubled(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(2, 2, rng=0)
            self.scale = nn.Parameter(np.ones(1))

    module = Doubled()
    assert [name for name, _ in module.named_parameters()] == [
        "scale",
        "inner.weight",
        "inner.bias",
    ]
    module.eval()
    assert not module.inner.training
    assert "(inner): Linear(" in repr(module)
    with pytest.raises(NotImplementedError, match="Doubled does not define forward"):
        module(np.ones(2))
    with pytest.raises(NotImplementedError, match="Doubled does not define backward"):
        module.backward(np.ones(2))


def test_shared_parameters_come_once_but_keep_both_keys():
    layer = nn.Linear(2, 2, rng=0)
    network = nn.Sequential(layer, nn.ReLU(), layer)
    assert len(list(network.parameters())) == 2
    assert len(network.state_dict()) == 4


def test_a_layer_used_twice_is_refused_on_the_way_back():
    layer = nn.ReLU()
    network = nn.Sequential(layer, layer)
    output = network(np.ones((1, 2), np.float32))
    with pytest.raises(RuntimeError, match="must be two objects"):
        network.backward(output)


def test_state_dict_round_trip_is_exact_and_copies():
    first, second = small_network(), small_network()
    for parameter in second.parameters():
        parameter.data += 1
    state = first.state_dict()
    assert second.load_state_dict(state) == ([], [])
    for name, array in second.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    state["0.weight"][...] = 7
    assert not np.any(first[0].weight.data == 7)
    assert not np.any(second[0].weight.data == 7)


def test_loading_keeps_the_arrays_that_optimisers_hold():
    network = small_network()
    before = network[0].weight.data
    network.load_state_dict({k: v.astype(np.float64) for k, v in network.state_dict().items()})
    assert network[0].weight.data is before
    assert before.dtype == np.float32


def test_all_problems_are_listed_and_nothing_is_written():
    network = small_network()
    before = network.state_dict()
    state = network.state_dict()
    state["0.bias"] = np.zeros(3)
    state["3.weight"] = np.zeros((3, 9))
    state["9.weight"] = state.pop("0.weight")
    with pytest.raises(ValueError, match="does not fit") as caught:
        network.load_state_dict(state)
    for text in ("missing keys: 0.weight", "unexpected keys: 9.weight", "(3, 9)", "(3, 8)", "(2,)"):
        assert text in str(caught.value)
    for name, array in network.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_not_strict_loads_what_fits_by_name():
    network = small_network()
    keys = network.load_state_dict({"0.bias": [5.0, 6.0], "other": 1}, strict=False)
    assert keys.missing_keys == ["0.weight", "3.weight", "3.bias"]
    assert keys.unexpected_keys == ["other"]
    np.testing.assert_array_equal(network[0].bias.data, [5, 6])
    with pytest.raises(ValueError, match=r"0\.bias has shape"):
        network.load_state_dict({"0.bias": [1.0]}, strict=False)


@pytest.mark.parametrize("value", [np.array(["a", "b"]), np.array([1j, 2]), np.array([None, 1])])
def test_values_that_are_not_real_numbers_are_refused(value):
    with pytest.raises(TypeError, match=r"0\.bias"):
        small_network().load_state_dict({"0.bias": value}, strict=False)


def test_parameter_checks():
    with pytest.raises(TypeError, match="int64"):
        nn.Parameter(np.zeros(2, dtype=np.int64))
    parameter = nn.Parameter(np.zeros((2, 3), order="F"))
    assert parameter.data.flags.c_contiguous
    assert repr(parameter) == "Parameter(shape=(2, 3), dtype=float64)"
    with pytest.raises(ValueError, match=r"\(3,\).*\(2, 3\)"):
        parameter.accumulate(np.zeros(3))


def test_sequential_is_a_sequence():
    network = small_network()
    assert len(network) == 4
    assert isinstance(network[-1], nn.Linear)
    assert [type(layer) for layer in network] == [type(network[i]) for i in range(4)]
    head = network[:2]
    assert isinstance(head, nn.Sequential)
    assert head[0] is network[0]
    empty = nn.Sequential()
    input = np.ones(3, np.float32)
    assert empty(input) is input
    assert empty.backward(input) is input


def test_without_input_gradient_layers_before_the_first_parameters_are_skipped():
    class Counted(nn.ReLU):
        calls = 0

        def backward(self, grad_output, input_gradient=True):
            self.calls += 1
            return super().backward(grad_output, input_gradient)

    first = Counted()
    network = nn.Sequential(first, nn.Flatten(), nn.Linear(4, 2, rng=0), nn.ReLU())
    output = network(np.ones((1, 1, 2, 2), np.float32))
    assert network.backward(output, input_gradient=False) is None
    assert first.calls == 0
    assert network[2].weight.grad is not None


def test_training_mode_reaches_every_layer_and_returns_self():
    network = small_network()
    assert network.eval() is network
    assert not any(module.training for module in network.modules())
    assert network.train() is network
    assert all(module.training for module in network.modules())


def test_modules_can_be_copied_and_pickled():
    network = small_network().eval()
    input = np.random.default_rng(0).random((2, 1, 4, 4), dtype=np.float32)
    expected = network(input)
    np.testing.assert_array_equal(copy.deepcopy(network)(input), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(network))(input), expected)
