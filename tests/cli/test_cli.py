"""The command line, as a user runs it: in a process of its own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from fastconv import cli, data
from fastconv.cli.predict import sketch

pytest.importorskip("sklearn")
Image = pytest.importorskip("PIL.Image")


def fastconv(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "fastconv", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One epoch on the digits, in the default folder."""
    folder = tmp_path_factory.mktemp("cli")
    done = fastconv("train", "lenet", "--epochs", 3, "--threads", 2, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "lenet-digits", done


def test_train_shows_progress_and_leaves_its_files(trained):
    folder, done = trained
    for text in ("epoch 3/3", "loss", "accuracy", "images/s"):
        assert text in done.stderr + done.stdout
    assert "test accuracy" in done.stdout
    assert "fastconv predict" in done.stdout
    names = {path.name for path in folder.iterdir()}
    assert {"weights.safetensors", "metrics.json", "report.txt", "curves.png"} <= names
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.85


def test_predict_a_digit(trained):
    folder, _ = trained
    done = fastconv("predict", folder / "weights.safetensors", "--digit", 0)
    assert done.returncode == 0, done.stderr
    label = data.load_digits().test.labels[0]
    assert f"labelled {label}" in done.stdout
    shares = [line.split()[1] for line in done.stdout.splitlines() if "%" in line]
    assert len(shares) == 3
    values = [float(share.rstrip("%")) for share in shares]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("name", ["digit.png", "digit.jpg"])
def test_predict_a_picture(trained, tmp_path, name):
    folder, _ = trained
    test = data.load_digits().test
    zero = test.images[np.flatnonzero(test.labels == 0)[0], 0]
    large = np.kron(1 - zero, np.ones((6, 6), np.float32))
    picture = np.pad(large, ((10, 60), (90, 20)), constant_values=1.0)
    Image.fromarray((255 * picture).astype(np.uint8)).save(tmp_path / name)
    done = fastconv("predict", folder / "weights.safetensors", tmp_path / name)
    assert done.returncode == 0, done.stderr
    first = next(line for line in done.stdout.splitlines() if "%" in line)
    assert first.split()[0] == "0"


def test_evaluate_agrees_with_the_report(trained):
    folder, _ = trained
    done = fastconv("evaluate", folder / "weights.safetensors")
    assert done.returncode == 0, done.stderr
    accuracy = json.loads((folder / "metrics.json").read_text())["test"]["accuracy"]
    assert f"{accuracy:.2%}" in done.stdout


def test_train_and_evaluate_on_idx_files(tmp_path):
    digits = data.load_digits()
    for part, rows in (("train", digits.train), ("t10k", digits.validation)):
        images = (255 * rows.images[:120, 0]).astype(np.uint8)
        data.write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        data.write_idx(tmp_path / f"{part}-labels-idx1-ubyte", rows.labels[:120].astype(np.uint8))
    run = tmp_path / "run"
    options = ("--epochs", 1, "--optimizer", "sgd", "--lr", 0.01, "--seed", 3, "--quiet")
    done = fastconv("train", "lenet", "--data", tmp_path, "--output", run, *options)
    assert done.returncode == 0, done.stderr
    assert "step" not in done.stderr
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["images"] == {"train": 110, "validation": 10, "test": 120}
    assert metrics["recipe"]["seed"] == 3
    done = fastconv("evaluate", run / "weights.safetensors", "--data", tmp_path)
    assert "tested on mnist" in done.stdout


def test_info():
    done = fastconv("info")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "examples:\n" in text
    assert f"fastconv {command}" in text.split("examples:")[1]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["predict", "nowhere.safetensors", "--digit", "0"], "no such weights file"),
        (["evaluate", "nowhere.safetensors"], "no such weights file"),
        (["train", "lenet", "--data", "nowhere"], "nowhere is not a folder"),
    ],
)
def test_mistakes_are_one_line(arguments, text, capsys):
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("fastconv: error: ")
    assert text in error
    assert error.count("\n") == 1


def test_a_digit_out_of_range(trained, capsys):
    weights = str(trained[0] / "weights.safetensors")
    assert cli.main(["predict", weights, "--digit", "360"]) == 2
    assert "expected 0 to 359" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["train"],
        ["train", "vgg"],
        ["train", "lenet", "--epochs", "0"],
        ["train", "lenet", "--lr", "-1"],
        ["train", "lenet", "--lr", "nan"],
        ["train", "lenet", "--seed", "-1"],
        ["predict", "weights"],
        ["predict", "weights", "image.png", "--digit", "1"],
    ],
)
def test_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: fastconv" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    program = (
        "import sys; from fastconv import cli; cli.build_parser()\n"
        "heavy = {'matplotlib', 'sklearn', 'tqdm', 'PIL', 'safetensors', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_sketch_uses_two_rows_a_line():
    image = np.zeros((4, 2))
    image[0, 0] = image[1, 1] = image[2] = image[3, 0] = 1
    assert sketch(image) == "  ▀▄\n  █▀"
