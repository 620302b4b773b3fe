"""Data sets as plain arrays, minibatches, augmentation and normalisation."""

from fastconv.data.augmentation import Compose, RandomAffine, RandomShift
from fastconv.data.digits import load_digits
from fastconv.data.idx import read_idx, write_idx
from fastconv.data.loader import DataLoader
from fastconv.data.mnist import load_mnist
from fastconv.data.normalization import Normalization, fit_normalization
from fastconv.data.splits import LabelledImages, Splits, stratified_split

__all__ = [
    "Compose",
    "DataLoader",
    "LabelledImages",
    "Normalization",
    "RandomAffine",
    "RandomShift",
    "Splits",
    "fit_normalization",
    "load_digits",
    "load_mnist",
    "read_idx",
    "stratified_split",
    "write_idx",
]
