"""Argument types and options that several commands share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastconv.data import Splits


def positive_int(text: str) -> int:
    """Parse a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def natural(text: str) -> int:
    """Parse a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def positive_float(text: str) -> float:
    """Parse a number greater than 0."""
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number greater than 0")
    return value


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add --data."""
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="a folder with MNIST's four IDX files, .gz or not (default: scikit-learn's digits)",
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add --threads."""
    parser.add_argument(
        "--threads",
        type=positive_int,
        metavar="N",
        help="threads to compute with (default: all this process may use)",
    )


def load_data(folder: str | None) -> Splits:
    """Return the data set of --data. Raises what `load_mnist` and `load_digits` raise."""
    from fastconv import data

    return data.load_digits() if folder is None else data.load_mnist(folder)


def set_threads(threads: int | None) -> None:
    """Apply --threads."""
    if threads is not None:
        import fastconv

        fastconv.set_num_threads(threads)
