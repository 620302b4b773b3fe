"""The command line of the benchmarks beside other libraries."""

import os
import subprocess
import sys

import pytest

from benchmarks.peers import arguments, report
from benchmarks.peers.docs import ROOT
from benchmarks.peers.layers import FACTS, INCEPTION
from benchmarks.peers.run import Settings, chosen


def command(*words):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.peers", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip


def parse(*words):
    return arguments.parser().parse_args(words)


def test_what_is_asked_for_without_options():
    assert report.settings(parse()) == Settings(threads=1, layers=FACTS)


def test_every_option_arrives():
    options = parse(
        "--threads", "2", "--set", "facts", "inception", "--layers", "vgg.1,incep.7.1",
        "--passes", "forward", "backward", "backward", "--outputs", "reused", "--dtype", "float64",
        "--seconds", "0.5", "--roofline", "x.png", "--networks", "--contenders", "fastconv",
    )  # fmt: skip
    expected = Settings(
        threads=2, layers=(*FACTS[7:9], INCEPTION[12], INCEPTION[15]),
        passes=("forward", "backward"), outputs=("reused",), dtype="float64", seconds=0.5,
        contenders=("fastconv",), roofs=True, networks=True,
    )  # fmt: skip
    assert report.settings(options) == expected


@pytest.mark.parametrize(
    "words",
    [("--threads", "0"), ("--seconds", "0"), ("--seconds", "nan"), ("--set", "alexnet"),
     ("--passes", "sideways"), ("--isa", "mmx"), ("--dtype", "int8")],
)  # fmt: skip
def test_what_cannot_be_is_refused(words, capsys):
    with pytest.raises(SystemExit):
        parse(*words)
    assert words[0] in capsys.readouterr().err


def test_no_layer_is_an_error():
    with pytest.raises(ValueError, match="--layers: no layer's name contains 'zfnet'"):
        chosen(["facts"], "zfnet")


def test_an_instruction_set_needs_its_environment(monkeypatch):
    for name in arguments.ISA_ENVIRONMENT["avx2"]:
        monkeypatch.delenv(name, raising=False)
    missing = arguments.missing_environment("avx2")
    assert missing["FASTCONV_ISA"] == "avx2"
    assert missing["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    for name, value in missing.items():
        monkeypatch.setenv(name, value)
    assert arguments.missing_environment("avx2") == {}
    assert arguments.missing_environment(None) == {}


def test_help_shows_an_example():
    done = command("--help")
    assert done.returncode == 0
    assert "python -m benchmarks.peers --threads 2 --set facts --passes" in done.stdout


def test_a_run_of_ours_alone(tmp_path):
    files = tmp_path / "out.json", tmp_path / "out.md"
    done = command(
        "--layers", "lenet.c2", "--passes", "forward", "backward", "--seconds", "0.01",
        "--contenders", "fastconv", "fastconv NHWC", "--scratch",
        "--json", str(files[0]), "--markdown", str(files[1]),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == files[1].read_text(encoding="utf-8")
    assert "## Backward, fresh outputs, 1 thread" in done.stdout
    assert "| fastconv | fastconv NHWC | × torch |" in done.stdout
    report = report_of(files[0])
    assert [row.which for row in report.rows] == ["forward", "backward"]
    assert all(row.errors["fastconv NHWC"][0] < 1e-6 for row in report.rows)


def report_of(path):
    return report.Report.load(path)


def test_an_unknown_contender_is_an_error():
    done = command("--contenders", "caffe")
    assert done.returncode == 2
    assert "--contenders: ['caffe'] not in ['fastconv', 'fastconv NHWC'" in done.stderr
