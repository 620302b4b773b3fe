"""Chains of convolutions: what it saves to keep the activations between layers blocked.

`python -m benchmarks.chains` prints a table: medians of turns in rotation, weights packed ahead,
bias and ReLU in every layer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

import fastconv as fc
from benchmarks.peers.measure import rotate
from fastconv.ops.blocked import BlockedImages, conv2d_blocked, prepack_blocked

#: Seconds that a chain is timed for, its ways together.
BUDGET = 4.0


@dataclass(frozen=True)
class Chain:
    """Convolutions of stride 1 that keep the size: (filters, side of the kernel) of each."""

    name: str
    input_shape: tuple[int, int, int, int]
    layers: tuple[tuple[int, int], ...]


def chains() -> list[Chain]:
    """ResNet's bottlenecks (one stage and a late one) and VGG's third block."""
    return [
        chain
        for batch in (1, 8)
        for chain in (
            Chain("ResNet bottleneck", (batch, 256, 56, 56), ((64, 1), (64, 3), (256, 1))),
            Chain("late bottleneck", (batch, 1024, 14, 14), ((256, 1), (256, 3), (1024, 1))),
            Chain("VGG conv3", (batch, 128, 56, 56), ((256, 3), (256, 3), (256, 3))),
        )
    ]


def ways(chain: Chain) -> dict[str, Callable[[], Any]]:
    """Calls without arguments: NCHW between layers, blocked between them, and all blocked."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal(chain.input_shape, np.float32)
    images, shape = BlockedImages.from_plain(x), chain.input_shape
    planar, inside = [], []
    for filters, side in chain.layers:
        scale = (shape[1] * side * side) ** -0.5
        w = scale * generator.standard_normal((filters, shape[1], side, side), np.float32)
        b = generator.standard_normal(filters, np.float32)
        how = {"padding": side // 2, "activation": "relu"}
        planar.append((fc.prepack_conv2d_weight(w, shape, padding=side // 2), b, how))
        inside.append((prepack_blocked(w, shape, padding=side // 2), b, how))
        shape = shape[0], filters, shape[2], shape[3]

    def by_planes() -> Any:
        y: Any = x
        for weight, bias, how in planar:
            y = fc.conv2d(y, weight, bias, **how)
        return y

    def in_blocks(first: Any, last_layout: str) -> Any:
        y = first
        for weight, bias, how in inside[:-1]:
            y = conv2d_blocked(y, weight, bias, **how)
        weight, bias, how = inside[-1]
        return conv2d_blocked(y, weight, bias, output_layout=last_layout, **how)

    return {
        "NCHW": by_planes,
        "blocked between": lambda: in_blocks(x, "NCHW"),
        "all blocked": lambda: in_blocks(images, "blocked"),
    }


def main() -> None:
    """Print one row a chain."""
    print(
        "| chain | N,C,H,W | NCHW ms | blocked between layers | all blocked |\n|---|---|---|---|---|"
    )
    for chain in chains():
        turns = rotate(ways(chain), BUDGET)
        times = " | ".join(f"{median(own) * 1e3:.2f}" for own in turns.values())
        print(f"| {chain.name} | {','.join(map(str, chain.input_shape))} | {times} |")


if __name__ == "__main__":
    main()
