"""A whole small run: recipe, report, metrics, pictures."""

import dataclasses
import json

import numpy as np
import pytest

from fastconv import data, training
from fastconv.training.pictures import PICTURES

pytest.importorskip("matplotlib")
pytest.importorskip("safetensors")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def finished(bar_splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    recipe = training.Recipe(epochs=2, batch_size=16, dropout=0.0, distortion=3.0)
    run = training.train_classifier(recipe, bar_splits, folder, progress=False)
    during = sorted(path.name for path in folder.iterdir())
    files = training.write_report(run, folder)
    return run, folder, during, files


def test_best_weights_are_saved_while_training(finished):
    assert finished[2] == [training.WEIGHTS_FILE]


def test_all_files_are_written(finished):
    _, folder, _, files = finished
    expected = {training.WEIGHTS_FILE, "metrics.json", "report.txt", *PICTURES}
    assert {path.name for path in files} == {path.name for path in folder.iterdir()} == expected


def test_pictures_are_pictures(finished):
    _, folder, _, _ = finished
    for name in PICTURES:
        with Image.open(folder / name) as picture:
            pixels = np.asarray(picture.convert("L"))
        assert min(pixels.shape) >= 250, name
        assert np.count_nonzero(pixels < 128) > 500, name
        assert np.count_nonzero(pixels > 250) > 0.2 * pixels.size, name


def test_metrics_agree_with_the_run(finished):
    run, folder, _, _ = finished
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] == run.test.accuracy
    assert np.sum(metrics["test"]["confusion"]) == 30
    assert metrics["images"] == {"train": 96, "validation": 24, "test": 30}
    assert metrics["recipe"]["learning_rate"] == run.recipe.rate
    assert len(metrics["history"]) == 2
    text = (folder / "report.txt").read_text()
    for part in ("test accuracy", "training time", "images/s", "cross", "seed 0"):
        assert part in text


def test_saved_weights_give_the_reported_accuracy(finished):
    run, folder, _, _ = finished
    loaded = training.load_checkpoint(folder / training.WEIGHTS_FILE)
    predictions = loaded.probabilities(run.splits.test.images).argmax(axis=1)
    assert np.mean(predictions == run.splits.test.labels) == run.test.accuracy
    assert loaded.classes == ("row", "column", "cross")
    assert loaded.metrics["test_accuracy"] == run.test.accuracy


@pytest.mark.parametrize("wrong", ["none", "all"])
def test_pictures_of_perfect_and_hopeless_runs(finished, wrong, tmp_path):
    run = finished[0]
    labels = run.test.labels if wrong == "none" else (run.test.labels + 1) % 3
    probabilities = np.full((30, 3), 0.05)
    probabilities[np.arange(30), labels] = 0.9
    test = training.Evaluation(0.1, float(wrong == "none"), probabilities, run.test.labels)
    from fastconv.training.pictures import write_pictures

    changed = dataclasses.replace(run, test=test)
    assert len(write_pictures(changed, tmp_path)) == len(PICTURES)


def test_recipes_are_checked(bar_splits):
    with pytest.raises(ValueError, match="optimizer 'newton'"):
        training.Recipe(optimizer="newton")
    assert training.Recipe(learning_rate=0.5).rate == 0.5
    small = data.LabelledImages(np.zeros((4, 1, 8, 8), np.float32), np.zeros(4, np.int64))
    splits = bar_splits._replace(train=small)
    with pytest.raises(ValueError, match=r"\(1, 8, 8\)"):
        training.train_classifier(training.Recipe(), splits, progress=False)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam"])
def test_every_optimizer_trains_without_a_folder(bar_splits, optimizer):
    recipe = training.Recipe(epochs=1, optimizer=optimizer, distortion=0.0, shift=0)
    run = training.train_classifier(recipe, bar_splits, progress=False)
    assert np.isfinite(run.test.loss)
