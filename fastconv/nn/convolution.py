"""Convolution layers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastconv import ops
from fastconv.nn import initialization
from fastconv.nn.arguments import pair, positive
from fastconv.nn.module import Array, Module, Parameter
from fastconv.nn.weight_cache import WeightCache
from fastconv.ops.conv_pooled import (
    Pooled,
    PooledOutput,
    conv2d_pooled,
    conv2d_pooled_backward,
)

Padding = int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]] | str


class Conv2d(Module):
    """Two-dimensional convolution: (N, in_channels, H, W) -> (N, out_channels, OH, OW).

    Arguments as in PyTorch. `weight` is (out_channels, in_channels / groups, KH, KW), `bias` is
    (out_channels,); both start from U(-b, b), b = 1 / sqrt(fan_in), drawn from `rng` (a
    numpy.random.Generator or a seed). Raises TypeError or ValueError naming a bad argument.

    In evaluation mode the layer keeps the weight in the order that the algorithm reads, where that
    is another one, until `weight` changes.

    >>> import numpy as np
    >>> layer = Conv2d(1, 20, 5, rng=0)
    >>> layer
    Conv2d(1, 20, kernel_size=(5, 5), stride=(1, 1))
    >>> layer(np.zeros((2, 1, 28, 28), dtype=np.float32)).shape
    (2, 20, 24, 24)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: Padding = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: initialization.RandomSource = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.in_channels = positive("in_channels", in_channels)
        self.out_channels = positive("out_channels", out_channels)
        self.groups = positive("groups", groups)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{name} is {channels}, which groups = {groups} does not divide")
        self.kernel_size = pair("kernel_size", kernel_size)
        self.stride = pair("stride", stride)
        self.padding = padding
        self.dilation = pair("dilation", dilation)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(np.empty(shape, dtype))
        self.bias = Parameter(np.empty(out_channels, dtype)) if bias else None
        self._packed = WeightCache()
        initialization.default_(self.weight.data, self.bias.data if self.bias else None, rng)

    def forward(self, input: Array) -> Array:
        """Convolve; see `fastconv.conv2d`."""
        return self._convolve(input, None)

    def forward_relu(self, input: Array) -> Array:
        """Return relu(forward(input)), clipped on its way to memory."""
        return self._convolve(input, "relu")

    def forward_pooled(self, input: Array, relu: bool) -> PooledOutput | None:
        """Return what MaxPool2d(2) makes of `forward` or `forward_relu`; None: take them in turn."""
        options = self.stride, self.padding, self.dilation, self.groups
        bias = self.bias.peek() if self.bias else None
        found = conv2d_pooled(
            input, self.weight.peek(), bias, *options, relu=relu, gradients=self.training
        )
        if found is not None:
            self._save(input)
        return found

    def _convolve(self, input: Array, activation: str | None) -> Array:
        options = self.stride, self.padding, self.dilation, self.groups
        weight = (
            self.weight.data
            if self.training
            else self._packed.weight_for(self.weight, input, *options)
        )
        bias = self.bias.data if self.bias else None
        output = ops.conv2d(input, weight, bias, *options, activation=activation)
        self._save(input)
        return output

    def backward(self, grad_output: Array, input_gradient: bool = True) -> Array | None:
        """Add to weight.grad and bias.grad; return the input's gradient, if wanted."""
        (input,) = self._restore()
        mask = (input_gradient, True, self.bias is not None)
        options = self.stride, self.padding, self.dilation, self.groups
        weight = self.weight.data
        return self._accumulate(
            ops.conv2d_backward(grad_output, input, weight, *options, output_mask=mask)
        )

    def backward_pooled(
        self, grad_output: Array, pooled: Pooled, input_gradient: bool = True
    ) -> Array | None:
        """As `backward`, from the gradient of the max-pooling (and ReLU) of this layer's output."""
        (input,) = self._restore()
        mask = (input_gradient, True, self.bias is not None)
        options = self.stride, self.padding, self.dilation, self.groups
        weight = self.weight.data
        return self._accumulate(
            conv2d_pooled_backward(grad_output, pooled, input, weight, *options, mask)
        )

    def _accumulate(self, gradients: ops.ConvGradients) -> Array | None:
        self.weight.accumulate(gradients.weight)
        if self.bias is not None:
            self.bias.accumulate(gradients.bias)
        return gradients.input

    def _forget_packed(self) -> None:
        self._packed.clear()

    def extra_repr(self) -> str:
        """As PyTorch prints it: arguments at their defaults are left out."""
        parts = [
            str(self.in_channels),
            str(self.out_channels),
            f"kernel_size={self.kernel_size}",
            f"stride={self.stride}",
        ]
        if self.padding not in (0, (0, 0)):
            shown = (self.padding,) * 2 if isinstance(self.padding, int) else self.padding
            parts.append(f"padding={shown}")
        if self.dilation != (1, 1):
            parts.append(f"dilation={self.dilation}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)
