"""A trained classifier in one file: weights, normalisation, classes. Safetensors, never pickle.

The file is replaced atomically: a reader, or a machine that loses power, sees the old weights or
the new ones, never a part.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastconv import models, nn
from fastconv.data import Normalization
from fastconv.data.optional import require
from fastconv.training.evaluation import predict

Array = npt.NDArray[Any]

FORMAT = "fastconv.classifier.1"
_MODEL, _MEAN, _STD = "model.", "normalization.mean", "normalization.std"


@dataclass
class Classifier:
    """A model with all that is needed to use it on raw images in [0, 1]."""

    model: nn.Module
    model_name: str
    model_options: dict[str, Any]
    normalization: Normalization
    classes: tuple[str, ...]
    dataset: str
    metrics: dict[str, float] = field(default_factory=dict)

    def probabilities(self, images: Array) -> Array:
        """Return class probabilities (N, classes) of images (N, C, H, W), float32 in [0, 1]."""
        return predict(self.model, self.normalization(images))


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that it appears whole or not at all: temporary file, fsync, os.replace."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def save_checkpoint(
    path: str | os.PathLike[str],
    classifier: Classifier,
    state: Mapping[str, Array] | None = None,
) -> None:
    """Save `classifier`, with the weights `state` in place of the model's own if given.

    Raises TypeError when the model's options cannot be written as JSON, OSError from the file
    system (an older file at `path` is then left as it was).
    """
    safetensors = require("safetensors.numpy", "saving weights")
    weights = classifier.model.state_dict() if state is None else state
    tensors = {_MODEL + name: np.ascontiguousarray(array) for name, array in weights.items()}
    tensors[_MEAN] = np.ascontiguousarray(classifier.normalization.mean)
    tensors[_STD] = np.ascontiguousarray(classifier.normalization.std)
    metadata = {
        "format": FORMAT,
        "model": classifier.model_name,
        "options": json.dumps(classifier.model_options),
        "classes": json.dumps(classifier.classes),
        "dataset": classifier.dataset,
        "metrics": json.dumps(classifier.metrics),
    }
    write_atomically(path, safetensors.save(tensors, metadata))


def load_checkpoint(path: str | os.PathLike[str]) -> Classifier:
    """Load what `save_checkpoint` wrote; the model is in evaluation mode.

    Raises FileNotFoundError, or ValueError that names the file and what is wrong: not a safetensors
    file, not one of ours, an unknown model, weights that do not fit it.
    """
    safetensors = require("safetensors", "loading weights")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such weights file")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a sound safetensors file: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path} was not written by fastconv's save_checkpoint: its format is "
            f"{metadata.get('format')!r}, expected {FORMAT!r}"
        )
    try:
        return _assemble(metadata, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from error


def _assemble(metadata: Mapping[str, str], tensors: Mapping[str, Array]) -> Classifier:
    """Build the classifier from a file's contents."""
    options = json.loads(metadata["options"])
    model = models.build(metadata["model"], **options)
    model.load_state_dict(
        {name[len(_MODEL) :]: tensors[name] for name in tensors if name.startswith(_MODEL)}
    )
    classifier = Classifier(
        model=model.eval(),
        model_name=metadata["model"],
        model_options=options,
        normalization=Normalization(tensors[_MEAN], tensors[_STD]),
        classes=tuple(json.loads(metadata["classes"])),
        dataset=metadata["dataset"],
        metrics=json.loads(metadata["metrics"]),
    )
    return classifier
