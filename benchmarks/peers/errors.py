"""Errors against float64 sums at random places, in units of sum |x| |w|.

A whole float64 convolution would take longer than everything that is timed; a few hundred places see
the same distribution. The maximum is that of the places seen.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.peers.contender import Array, Problem
from benchmarks.peers.layers import Shape

#: Products that a pass over the places may gather, and places at most.
PRODUCTS, PLACES = 3_000_000, 1_000

Terms = tuple[Array, Array]
Places = tuple[Array, ...]


def _rows(taps: Array, places: Array, stride: int, padding: int, size: int) -> Terms:
    """Source coordinates (place, tap), clipped, and whether they lie inside."""
    source = places[:, None] * stride + taps[None, :] - padding
    return np.clip(source, 0, size - 1), (source >= 0) & (source < size)


def _targets(taps: Array, places: Array, stride: int, padding: int, size: int) -> Terms:
    """Output coordinates (place, tap) that meet an input place, clipped, and whether there is one."""
    source = places[:, None] + padding - taps[None, :]
    target = source // stride
    return np.clip(target, 0, size - 1), (source % stride == 0) & (target >= 0) & (target < size)


def forward_terms(problem: Problem, places: Places) -> Terms:
    """Return both factors of every product of output[n, k, i, j], as (place, c, r, s)."""
    layer = problem.layer
    image, filters, rows, columns = places
    depth = layer.channels // layer.groups
    group = filters // (layer.filters // layer.groups)
    channels = group[:, None] * depth + np.arange(depth)
    (r, s), (top, left) = map(np.arange, layer.kernel), layer.padding
    y, inside_y = _rows(r, rows, layer.stride, top, layer.height)
    x, inside_x = _rows(s, columns, layer.stride, left, layer.width)
    values = problem.input[
        image[:, None, None, None],
        channels[:, :, None, None],
        y[:, None, :, None],
        x[:, None, None],
    ]
    return values * (inside_y[:, None, :, None] & inside_x[:, None, None]), problem.weight[filters]


def grad_input_terms(problem: Problem, places: Places) -> Terms:
    """Return both factors of every product of grad_input[n, c, y, x], as (place, k, r, s)."""
    layer = problem.layer
    image, channel, rows, columns = places
    depth, width = layer.channels // layer.groups, layer.filters // layer.groups
    filters = (channel // depth)[:, None] * width + np.arange(width)
    (r, s), (top, left) = map(np.arange, layer.kernel), layer.padding
    _, _, height, breadth = layer.output_shape
    i, inside_i = _targets(r, rows, layer.stride, top, height)
    j, inside_j = _targets(s, columns, layer.stride, left, breadth)
    values = problem.grad_output[
        image[:, None, None, None], filters[:, :, None, None], i[:, None, :, None], j[:, None, None]
    ]
    weight = problem.weight[filters, (channel % depth)[:, None]]
    return values * (inside_i[:, None, :, None] & inside_j[:, None, None]), weight


def grad_weight_terms(problem: Problem, places: Places) -> Terms:
    """Return both factors of every product of grad_weight[k, c, r, s], as (place, n, i, j)."""
    layer = problem.layer
    filters, depth_place, r, s = places
    group = filters // (layer.filters // layer.groups)
    channel = group * (layer.channels // layer.groups) + depth_place
    _, _, height, breadth = layer.output_shape
    top, left = layer.padding
    y = np.arange(height) * layer.stride + r[:, None] - top
    x = np.arange(breadth) * layer.stride + s[:, None] - left
    inside = ((y >= 0) & (y < layer.height))[:, None, :, None]
    inside = inside & ((x >= 0) & (x < layer.width))[:, None, None]
    y, x = np.clip(y, 0, layer.height - 1), np.clip(x, 0, layer.width - 1)
    images = np.arange(layer.batch)
    values = problem.input[
        images[None, :, None, None], channel[:, None, None, None], y[:, None, :, None],
        x[:, None, None],
    ]  # fmt: skip
    return values * inside, problem.grad_output[:, filters].transpose(1, 0, 2, 3)


#: What a pass returns, in order, and the terms of each result; the bias's plain sum is not looked at.
RESULTS: dict[str, list[Callable[[Problem, Places], Terms]]] = {
    "forward": [forward_terms],
    "backward": [grad_input_terms, grad_weight_terms],
}


def _length(problem: Problem, terms: Callable[[Problem, Places], Terms]) -> int:
    """Products of one place."""
    layer = problem.layer
    _, _, height, width = layer.output_shape
    if terms is grad_weight_terms:
        return layer.batch * height * width
    depth = layer.channels if terms is forward_terms else layer.filters
    return depth // layer.groups * layer.kernel[0] * layer.kernel[1]


class Reference:
    """The float64 sums of one problem at places drawn once, for every contender's results."""

    def __init__(self, problem: Problem, seed: int = 1) -> None:
        layer, generator = problem.layer, np.random.default_rng(seed)
        shapes: dict[Callable[[Problem, Places], Terms], Shape] = {
            forward_terms: layer.output_shape,
            grad_input_terms: layer.input_shape,
            grad_weight_terms: layer.weight_shape,
        }
        self._parts: list[tuple[Places, Array, Array]] = []
        for terms in RESULTS[problem.which]:
            count = min(PLACES, max(8, PRODUCTS // _length(problem, terms)))
            places = tuple(generator.integers(0, size, count) for size in shapes[terms])
            left, right = terms(problem, places)
            products = (left.astype(np.float64) * right).reshape(count, -1)
            self._parts.append((places, products.sum(axis=1), np.abs(products).sum(axis=1)))

    def errors(self, results: tuple[Array, ...]) -> tuple[float, float]:
        """Return the largest and the root-mean-square error of a pass, the worst of its results.

        A place where all products are zero must hold a zero; its error is infinite otherwise.
        """
        pairs = []
        for (places, sums, sizes), result in zip(self._parts, results, strict=False):
            difference = np.abs(result[places] - sums)
            no_products = np.where(difference > 0, np.inf, 0.0)
            scaled = np.divide(difference, sizes, out=no_products, where=sizes > 0)
            pairs.append((scaled.max(), np.sqrt(np.mean(scaled**2))))
        worst, rms = np.max(pairs, axis=0)  # NaN where there is one
        return float(worst), float(rms)
