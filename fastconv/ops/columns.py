"""im2col and col2im: images as matrices of windows, and back."""

from typing import Any

from fastconv._core import columns as core
from fastconv.ops.arrays import Array, as_floats, empty, restore
from fastconv.ops.geometry import Conv2dGeometry, as_pair, conv2d_geometry


def _window_geometry(
    input_shape: tuple[int, ...], kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> Conv2dGeometry:
    kernel = as_pair("kernel_size", kernel_size, 1)
    if len(input_shape) != 4:
        raise ValueError(f"input: expected 4 dimensions (N, C, H, W), got shape {input_shape}")
    steps, spread = as_pair("stride", stride, 1), as_pair("dilation", dilation, 1)
    pads = as_pair("padding", padding, 0)
    weight_shape = (1, input_shape[1], *kernel)
    return conv2d_geometry(input_shape, weight_shape, steps, pads, spread, 1, "NCHW")


def im2col(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Array:
    """Every window of an image as a column (torch's unfold; notes 004, eq. 6.16-6.19).

    Parameters
    ----------
    input : array-like, (N, C, H, W)
        float32, float64 or float16.
    kernel_size, dilation, padding, stride : int or (vertical, horizontal)

    Returns
    -------
    numpy.ndarray, (N, C * KH * KW, OH * OW)
        Rows are (channel, kernel row, kernel column), columns are output pixels, row by row.

    Examples
    --------
    >>> im2col(np.arange(9.0).reshape(1, 1, 3, 3), 2)[0]
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    x = as_floats("input", input)
    g = _window_geometry(x.shape, kernel_size, dilation, padding, stride)
    window = g.kernel_height * g.kernel_width
    columns = empty((g.batch, g.in_channels * window, g.out_height * g.out_width), x.dtype)
    core.im2col(g.core, x, columns)
    return restore(columns, input)


def col2im(
    columns: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Array:
    """Add every column element to the pixel that it came from (torch's fold): im2col's transpose.

    Parameters
    ----------
    columns : array-like, (N, C * KH * KW, OH * OW)
    output_size : int or (height, width)
        Of the image.
    kernel_size, dilation, padding, stride
        As for `im2col`.

    Returns
    -------
    numpy.ndarray, (N, C, height, width)

    Examples
    --------
    >>> col2im(np.ones((1, 4, 4)), 3, 2)[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    x = as_floats("columns", columns)
    size, kernel = as_pair("output_size", output_size, 1), as_pair("kernel_size", kernel_size, 1)
    if x.ndim != 3 or x.shape[1] % (kernel[0] * kernel[1]):
        raise ValueError(
            f"columns: expected shape (N, C * {kernel[0]} * {kernel[1]}, OH * OW), got {x.shape}"
        )
    shape = (x.shape[0], x.shape[1] // (kernel[0] * kernel[1]), *size)
    g = _window_geometry(shape, kernel, dilation, padding, stride)
    if x.shape[2] != g.out_height * g.out_width:
        raise ValueError(
            f"columns: expected {g.out_height} * {g.out_width} = {g.out_height * g.out_width} "
            f"windows for an image of {size}, got {x.shape[2]}"
        )
    image = empty(shape, x.dtype)
    core.col2im(g.core, x, image)
    return restore(image, columns)


def im2col_backward(
    grad_output: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Array:
    """Gradient of `im2col`, which is linear: its transpose, `col2im`."""
    return col2im(grad_output, output_size, kernel_size, dilation, padding, stride)


def col2im_backward(
    grad_output: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Array:
    """Gradient of `col2im`, which is linear: its transpose, `im2col`."""
    return im2col(grad_output, kernel_size, dilation, padding, stride)
