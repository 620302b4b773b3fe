"""Pooling layers."""

from __future__ import annotations

from typing import Any

from fastconv import ops
from fastconv.nn.arguments import pair
from fastconv.nn.module import Array, Module
from fastconv.ops.conv_pooled import Pooled, PooledOutput, flat_indices
from fastconv.ops.pooling import max_pool2d_relu_backward

Size = int | tuple[int, int]


class MaxPool2d(Module):
    """Largest value of each window: (N, C, H, W) -> (N, C, OH, OW); stride: kernel_size if None.

    >>> import numpy as np
    >>> layer = MaxPool2d(2)
    >>> layer
    MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    >>> layer(np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4))[0, 0]
    array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        pair("kernel_size", kernel_size)
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.ceil_mode = ceil_mode

    def forward(self, input: Array) -> Array:
        """Pool; see `fastconv.max_pool2d`."""
        output, indices = ops.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        )
        self._save(indices, input.shape, output)
        return output

    def is_two_by_two(self) -> bool:
        """Tell whether windows are 2 x 2, side by side and nowhere padded."""
        side_by_side = self.kernel_size in (2, (2, 2)) and self.stride in (2, (2, 2))
        is_plain = self.padding in (0, (0, 0)) and self.dilation in (1, (1, 1))
        return side_by_side and is_plain and not self.ceil_mode

    def adopt(self, pooled: PooledOutput) -> Array:
        """Take the maxima that a convolution has found already for this layer's own."""
        self._save(pooled.places, pooled.shape, pooled.maxima)
        return pooled.maxima

    def backward(self, grad_output: Array, input_gradient: bool = True) -> Array | None:
        """Send each gradient to the place its maximum came from."""
        indices, shape, _ = self._restore()
        if not input_gradient:
            return None
        return ops.max_pool2d_backward(grad_output, flat_indices(indices, shape), shape)

    def backward_relu(self, grad_output: Array) -> Array:
        """As `backward`, and on through the ReLU whose output was this layer's input."""
        indices, shape, output = self._restore()
        return max_pool2d_relu_backward(grad_output, output, flat_indices(indices, shape), shape)

    def hand_over(self, after_relu: bool) -> Pooled:
        """Leave this layer's backward, and that of a ReLU before it, to a convolution."""
        indices, _, output = self._restore()
        return Pooled(indices, output if after_relu else None)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """Mean of each window: (N, C, H, W) -> (N, C, OH, OW). Arguments and their order as in PyTorch.

    >>> import numpy as np
    >>> AvgPool2d(2)(np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4))[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        pair("kernel_size", kernel_size)
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def _options(self) -> tuple[Any, ...]:
        return (
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def forward(self, input: Array) -> Array:
        """Pool; see `fastconv.avg_pool2d`."""
        output = ops.avg_pool2d(input, *self._options())
        self._save(input.shape)
        return output

    def backward(self, grad_output: Array, input_gradient: bool = True) -> Array | None:
        """Spread each gradient evenly over its window."""
        (shape,) = self._restore()
        if not input_gradient:
            return None
        return ops.avg_pool2d_backward(grad_output, shape, *self._options())

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
