"""Minibatches, augmentation, normalisation."""

import numpy as np
import pytest

from fastconv import data


def labelled(count=10, channels=1, size=6):
    images = np.random.default_rng(0).random((count, channels, size, size), dtype=np.float32)
    return data.LabelledImages(images, np.arange(count))


def epoch_labels(loader):
    return np.concatenate([labels for _, labels in loader]).tolist()


def test_every_image_comes_once_each_epoch_in_a_new_order():
    loader = data.DataLoader(labelled(), 4, shuffle=True, seed=3)
    first, second = epoch_labels(loader), epoch_labels(loader)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_the_same_seed_gives_the_same_batches():
    def run(seed):
        loader = data.DataLoader(
            labelled(), 4, shuffle=True, seed=seed, augmentation=data.RandomShift(2)
        )
        return np.concatenate([images for _ in range(2) for images, _ in loader])

    np.testing.assert_array_equal(run(1), run(1))
    assert np.any(run(1) != run(2))


def test_images_and_labels_stay_together_and_are_contiguous():
    source = labelled()
    for images, labels in data.DataLoader(source, 3, shuffle=True):
        assert images.flags.c_contiguous
        np.testing.assert_array_equal(images, source.images[labels])


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_last_batch(drop_last, sizes):
    loader = data.DataLoader(labelled(), 4, drop_last=drop_last)
    assert [len(labels) for _, labels in loader] == sizes
    assert len(loader) == len(sizes)


def test_augmentation_comes_before_the_transform():
    loader = data.DataLoader(
        labelled(),
        10,
        augmentation=lambda images, rng: images * 0 + 2,
        transform=lambda images: images + 1,
    )
    (images, _), *_ = loader
    np.testing.assert_array_equal(images, 3)


def test_loader_errors():
    with pytest.raises(ValueError, match="batch_size is 0"):
        data.DataLoader(labelled(), 0)
    with pytest.raises(ValueError, match="10 images and 9 labels"):
        data.DataLoader(data.LabelledImages(labelled().images, np.arange(9)))
    with pytest.raises(ValueError, match="0 images"):
        data.DataLoader(data.LabelledImages(labelled().images[:0], np.arange(0)))


def test_shift_is_a_crop_of_the_padded_image():
    images = labelled(50, channels=2).images
    moved = data.RandomShift(2)(images, np.random.default_rng(0))
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    places = set()
    for number in range(50):
        found = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if np.array_equal(moved[number], padded[number, :, top : top + 6, left : left + 6])
        ]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) > 15


def test_affine_turns_about_the_centre():
    image = np.zeros((1, 1, 9, 9), np.float32)
    image[0, 0, 4, 7] = 1.0
    turned = data.RandomAffine(90.0, 0.0, 0.0)

    class Always90:
        def uniform(self, low, high, size):
            return np.full(size, high)

    result = turned(image, Always90())
    assert result.dtype == np.float32
    row, column = np.unravel_index(result[0, 0].argmax(), (9, 9))
    assert (abs(row - 4), column) == (3, 4)
    assert result.sum() == pytest.approx(1.0, abs=1e-6)


def test_affine_without_change_is_the_identity_for_channels_too():
    images = labelled(4, channels=3).images
    same = data.RandomAffine(0, 0, 0)(images, np.random.default_rng(0))
    np.testing.assert_allclose(same, images, atol=1e-6)
    changed = data.RandomAffine()(images, np.random.default_rng(0))
    assert changed.shape == images.shape
    assert 0 <= changed.min() <= changed.max() <= images.max() + 1e-6


def test_pixel_means_are_the_notes_rule():
    images = labelled(30).images
    normalization = data.fit_normalization(images)
    normalized = normalization(images)
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized.mean(axis=0), 0, atol=1e-6)
    assert normalized.std() == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(normalization.mean[0], images.mean(axis=0), rtol=1e-6)


def test_channel_means_and_constant_channels():
    images = labelled(30, channels=2).images
    images[:, 1] = 0.25
    normalization = data.fit_normalization(images, "channel")
    assert normalization.mean.shape == normalization.std.shape == (1, 2, 1, 1)
    normalized = normalization(images)
    np.testing.assert_array_equal(normalized[:, 1], 0)
    assert normalized[:, 0].mean() == pytest.approx(0, abs=1e-6)


def test_normalization_errors():
    with pytest.raises(ValueError, match="N > 0"):
        data.fit_normalization(np.zeros((0, 1, 2, 2)))
    with pytest.raises(ValueError, match="mean is 'image'"):
        data.fit_normalization(np.zeros((1, 1, 2, 2)), "image")
