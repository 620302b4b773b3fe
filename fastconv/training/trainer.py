"""The training loop."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fastconv import nn
from fastconv.data import DataLoader
from fastconv.data.optional import require
from fastconv.optim import Optimizer, Schedule
from fastconv.training.evaluation import evaluate

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch came to. Training figures are means over the epoch, as the weights changed."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float
    images_per_second: float


@dataclass
class FitResult:
    """The history of a run, and the weights of its best epoch."""

    history: list[EpochRecord] = field(default_factory=list)
    best_epoch: int = 0
    best_state: dict[str, Array] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def images_per_second(self) -> float:
        """Training images a second, over all epochs, without the time for validation."""
        seconds = sum(record.seconds for record in self.history)
        images = sum(record.seconds * record.images_per_second for record in self.history)
        return images / seconds if seconds else 0.0

    @property
    def best(self) -> EpochRecord:
        """The record of the best epoch."""
        return self.history[self.best_epoch - 1]


class _Quiet:
    """Stands in for the progress bar when none is wanted."""

    def update(self) -> None: ...
    def set_description(self, text: str, refresh: bool = True) -> None: ...
    def set_postfix_str(self, text: str, refresh: bool = True) -> None: ...
    def write(self, text: str) -> None: ...
    def close(self) -> None: ...


def _is_better(record: EpochRecord, best: EpochRecord | None) -> bool:
    """Whether the validation loss fell.

    The loss tells epochs apart that misread equally few of a small set; the accuracy, in steps of
    one image, would often choose an early epoch by luck.
    """
    return best is None or record.validation_loss < best.validation_loss


class Trainer:
    """Fits a classifier: minibatches, loss, backward, step; validation after each epoch.

    `schedule(epoch)`, if given, sets the learning rate before every step (epoch in fractions).
    `on_best(state_dict, record)` is called whenever an epoch is the best so far, e.g. to save it.
    All chance is in the data loader and the model, both seeded, so a run can be repeated bit for
    bit on one machine.

    >>> from fastconv import data, nn, optim, training
    >>> images = np.random.default_rng(0).random((8, 1, 2, 2), dtype=np.float32)
    >>> loader = data.DataLoader(data.LabelledImages(images, np.arange(8) % 2), batch_size=4)
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, rng=0))
    >>> trainer = training.Trainer(model, optim.SGD(model.parameters(), lr=0.1), progress=False)
    >>> len(trainer.fit(loader, loader, epochs=2).history)
    2
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        loss: nn.CrossEntropyLoss | None = None,
        schedule: Schedule | None = None,
        on_best: Callable[[dict[str, Array], EpochRecord], None] | None = None,
        progress: bool = True,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.loss = nn.CrossEntropyLoss() if loss is None else loss
        self.schedule = schedule
        self.on_best = on_best
        self.progress = progress

    def _bar(self, steps: int) -> Any:
        if not self.progress:
            return _Quiet()
        # A log file gets a line every few seconds instead of ten a second.
        interval = 0.1 if sys.stderr.isatty() else 5.0
        return require("tqdm", "the progress bar").tqdm(
            total=steps, unit="step", dynamic_ncols=True, mininterval=interval
        )

    def step(self, images: Array, labels: Array) -> tuple[float, int]:
        """Do one step; return the batch's mean loss and its number of right answers.

        Raises FloatingPointError when the loss is infinite or NaN.
        """
        logits = self.model(images)
        value = float(np.mean(self.loss(logits, labels)))
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss became {value}: try a smaller learning rate than {self.optimizer.lr:g}"
            )
        self.optimizer.zero_grad()
        self.model.backward(self.loss.backward(), input_gradient=False)
        self.optimizer.step()
        return value, int(np.count_nonzero(logits.argmax(axis=1) == labels))

    def _train_epoch(self, loader: DataLoader, epoch: int, bar: Any) -> tuple[float, float, float]:
        """Return the epoch's mean loss, accuracy, and images a second."""
        self.model.train()
        start = time.perf_counter()
        total_loss, right, seen = 0.0, 0, 0
        for number, (images, labels) in enumerate(loader):
            if self.schedule is not None:
                self.optimizer.lr = self.schedule(epoch - 1 + number / len(loader))
            value, hits = self.step(images, labels)
            total_loss += value * len(labels)
            right += hits
            seen += len(labels)
            speed = seen / (time.perf_counter() - start)
            bar.set_postfix_str(
                f"loss {total_loss / seen:.4f}, accuracy {right / seen:.2%}, {speed:,.0f} images/s",
                refresh=False,
            )
            bar.update()
        return total_loss / seen, right / seen, seen / (time.perf_counter() - start)

    def fit(self, train: DataLoader, validation: DataLoader, epochs: int) -> FitResult:
        """Train for `epochs` epochs; the model ends with the weights of the best one, in eval mode.

        The best epoch is the one with the smallest validation loss. Raises ValueError unless
        epochs >= 1, FloatingPointError when the loss diverges.
        """
        if epochs < 1:
            raise ValueError(f"epochs is {epochs}: expected at least 1")
        result = FitResult()
        best: EpochRecord | None = None
        start = time.perf_counter()
        bar = self._bar(epochs * len(train))
        try:
            for epoch in range(1, epochs + 1):
                bar.set_description(f"epoch {epoch}/{epochs}", refresh=False)
                begin = time.perf_counter()
                loss, accuracy, speed = self._train_epoch(train, epoch, bar)
                seconds = time.perf_counter() - begin
                judged = evaluate(self.model, validation)
                record = EpochRecord(
                    epoch=epoch,
                    learning_rate=self.optimizer.lr,
                    train_loss=loss,
                    train_accuracy=accuracy,
                    validation_loss=judged.loss,
                    validation_accuracy=judged.accuracy,
                    seconds=seconds,
                    images_per_second=speed,
                )
                result.history.append(record)
                better = _is_better(record, best)
                if better:
                    best, result.best_epoch = record, epoch
                    result.best_state = self.model.state_dict()
                    if self.on_best is not None:
                        self.on_best(result.best_state, record)
                bar.write(describe(record, epochs) + (" *" if better else ""))
        finally:
            bar.close()
        result.seconds = time.perf_counter() - start
        self.model.load_state_dict(result.best_state)
        self.model.eval()
        return result


def describe(record: EpochRecord, epochs: int) -> str:
    """Return one line about an epoch, as wide for each epoch."""
    width = len(str(epochs))
    return (
        f"epoch {record.epoch:{width}}/{epochs}  loss {record.train_loss:.4f}  "
        f"accuracy {record.train_accuracy:7.2%}  validation loss {record.validation_loss:.4f}  "
        f"accuracy {record.validation_accuracy:7.2%}  {record.images_per_second:7,.0f} images/s"
    )
