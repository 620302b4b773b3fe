"""The operations that are timed: ours, the textbook's and the plain-Python reference's.

The reference is timed on a slice of the problem and its time multiplied by how much larger the whole
is (`scale`), since the whole would take minutes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import fastconv as fc
from fastconv import reference
from fastconv.benchmark import textbook


@dataclass(frozen=True)
class Operation:
    """One row of the table; callables take no arguments."""

    name: str
    problem: str
    ours: Callable[[], Any]
    reference: Callable[[], Any]
    scale: float
    textbook: Callable[[], Any] | None = None


def _arrays(*shapes: tuple[int, ...]) -> list[Any]:
    generator = np.random.default_rng(0)
    return [generator.standard_normal(shape, np.float32) for shape in shapes]


def convolutions() -> list[Operation]:
    """conv2d on input (32, 16, 28, 28), weight (32, 16, 5, 5), by every algorithm, and backward."""
    x, w, b = _arrays((32, 16, 28, 28), (32, 16, 5, 5), (32,))
    grad = _arrays((32, 32, 24, 24))[0]
    problem = "(32,16,28,28) * (32,16,5,5)"
    # one image, two filters, eight output rows of 24
    piece, filters = x[:1, :, :12], w[:2]
    scale = 32 * (32 / 2) * (24 / 8)

    def plain() -> Any:
        return reference.conv2d(piece, filters, b[:2])

    def plain_backward() -> Any:
        return reference.conv2d_backward(grad[:1, :2, :8], piece, filters)

    forward = [
        Operation(
            f"conv2d {algorithm}", problem,
            partial(fc.conv2d, x, w, b, algorithm=algorithm),
            plain, scale, lambda: textbook.conv2d(x, w, b),
        )
        for algorithm in ("auto", "direct", "implicit_gemm", "im2col", "fft")
    ]  # fmt: skip
    backward = Operation(
        "conv2d_backward", problem, lambda: fc.conv2d_backward(grad, x, w), plain_backward, scale,
        lambda: textbook.conv2d_backward(grad, x, w),
    )  # fmt: skip
    columns = fc.im2col(x, 5)
    book_columns = textbook.im2col(x, 5)
    unfold = Operation(
        "im2col", "(32,16,28,28), 5x5", lambda: fc.im2col(x, 5),
        lambda: reference.im2col(x[:1, :4], 5), 32 * 4, lambda: textbook.im2col(x, 5),
    )  # fmt: skip
    fold = Operation(
        "col2im", "(32,16,28,28), 5x5", lambda: fc.col2im(columns, 28, 5),
        lambda: reference.col2im(columns[:1, :100], 28, 5), 32 * 4,
        lambda: textbook.col2im(book_columns, x.shape, 5),
    )  # fmt: skip
    return [*forward, backward, unfold, fold]


def poolings() -> list[Operation]:
    """2x2 pooling of (32, 16, 28, 28)."""
    (x,) = _arrays((32, 16, 28, 28))
    output, indices = fc.max_pool2d(x, 2)
    _, argmax = textbook.max_pool2d(x, 2)
    problem, piece = "(32,16,28,28), 2x2", x[:1, :4]
    small, where = output[:1, :4], indices[:1, :4]
    return [
        Operation(
            "max_pool2d", problem, lambda: fc.max_pool2d(x, 2),
            lambda: reference.max_pool2d(piece, 2), 32 * 4, lambda: textbook.max_pool2d(x, 2),
        ),
        Operation(
            "max_pool2d_backward", problem,
            lambda: fc.max_pool2d_backward(output, indices, x.shape),
            lambda: reference.max_pool2d_backward(small, where, piece.shape), 32 * 4,
            lambda: textbook.max_pool2d_backward(output, argmax, x.shape, 2),
        ),
        Operation(
            "avg_pool2d", problem, lambda: fc.avg_pool2d(x, 2),
            lambda: reference.avg_pool2d(piece, 2), 32 * 4, lambda: textbook.avg_pool2d(x, 2),
        ),
    ]  # fmt: skip


def elementwise() -> list[Operation]:
    """Activations of (32, 16, 28, 28)."""
    (x,) = _arrays((32, 16, 28, 28))
    rows: list[tuple[str, Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]] = [
        ("relu", fc.relu, reference.relu, lambda x: np.maximum(x, 0)),
        ("sigmoid", fc.sigmoid, reference.sigmoid, textbook.sigmoid),
        ("tanh", fc.tanh, reference.tanh, np.tanh),
    ]
    return [
        Operation(name, "(32,16,28,28)", partial(f, x), partial(slow, x[:1]), 32, partial(book, x))
        for name, f, slow, book in rows
    ]


def classifiers() -> list[Operation]:
    """Softmax and cross-entropy of (4096, 10), and a fully connected layer."""
    logits, x, w, b = _arrays((4096, 10), (64, 800), (500, 800), (500,))
    target = np.random.default_rng(1).integers(0, 10, 4096)
    return [
        Operation(
            "softmax", "(4096, 10)", lambda: fc.softmax(logits),
            lambda: reference.softmax(logits[:128]), 32, lambda: textbook.softmax(logits),
        ),
        Operation(
            "cross_entropy", "(4096, 10)", lambda: fc.cross_entropy(logits, target),
            lambda: reference.cross_entropy(logits[:128], target[:128]), 32,
            lambda: textbook.cross_entropy(logits, target),
        ),
        Operation(
            "linear", "(64,800) -> 500", lambda: fc.linear(x, w, b),
            lambda: reference.linear(x[:1], w, b), 64, lambda: x @ w.T + b,
        ),
    ]  # fmt: skip


def operations() -> list[Operation]:
    """Every row of the table."""
    return [*convolutions(), *poolings(), *elementwise(), *classifiers()]
