"""Fully connected layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastconv import ops
from fastconv.nn import initialization
from fastconv.nn.arguments import positive
from fastconv.nn.module import Array, Module, Parameter


class Linear(Module):
    """output = input @ weight.T + bias: (..., in_features) -> (..., out_features).

    `weight` is (out_features, in_features), `bias` is (out_features,); both start from U(-b, b),
    b = 1 / sqrt(in_features), drawn from `rng` (a numpy.random.Generator or a seed).

    >>> import numpy as np
    >>> layer = Linear(4, 3, rng=0)
    >>> layer(np.zeros((2, 4), dtype=np.float32)).shape
    (2, 3)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: initialization.RandomSource = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.in_features = positive("in_features", in_features)
        self.out_features = positive("out_features", out_features)
        self.weight = Parameter(np.empty((out_features, in_features), dtype))
        self.bias = Parameter(np.empty(out_features, dtype)) if bias else None
        initialization.default_(self.weight.data, self.bias.data if self.bias else None, rng)

    def forward(self, input: Array) -> Array:
        """Multiply; see `fastconv.linear`."""
        return self._multiply(input, None)

    def forward_relu(self, input: Array) -> Array:
        """Return relu(forward(input)), clipped on its way to memory."""
        return self._multiply(input, "relu")

    def _multiply(self, input: Array, activation: str | None) -> Array:
        bias = self.bias.data if self.bias else None
        output = ops.linear(input, self.weight.data, bias, activation=activation)
        self._save(input)
        return output

    def backward(self, grad_output: Array, input_gradient: bool = True) -> Array | None:
        """Add to weight.grad and bias.grad; return the input's gradient, if wanted."""
        (input,) = self._restore()
        mask = (input_gradient, True, self.bias is not None)
        gradients = ops.linear_backward(grad_output, input, self.weight.data, output_mask=mask)
        self.weight.accumulate(gradients.weight)
        if self.bias is not None:
            self.bias.accumulate(gradients.bias)
        return gradients.input

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )
