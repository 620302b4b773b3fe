"""LeNet: the small network that reads digits (LeCun, Bottou, Bengio and Haffner 1998)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastconv import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
}


def lenet(
    classes: int = 10,
    channels: tuple[int, int] = (20, 50),
    hidden: int = 500,
    dropout: float = 0.0,
    activation: str = "relu",
    *,
    rng: np.random.Generator | int | None = None,
    dtype: npt.DTypeLike = np.float32,
) -> nn.Sequential:
    """Return LeNet for (N, 1, 28, 28) images, giving logits (N, classes).

    conv 5x5 (28 -> 24), max-pool 2 (12), conv 5x5 (8), max-pool 2 (4), fully connected `hidden`,
    activation, dropout, fully connected `classes`: the Caffe form, 431,080 parameters by default.
    Weights are drawn from `rng` (a Generator or a seed) as PyTorch draws them. Keys: "0.weight",
    "2.weight", "5.weight", "8.weight" and their biases. Raises ValueError for an unknown
    activation.

    >>> import numpy as np
    >>> model = lenet(rng=0).eval()
    >>> model(np.zeros((2, 1, 28, 28), dtype=np.float32)).shape
    (2, 10)
    >>> sum(parameter.data.size for parameter in model.parameters())
    431080
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation is {activation!r}: use one of {', '.join(ACTIVATIONS)}")
    generator = np.random.default_rng(rng)
    first, second = channels
    return nn.Sequential(
        nn.Conv2d(1, first, 5, rng=generator, dtype=dtype),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5, rng=generator, dtype=dtype),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * 4 * 4, hidden, rng=generator, dtype=dtype),
        ACTIVATIONS[activation](),
        nn.Dropout(dropout, rng=generator),
        nn.Linear(hidden, classes, rng=generator, dtype=dtype),
    )
