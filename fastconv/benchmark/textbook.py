"""The NumPy of textbooks: what a course has its students write, as the second yardstick.

im2col by a loop over the taps of the kernel, one matrix product by NumPy's BLAS, a transpose at the
end: the usual vectorised form (for example in Saito, "Deep Learning from Scratch", chapter 7).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def im2col(input: Array, kernel: int, stride: int = 1, padding: int = 0) -> Array:
    """Return the windows of (N, C, H, W) as rows: (N * OH * OW, C * kernel * kernel)."""
    batch, channels, height, width = input.shape
    rows = (height + 2 * padding - kernel) // stride + 1
    cols = (width + 2 * padding - kernel) // stride + 1
    pads = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    image = np.pad(input, pads) if padding else input
    windows = np.zeros((batch, channels, kernel, kernel, rows, cols), input.dtype)
    for r in range(kernel):
        for s in range(kernel):
            windows[:, :, r, s] = image[
                :, :, r : r + stride * rows : stride, s : s + stride * cols : stride
            ]
    return windows.transpose(0, 4, 5, 1, 2, 3).reshape(batch * rows * cols, -1)


def col2im(
    columns: Array, input_shape: tuple[int, ...], kernel: int, stride: int = 1, padding: int = 0
) -> Array:
    """Add windows back to the image that they came from."""
    batch, channels, height, width = input_shape
    rows = (height + 2 * padding - kernel) // stride + 1
    cols = (width + 2 * padding - kernel) // stride + 1
    windows = columns.reshape(batch, rows, cols, channels, kernel, kernel)
    windows = windows.transpose(0, 3, 4, 5, 1, 2)
    shape = (batch, channels, height + 2 * padding + stride - 1, width + 2 * padding + stride - 1)
    image = np.zeros(shape, columns.dtype)
    for r in range(kernel):
        for s in range(kernel):
            image[:, :, r : r + stride * rows : stride, s : s + stride * cols : stride] += windows[
                :, :, r, s
            ]
    return image[:, :, padding : height + padding, padding : width + padding]


def conv2d(input: Array, weight: Array, bias: Array, stride: int = 1, padding: int = 0) -> Array:
    """Convolve by im2col, a matrix product and a transpose."""
    batch, _, height, width = input.shape
    filters, _, kernel, _ = weight.shape
    rows = (height + 2 * padding - kernel) // stride + 1
    cols = (width + 2 * padding - kernel) // stride + 1
    columns = im2col(input, kernel, stride, padding)
    output = np.dot(columns, weight.reshape(filters, -1).T) + bias
    return output.reshape(batch, rows, cols, filters).transpose(0, 3, 1, 2)


def conv2d_backward(
    grad_output: Array, input: Array, weight: Array, stride: int = 1, padding: int = 0
) -> tuple[Array, Array, Array]:
    """Return the gradients for input, weight and bias."""
    filters, _, kernel, _ = weight.shape
    grad = grad_output.transpose(0, 2, 3, 1).reshape(-1, filters)
    columns = im2col(input, kernel, stride, padding)
    grad_weight = np.dot(columns.T, grad).T.reshape(weight.shape)
    grad_columns = np.dot(grad, weight.reshape(filters, -1))
    return col2im(grad_columns, input.shape, kernel, stride, padding), grad_weight, grad.sum(axis=0)


def max_pool2d(input: Array, kernel: int) -> tuple[Array, Array]:
    """Pool by im2col, max and argmax along its rows."""
    batch, channels, height, width = input.shape
    rows, cols = (height - kernel) // kernel + 1, (width - kernel) // kernel + 1
    columns = im2col(input, kernel, kernel).reshape(-1, kernel * kernel)
    output = columns.max(axis=1).reshape(batch, rows, cols, channels).transpose(0, 3, 1, 2)
    return output, columns.argmax(axis=1)


def max_pool2d_backward(
    grad_output: Array, argmax: Array, input_shape: tuple[int, ...], kernel: int
) -> Array:
    """Send every gradient to the row's largest element, then add the windows back."""
    grad = grad_output.transpose(0, 2, 3, 1)
    columns = np.zeros((grad.size, kernel * kernel), grad.dtype)
    columns[np.arange(grad.size), argmax] = grad.ravel()
    columns = columns.reshape(grad.shape[0] * grad.shape[1] * grad.shape[2], -1)
    return col2im(columns, input_shape, kernel, kernel)


def avg_pool2d(input: Array, kernel: int) -> Array:
    """Average windows that do not overlap."""
    batch, channels, height, width = input.shape
    rows, cols = height // kernel, width // kernel
    trimmed = input[:, :, : rows * kernel, : cols * kernel]
    return trimmed.reshape(batch, channels, rows, kernel, cols, kernel).mean(axis=(3, 5))


def softmax(input: Array) -> Array:
    """Subtract each row's maximum, exponentiate, divide by the sum."""
    powers = np.exp(input - input.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def cross_entropy(input: Array, target: Array) -> float:
    """Return the mean of -log softmax at the labels."""
    return float(-np.log(softmax(input)[np.arange(len(target)), target]).mean())


def sigmoid(input: Array) -> Array:
    """Return 1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-input))
