"""Checkpoints: exact, atomic, checked, and without pickle."""

import json
import os
import pickle
import stat
import subprocess
import sys

import numpy as np
import pytest

from fastconv import data, models, training
from fastconv.training import checkpoint

pytest.importorskip("safetensors")
OPTIONS = {"classes": 3, "channels": [2, 3], "hidden": 4}


def classifier(seed=0):
    return training.Classifier(
        model=models.build("lenet", rng=seed, **OPTIONS),
        model_name="lenet",
        model_options=OPTIONS,
        normalization=data.fit_normalization(
            np.random.default_rng(0).random((5, 1, 28, 28), dtype=np.float32)
        ),
        classes=("a", "b", "ç"),
        dataset="bars",
        metrics={"validation_accuracy": 0.5},
    )


def test_round_trip_is_exact(tmp_path):
    original = classifier()
    path = tmp_path / "new" / "weights.safetensors"
    training.save_checkpoint(path, original)
    loaded = training.load_checkpoint(path)
    images = np.random.default_rng(1).random((4, 1, 28, 28), dtype=np.float32)
    np.testing.assert_array_equal(loaded.probabilities(images), original.probabilities(images))
    assert not loaded.model.training
    assert (loaded.classes, loaded.dataset) == (("a", "b", "ç"), "bars")
    assert loaded.metrics == {"validation_accuracy": 0.5}
    assert loaded.model_options == OPTIONS


def test_given_weights_replace_the_models_own(tmp_path):
    path = tmp_path / "w"
    state = models.build("lenet", rng=9, **OPTIONS).state_dict()
    training.save_checkpoint(path, classifier(), state)
    for name, array in training.load_checkpoint(path).model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, failing):
    path = tmp_path / "w"
    training.save_checkpoint(path, classifier(0))
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint.os, failing, fail)
    with pytest.raises(OSError, match="disk full"):
        training.save_checkpoint(path, classifier(1))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w"]


def test_the_file_is_synced_before_it_takes_its_name(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(checkpoint.os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd)))
    monkeypatch.setattr(
        checkpoint.os, "replace", lambda a, b: (calls.append("replace"), replace(a, b))
    )
    training.save_checkpoint(tmp_path / "w", classifier())
    assert calls == ["fsync", "replace", "fsync"]


def test_permissions_follow_the_umask(tmp_path):
    previous = os.umask(0o027)
    try:
        training.save_checkpoint(tmp_path / "w", classifier())
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "w").stat().st_mode) == 0o640


def test_a_killed_writer_never_leaves_a_part_under_the_name(tmp_path):
    path = tmp_path / "w"
    program = (
        "import os, sys\n"
        "from fastconv.training.checkpoint import write_atomically\n"
        "os.replace = lambda a, b: os._exit(9)\n"
        "write_atomically(sys.argv[1], b'new' * 1000)\n"
    )
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == 9
    assert path.read_bytes() == b"old"


class Bomb:
    def __reduce__(self):
        return (os.abort, ())


def test_pickles_are_refused_unread(tmp_path):
    path = tmp_path / "w"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="not a sound safetensors file"):
        training.load_checkpoint(path)


def test_the_source_never_imports_pickle():
    for module in ("checkpoint", "recipe", "report"):
        source = (checkpoint.__file__).replace("checkpoint.py", f"{module}.py")
        with open(source) as file:
            text = file.read()
        assert "import pickle" not in text
        assert "allow_pickle" not in text


def test_damaged_files(tmp_path):
    path = tmp_path / "w"
    with pytest.raises(FileNotFoundError, match="no such weights file"):
        training.load_checkpoint(path)
    training.save_checkpoint(path, classifier())
    whole = path.read_bytes()
    for content in (b"", whole[:5], whole[:-1], whole[:100], whole + b"x", bytes(64)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a sound safetensors file"):
            training.load_checkpoint(path)


def rewrite(path, change):
    """Save a checkpoint with its tensors and metadata changed."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    training.save_checkpoint(path, classifier())
    with safe_open(path, framework="numpy") as file:
        metadata = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors, metadata)
    save_file(tensors, path, metadata)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t, m: m.clear(), "was not written by fastconv"),
        (lambda t, m: m.update(format="other"), "format is 'other'"),
        (lambda t, m: m.update(model="vgg"), "model 'vgg' is unknown"),
        (lambda t, m: m.update(options=json.dumps({"width": 3})), "width"),
        (lambda t, m: m.update(options="{"), "cannot be used"),
        (lambda t, m: m.update(options=json.dumps({**OPTIONS, "hidden": 5})), "has shape"),
        (lambda t, m: m.pop("classes"), "classes"),
        (lambda t, m: t.pop("model.0.bias"), "missing keys: 0.bias"),
        (lambda t, m: t.update({"model.9.bias": np.zeros(1)}), "unexpected keys: 9.bias"),
        (lambda t, m: t.pop("normalization.mean"), "normalization.mean"),
    ],
)
def test_files_of_another_kind(tmp_path, change, text):
    path = tmp_path / "weights"
    rewrite(path, change)
    with pytest.raises(ValueError, match=text) as caught:
        training.load_checkpoint(path)
    assert str(path) in str(caught.value)


def test_missing_safetensors_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r'pip install "fastconv\[train\]"'):
        training.save_checkpoint(tmp_path / "w", classifier())
