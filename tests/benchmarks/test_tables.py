"""Figures become ratios, means, Markdown and JSON."""

import pytest

from benchmarks.peers import docs, table
from benchmarks.peers.results import TORCH, Report, Roofs, Row, Step, summary


def row(layer, ours, torch, last, **more):
    turns = {"fastconv": ours, "torch": torch, "torch channels_last": last, **more}
    errors = {"fastconv": (2e-7, 3e-8), "torch": (1e-7, 2e-8)}
    return Row(layer, "1,1,8,8 → 1 3×3", "forward", "fresh", 2_000_000, 1000, turns, errors, 65536)


ROWS = [
    row("a", [1e-3, 9e-3, 2e-3], [4e-3], [6e-3], ncnn=[1e-3]),
    row("b", [0.1], [0.3], [0.2, 0.05, 0.05]),
]


RESTED = "The slowest turn of a contender took 1.00 times its fastest (median; 1.00 at most)."


def report(**values):
    return Report("A machine", 2, "float32", ["a note"], ROWS, **values)


def test_a_ratio_is_against_torchs_faster_layout():
    assert ROWS[0].seconds("fastconv") == 2e-3
    assert ROWS[0].ratio(*TORCH) == pytest.approx(2)
    assert ROWS[1].ratio(*TORCH) == pytest.approx(0.5)
    assert ROWS[1].ratio("ncnn") is None


def test_the_mean_of_ratios_is_geometric():
    assert summary(ROWS, *TORCH) == (pytest.approx(1), pytest.approx(0.5))
    assert summary(ROWS, "ncnn") == (pytest.approx(0.5), pytest.approx(0.5))
    assert summary(ROWS, "onnxruntime") is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.1234, "123"), (0.01234, "12.3"), (0.001234, "1.23"), (1.23e-4, "0.123")],
)
def test_milliseconds_have_three_digits(seconds, text):
    assert table.milliseconds(seconds) == text


def test_the_table():
    head = "| layer | N,C,H,W → K, kernel | fastconv | torch | torch channels_last | ncnn "
    assert table.layers_table(ROWS).splitlines() == [
        head + "| × torch | error fastconv | error torch |",
        "| --- | --- | --: | --: | --: | --: | --: | --: | --: |",
        "| a | 1,1,8,8 → 1 3×3 | 2.00 | 4.00 | 6.00 | 1.00 | 2.00 "
        "| 2.0e-07 / 3.0e-08 | 1.0e-07 / 2.0e-08 |",
        "| b | 1,1,8,8 → 1 3×3 | 100 | 300 | 50.0 | - | 0.50 "
        "| 2.0e-07 / 3.0e-08 | 1.0e-07 / 2.0e-08 |",
    ]


def test_scratch_is_a_column_of_its_own():
    lines = table.layers_table(ROWS, scratch=True).splitlines()
    assert lines[0].endswith("| scratch, KB a thread |")
    assert lines[2].endswith("| 64 |")


def test_the_means_name_the_worst_layer():
    assert table.means(ROWS) == (
        "Geometric mean speed: 1.00 times torch (least 0.50, b); 0.50 times ncnn (least 0.50, a). "
        "The slowest turn of a contender took 1.00 times its fastest (median; 9.00 at most)."
    )
    alone = row("c", [1e-3], [1e-3], [1e-3])
    assert table.means([Row(**{**vars(alone), "turns": {"fastconv": [1e-3]}})]) == RESTED


def test_a_report_says_where_its_figures_come_from():
    steps = [Step("LeNet", 64, {"fastconv": [1e-3], "torch": [2e-3]})]
    text = table.markdown(report(steps=steps, roofs=Roofs(4e11, 3.5e11, 3e10)), level=3)
    assert text.startswith("### Forward, fresh outputs, 2 threads\n\n| layer |")
    assert "| LeNet | 64 | 1.00 | 2.00 | 2.00 |" in text
    assert "400 GFLOP/s from registers, 350 with a matrix product's operands in L1, 30 GB/s" in text
    assert text.endswith("- a note.\n")


def test_the_better_of_two_moments():
    first, later = Roofs(4e11, 2.5e11, 2e10), Roofs(3e11, 3e11, 3e10)
    assert first.highest(later) == Roofs(4e11, 3e11, 3e10)


def test_json_brings_back_what_was_saved(tmp_path):
    saved = report(steps=[Step("LeNet", 1, {"fastconv": [1e-3]})], roofs=Roofs(4e11, 3.5e11, 3e10))
    saved.save(tmp_path / "report.json")
    assert Report.load(tmp_path / "report.json") == saved
    assert saved.part("forward", "fresh") == ROWS
    assert saved.part("backward", "fresh") == []


def test_the_page_keeps_what_is_not_measured():
    page = f"before\n{docs.START}\nold\n{docs.END}\nafter\n"
    assert docs.replaced(page, "new\n") == f"before\n{docs.START}\n\nnew\n\n{docs.END}\nafter\n"
    with pytest.raises(ValueError, match="no section"):
        docs.replaced("a page", "new")
    assert docs.replaced(docs.PAGE.read_text(encoding="utf-8"), "new")
