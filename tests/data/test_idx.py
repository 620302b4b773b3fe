"""IDX files: round trips, every kind of damage, MNIST's folders."""

import gzip
import struct

import numpy as np
import pytest

from fastconv import data
from fastconv.data.idx import IDX_DTYPES


@pytest.mark.parametrize(
    "dtype", [dtype.newbyteorder("=") for dtype in IDX_DTYPES.values()], ids=str
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (0, 3), (1, 1, 1, 2)])
def test_round_trip(tmp_path, dtype, suffix, shape):
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    path = tmp_path / f"values{suffix}"
    data.write_idx(path, array)
    back = data.read_idx(path)
    assert back.dtype == dtype
    assert back.dtype.isnative
    assert back.flags.writeable
    np.testing.assert_array_equal(back, array)
    assert path.read_bytes().startswith(b"\x1f\x8b") == bool(suffix)


def test_gzip_is_known_by_its_bytes_not_its_name(tmp_path):
    data.write_idx(tmp_path / "a.gz", np.arange(3, dtype=np.uint8))
    (tmp_path / "a").write_bytes((tmp_path / "a.gz").read_bytes())
    np.testing.assert_array_equal(data.read_idx(tmp_path / "a"), [0, 1, 2])


def test_known_bytes(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes([0, 0, 0x0B, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 0xFF, 0xFE]))
    np.testing.assert_array_equal(data.read_idx(path), [[256, -2]])


def header(code=8, shape=(2, 2)):
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)


DAMAGED = {
    b"": "ends after 0 of the 4 bytes of its magic number",
    b"\x00\x00\x08": "ends after 3 of the 4",
    b"\x01\x00\x08\x01" + bytes(8): "starts with bytes 0x01 0x00",
    header(0x0A) + bytes(4): "type code is 0x0a",
    header(8, ()): "no dimensions",
    header()[:9]: "bytes of its dimensions",
    header() + bytes(3): r"ends after 3 of the 4 bytes of values for shape \(2, 2\)",
    header() + bytes(5): "goes on after the 4 bytes",
    header(0x0E, (2**32 - 1,) * 255)[:2000]: "ends after",
    header(8, (2**32 - 1, 2**32 - 1, 2**32 - 1)) + bytes(100): "ends after 100 of the",
    b"<!DOCTYPE html><html>": "starts with bytes 0x3c",
    b"\x1f\x8b" + bytes(20): "not a sound IDX file",
    gzip.compress(header() + bytes(4))[:-9]: "not a sound IDX file",
    gzip.compress(header() + bytes(4))[:-1] + b"\x7f": "not a sound IDX file",
    gzip.compress(header() + bytes(400000)): "goes on after",
}


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_damage_is_a_value_error_with_name_and_reason(tmp_path, content):
    path = tmp_path / "train-images"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="train-images is not a sound IDX file") as caught:
        data.read_idx(path)
    assert caught.match(DAMAGED[content])


def test_what_idx_cannot_hold(tmp_path):
    for array in (np.zeros(2, np.int64), np.zeros(2, bool), np.float32(3)):
        with pytest.raises(TypeError, match="IDX holds"):
            data.write_idx(tmp_path / "x", array)
    with pytest.raises(FileNotFoundError):
        data.read_idx(tmp_path / "nowhere")


def write_mnist(folder, join="-", end="", train=24, test=6, size=(28, 28)):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (count, *size)).astype(np.uint8)
        data.write_idx(folder / f"{part}-images-idx3{join}ubyte{end}", images)
        labels = (np.arange(count) % 3).astype(np.uint8)
        data.write_idx(folder / f"{part}-labels-idx1{join}ubyte{end}", labels)


@pytest.mark.parametrize("join", ["-", "."])
@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("inner", [".", "raw", "MNIST/raw"])
def test_mnist_under_all_its_names(tmp_path, join, end, inner):
    write_mnist(tmp_path / inner, join, end)
    splits = data.load_mnist(tmp_path)
    assert splits.train.images.shape == (22, 1, 28, 28)
    assert splits.validation.images.shape == (2, 1, 28, 28)
    assert splits.test.images.shape == (6, 1, 28, 28)
    assert splits.train.images.dtype == np.float32
    assert splits.train.images.max() == 1.0
    assert splits.test.labels.dtype == np.int64
    assert splits.classes == ("0", "1", "2")


def test_mnist_folder_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a folder"):
        data.load_mnist(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte or"):
        data.load_mnist(tmp_path)


@pytest.mark.parametrize(
    ("name", "array", "text"),
    [
        ("train-images-idx3-ubyte", np.zeros((24, 28), np.uint8), "2-dimensional uint8"),
        ("train-images-idx3-ubyte", np.zeros((24, 28, 28), np.float32), "3-dimensional float32"),
        ("t10k-labels-idx1-ubyte", np.zeros((6, 1), np.uint8), "2-dimensional uint8, not labels"),
        ("t10k-labels-idx1-ubyte", np.zeros(7, np.uint8), "6 images, .* 7 labels"),
        (
            "t10k-images-idx3-ubyte",
            np.zeros((6, 32, 32), np.uint8),
            r"\(28, 28\), test .*\(32, 32\)",
        ),
    ],
)
def test_files_that_do_not_belong_together(tmp_path, name, array, text):
    write_mnist(tmp_path)
    data.write_idx(tmp_path / name, array)
    with pytest.raises(ValueError, match=text):
        data.load_mnist(tmp_path)


def test_empty_files(tmp_path):
    write_mnist(tmp_path, test=0)
    with pytest.raises(ValueError, match="holds no images"):
        data.load_mnist(tmp_path)
