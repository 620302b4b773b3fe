"""Depthwise and small-group convolutions: what their own kernels could get wrong."""

import json

import numpy as np
import pytest
from conv_cases import CASES, Case
from helpers import assert_threads_agree, failing_allocation
from oracle import forward as oracle_forward
from oracle import gradients as oracle_gradients
from processes import output_of

import fastconv as fc
from fastconv._core.runtime import available_isas
from fastconv.ops.algorithms.select import UNTRUSTED
from fastconv.ops.geometry import conv2d_geometry

NAMES = [name for name, case in CASES.items() if case.groups > 1]
LAYOUTS = ("NCHW", "NHWC")

#: Sums of every case, layout, dtype and pass; run in a process with the instruction set forced.
SUMS = """
import json
import numpy as np
import fastconv as fc
from conv_cases import CASES
sums = {}
for name, case in CASES.items():
    if case.groups == 1:
        continue
    for dtype in (np.float32, np.float64):
        for layout in ("NCHW", "NHWC"):
            x, w, b = case.arrays(dtype)
            if layout == "NHWC":
                x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
            how = dict(algorithm="direct", layout=layout, **case.options)
            y = fc.conv2d(x, w, b, activation="relu", **how)
            arrays = y, *fc.conv2d_backward(y, x, w, **how)
            places = [np.arange(1.0, a.size + 1) % 257 for a in arrays]
            sums[f"{name} {np.dtype(dtype)} {layout}"] = [
                float(a.ravel().astype(float) @ p) for a, p in zip(arrays, places)
            ]
print(json.dumps(sums))
"""


def test_every_instruction_set_finds_the_same_integers() -> None:
    """Integers are exact, and so is a sum of them that no two misplaced elements leave alone."""
    folder = str(__file__).rsplit("/", 1)[0]
    code = f"import sys; sys.path.insert(0, {folder!r})\n{SUMS}"
    usable = [name for name, able in available_isas().items() if able]
    found = [json.loads(output_of(code, FASTCONV_ISA=name, timeout=300)) for name in usable]
    assert len(found[0]) == 4 * len(NAMES)
    for other in found[1:]:
        assert other == found[0]


def to_layout(array, layout):
    """NCHW to the layout."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if layout == "NHWC" else array


def from_layout(array, layout):
    """Layout to NCHW."""
    return array.transpose(0, 3, 1, 2) if layout == "NHWC" else array


#: Larger than the table's: several blocks of rows and of channels, whole vectors and their rests.
LARGE = {
    "rows in blocks": Case((1, 3, 230, 61), (3, 1, 3, 3), padding=1, groups=3),
    "rows in blocks, strided": Case((1, 2, 241, 118), (2, 1, 5, 5), 2, 2, groups=2),
    "many small planes": Case((2, 131, 7, 7), (131, 1, 3, 3), padding=1, groups=131),
    "many small planes, strided": Case((1, 70, 14, 14), (70, 1, 3, 3), 2, 1, groups=70),
    "channels in blocks": Case((1, 300, 5, 18), (300, 1, 3, 3), padding=1, groups=300),
    "tall lanes": Case((1, 20, 90, 60), (20, 1, 3, 3), padding=1, groups=20),
    "groups of two": Case((1, 34, 40, 33), (34, 2, 3, 3), padding=1, groups=17),
    "multiplier": Case((1, 24, 20, 21), (72, 1, 3, 3), 2, 1, groups=24),
    "large multiplier": Case((1, 2, 9, 9), (90, 1, 3, 3), padding=1, groups=2),
}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", LARGE)
def test_blocks_meet_without_a_seam(name, layout, threads) -> None:
    case = LARGE[name]
    x, w, b = case.arrays(np.float32)
    options = (case.stride, case.padding, case.dilation, case.groups)
    g = conv2d_geometry(case.input, case.weight, *options, "NCHW")
    grad = np.random.default_rng(1).integers(-4, 5, g.output_shape).astype(np.float32)
    how = {"algorithm": "direct", "layout": layout, **case.options}
    with fc.num_threads(threads):
        y = fc.conv2d(to_layout(x, layout), w, b, **how)
        ours = fc.conv2d_backward(to_layout(grad, layout), to_layout(x, layout), w, **how)
    np.testing.assert_array_equal(from_layout(y, layout), oracle_forward(g, x, w, b))
    theirs = oracle_gradients(g, x, w, grad)
    np.testing.assert_array_equal(from_layout(ours.input, layout), theirs[0])
    np.testing.assert_array_equal(ours.weight, theirs[1])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["many small planes", "rows in blocks, strided", "multiplier"])
def test_same_bits_for_any_number_of_threads(name, layout) -> None:
    case = LARGE[name]
    generator = np.random.default_rng(2)
    x = to_layout(generator.standard_normal(case.input).astype(np.float32), layout)
    w = generator.standard_normal(case.weight).astype(np.float32)
    how = {"algorithm": "direct", "layout": layout, **case.options}
    y = fc.conv2d(x, w, **how)
    assert_threads_agree(lambda: (fc.conv2d(x, w, **how), *fc.conv2d_backward(y, x, w, **how)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("width", [5, 16, 37])
@pytest.mark.parametrize("stride", [1, 2])
def test_not_finite_stays_in_its_windows(stride, width, value, layout) -> None:
    """One odd pixel of the image, or of the gradient, marks what its sums are part of alone."""
    generator = np.random.default_rng(3)
    x, w = generator.standard_normal((2, 5, 9, width)), generator.standard_normal((5, 1, 3, 3))
    how = {"stride": stride, "groups": 5, "algorithm": "direct", "layout": layout}
    x[0, 2, -1, -1] = value
    y = from_layout(fc.conv2d(to_layout(x, layout), w, **how), layout)
    marked = ~np.isfinite(y)
    # at stride 2 the last pixel of an even row is in no window
    reached = (width - 3) % stride == 0
    assert marked.sum() == reached
    assert marked[0, 2, -1, -1] == reached
    grad = np.ones_like(y)
    gradient = fc.conv2d_backward(to_layout(grad, layout), to_layout(x, layout), w, **how).weight
    expected = np.zeros(w.shape, bool)
    expected[2, 0, -1, -1] = reached
    np.testing.assert_array_equal(~np.isfinite(gradient), expected)

    x[0, 2, -1, -1] = 1
    grad[1, 3, 0, 0] = value
    found = fc.conv2d_backward(to_layout(grad, layout), to_layout(x, layout), w, **how)
    marked = ~np.isfinite(from_layout(found.input, layout))
    assert marked.sum() == 9
    assert marked[1, 3, :3, :3].all()
    np.testing.assert_array_equal(~np.isfinite(found.weight).all(axis=(1, 2, 3)), np.arange(5) == 3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_scratch_that_cannot_be_had_is_an_error(layout) -> None:
    case = CASES["depthwise five"]
    x, w, _ = case.arrays(np.float32)
    x = to_layout(x, layout)
    how = {"algorithm": "direct", "layout": layout, **case.options}
    expected = fc.conv2d(x, w, **how)
    fc.conv2d_backward(expected, x, w, **how)  # choosing a plan asks for memory too
    for n in (1, 2, 3):
        with failing_allocation(n), pytest.raises(MemoryError):
            fc.conv2d(x, w, **how)
        with failing_allocation(n), pytest.raises(MemoryError):
            fc.conv2d_backward(expected, x, w, output_mask=(False, True, False), **how)
    np.testing.assert_array_equal(fc.conv2d(x, w, **how), expected)


@pytest.mark.parametrize("which", ["forward", "grad_input", "grad_weight"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_scratch_is_bounded(layout, which) -> None:
    for channels, size, kernel in ((8, 3000, 3), (64, 112, 3), (4, 400, 31), (2048, 7, 7)):
        shape = (1, channels, size, size) if layout == "NCHW" else (1, size, size, channels)
        plan = fc.explain_conv2d(
            shape, (channels, 1, kernel, kernel), padding=kernel // 2, groups=channels,
            algorithm="direct", layout=layout, which=which,
        )  # fmt: skip
        assert 0 < plan.scratch_bytes <= 4 << 20


def test_estimates_are_in_the_right_region() -> None:
    """Moving the pixels at some 2 to 60 GB/s: no depthwise layer takes less, or much more."""
    for channels, size, stride in ((32, 112, 1), (64, 112, 2), (512, 14, 1), (1024, 7, 1)):
        for which in ("forward", "grad_input", "grad_weight"):
            plan = fc.explain_conv2d(
                (1, channels, size, size), (channels, 1, 3, 3), stride, 1, groups=channels,
                which=which,
            )  # fmt: skip
            assert plan.algorithm == "direct"
            assert UNTRUSTED["im2col"] in {c.verdict for c in plan.candidates}
            seconds = next(c.seconds for c in plan.candidates if c.algorithm == "direct")
            moved = 4 * channels * size**2 * (1 + stride**-2)
            assert seconds is not None
            assert 2e9 < moved * 2 / fc.get_num_threads() / seconds < 120e9
