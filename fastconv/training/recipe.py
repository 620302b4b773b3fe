"""A whole training run: data set in, weights and report out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastconv import models, nn, optim
from fastconv.data import (
    Compose,
    DataLoader,
    LabelledImages,
    Normalization,
    RandomAffine,
    RandomShift,
    Splits,
    fit_normalization,
)
from fastconv.training.checkpoint import Classifier, save_checkpoint
from fastconv.training.evaluation import Evaluation, evaluate
from fastconv.training.trainer import EpochRecord, FitResult, Trainer

Array = npt.NDArray[Any]
OptimizerName = Literal["sgd", "rmsprop", "adam"]

WEIGHTS_FILE = "weights.safetensors"

#: Name -> (function of parameters and learning rate, learning rate that suits LeNet).
OPTIMIZERS: dict[str, tuple[Callable[..., optim.Optimizer], float]] = {
    "sgd": (lambda p, lr: optim.SGD(p, lr, momentum=0.9, nesterov=True, weight_decay=1e-4), 0.02),
    "rmsprop": (lambda p, lr: optim.RMSprop(p, lr, alpha=0.99), 5e-4),
    "adam": (lambda p, lr: optim.Adam(p, lr), 1e-3),
}


@dataclass(frozen=True)
class Recipe:
    """The settings of a run. The same recipe on the same data gives the same weights.

    `learning_rate` None takes the optimiser's own; it rises over the first epoch and then falls
    along a cosine. Augmentation: images are turned, scaled and sheared by up to `distortion`
    (degrees and percent), and moved by up to `shift` pixels. Raises ValueError for an unknown
    optimiser.

    >>> Recipe(optimizer="sgd").rate
    0.02
    """

    model: str = "lenet"
    epochs: int = 25
    batch_size: int = 32
    optimizer: OptimizerName = "adam"
    learning_rate: float | None = None
    seed: int = 0
    dropout: float = 0.5
    shift: int = 2
    distortion: float = 10.0

    def __post_init__(self) -> None:
        """Check the optimiser's name."""
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(
                f"optimizer {self.optimizer!r} is unknown: use one of {', '.join(OPTIMIZERS)}"
            )

    @property
    def rate(self) -> float:
        """The highest learning rate of the run."""
        default = OPTIMIZERS[self.optimizer][1]
        return default if self.learning_rate is None else self.learning_rate

    def augmentation(self) -> Compose:
        """Return the random changes of training images."""
        percent = self.distortion / 100.0
        distort = RandomAffine(self.distortion, percent, percent)
        return Compose(
            (distort, RandomShift(self.shift)) if self.distortion else (RandomShift(self.shift),)
        )


@dataclass(frozen=True)
class Run:
    """What a run came to; `report.write_report` turns it into files."""

    recipe: Recipe
    splits: Splits
    classifier: Classifier
    fit: FitResult
    test: Evaluation


def batches(
    part: LabelledImages, normalization: Normalization, batch_size: int = 500
) -> DataLoader:
    """Return the batches to evaluate `part` on."""
    return DataLoader(part, batch_size, transform=normalization)


def train_classifier(
    recipe: Recipe, splits: Splits, output: str | Path | None = None, *, progress: bool = True
) -> Run:
    """Train by `recipe` on `splits.train`; choose the epoch on `validation`; report on `test`.

    With `output`, the best weights so far are always in that folder's `weights.safetensors`.
    Raises ValueError when the images do not suit the model.
    """
    shape = splits.train.images.shape[1:]
    if recipe.model == "lenet" and shape != (1, 28, 28):
        raise ValueError(f"lenet reads images of shape (1, 28, 28), these are {shape}")
    options = {"classes": len(splits.classes), "dropout": recipe.dropout}
    model = models.build(recipe.model, rng=np.random.default_rng(recipe.seed), **options)
    normalization = fit_normalization(splits.train.images)
    classifier = Classifier(
        model=model,
        model_name=recipe.model,
        model_options=options,
        normalization=normalization,
        classes=splits.classes,
        dataset=splits.name,
    )

    def keep(state: dict[str, Array], record: EpochRecord) -> None:
        classifier.metrics = {
            "epoch": record.epoch,
            "validation_accuracy": record.validation_accuracy,
            "validation_loss": record.validation_loss,
        }
        if output is not None:
            save_checkpoint(Path(output) / WEIGHTS_FILE, classifier, state)

    trainer = Trainer(
        model,
        OPTIMIZERS[recipe.optimizer][0](model.parameters(), recipe.rate),
        loss=nn.CrossEntropyLoss(),
        schedule=optim.CosineDecay(recipe.rate, recipe.epochs, warmup=min(1.0, recipe.epochs / 4)),
        on_best=keep,
        progress=progress,
    )
    loader = DataLoader(
        splits.train,
        recipe.batch_size,
        shuffle=True,
        seed=recipe.seed,
        augmentation=recipe.augmentation(),
        transform=normalization,
    )
    fit = trainer.fit(loader, batches(splits.validation, normalization), recipe.epochs)
    test = evaluate(model, batches(splits.test, normalization))
    return Run(recipe, splits, classifier, fit, test)


def settings(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as JSON-ready values, with the learning rate that was used."""
    return {**dataclasses.asdict(recipe), "learning_rate": recipe.rate}
