"""Pictures of digits: any polarity, size, place and format come to one form."""

import numpy as np
import pytest

from fastconv.data.picture import isolate_digit, picture_to_mnist_form, read_picture

Image = pytest.importorskip("PIL.Image")


def seven(height=40, width=30):
    """White 7 on black, float in [0, 1]."""
    ink = np.zeros((height, width), np.float32)
    ink[:6] = 1.0
    for row in range(height):
        column = round((width - 8) * (1 - row / height))
        ink[row, column : column + 8] = 1.0
    return ink


def on_paper(ink, margin=(20, 33, 15, 50)):
    top, bottom, left, right = margin
    return np.pad(ink, ((top, bottom), (left, right)))


def test_place_polarity_and_contrast_do_not_matter():
    expected = picture_to_mnist_form(on_paper(seven()))
    assert expected.shape == (1, 1, 28, 28)
    assert expected.dtype == np.float32
    for variant in (
        on_paper(seven(), (3, 3, 80, 2)),
        1.0 - on_paper(seven()),
        0.9 - 0.5 * on_paper(seven()),
        0.2 + 0.3 * on_paper(seven()),
    ):
        np.testing.assert_allclose(picture_to_mnist_form(variant), expected, atol=1e-5)


def test_size_hardly_matters():
    small = picture_to_mnist_form(on_paper(seven()))
    large = picture_to_mnist_form(on_paper(np.kron(seven(), np.ones((8, 8), np.float32))))
    assert np.abs(small - large).mean() < 0.01


def test_the_longer_side_is_twenty_pixels():
    image = picture_to_mnist_form(on_paper(seven(40, 30)))[0, 0] > 0.1
    assert np.ptp(np.flatnonzero(image.any(axis=1))) + 1 == 20
    assert np.ptp(np.flatnonzero(image.any(axis=0))) + 1 == 15


def test_grain_gives_the_blur_of_small_images():
    sharp = picture_to_mnist_form(on_paper(seven()))
    blurred = picture_to_mnist_form(on_paper(seven()), grain=8)
    assert np.abs(np.diff(blurred)).max() < np.abs(np.diff(sharp)).max()


@pytest.mark.parametrize("grey", [np.zeros((9, 9)), np.ones((9, 9)), np.full((9, 9), 0.5)])
def test_blank_pictures_are_refused(grey):
    with pytest.raises(ValueError, match="no digit"):
        isolate_digit(grey)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "I;16"])
def test_modes_of_pictures(tmp_path, mode):
    grey = (255 * (1 - on_paper(seven()))).astype(np.uint8)
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(grey).convert(mode)
    picture.save(tmp_path / "seven.png")
    np.testing.assert_allclose(read_picture(tmp_path / "seven.png"), grey / 255, atol=1e-2)


def test_transparent_parts_are_paper(tmp_path):
    ink = on_paper(seven())
    rgba = np.zeros((*ink.shape, 4), np.uint8)
    rgba[..., 3] = 255 * ink
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    np.testing.assert_allclose(read_picture(tmp_path / "clear.png"), 1 - ink, atol=1e-2)


def test_jpeg(tmp_path):
    grey = (255 * on_paper(seven())).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "seven.jpg", quality=95)
    np.testing.assert_allclose(read_picture(tmp_path / "seven.jpg"), grey / 255, atol=0.2)


def test_files_that_are_no_pictures(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such picture"):
        read_picture(tmp_path / "nowhere.png")
    path = tmp_path / "text.png"
    path.write_text("hello")
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        read_picture(path)
    Image.fromarray(np.zeros((50, 50), np.uint8)).save(tmp_path / "cut.png")
    path.write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        read_picture(path)
