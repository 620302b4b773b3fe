"""The machine's limits and the picture below them."""

import shutil
from itertools import combinations

import pytest

from benchmarks.peers import roofline, roofs
from benchmarks.peers.results import Report, Roofs, Row


@pytest.fixture
def short(monkeypatch):
    """Loops that take a moment."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc")
    monkeypatch.setattr(roofs, "ARRAY_BYTES", 1 << 16)
    monkeypatch.setattr(roofs, "FMA_ROUNDS", 200_000)
    monkeypatch.setattr(roofs, "PRODUCT_ROUNDS", 2_000)
    monkeypatch.setattr(roofs, "REPEATS", 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_limits_are_those_of_a_machine(short, dtype):
    measured = roofs.measure(2, dtype)
    assert 1e8 < measured.flops < 1e14
    assert 1e8 < measured.product_flops < 1e14
    assert 1e7 < measured.bytes < 1e14


def test_no_compiler_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(FileNotFoundError, match="C compiler"):
        roofs.build(tmp_path, "avx2", "float32")


def test_work_runs_at_the_same_time():
    seen = []
    seconds = roofs.together([lambda: seen.append(1), lambda: seen.append(2)])
    assert sorted(seen) == [1, 2]
    assert seconds > 0


def test_labels_do_not_cover_one_another():
    points = [(1.0, 2.0), (1.05, 2.01), (1.1, 2.02), (3.0, 2.0), (1.0, 2.0)]
    heights = roofline.label_heights(points)
    assert heights[3] == 2.0
    near = [height for (x, _), height in zip(points, heights, strict=True) if x < 2]
    assert all(abs(a - b) > roofline.UP * 0.999 for a, b in combinations(near, 2))
    assert all(height >= y for (_, y), height in zip(points, heights, strict=True))


def test_the_picture(tmp_path):
    image = pytest.importorskip("matplotlib.image")
    turns = {"fastconv": [1e-3], "torch": [2e-3]}
    rows = [
        Row(f"layer{i}", "", "forward", "fresh", 10**8 * (i + 1), 10**6, turns, {}, 0)
        for i in range(3)
    ]
    report = Report("A machine", 1, "float32", [], rows, roofs=Roofs(4e11, 3.5e11, 3e10))
    panels = [roofline.panel(report, "forward", "fresh")] * 2
    assert panels[0].title == "forward, fresh outputs, 1 thread, float32"
    path = roofline.draw(panels, "A note.", tmp_path / "roofline.png")
    pixels = image.imread(path)
    assert pixels.shape[0] > 1000
    assert pixels.std() > 0.01
