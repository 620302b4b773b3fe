"""LeNet: shapes, keys, parameter counts, gradients."""

import numpy as np
import pytest

from fastconv import models, nn
from fastconv.testing import gradcheck


def test_shapes_and_parameters_layer_by_layer():
    model = models.lenet(rng=0).eval()
    output = np.zeros((2, 1, 28, 28), np.float32)
    shapes = []
    for layer in model:
        output = layer(output)
        shapes.append(output.shape[1:])
    assert shapes == [
        (20, 24, 24),
        (20, 12, 12),
        (50, 8, 8),
        (50, 4, 4),
        (800,),
        (500,),
        (500,),
        (500,),
        (10,),
    ]
    counts = {name: parameter.data.size for name, parameter in model.named_parameters()}
    assert counts == {
        "0.weight": 500,
        "0.bias": 20,
        "2.weight": 25000,
        "2.bias": 50,
        "5.weight": 400000,
        "5.bias": 500,
        "8.weight": 5000,
        "8.bias": 10,
    }


def test_keys_do_not_depend_on_options():
    keys = list(models.lenet(rng=0).state_dict())
    assert keys == list(models.lenet(3, (2, 3), 4, 0.5, "tanh", rng=0).state_dict())


def test_seed_dtype_and_activation():
    first, second = models.lenet(rng=4), models.lenet(rng=4)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert models.lenet(hidden=2, rng=0, dtype=np.float64)[0].weight.data.dtype == np.float64
    assert isinstance(models.lenet(hidden=2, activation="tanh")[6], nn.Tanh)
    with pytest.raises(ValueError, match="activation is 'step'"):
        models.lenet(activation="step")


def test_build_by_name():
    assert len(models.build("lenet", hidden=4)) == 9
    with pytest.raises(ValueError, match="model 'vgg' is unknown: use one of lenet"):
        models.build("vgg")


def test_gradients_of_the_whole_network():
    model = models.lenet(3, (2, 2), 4, activation="tanh", rng=0)
    image = np.random.default_rng(0).permutation(784).reshape(1, 1, 28, 28) / 784
    distances = gradcheck(model, image, tolerance=1e-6)
    assert len(distances) == 9


def test_lenet_agrees_with_torch():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 20, 5),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(20, 50, 5),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(800, 500),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.0),
        torch.nn.Linear(500, 10),
    )
    ours = models.lenet()
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    images = np.random.default_rng(0).random((4, 1, 28, 28), dtype=np.float32)
    expected = theirs(torch.tensor(images))
    np.testing.assert_allclose(ours(images), expected.detach().numpy(), atol=1e-5)
    ours.backward(np.ones((4, 10), np.float32))
    expected.sum().backward()
    theirs_gradients = {key: value.grad.numpy() for key, value in theirs.named_parameters()}
    for key, parameter in ours.named_parameters():
        np.testing.assert_allclose(parameter.grad, theirs_gradients[key], atol=1e-4, err_msg=key)
