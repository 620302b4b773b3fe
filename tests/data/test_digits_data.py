"""The digits, their split, and the resizing that brings them to MNIST's form."""

import hashlib
import sys

import numpy as np
import pytest

from fastconv import data
from fastconv.data.resize import center, interpolation_matrix, resize

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def digits():
    return data.load_digits()


def test_sizes_dtypes_and_range(digits):
    for part, count in zip(digits[:3], (1257, 180, 360), strict=True):
        assert part.images.shape == (count, 1, 28, 28)
        assert part.images.dtype == np.float32
        assert part.labels.shape == (count,)
        assert part.labels.dtype == np.int64
        assert part.images.min() == 0.0
        assert part.images.max() <= 1.0
    assert digits.classes == tuple("0123456789")
    assert digits.name == "digits"


def test_parts_do_not_overlap(digits):
    hashes = [{hashlib.sha256(i.tobytes()).digest() for i in part.images} for part in digits[:3]]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not hashes[first] & hashes[second]


def test_every_class_has_its_share(digits):
    for part in digits[:3]:
        share = np.bincount(part.labels, minlength=10) / len(part.labels)
        assert np.abs(share - 0.1).max() < 0.012


def test_the_split_is_fixed(digits):
    again = data.load_digits()
    for first, second in zip(digits[:3], again[:3], strict=True):
        np.testing.assert_array_equal(first.labels, second.labels)
        np.testing.assert_array_equal(first.images, second.images)
    assert digits.test.labels[:12].tolist() == EXPECTED_FIRST_TEST_LABELS


EXPECTED_FIRST_TEST_LABELS = [2, 3, 7, 3, 7, 1, 5, 7, 9, 0, 0, 2]


def test_digits_are_inside_twenty_by_twenty_and_centred(digits):
    images = digits.train.images[:, 0]
    mass = images.sum(axis=(1, 2))
    for axis in (1, 2):
        profile = images.sum(axis=3 - axis)
        used = (profile > 0).any(axis=0)
        assert 20 <= used.sum() <= 26
        centre = profile @ np.arange(28) / mass
        assert np.abs(centre - 13.5).max() <= 2.5
    extent = [np.ptp(np.flatnonzero(image.any(axis=1))) + 1 for image in images]
    assert max(extent) == 20


def test_missing_scikit_learn_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r'pip install "fastconv\[train\]"'):
        data.load_digits()


@pytest.mark.parametrize("sizes", [(5, 3, 2), (10,), (7, 3), (0, 10)])
def test_stratified_split_divides_all_rows(sizes):
    labels = [0, 1] * 5
    parts = data.stratified_split(labels, sizes, seed=1)
    assert [part.size for part in parts] == list(sizes)
    assert sorted(np.concatenate(parts)) == list(range(10))


def test_stratified_split_errors():
    with pytest.raises(ValueError, match="do not divide 3 rows"):
        data.stratified_split([0, 1, 2], (1, 1), seed=0)
    with pytest.raises(ValueError, match="do not divide"):
        data.stratified_split([0, 1, 2], (4, -1), seed=0)


def test_interpolation_keeps_constants_inside_and_linear_ramps():
    matrix = interpolation_matrix(16, 40)
    np.testing.assert_allclose(matrix[5:-5].sum(axis=1), 1.0, atol=1e-12)
    ramp = matrix @ np.arange(16.0)
    np.testing.assert_allclose(np.diff(ramp[5:-5]), 0.4, atol=1e-12)
    shrunk = interpolation_matrix(160, 16)
    np.testing.assert_allclose(shrunk[3:-3].sum(axis=1), 1.0, atol=1e-3)


def test_resize_is_the_identity_at_the_same_size():
    image = np.random.default_rng(0).random((1, 7, 9), dtype=np.float32)
    np.testing.assert_array_equal(resize(image, 7, 9), image)


def test_center_puts_the_mass_in_the_middle_and_loses_nothing():
    image = np.zeros((20, 10), np.float32)
    image[0] = 1.0
    placed = center(image)
    assert placed.sum() == image.sum()
    assert placed[8].sum() == 10
    blank = center(np.zeros((20, 10), np.float32))
    assert blank.shape == (28, 28)
    with pytest.raises(ValueError, match="29 x 3"):
        center(np.zeros((29, 3)))
