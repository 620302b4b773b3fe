"""Every worked number of the course notes, asked of the reference and of the compiled engine.

"000" to "004" name the notes. Where a number is printed wrongly, the test asserts the right one and
says so. Some figures are pictures whose numbers the text does not hold; those tests say it too.
"""

import inspect
import math

import numpy as np
import pytest

import fastconv
from fastconv import reference

ALGORITHMS = ("direct", "implicit_gemm", "im2col", "fft", "auto")
LIBRARIES = [pytest.param(reference, id="reference"), pytest.param(fastconv, id="compiled")]

IMAGE_4X4 = [[1, 2, 3, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1]]
FILTER_3X3 = [[2, 0, 1], [0, 1, 2], [1, 0, 2]]
POOL_4X4 = [[1, 2, 1, 0], [0, 1, 2, 3], [3, 0, 1, 2], [2, 4, 0, 1]]
IMAGE_6X6 = [
    [1, 0, 0, 0, 0, 1],
    [0, 1, 0, 0, 1, 0],
    [1, 0, 0, 0, 0, 1],
    [1, 0, 1, 0, 1, 1],
    [0, 0, 0, 0, 1, 1],
    [0, 0, 1, 0, 1, 1],
]
FILTER_1 = [[1, 0, 0], [0, 1, 0], [1, 0, 0]]
FILTER_2 = [[0, 0, 1], [0, 0, 1], [0, 0, 1]]
MAP_1 = [[3, 0, 0, 1], [1, 1, 1, 0], [1, 1, 0, 1], [1, 0, 2, 1]]
MAP_2 = [[0, 0, 1, 2], [1, 0, 2, 2], [1, 0, 2, 3], [2, 0, 3, 3]]


def planes(*values):
    """Put two-dimensional examples side by side as channels: (1, C, H, W) float64."""
    return np.asarray([values], dtype=np.float64)


class Convolution:
    """One way to convolve, and how closely it must hit an integer."""

    def __init__(self, run, dtype, tolerance):
        self.run, self.dtype, self.tolerance = run, dtype, tolerance

    def check(self, expected, input, weight, *args, **options):
        arrays = [np.asarray(array, dtype=self.dtype) for array in (input, weight, *args)]
        actual = self.run(*arrays, **options)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=self.tolerance)


def compiled(algorithm):
    def run(*args, **options):
        return fastconv.conv2d(*args, algorithm=algorithm, **options)

    return run


def convolutions():
    for name in ("conv2d", "conv2d_im2col", "conv2d_fft"):
        tolerance = 1e-12 if name == "conv2d_fft" else 0
        way = Convolution(getattr(reference, name), np.float64, tolerance)
        yield pytest.param(way, id=f"reference-{name}")
    for algorithm in ALGORITHMS:
        for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 3e-5)):
            if algorithm in ("direct", "implicit_gemm", "im2col"):
                tolerance = 0  # small integers: exact in any order of summation
            way = Convolution(compiled(algorithm), dtype, tolerance)
            yield pytest.param(way, id=f"compiled-{algorithm}-{np.dtype(dtype).name}")


@pytest.fixture(params=LIBRARIES)
def library(request):
    return request.param


@pytest.fixture(params=convolutions())
def convolution(request):
    return request.param


class TestConvolution:
    """000 "convolution", 001 "convolution layer", 003 part 5, 004 section 5.2.1."""

    def test_4x4_by_3x3(self, convolution):
        convolution.check(planes([[15, 16], [6, 15]]), planes(IMAGE_4X4), planes(FILTER_3X3))

    def test_bias_is_added_to_every_position(self, convolution):
        """The figure's bias is not in the text of 000; 3 is the textbook's."""
        expected = planes([[18, 19], [9, 18]])
        convolution.check(expected, planes(IMAGE_4X4), planes(FILTER_3X3), [3])

    def test_padding_1(self, convolution):
        expected = planes([[7, 12, 10, 2], [4, 15, 16, 10], [10, 6, 15, 6], [8, 10, 4, 3]])
        convolution.check(expected, planes(IMAGE_4X4), planes(FILTER_3X3), padding=1)

    def test_same_and_valid_are_padding_1_and_0(self, convolution):
        """003 section 5.2, whose p = (f + 1) / 2 for "same" should be (f - 1) / 2."""
        same = [[7, 12, 10, 2], [4, 15, 16, 10], [10, 6, 15, 6], [8, 10, 4, 3]]
        convolution.check(planes(same), planes(IMAGE_4X4), planes(FILTER_3X3), padding="same")
        valid = [[15, 16], [6, 15]]
        convolution.check(planes(valid), planes(IMAGE_4X4), planes(FILTER_3X3), padding="valid")

    def test_stride_2_on_a_padded_image(self, convolution):
        """A stride keeps every second of the padding-1 results (004, eq. 5.13)."""
        expected = planes([[7, 10], [10, 15]])
        convolution.check(expected, planes(IMAGE_4X4), planes(FILTER_3X3), padding=1, stride=2)

    def test_diagonal_filter_of_001(self, convolution):
        """The printed map is right in all 16 places."""
        convolution.check(planes(MAP_1), planes(IMAGE_6X6), planes(FILTER_1))

    def test_two_filters_of_001_make_a_2x4x4_image(self, convolution):
        """The second filter's map is a picture; this one was worked by hand."""
        weight = np.asarray([[FILTER_1], [FILTER_2]])
        convolution.check(planes(MAP_1, MAP_2), planes(IMAGE_6X6), weight)

    def test_channels_add_up(self, convolution):
        """003 section 5.4: the result is the sum of the channels' results."""
        expected = planes(np.add(MAP_1, MAP_2))
        convolution.check(expected, planes(IMAGE_6X6, IMAGE_6X6), planes(FILTER_1, FILTER_2))

    def test_vertical_edge(self, convolution):
        """003 section 5.1; the figures are links, the numbers those of the course it follows."""
        bright_left = [[10, 10, 10, 0, 0, 0]] * 6
        edge = [[1, 0, -1]] * 3
        convolution.check(planes([[0, 30, 30, 0]] * 4), planes(bright_left), planes(edge))
        image = [
            [3, 0, 1, 2, 7, 4],
            [1, 5, 8, 9, 3, 1],
            [2, 7, 2, 5, 1, 3],
            [0, 1, 3, 1, 7, 8],
            [4, 2, 1, 6, 2, 8],
            [2, 4, 5, 2, 3, 9],
        ]
        expected = [[-5, -4, 0, 8], [-10, -2, 2, 3], [0, -2, -4, -7], [-3, -2, -3, -16]]
        convolution.check(planes(expected), planes(image), planes(edge))

    def test_sobel_filters_of_000(self, convolution):
        """G_x sees a vertical edge only, G_y a horizontal one only; bright minus dark, times 4."""
        across = [[1, 0, -1], [2, 0, -2], [1, 0, -1]]
        down = [[1, 2, 1], [0, 0, 0], [-1, -2, -1]]
        weight = np.asarray([[across], [down]])
        step = np.asarray([[1, 1, 0, 0]] * 4)
        convolution.check(planes([[4, 4]] * 2, [[0, 0]] * 2), planes(step), weight)
        convolution.check(planes([[0, 0]] * 2, [[4, 4]] * 2), planes(step.T), weight)

    def test_true_convolution_flips_the_kernel(self, convolution):
        """000: s(i) = sum f(m) g(i - m); the layer does not flip (004, footnote 4)."""
        image, kernel = [[1, 2, 3]], [[0, 1, 5]]
        true = planes([[0, 1, 7, 13, 15]])
        flipped = planes([kernel[0][::-1]])
        convolution.check(true, planes(image), flipped, padding=((0, 0), (2, 2)))

    def test_shared_weights_find_a_pattern_anywhere(self, convolution):
        """004 section 5.2.1, (2): moving the pattern moves the answer."""
        image, moved = np.zeros((9, 9)), np.zeros((9, 9))
        image[2:5, 2:5], moved[4:7, 3:6] = FILTER_1, FILTER_1
        weight = planes(FILTER_1)
        answer = np.zeros((7, 7))
        answer[0:5, 0:5] = reference.conv2d(planes(image), weight)[0, 0, 0:5, 0:5]
        assert answer[2, 2] == answer.max() == 3
        convolution.check(planes(answer), planes(image), weight)
        shifted = np.zeros((7, 7))
        shifted[2:7, 1:6] = answer[0:5, 0:5]
        convolution.check(planes(shifted), planes(moved), weight)


class TestConvolutionBackward:
    """004 section 5.4.1."""

    def test_gradients_of_the_4x4_example(self, library):
        grad_output = planes([[1, 0], [0, 0]])
        grads = library.conv2d_backward(grad_output, planes(IMAGE_4X4), planes(FILTER_3X3))
        assert grads.weight[0, 0].tolist() == [row[:3] for row in IMAGE_4X4[:3]]
        assert grads.input[0, 0].tolist() == [[*row, 0] for row in FILTER_3X3] + [[0, 0, 0, 0]]
        assert grads.bias.tolist() == [1]

    def test_backward_is_convolution_with_the_flipped_filter(self, library):
        """The sentence after eq. 5.29, which itself lacks the sum over filters and offsets."""
        grad_output = planes([[1, 2], [3, 4]])
        grads = library.conv2d_backward(grad_output, planes(IMAGE_4X4), planes(FILTER_3X3))
        flipped = planes(FILTER_3X3)[:, :, ::-1, ::-1]
        np.testing.assert_array_equal(
            grads.input, reference.conv2d(grad_output, flipped, padding=2)
        )
        np.testing.assert_array_equal(
            grads.weight, reference.conv2d(planes(IMAGE_4X4), grad_output)
        )
        assert grads.bias.tolist() == [10]

    def test_every_filter_reaches_the_input(self, library):
        """What the sum that eq. 5.29 forgets is for: two filters of one element each."""
        weight = np.asarray([[[[2.0]]], [[[3.0]]]])
        grads = library.conv2d_backward(planes([[10]], [[100]]), planes([[7]]), weight)
        assert grads.input.ravel().tolist() == [320]

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_compiled_algorithms_agree(self, algorithm):
        """On the 6 x 6 example with both filters, padding 1."""
        weight = np.asarray([[FILTER_1], [FILTER_2]], dtype=np.float64)
        grad_output = np.arange(72, dtype=np.float64).reshape(1, 2, 6, 6) % 5
        arguments = (grad_output, planes(IMAGE_6X6), weight)
        actual = fastconv.conv2d_backward(*arguments, padding=1, algorithm=algorithm)
        expected = reference.conv2d_backward(*arguments, padding=1)
        for name in ("input", "weight", "bias"):
            np.testing.assert_allclose(
                getattr(actual, name), getattr(expected, name), rtol=0, atol=1e-10
            )

    def test_two_stacked_3x3_see_5x5(self, library):
        """002 section 1.1.3, read off the gradient: the inputs that reach the central output."""
        weight = np.ones((1, 1, 3, 3))
        first = library.conv2d(np.zeros((1, 1, 9, 9)), weight)
        grad = np.zeros((1, 1, 5, 5))
        grad[0, 0, 2, 2] = 1.0
        grad = library.conv2d_backward(grad, first, weight).input
        grad = library.conv2d_backward(grad, np.zeros((1, 1, 9, 9)), weight).input
        seen = np.zeros((9, 9), dtype=bool)
        seen[2:7, 2:7] = True
        np.testing.assert_array_equal(grad[0, 0] != 0, seen)


class TestSizesAndCounts:
    """Output sizes and numbers of parameters."""

    @pytest.mark.parametrize(
        ("size", "kernel", "options", "expected"),
        [
            pytest.param((28, 31), 5, {"padding": 2, "stride": 3}, (10, 11), id="000"),
            pytest.param((7, 7), 3, {"stride": 2}, (3, 3), id="000-stride-2"),
            pytest.param((6, 6), 3, {}, (4, 4), id="003-5.4"),
            pytest.param((32, 32), 5, {}, (28, 28), id="003-5.7"),
            pytest.param((100, 100), 3, {"padding": 1}, (100, 100), id="004-5.18"),
            pytest.param((224, 224), 11, {"stride": 4}, (54, 54), id="alexnet-unpadded"),
            pytest.param((224, 224), 11, {"stride": 4, "padding": 2}, (55, 55), id="alexnet"),
            pytest.param((224, 224), 3, {"padding": 1}, (224, 224), id="vgg"),
        ],
    )
    def test_output_size(self, size, kernel, options, expected):
        assert reference.conv2d_output_size(size, kernel, **options) == expected

    def test_output_size_28x31(self, library):
        output = library.conv2d(np.zeros((1, 1, 28, 31)), np.zeros((1, 1, 5, 5)), None, 3, 2)
        assert output.shape == (1, 1, 10, 11)

    def test_rounding_down(self, library):
        """003 section 5.3: (6 - 3) / 2 + 1 = 2.5 counts 2."""
        output = library.conv2d(np.zeros((1, 1, 6, 6)), np.zeros((1, 1, 3, 3)), stride=2)
        assert output.shape == (1, 1, 2, 2)

    def test_network_of_003(self, library):
        """39x39x3 -> 37x37x10 -> 17x17x20 -> 7x7x40 -> 1960; kernels 3, 5, 5, strides 1, 2, 2."""
        value, shapes = np.zeros((1, 3, 39, 39)), []
        for channels, kernel, stride in ((10, 3, 1), (20, 5, 2), (40, 5, 2)):
            weight = np.zeros((channels, value.shape[1], kernel, kernel))
            value = library.conv2d(value, weight, stride=stride)
            shapes.append(value.shape[1:])
        assert shapes == [(10, 37, 37), (20, 17, 17), (40, 7, 7)]
        assert value.size == 1960

    def test_lenet_of_003(self, library):
        """003 section 5.7: 32x32x3 to 400 features, then 120, 84 and 10."""
        value = library.conv2d(np.zeros((1, 3, 32, 32)), np.zeros((6, 3, 5, 5)))
        assert value.shape == (1, 6, 28, 28)
        value, _ = library.max_pool2d(value, 2)
        value, _ = library.max_pool2d(library.conv2d(value, np.zeros((16, 6, 5, 5))), 2)
        value = value.reshape(1, -1)
        assert value.shape == (1, 400)
        for features in (120, 84, 10):
            value = library.linear(value, np.zeros((features, value.shape[1])))
        assert value.shape == (1, 10)

    def test_five_halvings_of_vgg(self):
        """000: five groups that keep the size, each followed by a 2 x 2 pool."""
        size = 224
        for _ in range(5):
            size = reference.pool_output_size(size, 2, 2)
        assert size == 7

    def test_pixels_and_weights(self):
        """Weights of one fully connected unit: one for each number of the image."""

        def weights(height, width, channels=3):
            return reference.linear_parameter_count(height * width * channels, 1, bias=False)

        assert weights(768, 1024) == 2_359_296  # 004 section 2.1; set as "32=359296" in 3.1
        assert weights(64, 64) == 12_288  # 003 section 1.2
        assert weights(32, 32) == 3_072  # 004 section 5.2.1
        assert weights(200, 200) == 120_000

    def test_fully_connected_against_convolution(self):
        """003 section 5.7. Slip: 26 weights a kernel, 156 in all, forget two of three channels."""
        count = reference.linear_parameter_count(32 * 32 * 3, 28 * 28 * 6, bias=False)
        assert count == 14_450_688
        assert reference.conv2d_parameter_count(1, 1, 5) == 26
        assert reference.conv2d_parameter_count(1, 6, 5) == 156
        assert reference.conv2d_parameter_count(3, 6, 5) == 456

    def test_small_filters_are_cheaper(self):
        """002 section 1.1.3, which once says "two 5 x 5" where two 3 x 3 are meant."""
        count = reference.conv2d_parameter_count
        assert [count(1, 1, 5, bias=False), 2 * count(1, 1, 3, bias=False)] == [25, 18]
        assert [3 * count(1, 1, 3, bias=False), count(1, 1, 7, bias=False)] == [27, 49]
        assert reference.receptive_field([3, 3]) == reference.receptive_field([5]) == 5
        assert reference.receptive_field([3, 3, 3]) == reference.receptive_field([7]) == 7

    def test_same_padding(self):
        """003 section 5.2 prints (f + 1) / 2, which would let the image grow by 2."""
        for kernel in (1, 3, 5, 7):
            padding = reference.same_padding(kernel)
            assert reference.conv2d_output_size(9, kernel, padding=padding) == (9, 9)
            assert reference.conv2d_output_size(9, kernel, padding=(kernel + 1) // 2) == (11, 11)


class TestPooling:
    """000 "pooling layer", 003 section 5.6, 004 sections 5.2.2 and 5.4.2."""

    def test_max_pool(self, library):
        output, indices = library.max_pool2d(planes(POOL_4X4), 2)
        assert output[0, 0].tolist() == [[2, 3], [4, 2]]
        assert indices[0, 0].tolist() == [[1, 7], [13, 11]]
        assert indices.dtype == np.int64

    def test_average_pool(self, library):
        output = library.avg_pool2d(planes(POOL_4X4), 2)
        assert output[0, 0].tolist() == [[1, 1.5], [2.25, 1]]

    def test_pooling_keeps_channels_and_drops_three_quarters(self, library):
        output, _ = library.max_pool2d(np.zeros((1, 3, 8, 8)), 2)
        assert output.shape == (1, 3, 4, 4)
        assert output.size * 4 == 3 * 8 * 8

    def test_windows_end_before_their_size(self, library):
        """004 eq. 5.20 prints 0 <= i <= F; with F = 2 and stride 2 a 9 next door must not count."""
        output, _ = library.max_pool2d(planes([[1, 2, 9, 0], [3, 4, 0, 0]]), 2)
        assert output[0, 0].tolist() == [[4, 9]]

    @pytest.mark.parametrize(
        ("x", "y", "expected"), [(3, 5, [0, 7]), (5, 3, [7, 0]), (4, 4, [7, 0])]
    )
    def test_max_routes_the_gradient(self, library, x, y, expected):
        """004 eq. 5.30-5.34, z = max(x, y): a tie goes to x."""
        value = planes([[x, y]])
        output, indices = library.max_pool2d(value, (1, 2))
        grad = library.max_pool2d_backward(np.full(output.shape, 7.0), indices, value.shape)
        assert grad.ravel().tolist() == expected

    def test_gradient_of_the_4x4_example(self, library):
        _, indices = library.max_pool2d(planes(POOL_4X4), 2)
        grad = library.max_pool2d_backward(planes([[1, 2], [3, 4]]), indices, (1, 1, 4, 4))
        assert grad[0, 0].tolist() == [[0, 1, 0, 0], [0, 0, 0, 2], [0, 0, 0, 4], [0, 3, 0, 0]]


class TestColumns:
    """004 section 6.2.2."""

    def test_columns_times_filter_is_the_convolution(self, library):
        columns = library.im2col(planes(IMAGE_4X4), 3)
        assert columns.shape == (1, 9, 4)
        product = np.asarray(FILTER_3X3, dtype=np.float64).reshape(1, 9) @ columns[0]
        assert product.tolist() == [[15, 16, 6, 15]]

    def test_first_column_is_the_first_window(self, library):
        columns = library.im2col(planes(IMAGE_4X4), 3)
        assert columns[0, :, 0].tolist() == [1, 2, 3, 0, 1, 2, 3, 0, 1]

    def test_folding_counts_how_often_each_element_was_used(self, library):
        columns = library.im2col(np.ones((1, 1, 4, 4)), 3)
        folded = library.col2im(columns, (4, 4), 3)
        assert folded[0, 0].tolist() == [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]

    def test_index_map_of_the_notes(self):
        """Eq. 6.16-6.19: X~ is (H_l W_l) x (F1 F2 D), counted column by column."""
        image = np.arange(4 * 5 * 2, dtype=np.float64).reshape(4, 5, 2)
        rows = reference.im2row(image, (3, 2))
        assert rows.shape == (2 * 4, 3 * 2 * 2)
        for out_column in range(4):
            for out_row in range(2):
                for depth in range(2):
                    for column in range(2):
                        for row in range(3):
                            p = out_row + 2 * out_column
                            q = row + 3 * column + 3 * 2 * depth
                            expected = image[out_row + row, out_column + column, depth]
                            assert rows[p, q] == expected


class TestSoftmax:
    """003 section 4.7; 004 sections 3.2.3, 3.3.1 and 6.1."""

    def test_four_scores(self, library):
        expected = [0.0581775606, 0.00039199732, 0.158143006, 0.783287436]
        actual = library.softmax(np.asarray([[3, -2, 4, 5.6]]))
        np.testing.assert_allclose(actual[0], expected, rtol=5e-9)
        assert [round(100 * p, 2) for p in actual[0, 2:].tolist()] == [15.81, 78.33]

    @pytest.mark.parametrize("constant", [-1000.0, 0.0, 1000.0, 1e300, -1e300])
    def test_equal_scores_of_any_size(self, library, constant):
        """Eq. 6.2-6.6: 1 / K, not 0 / 0 or infinity / infinity."""
        actual = library.softmax(np.full((1, 5), constant))
        np.testing.assert_allclose(actual, np.full((1, 5), 0.2), rtol=1e-15)

    def test_a_constant_changes_nothing(self, library):
        """Eq. 6.10."""
        scores = np.asarray([[3, -2, 4, 5.5]])
        np.testing.assert_array_equal(library.softmax(scores + 64), library.softmax(scores))

    def test_two_scores_are_logistic_regression(self, library):
        """003 section 4.7."""
        for score in (-4.0, 0.0, 2.5):
            probability = library.softmax(np.asarray([[score, 0.0]]))[0, 0]
            expected = library.sigmoid(np.asarray([score]))[0]
            np.testing.assert_allclose(probability, expected, rtol=1e-14)

    def test_cross_entropy_of_the_apple(self, library):
        """003 section 4.7: outputs (.1, .2, .6, .1), label (0, 1, 0, 0): -log 0.2."""
        scores = np.log([[0.1, 0.2, 0.6, 0.1]])
        loss = library.cross_entropy(scores, np.asarray([1]))
        assert float(loss) == pytest.approx(-math.log(0.2), rel=1e-14)
        assert float(loss) == pytest.approx(1.6094379124341003, rel=1e-14)

    def test_gradient_is_probability_minus_label(self, library):
        """004 eq. 3.47."""
        scores = np.log([[0.1, 0.2, 0.6, 0.1]])
        grad = library.cross_entropy_backward(1.0, scores, np.asarray([1]))
        np.testing.assert_allclose(grad, [[0.1, -0.8, 0.6, 0.1]], rtol=1e-14)

    def test_mean_over_samples(self, library):
        """Eq. 3.17, one right and one wrong answer."""
        scores = np.log([[0.1, 0.2, 0.6, 0.1], [0.7, 0.1, 0.1, 0.1]])
        loss = library.cross_entropy(scores, np.asarray([1, 0]))
        assert float(loss) == pytest.approx(-(math.log(0.2) + math.log(0.7)) / 2, rel=1e-14)

    def test_a_constant_in_every_weight_changes_nothing(self, library):
        """004 section 3.3.2, why a penalty is needed: W + c and b + c give the same loss."""
        rng = np.random.default_rng(3)
        image, weight = rng.normal(size=(2, 4)), rng.normal(size=(3, 4))
        bias, label = rng.normal(size=3), np.asarray([2, 0])
        plain = library.cross_entropy(library.linear(image, weight, bias), label)
        moved = library.cross_entropy(library.linear(image, weight + 5, bias + 5), label)
        assert float(moved) == pytest.approx(float(plain), rel=1e-12)


class TestActivations:
    """001 "activation functions"; 003 sections 2.2-2.3."""

    def test_relu_and_its_gradient(self, library):
        value = np.asarray([-2.0, 0.0, 3.0])
        assert library.relu(value).tolist() == [0, 0, 3]
        assert library.relu_backward(np.full(3, 5.0), value).tolist() == [0, 0, 5]

    def test_sigmoid_at_zero(self, library):
        assert library.sigmoid(np.zeros(1)).tolist() == [0.5]

    def test_slope_of_sigmoid_at_zero_is_a_quarter(self):
        """003 section 2.3. (The engine's backward may take sigmoid's output: not asked here.)"""
        assert reference.sigmoid_backward([1.0], [0.0]).tolist() == [0.25]
        slopes = reference.sigmoid_backward(np.ones(2), [-40.0, 40.0])
        assert 0 < slopes[0] == slopes[1] < 1e-17

    def test_slope_of_tanh(self):
        assert reference.tanh_backward([1.0], [0.0]).tolist() == [1]
        slope = reference.tanh_backward([1.0], [0.7])[0]
        assert slope == pytest.approx(1 - math.tanh(0.7) ** 2, rel=1e-14)

    @pytest.mark.parametrize("z", [-3.0, -0.5, 0.0, 0.25, 2.0])
    def test_tanh_is_a_stretched_sigmoid(self, library, z):
        """001: 2 / (1 + e^-2z) - 1. 003 says "moved down by one", and prints z^-z for e^-z."""
        tanh = float(library.tanh(np.asarray([z]))[0])
        sigmoid = float(library.sigmoid(np.asarray([2 * z]))[0])
        assert tanh == pytest.approx(2 * sigmoid - 1, abs=4e-15)
        quotient = (math.exp(z) - math.exp(-z)) / (math.exp(z) + math.exp(-z))
        assert tanh == pytest.approx(quotient, abs=4e-15)

    def test_leaky_relu(self, library):
        actual = library.leaky_relu(np.asarray([-2.0, 0.0, 3.0]), 0.25)
        assert actual.tolist() == [-0.5, 0, 3]

    def test_elu(self, library):
        actual = library.elu(np.asarray([-1.0, 0.0, 3.0]), 2.0)
        np.testing.assert_allclose(actual, [2 * math.expm1(-1), 0, 3], rtol=1e-14)

    def test_maxout_of_two_affine_maps(self):
        """001: max(w1 z + b1, w2 z + b2); here |z - 1| + 1 from z and 2 - z."""
        actual = reference.maxout_affine([[-1.0], [1.0], [4.0]], [[[1]], [[-1]]], [[0], [2]])
        assert actual.ravel().tolist() == [3, 1, 4]


class TestComputationalGraphs:
    """000 "backpropagation, illustrated"; 001 "computational graph"; 002 figure 1.9."""

    @pytest.mark.parametrize(
        ("apple", "orange", "paid", "both", "slopes"),
        [
            pytest.param(10, 15, 22, 71.5, [2.2, 11, 20], id="000"),
            pytest.param(100, 150, 220, 715, [2.2, 110, 200], id="textbook"),
        ],
    )
    def test_fruit(self, apple, orange, paid, both, slopes):
        """2 apples and 3 oranges with 10 % tax; derivatives by price, number and tax factor.

        The text of 000 has fruit at 10 and 15, and its 2.2, 11 and 20 are all right; the textbook
        it retells has 100 and 150.
        """

        def pay(purchase):
            price, number, tax = purchase.tolist()
            return price * number * tax

        assert pay(np.asarray([apple, 2, 1.1])) == pytest.approx(paid)
        assert pay(np.asarray([apple * 2 + orange * 3, 1, 1.1])) == pytest.approx(both)
        price, number, tax = apple, 2, 1.1
        assert [number * tax, price * tax, price * number] == pytest.approx(slopes)
        assert reference.gradient_error(pay, slopes, [apple, 2, 1.1]) < 1e-8

    def test_chain_rule_of_a_square(self):
        """000: z = t^2, t = x + y, so dz/dx = 2 (x + y)."""
        x, y = 1.5, -0.25
        slope = 2 * (x + y) * 1
        error = reference.gradient_error(lambda p: (p[0] + p[1]) ** 2, [slope, slope], [x, y])
        assert error < 1e-8

    def test_product_of_a_sum_and_a_difference(self):
        """001: f = (x + y)(y - z) at (-1, 3, 2).

        Slip: two of the slides print dh1/dy = 1 a second time where dh2/dy = 1 is meant.
        """
        x, y, z = -1.0, 3.0, 2.0
        first, second = x + y, y - z
        assert [first, second, first * second] == [2, 1, 2]
        gradient = [second * 1, second * 1 + first * 1, first * -1]
        assert gradient == [1, 3, -2]
        error = reference.gradient_error(
            lambda p: (p[0] + p[1]) * (p[1] - p[2]), gradient, [x, y, z]
        )
        assert error < 1e-8

    def test_sigmoid_neuron(self, library):
        """001: f = y / (1 + exp(-(w0 + w1 x))) at x = -2, w0 = 3, w1 = 1, y = 1.

        Slips: the first slides have w0 = 1, w1 = 3, which does not fit their -0.53, -0.20 and 0.20;
        one writes h1 = x + w1 for the product; e^x and its derivative are set as "ex".
        """
        x, w0, w1, y = -2.0, 3.0, 1.0, 1.0
        h2 = w0 + w1 * x
        h4 = math.exp(-h2)
        h5 = 1 + h4
        h6 = 1 / h5
        assert h2 == 1
        assert [round(h, 2) for h in (h4, h5, h6)] == [0.37, 1.37, 0.73]
        by_h5 = -y / h5**2
        by_h4 = by_h5
        by_h3 = h4 * by_h4
        by_h2 = -by_h3
        assert [round(slope, 2) for slope in (by_h5, by_h3, by_h2)] == [-0.53, -0.2, 0.2]
        by_w0, by_w1, by_x, by_y = by_h2, by_h2 * x, by_h2 * w1, h6
        assert [round(slope, 2) for slope in (by_w0, by_w1, by_x, by_y)] == [0.2, -0.39, 0.2, 0.73]
        assert float(library.sigmoid(np.asarray([h2]))[0]) == pytest.approx(h6, rel=1e-14)
        slope = reference.sigmoid_backward([1.0], [h2])[0]
        assert slope == pytest.approx(by_h2, rel=1e-14)

    def test_wrong_start_values_do_not_give_the_printed_numbers(self):
        slope = float(reference.sigmoid_backward([1.0], [1 + 3 * -2])[0])
        assert round(slope, 2) == 0.01

    def test_hidden_units_solve_exclusive_or(self, library):
        """001: one perceptron cannot, two layers can."""
        inputs = np.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        hidden = library.relu(library.linear(inputs, np.ones((2, 2)), np.asarray([0.0, -1.0])))
        output = library.linear(hidden, np.asarray([[1.0, -2.0]]))
        assert output.ravel().tolist() == [0, 1, 1, 0]

    def test_shortcut_passes_the_gradient_unchanged(self, library):
        """002 section 1.2.3: the gradient of F(x) + x keeps the upstream gradient when F's is 0."""
        image, weight = planes(IMAGE_4X4), np.zeros((1, 1, 3, 3))
        upstream = planes(np.arange(16.0).reshape(4, 4))
        through = library.conv2d_backward(upstream, image, weight, 1, 1).input
        np.testing.assert_array_equal(through + upstream, upstream)


class TestFullyConnected:
    """003 sections 1.2 and 3.4; 004 sections 3.4.3 and 4.4.2."""

    def test_logistic_regression_gradient(self):
        """dz = a - y, dw_j = x_j dz, db = dz."""
        x, w, b, y = np.asarray([0.5, -1.5]), np.asarray([2.0, 1.0]), 0.25, 1.0

        def loss(theta):
            z = reference.linear([x], [theta[:2]], theta[2:])
            return reference.logistic_loss(reference.sigmoid(z), [[y]])

        a = reference.sigmoid(reference.linear([x], [w], [b]))[0, 0]
        dz = a - y
        gradient = [x[0] * dz, x[1] * dz, dz]
        assert reference.gradient_error(loss, gradient, [*w, b]) < 1e-8
        da = reference.logistic_loss_backward(1.0, [a], [y])
        assert reference.sigmoid_backward(da, [2.0 * 0.5 - 1.5 + 0.25])[0] == pytest.approx(dz)

    def test_layer_gradients(self, library):
        """004 eq. 4.36-4.38: W^T g, g a^T, g."""
        grads = library.linear_backward(
            np.asarray([[1.0, 10.0]]),
            np.asarray([[1.0, 2.0]]),
            np.asarray([[3.0, 4.0], [5.0, 6.0]]),
        )
        assert grads.input.tolist() == [[53, 64]]
        assert grads.weight.tolist() == [[1, 2], [10, 20]]
        assert grads.bias.tolist() == [1, 10]

    @pytest.mark.parametrize(("factor", "expected"), [(0.5, 0.5**9), (1.5, 1.5**9)])
    def test_vanishing_and_exploding(self, library, factor, expected):
        """003 section 3.4: L - 1 layers of factor * identity; here 9."""
        value = np.asarray([[1.0, -1.0]])
        for _ in range(9):
            value = library.linear(value, factor * np.eye(2))
        assert value.tolist() == [[expected, -expected]]

    def test_penalty_squares_the_weights(self):
        """004 eq. 3.22 prints the sum of W, which is 0 here; the norm is 2."""
        assert reference.l2_regularization([[1.0, -1.0]], weight_decay=2.0) == 2

    def test_accuracy_of_all_right_is_one(self):
        """004 section 3.5.2."""
        assert reference.accuracy([[1, 2], [4, 3]], [1, 0]) == 1
        assert reference.accuracy([[1, 2], [4, 3]], [1, 1]) == 0.5


class TestOptimization:
    """003 part 4; 004 section 6.3."""

    def test_two_days_of_london(self):
        """003 section 4.1, 4 and 9 degrees, beta 0.98.

        Slips: v_2 is 0.2584, not 0.181568, which puts v_1 = 0.08 for theta_1; the corrected value
        is 0.2584 / 0.0396 = 6.525, not 6.25.
        """
        plain = reference.exponentially_weighted_average([4, 9], beta=0.98)
        assert plain == pytest.approx([0.08, 0.2584], rel=1e-12)
        misread = 0.98 * 0.02 * 0.08 + 0.02 * 9
        assert misread == pytest.approx(0.181568)
        corrected = reference.exponentially_weighted_average([4, 9], 0.98, bias_correction=True)
        assert corrected == pytest.approx([4, (0.0196 * 4 + 0.02 * 9) / 0.0396], rel=1e-12)
        assert corrected[1] == pytest.approx(6.5252525, rel=1e-7)

    @pytest.mark.parametrize(("beta", "days"), [(0.9, 10), (0.98, 50), (0.5, 2)])
    def test_days_averaged(self, beta, days):
        """1 / (1 - beta) days: the weight of a value that old has fallen to about 1 / e."""
        assert 1 / (1 - beta) == pytest.approx(days)
        impulse = reference.exponentially_weighted_average([1] + [0] * days, beta)
        assert impulse[days] / impulse[0] == pytest.approx(math.exp(-1), abs=0.12)

    def test_expansion_of_v_100(self):
        days = np.random.default_rng(0).uniform(-5, 30, 100).tolist()
        expanded = sum(0.1 * 0.9 ** (100 - t) * day for t, day in enumerate(days, start=1))
        average = reference.exponentially_weighted_average(days, 0.9)[-1]
        assert average == pytest.approx(expanded, rel=1e-12)

    def test_momentum_of_the_notes(self):
        """003 section 4.2: the velocity is the exponentially weighted average of the gradients."""
        parameter, velocity = np.zeros(1), np.zeros(1)
        for gradient in (4.0, 9.0):
            parameter, velocity = reference.momentum(
                parameter, [gradient], velocity, learning_rate=1.0, beta=0.98, dampening=0.98
            )
        assert velocity[0] == pytest.approx(0.2584)
        assert parameter[0] == pytest.approx(-(0.08 + 0.2584))

    def test_first_step_of_adam_is_the_learning_rate(self):
        """003 section 4.4: after correction m / sqrt(v) is the gradient's sign."""
        zeros = np.zeros(2)
        step = reference.adam(zeros, [1e-3, -50.0], zeros, zeros, 1, learning_rate=0.1)
        np.testing.assert_allclose(step.parameter, [-0.1, 0.1], rtol=2e-5)

    def test_first_step_of_rmsprop(self):
        """004 eq. 6.22-6.23: v = (1 - beta) g^2, so the step is alpha / sqrt(1 - beta)."""
        step = reference.rmsprop([0.0], [3.0], [0.0], learning_rate=0.1, beta=0.99)
        assert step.squares[0] == pytest.approx(0.09)
        assert step.parameter[0] == pytest.approx(-1.0, rel=1e-6)

    def test_learning_rate_rules(self):
        """003 section 4.5."""
        assert reference.inverse_time_decay(0.2, 1.0, epoch=1) == pytest.approx(0.1)
        assert reference.exponential_decay(0.2, epoch=2) == pytest.approx(0.2 * 0.9025)
        assert reference.inverse_square_root_decay(0.2, epoch=4) == pytest.approx(0.1)


class TestData:
    """003 sections 3.2-3.5 and 4.6; 004 sections 6.4-6.7."""

    def test_centring(self):
        data = [[1.0, 10.0], [3.0, 30.0]]
        centred = reference.subtract_mean(data, reference.feature_statistics(data).mean)
        assert centred.tolist() == [[-1, -10], [1, 10]]

    def test_batch_normalization_can_undo_itself(self):
        """003 section 4.6. Slip: with that gamma and beta z_use is z, not z_norm."""
        value = np.asarray([[1.0, 2.0], [3.0, 6.0], [8.0, 7.0]])
        plain = reference.batch_norm(value)
        scale, shift = np.sqrt(plain.variance + 1e-5), plain.mean
        undone = reference.batch_norm(value, scale, shift).output
        np.testing.assert_allclose(undone, value, rtol=1e-14)
        assert abs(plain.output - value).max() > 1

    def test_bias_before_batch_normalization_does_nothing(self):
        """003 section 4.6: b may be left at 0."""
        value = np.asarray([[1.0], [3.0], [8.0]])
        np.testing.assert_array_equal(
            reference.batch_norm(value).output, reference.batch_norm(value + 4).output
        )

    def test_dropout_keeps_the_expectation(self):
        """003 section 3.2.1, keep_prob 0.8: p = 0.2 here. 4 of 5 kept, each scaled by 1 / 0.8."""
        dropped = reference.dropout(np.full(5, 4.0), [1, 1, 0, 1, 1], p=0.2)
        assert dropped.tolist() == [5, 5, 0, 5, 5]
        assert sum(dropped.tolist()) / 5 == 4

    def test_five_crops(self):
        """004 section 6.7: four corners and the centre of a 4 x 4 image, 2 x 2 each."""
        crops = reference.five_crop([POOL_4X4], 2)
        expected = [
            [[1, 2], [0, 1]],
            [[1, 0], [2, 3]],
            [[3, 0], [2, 4]],
            [[1, 2], [0, 1]],
            [[1, 2], [0, 1]],
        ]
        assert crops[:, 0].tolist() == expected

    def test_initial_weights(self):
        """004 section 6.6: small, of both signs; 003 section 3.5 needs randn where it has rand."""
        for weight in (
            reference.gaussian((40, 50)),
            reference.he((40, 50)),
            reference.xavier((40, 50)),
        ):
            assert (weight > 0).any()
            assert (weight < 0).any()
            assert abs(weight.mean()) < 4 * weight.std() / math.sqrt(weight.size)
        assert reference.gaussian((40, 50)).std() == pytest.approx(0.01, rel=0.1)
        assert reference.he((40, 50)).std() == pytest.approx(math.sqrt(2 / 50), rel=0.1)
        assert reference.xavier((40, 50)).std() == pytest.approx(math.sqrt(2 / 90), rel=0.1)
        one_sided = reference.xavier((40, 50), average=False)
        assert one_sided.std() == pytest.approx(math.sqrt(1 / 50), rel=0.1)


def test_this_file_asks_the_compiled_engine():
    """A guard: the library fixture must not quietly become the reference alone."""
    assert {id(parameter.values[0]) for parameter in LIBRARIES} == {id(reference), id(fastconv)}
    assert inspect.ismodule(fastconv)
