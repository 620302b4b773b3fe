"""Inverted dropout: the reference given its mask, the share that is kept, seeds, bad input."""

import numpy as np
import pytest
from helpers import layouts
from hypothesis import given
from hypothesis import strategies as st

import fastconv as fc
from fastconv import reference


@given(st.floats(0, 1), st.integers(0, 99))
def test_agrees_with_the_reference_given_its_mask(p: float, seed: int) -> None:
    x = np.random.default_rng(1).standard_normal((3, 17))
    output, mask = fc.dropout(x, p, seed)
    assert mask.dtype == np.bool_
    np.testing.assert_allclose(output, reference.dropout(x, mask, p), rtol=1e-15)
    expected = reference.dropout_backward(x, mask, p)
    np.testing.assert_allclose(fc.dropout_backward(x, mask, p), expected, rtol=1e-15)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_keeps_the_expectation(p: float) -> None:
    output, mask = fc.dropout(np.ones(400_000, np.float32), p, rng=0)
    assert abs(mask.mean() - (1 - p)) < 0.004
    assert abs(output.mean(dtype=np.float64) - 1) < 0.03
    assert output.dtype == np.float32


def test_ends_of_the_range() -> None:
    """Nothing is dropped at 0, all at 1; a dropped NaN or infinity leaves no trace."""
    x = np.array([np.nan, np.inf, 1.0])
    output, mask = fc.dropout(x, 0.0)
    np.testing.assert_array_equal(output, x)
    assert mask.all()
    output, mask = fc.dropout(x, 1.0)
    assert not output.any()
    assert not mask.any()
    assert not fc.dropout_backward(x, mask, 1.0).any()


def test_seeds_layouts_and_sizes() -> None:
    x = np.random.default_rng(2).standard_normal((4, 6))
    expected = fc.dropout(x, 0.4, 7)
    np.testing.assert_array_equal(fc.dropout(x, 0.4, np.random.default_rng(7))[0], expected[0])
    for kind, array in layouts(x).items():
        np.testing.assert_array_equal(fc.dropout(array, 0.4, 7)[0], expected[0], err_msg=kind)
    generator = np.random.default_rng(7)
    first, second = fc.dropout(x, 0.4, generator)[1], fc.dropout(x, 0.4, generator)[1]
    assert (first != second).any()
    assert fc.dropout(x.astype(np.float16))[0].dtype == np.float16
    assert fc.dropout(np.ones((0, 3)))[0].shape == (0, 3)


def test_bad_input_is_explained() -> None:
    x = np.ones(3)
    with pytest.raises(ValueError, match=r"p: expected a number from 0 to 1, got 1\.5"):
        fc.dropout(x, 1.5)
    with pytest.raises(ValueError, match="p: expected a number from 0 to 1, got nan"):
        fc.dropout(x, float("nan"))
    with pytest.raises(TypeError, match="p: expected a number, got '1'"):
        fc.dropout(x, "1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="input: expected float32"):
        fc.dropout(np.arange(3))
    with pytest.raises(TypeError, match="mask: expected the bool array"):
        fc.dropout_backward(x, np.ones(3))
    with pytest.raises(ValueError, match=r"mask: expected grad_output's shape \(3,\), got \(2,\)"):
        fc.dropout_backward(x, np.ones(2, bool))
