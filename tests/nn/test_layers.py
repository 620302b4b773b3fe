"""Every layer: gradients by difference quotients, both modes, repr, and the way back's rules."""

import numpy as np
import pytest

from fastconv import nn
from fastconv.testing import gradcheck

LAYERS = {
    "Conv2d": lambda: nn.Conv2d(2, 3, 3, rng=0),
    "Conv2d no bias": lambda: nn.Conv2d(2, 3, (3, 2), bias=False, rng=0),
    "Conv2d all options": lambda: nn.Conv2d(2, 4, 3, (2, 1), (1, 2), (1, 2), groups=2, rng=0),
    "Conv2d same": lambda: nn.Conv2d(2, 2, 3, padding="same", rng=0),
    "MaxPool2d": lambda: nn.MaxPool2d(2),
    "MaxPool2d overlapping": lambda: nn.MaxPool2d(3, 2, 1),
    "MaxPool2d dilated": lambda: nn.MaxPool2d(2, 1, 0, 2),
    "MaxPool2d ceil": lambda: nn.MaxPool2d(2, ceil_mode=True),
    "AvgPool2d": lambda: nn.AvgPool2d(2),
    "AvgPool2d padded": lambda: nn.AvgPool2d(3, 2, 1, True, False),
    "AvgPool2d divisor": lambda: nn.AvgPool2d(2, divisor_override=3),
    "Flatten": lambda: nn.Flatten(),
    "Flatten middle": lambda: nn.Flatten(1, 2),
    "Linear": lambda: nn.Linear(5, 4, rng=0),
    "Linear no bias": lambda: nn.Linear(5, 4, bias=False, rng=0),
    "ReLU": nn.ReLU,
    "Sigmoid": nn.Sigmoid,
    "Tanh": nn.Tanh,
    "LeakyReLU": lambda: nn.LeakyReLU(0.2),
    "ELU": lambda: nn.ELU(1.3),
    "GELU": nn.GELU,
    "GELU tanh": lambda: nn.GELU("tanh"),
    "SiLU": nn.SiLU,
    "Hardswish": nn.Hardswish,
    "Softmax": lambda: nn.Softmax(1),
    "Dropout off": lambda: nn.Dropout(0.0),
    "Sequential": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3, rng=0), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6, 2, rng=1)
    ),
}


def separated(shape: tuple[int, ...]) -> np.ndarray:
    """Values with no ties and none within 0.01 of a kink at 0 or +-3."""
    count = int(np.prod(shape))
    values = np.linspace(-2.9, 2.9, count) if count % 2 == 0 else np.linspace(-2.9, 2.8, count)
    assert np.abs(values).min() > 1e-3
    return np.random.default_rng(1).permutation(values).reshape(shape)


def input_for(name: str) -> np.ndarray:
    return separated((4, 5)) if name.startswith("Linear") else separated((2, 2, 6, 5))


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_match_difference_quotients(name):
    distances = gradcheck(LAYERS[name](), input_for(name))
    assert "input0" in distances


@pytest.mark.parametrize("name", LAYERS)
def test_backward_without_forward_says_what_to_do(name):
    layer = LAYERS[name]()
    output = layer(input_for(name).astype(np.float32))
    layer.eval()
    with pytest.raises(RuntimeError, match=r"call model\.train\(\), then model\(input\)"):
        layer.backward(output)
    layer(input_for(name).astype(np.float32))
    with pytest.raises(RuntimeError, match="forward"):
        layer.backward(output)
    layer.train()
    output = layer(input_for(name).astype(np.float32))
    layer.backward(output)
    with pytest.raises(RuntimeError, match="once"):
        layer.backward(output)


@pytest.mark.parametrize("name", LAYERS)
def test_input_gradient_can_be_skipped_and_dtype_is_kept(name):
    layer, input = LAYERS[name](), input_for(name).astype(np.float32)
    output = layer(input)
    assert output.dtype == np.float32
    gradient = layer.backward(np.ones_like(output))
    assert gradient.dtype == np.float32
    assert gradient.shape == input.shape
    with_input = [parameter.grad.copy() for parameter in layer.parameters()]
    layer.zero_grad()
    layer(input)
    assert layer.backward(np.ones_like(output), input_gradient=False) is None
    for parameter, expected in zip(layer.parameters(), with_input, strict=True):
        np.testing.assert_array_equal(parameter.grad, expected)


def test_gradients_add_up_until_zero_grad():
    layer = nn.Linear(3, 2, rng=0)
    input = np.arange(6, dtype=np.float32).reshape(2, 3)
    layer.backward(np.ones_like(layer(input)))
    once = layer.weight.grad.copy()
    layer.backward(np.ones_like(layer(input)))
    np.testing.assert_array_equal(layer.weight.grad, 2 * once)
    layer.zero_grad()
    assert layer.weight.grad is None


def test_evaluation_and_training_agree_without_dropout():
    for name, build in LAYERS.items():
        layer, input = build(), input_for(name).astype(np.float32)
        np.testing.assert_array_equal(layer(input), layer.eval()(input), err_msg=name)


def test_dropout_drops_its_share_and_its_backward_follows_the_mask():
    layer = nn.Dropout(0.25, rng=3)
    input = np.ones((100, 100), dtype=np.float32)
    output = layer(input)
    kept = output != 0
    assert abs(kept.mean() - 0.75) < 0.02
    np.testing.assert_allclose(output[kept], 1 / 0.75, rtol=1e-6)
    np.testing.assert_array_equal(layer.backward(input), output)
    np.testing.assert_array_equal(nn.Dropout(0.25, rng=3)(input), output)
    assert layer.eval()(input) is input


REPRS = {
    "Conv2d(1, 20, kernel_size=(5, 5), stride=(1, 1))": lambda: nn.Conv2d(1, 20, 5),
    "Conv2d(4, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), dilation=(2, 2), groups=2, "
    "bias=False)": lambda: nn.Conv2d(4, 8, 3, 2, 1, 2, 2, False),
    "Conv2d(1, 1, kernel_size=(3, 3), stride=(1, 1), padding=same)": lambda: nn.Conv2d(
        1, 1, 3, padding="same"
    ),
    "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)": lambda: (
        nn.MaxPool2d(2)
    ),
    "AvgPool2d(kernel_size=3, stride=2, padding=1)": lambda: nn.AvgPool2d(3, 2, 1),
    "Linear(in_features=3, out_features=2, bias=False)": lambda: nn.Linear(3, 2, False),
    "LeakyReLU(negative_slope=0.1)": lambda: nn.LeakyReLU(0.1),
    "GELU(approximate='none')": nn.GELU,
    "ReLU()": nn.ReLU,
    "Dropout(p=0.5)": nn.Dropout,
    "CrossEntropyLoss(reduction='sum', label_smoothing=0.1)": lambda: nn.CrossEntropyLoss(
        reduction="sum", label_smoothing=0.1
    ),
}


@pytest.mark.parametrize("text", REPRS)
def test_repr_reads_like_torch(text):
    assert repr(REPRS[text]()) == text


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda: nn.Conv2d(0, 1, 3), ValueError, "in_channels is 0"),
        (lambda: nn.Conv2d(1, 1, 2.5), TypeError, "kernel_size is 2.5"),
        (lambda: nn.Conv2d(1, 1, (3, 3, 3)), ValueError, "kernel_size"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "in_channels is 3"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), ValueError, "out_channels is 3"),
        (lambda: nn.Linear(3, -1), ValueError, "out_features is -1"),
        (lambda: nn.Linear(3, 2, dtype=np.int32), TypeError, "int32"),
        (lambda: nn.Dropout(1.5), ValueError, "p is 1.5"),
        (lambda: nn.MaxPool2d(0), ValueError, "kernel_size"),
        (lambda: nn.CrossEntropyLoss(reduction="max"), ValueError, "reduction"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=2), ValueError, "label_smoothing"),
        (lambda: nn.Flatten()(np.zeros(3, np.float32)), ValueError, "shape"),
        (lambda: nn.Sequential(nn.ReLU), TypeError, r"layers\[0\]"),
    ],
)
def test_bad_arguments_are_named(build, error, text):
    with pytest.raises(error, match=text):
        build()


def test_layers_agree_with_torch():
    torch = pytest.importorskip("torch")
    pairs = [
        (nn.Conv2d(2, 4, 3, 2, 1, groups=2, rng=0), torch.nn.Conv2d(2, 4, 3, 2, 1, groups=2)),
        (nn.MaxPool2d(3, 2, 1), torch.nn.MaxPool2d(3, 2, 1)),
        (nn.AvgPool2d(3, 2, 1), torch.nn.AvgPool2d(3, 2, 1)),
        (nn.GELU(), torch.nn.GELU()),
        (nn.ELU(), torch.nn.ELU()),
        (nn.Hardswish(), torch.nn.Hardswish()),
        (nn.Flatten(), torch.nn.Flatten()),
    ]
    input = separated((2, 2, 6, 5))
    for ours, theirs in pairs:
        theirs = theirs.double()
        ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
        for parameter in ours.parameters():
            parameter.data = parameter.data.astype(np.float64)
        theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
        tensor = torch.tensor(input, requires_grad=True)
        expected = theirs(tensor)
        expected.sum().backward()
        output = ours(input)
        np.testing.assert_allclose(output, expected.detach().numpy(), atol=1e-12)
        gradient = ours.backward(np.ones_like(output))
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), atol=1e-12)
