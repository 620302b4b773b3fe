"""Functional operations on NumPy arrays: what `fastconv` exports, and what layers are made of."""

from fastconv.ops.activation import relu, relu_backward
from fastconv.ops.columns import col2im, col2im_backward, im2col, im2col_backward
from fastconv.ops.conv import ConvGradients, conv2d, conv2d_backward, explain_conv2d

__all__ = [
    "ConvGradients",
    "col2im",
    "col2im_backward",
    "conv2d",
    "conv2d_backward",
    "explain_conv2d",
    "im2col",
    "im2col_backward",
    "relu",
    "relu_backward",
]
