"""Training steps of whole networks: forward, loss, backward, optimiser, ours and torch's."""

from collections.abc import Callable
from typing import Any

import numpy as np

import fastconv as fc
from benchmarks.peers.fastconv_peer import OURS
from benchmarks.peers.measure import rotate
from benchmarks.peers.results import Step
from fastconv import nn, optim

#: The LeNet of the README's example: filters, filters, hidden units, classes.
LENET = (20, 50, 500, 10)
BATCHES = (64, 1)
OPTIMIZER: dict[str, Any] = {"lr": 0.01, "momentum": 0.9}


def lenet(family: Any) -> Any:
    """Build LeNet for 28 x 28 pictures from any library with torch's names."""
    first, second, hidden, classes = LENET
    return family.Sequential(
        family.Conv2d(1, first, 5), family.ReLU(), family.MaxPool2d(2),
        family.Conv2d(first, second, 5), family.ReLU(), family.MaxPool2d(2), family.Flatten(),
        family.Linear(second * 16, hidden), family.ReLU(), family.Linear(hidden, classes),
    )  # fmt: skip


def our_step(images: Any, labels: Any, threads: int) -> Callable[[], Any]:
    """Return one step of fastconv's LeNet; the pictures' own gradient is nobody's."""
    fc.set_num_threads(threads)
    model, loss = lenet(nn), nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), **OPTIMIZER)

    def step() -> None:
        loss(model(images), labels)
        optimizer.zero_grad()
        model.backward(loss.backward(), input_gradient=False)
        optimizer.step()

    return step


def torch_step(images: Any, labels: Any, threads: int, *, last: bool) -> Callable[[], Any]:
    """Return one step of torch's LeNet in either memory layout."""
    import torch

    torch.set_num_threads(threads)
    layout = torch.channels_last if last else torch.contiguous_format
    model, loss = lenet(torch.nn).to(memory_format=layout), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), **OPTIMIZER)
    pictures = torch.from_numpy(images).contiguous(memory_format=layout)
    targets = torch.from_numpy(labels)

    def step() -> None:
        with torch.enable_grad():
            optimizer.zero_grad()
            loss(model(pictures), targets).backward()
            optimizer.step()

    return step


def steps(threads: int, seconds: float, *, torch: bool) -> list[Step]:
    """Time LeNet's step at each batch size, beside torch's where it is installed."""
    found = []
    for batch in BATCHES:
        images = np.random.default_rng(0).random((batch, 1, 28, 28), np.float32)
        labels = np.arange(batch) % LENET[-1]
        calls = {OURS: our_step(images, labels, threads)}
        if torch:
            calls["torch"] = torch_step(images, labels, threads, last=False)
            calls["torch channels_last"] = torch_step(images, labels, threads, last=True)
        found.append(Step("LeNet ({}, {}, {}, {})".format(*LENET), batch, rotate(calls, seconds)))
    return found
