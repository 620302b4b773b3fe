"""A quick convolution in NumPy float64, by taps, for cases too large for the plain-Python oracle.

It is held against `fastconv.reference` in test_conv.py before anything is held against it.
"""

from typing import Any

import numpy as np

from fastconv.ops.geometry import Conv2dGeometry


def _windows(geometry: Conv2dGeometry, padded: Any, row: int, col: int) -> Any:
    """View of the padded input that tap (row, col) multiplies, split into groups."""
    g = geometry
    top, left = row * g.dilation[0], col * g.dilation[1]
    view = padded[
        :,
        :,
        top : top + (g.out_height - 1) * g.stride[0] + 1 : g.stride[0],
        left : left + (g.out_width - 1) * g.stride[1] + 1 : g.stride[1],
    ]
    return view.reshape(g.batch, g.groups, -1, g.out_height, g.out_width)


def _pad(geometry: Conv2dGeometry, input: Any) -> Any:
    return np.pad(np.asarray(input, np.float64), ((0, 0), (0, 0), *geometry.padding))


def forward(geometry: Conv2dGeometry, input: Any, weight: Any, bias: Any = None) -> Any:
    """Return the NCHW output."""
    g = geometry
    padded, w = _pad(g, input), np.asarray(weight, np.float64)
    w = w.reshape(g.groups, -1, *w.shape[1:])
    output = np.zeros((g.batch, g.groups, w.shape[1], g.out_height, g.out_width))
    for r in range(g.kernel_height):
        for s in range(g.kernel_width):
            taps = _windows(g, padded, r, s)
            output += np.einsum("ngchw,gkc->ngkhw", taps, w[:, :, :, r, s], optimize=True)
    output = output.reshape(g.batch, g.out_channels, g.out_height, g.out_width)
    return output if bias is None else output + np.asarray(bias, np.float64)[:, None, None]


def gradients(geometry: Conv2dGeometry, input: Any, weight: Any, grad_output: Any) -> Any:
    """Return (grad_input, grad_weight, grad_bias), NCHW."""
    g = geometry
    padded, w = _pad(g, input), np.asarray(weight, np.float64)
    w = w.reshape(g.groups, -1, *w.shape[1:])
    grad = np.asarray(grad_output, np.float64)
    grads = grad.reshape(g.batch, g.groups, -1, g.out_height, g.out_width)
    grad_padded, grad_weight = np.zeros_like(padded), np.zeros_like(w)
    for r in range(g.kernel_height):
        for s in range(g.kernel_width):
            taps = _windows(g, padded, r, s)
            grad_weight[..., r, s] = np.einsum("ngchw,ngkhw->gkc", taps, grads, optimize=True)
            part = np.einsum("ngkhw,gkc->ngchw", grads, w[..., r, s], optimize=True)
            top, left = r * g.dilation[0], s * g.dilation[1]
            grad_padded[
                :,
                :,
                top : top + (g.out_height - 1) * g.stride[0] + 1 : g.stride[0],
                left : left + (g.out_width - 1) * g.stride[1] + 1 : g.stride[1],
            ] += part.reshape(g.batch, g.in_channels, g.out_height, g.out_width)
    (top, _), (left, _) = g.padding
    grad_input = grad_padded[:, :, top : top + g.in_height, left : left + g.in_width]
    return grad_input, grad_weight.reshape(weight.shape), grad.sum(axis=(0, 2, 3))
