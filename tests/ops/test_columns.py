"""im2col and col2im against the reference, and against each other."""

import numpy as np
import pytest

import fastconv as fc
from fastconv import reference

CASES = [
    ((1, 1, 3, 3), 2, 1, 0, 1),
    ((2, 3, 7, 9), (3, 2), 1, 0, 1),
    ((2, 3, 7, 9), (3, 2), (2, 3), (2, 1), (2, 1)),
    ((1, 2, 5, 5), 5, 1, 3, 4),
    ((3, 1, 40, 37), 4, 1, 2, 3),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "kernel", "dilation", "padding", "stride"), CASES)
def test_against_the_reference(shape, kernel, dilation, padding, stride, dtype):
    generator = np.random.default_rng(0)
    x = generator.integers(-9, 10, shape).astype(dtype)
    how = {"dilation": dilation, "padding": padding, "stride": stride}
    columns = fc.im2col(x, kernel, **how)
    np.testing.assert_array_equal(columns, reference.im2col(x, kernel, **how))
    values = generator.integers(-9, 10, columns.shape).astype(dtype)
    image = fc.col2im(values, shape[2:], kernel, **how)
    assert image.dtype == dtype
    np.testing.assert_array_equal(image, reference.col2im(values, shape[2:], kernel, **how))
    # one is the other's transpose: <im2col(x), v> = <x, col2im(v)>
    assert (columns * values).sum() == (x * image).sum()
    np.testing.assert_array_equal(fc.im2col_backward(values, shape[2:], kernel, **how), image)
    np.testing.assert_array_equal(fc.col2im_backward(x, kernel, **how), columns)


def test_convolution_is_a_matrix_product_of_columns():
    generator = np.random.default_rng(1)
    x = generator.integers(-9, 10, (2, 3, 8, 9)).astype(np.float32)
    w = generator.integers(-9, 10, (5, 3, 3, 2)).astype(np.float32)
    product = w.reshape(5, -1) @ fc.im2col(x, (3, 2), stride=2)
    np.testing.assert_array_equal(product.reshape(2, 5, 3, 4), fc.conv2d(x, w, stride=2))


def test_refusals():
    with pytest.raises(ValueError, match="4 dimensions"):
        fc.im2col(np.ones((3, 3)), 2)
    with pytest.raises(ValueError, match="C \\* 2 \\* 2"):
        fc.col2im(np.ones((1, 3, 4)), 3, 2)
    with pytest.raises(ValueError, match="4 windows"):
        fc.col2im(np.ones((1, 4, 5)), 3, 2)
