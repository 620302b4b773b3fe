"""Functional operations on NumPy arrays: what `fastconv` exports, and what layers are made of."""

from fastconv.ops.activation import (
    elu,
    elu_backward,
    gelu,
    gelu_backward,
    hardswish,
    hardswish_backward,
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    tanh,
    tanh_backward,
)
from fastconv.ops.columns import col2im, col2im_backward, im2col, im2col_backward
from fastconv.ops.conv import ConvGradients, conv2d, conv2d_backward
from fastconv.ops.conv_plan import explain_conv2d
from fastconv.ops.conv_tuning import (
    autotune_conv2d,
    clear_autotune,
    load_autotune,
    save_autotune,
)
from fastconv.ops.dropout import dropout, dropout_backward
from fastconv.ops.linear import LinearGradients, linear, linear_backward
from fastconv.ops.loss import cross_entropy, cross_entropy_backward
from fastconv.ops.matmul import MatmulGradients, matmul, matmul_backward
from fastconv.ops.maxout import maxout, maxout_backward
from fastconv.ops.packed_weight import PackedConv2dWeight, prepack_conv2d_weight
from fastconv.ops.pooling import (
    MaxPoolResult,
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from fastconv.ops.softmax import (
    log_softmax,
    log_softmax_backward,
    logsumexp,
    logsumexp_backward,
    softmax,
    softmax_backward,
)

__all__ = [
    "ConvGradients",
    "LinearGradients",
    "MatmulGradients",
    "MaxPoolResult",
    "PackedConv2dWeight",
    "autotune_conv2d",
    "avg_pool2d",
    "avg_pool2d_backward",
    "clear_autotune",
    "col2im",
    "col2im_backward",
    "conv2d",
    "conv2d_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "dropout",
    "dropout_backward",
    "elu",
    "elu_backward",
    "explain_conv2d",
    "gelu",
    "gelu_backward",
    "hardswish",
    "hardswish_backward",
    "im2col",
    "im2col_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "load_autotune",
    "log_softmax",
    "log_softmax_backward",
    "logsumexp",
    "logsumexp_backward",
    "matmul",
    "matmul_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "maxout",
    "maxout_backward",
    "prepack_conv2d_weight",
    "relu",
    "relu_backward",
    "save_autotune",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_backward",
]
