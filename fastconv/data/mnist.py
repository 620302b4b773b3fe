"""MNIST and its look-alikes (Fashion-MNIST, KMNIST) from a folder of IDX files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from fastconv.data.idx import read_idx
from fastconv.data.splits import LabelledImages, Splits, stratified_split

# Validation images are one in twelve of the training file: 5,000 of MNIST's 60,000.
VALIDATION_SHARE = 12
SPLIT_SEED = 0


def find_idx_file(folder: Path, part: str, kind: str) -> Path:
    """Return the file of `part` ("train", "t10k") and `kind` ("images-idx3", "labels-idx1").

    LeCun's name, torchvision's MNIST/raw folder, a dot for the last hyphen, and .gz are all tried.
    Raises FileNotFoundError with the names looked for.
    """
    base = f"{part}-{kind}"
    names = [f"{base}{join}ubyte{end}" for join in ("-", ".") for end in ("", ".gz")]
    folders = [folder, folder / "raw", folder / "MNIST" / "raw"]
    for place in folders:
        for name in names:
            if (place / name).is_file():
                return place / name
    raise FileNotFoundError(
        f"{folder} (nor its raw or MNIST/raw folder) holds no file named {' or '.join(names)}"
    )


def load_idx_pair(folder: Path, part: str) -> LabelledImages:
    """Read images, as (N, 1, H, W) float32 in [0, 1], and labels (N,) int64 of one part.

    Raises ValueError when the two files do not belong together.
    """
    image_path = find_idx_file(folder, part, "images-idx3")
    label_path = find_idx_file(folder, part, "labels-idx1")
    images, labels = read_idx(image_path), read_idx(label_path)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(
            f"{image_path} holds {images.ndim}-dimensional {images.dtype}, not images (N, H, W) "
            "of uint8"
        )
    if labels.ndim != 1 or labels.dtype != np.uint8:
        raise ValueError(
            f"{label_path} holds {labels.ndim}-dimensional {labels.dtype}, not labels (N,) of uint8"
        )
    if len(images) != len(labels):
        raise ValueError(
            f"{image_path} holds {len(images)} images, {label_path} {len(labels)} labels"
        )
    if len(images) == 0:
        raise ValueError(f"{image_path} holds no images")
    scaled = np.divide(images[:, None], 255, dtype=np.float32)
    return LabelledImages(scaled, labels.astype(np.int64))


def load_mnist(folder: str | os.PathLike[str]) -> Splits:
    """Read a data set in MNIST's four files; a twelfth of the training file becomes validation.

    That part is stratified and drawn with a fixed seed, the same in every run. Raises
    FileNotFoundError or ValueError that names the file and what is wrong.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    everything, test = load_idx_pair(folder, "train"), load_idx_pair(folder, "t10k")
    if everything.images.shape[1:] != test.images.shape[1:]:
        raise ValueError(
            f"{folder}: training images are {everything.images.shape[2:]}, test images "
            f"{test.images.shape[2:]}"
        )
    count = len(everything.labels)
    held = max(1, count // VALIDATION_SHARE)
    parts = stratified_split(everything.labels, (count - held, held), SPLIT_SEED)
    train, validation = (everything.take(part) for part in parts)
    classes = 1 + max(int(everything.labels.max()), int(test.labels.max()))
    return Splits(train, validation, test, tuple(map(str, range(classes))), "mnist")
