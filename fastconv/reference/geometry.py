"""Sizes: output shapes, paddings, parameter counts and receptive fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

IntOrPair = int | Sequence[int]
Padding = int | Sequence[int] | Sequence[Sequence[int]] | str


class PaddingEdges(NamedTuple):
    """Zeros added on each side of a plane.

    >>> PaddingEdges(0, 0, 1, 1).left
    1
    """

    top: int
    bottom: int
    left: int
    right: int


def pair(value: IntOrPair, name: str = "value") -> tuple[int, int]:
    """Return ``value`` as (along height, along width).

    >>> pair(3), pair((1, 2))
    ((3, 3), (1, 2))
    """
    if isinstance(value, Sequence):
        if len(value) != 2:
            raise ValueError(f"{name} must be an int or a pair; got {value!r}")
        return int(value[0]), int(value[1])
    return int(value), int(value)


def padding_edges(
    padding: Padding, kernel_size: IntOrPair, stride: IntOrPair = 1, dilation: IntOrPair = 1
) -> PaddingEdges:
    """Return the zeros on each edge for any spelling of ``padding``.

    ``"same"`` needs stride 1 and, where the total ``dilation * (kernel - 1)`` is odd, puts the
    extra zero at the bottom and right, as PyTorch does.

    >>> padding_edges("same", (2, 3))
    PaddingEdges(top=0, bottom=1, left=1, right=1)
    >>> padding_edges(((1, 0), (2, 3)), 3)
    PaddingEdges(top=1, bottom=0, left=2, right=3)
    """
    if isinstance(padding, str):
        if padding == "valid":
            return PaddingEdges(0, 0, 0, 0)
        if padding != "same":
            raise ValueError(f'padding must be "same" or "valid" when a string; got {padding!r}')
        if pair(stride) != (1, 1):
            raise ValueError(f'padding "same" needs stride 1; got stride {stride!r}')
        kernel, spread = pair(kernel_size), pair(dilation)
        total = [spread[axis] * (kernel[axis] - 1) for axis in (0, 1)]
        top, left = total[0] // 2, total[1] // 2
        return PaddingEdges(top, total[0] - top, left, total[1] - left)
    if isinstance(padding, Sequence):
        if len(padding) != 2:
            raise ValueError(f"padding must have one entry per axis; got {padding!r}")
        edges = cast("Sequence[IntOrPair]", padding)
        (top, bottom), (left, right) = (pair(edge, "padding") for edge in edges)
        return PaddingEdges(top, bottom, left, right)
    return PaddingEdges(int(padding), int(padding), int(padding), int(padding))


def conv2d_output_size(
    input_size: IntOrPair,
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
) -> tuple[int, int]:
    """Return (height, width) of a convolution's output: notes 004, eq. 5.11-5.15; 000, "OH, OW".

    ``floor((H + P_top + P_bottom - D (F - 1) - 1) / S) + 1``. Notes 003 section 5.3 says to round
    down; eq. 5.14-5.15 leave it out, and know no dilation.

    Correction: notes 003 section 5.5 write the padding and the kernel of layer ``l`` with the
    superscript ``[l-1]``; both belong to layer ``l``, like the stride.

    >>> conv2d_output_size((28, 31), 5, stride=3, padding=2)
    (10, 11)
    """
    height, width = pair(input_size, "input_size")
    kernel, step, spread = pair(kernel_size), pair(stride), pair(dilation)
    edges = padding_edges(padding, kernel, step, spread)
    padded = (height + edges.top + edges.bottom, width + edges.left + edges.right)
    extent = [spread[axis] * (kernel[axis] - 1) + 1 for axis in (0, 1)]
    if padded[0] < extent[0] or padded[1] < extent[1]:
        raise ValueError(f"the kernel spans {tuple(extent)}, more than the padded input {padded}")
    return (padded[0] - extent[0]) // step[0] + 1, (padded[1] - extent[1]) // step[1] + 1


def same_padding(kernel_size: int) -> int:
    """Return the padding that keeps the size at stride 1: notes 004, eq. 5.16-5.19.

    Correction: notes 003 section 5.2 print ``p = (f + 1) / 2`` and call ``p`` "usually even"; it is
    ``(f - 1) / 2``, of either parity, for an odd kernel ``f``.

    >>> [same_padding(kernel) for kernel in (1, 3, 5, 11)]
    [0, 1, 2, 5]
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"an odd kernel is needed for equal padding; got {kernel_size}")
    return (kernel_size - 1) // 2


def conv2d_parameter_count(
    in_channels: int, out_channels: int, kernel_size: IntOrPair, bias: bool = True, groups: int = 1
) -> int:
    """Return the number of weights and biases of a convolution layer: notes 003, sections 5.5, 5.7.

    Correction: notes 003 section 5.7 count ``5 * 5 + 1 = 26`` a kernel and ``6 * 26 = 156`` for an
    input of 32 x 32 x 3. A kernel spans all input channels (section 5.4), so the count there is
    ``6 * (5 * 5 * 3 + 1) = 456``; 156 is right for one input channel.

    >>> conv2d_parameter_count(1, 6, 5), conv2d_parameter_count(3, 6, 5)
    (156, 456)
    """
    height, width = pair(kernel_size)
    return out_channels * (in_channels // groups * height * width + int(bias))


def linear_parameter_count(in_features: int, out_features: int, bias: bool = True) -> int:
    """Return the number of weights and biases of a fully connected layer: notes 003, section 5.7.

    >>> linear_parameter_count(32 * 32 * 3, 28 * 28 * 6, bias=False)
    14450688
    """
    return out_features * (in_features + int(bias))


def receptive_field(kernel_sizes: Sequence[int], strides: Sequence[int] | None = None) -> int:
    """Return how many input elements along one axis an output of stacked layers sees.

    Notes 002, section 1.1.3, for stride 1: each layer adds ``kernel - 1``.

    >>> receptive_field([3, 3]), receptive_field([3, 3, 3])
    (5, 7)
    """
    field, step = 1, 1
    for index, kernel in enumerate(kernel_sizes):
        field += (kernel - 1) * step
        step *= 1 if strides is None else strides[index]
    return field
