"""The report of a run: metrics as JSON, a page of text, and the pictures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

import fastconv
from fastconv.training.checkpoint import save_checkpoint, write_atomically
from fastconv.training.pictures import write_pictures
from fastconv.training.recipe import WEIGHTS_FILE, Run, settings


def metrics(run: Run) -> dict[str, Any]:
    """Return everything measured in a run as JSON-ready values."""
    confusion = run.test.confusion()
    return {
        "fastconv": fastconv.__version__,
        "model": run.classifier.model_name,
        "parameters": sum(p.data.size for p in run.classifier.model.parameters()),
        "dataset": run.splits.name,
        "images": {
            part: len(getattr(run.splits, part).labels) for part in ("train", "validation", "test")
        },
        "recipe": settings(run.recipe),
        "threads": fastconv.get_num_threads(),
        "test": {
            "accuracy": run.test.accuracy,
            "loss": run.test.loss,
            "misread": len(run.test.errors),
            "confusion": confusion.tolist(),
        },
        "best_epoch": run.fit.best_epoch,
        "validation_accuracy": run.fit.best.validation_accuracy,
        "training_seconds": run.fit.seconds,
        "images_per_second": run.fit.images_per_second,
        "history": [dataclasses.asdict(record) for record in run.fit.history],
    }


def text_report(run: Run) -> str:
    """Return the report as text, about twenty lines."""
    values = metrics(run)
    recipe, images, test = values["recipe"], values["images"], values["test"]
    confusion = run.test.confusion()
    right, total = np.diag(confusion), np.maximum(confusion.sum(axis=1), 1)
    lines = [
        f"{values['model']} on {values['dataset']}",
        "",
        f"  test accuracy        {test['accuracy']:.2%}  "
        f"({images['test'] - test['misread']:,} of {images['test']:,} right)",
        f"  test loss            {test['loss']:.4f}",
        f"  validation accuracy  {values['validation_accuracy']:.2%}  "
        f"(best epoch, {values['best_epoch']} of {recipe['epochs']})",
        f"  training time        {values['training_seconds']:.1f} s, validation included",
        f"  training speed       {values['images_per_second']:,.0f} images/s, "
        f"{values['threads']} threads",
        f"  parameters           {values['parameters']:,}",
        f"  images               {images['train']:,} training, "
        f"{images['validation']:,} validation, {images['test']:,} test",
        f"  recipe               {recipe['optimizer']}, learning rate {recipe['learning_rate']:g}, "
        f"{recipe['epochs']} epochs, batches of {recipe['batch_size']}, seed {recipe['seed']}",
        "",
        "  class   right   images",
    ]
    lines += [
        f"  {name:>5} {hits / count:7.1%} {count:8,}"
        for name, hits, count in zip(run.splits.classes, right, total, strict=True)
    ]
    return "\n".join(lines) + "\n"


def write_report(run: Run, folder: str | Path) -> list[Path]:
    """Write weights, metrics.json, report.txt and the pictures into `folder`; return the files."""
    folder = Path(folder)
    run.classifier.metrics["test_accuracy"] = run.test.accuracy
    save_checkpoint(folder / WEIGHTS_FILE, run.classifier)
    content = json.dumps(metrics(run), indent=1) + "\n"
    write_atomically(folder / "metrics.json", content.encode())
    write_atomically(folder / "report.txt", text_report(run).encode())
    files = [folder / name for name in (WEIGHTS_FILE, "metrics.json", "report.txt")]
    return files + write_pictures(run, folder)
