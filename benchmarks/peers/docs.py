"""The measured part of docs/benchmarks.md: all runs, a process each, then text and pictures."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.peers import roofline
from benchmarks.peers.layers import PASSES
from benchmarks.peers.results import Report
from benchmarks.peers.table import markdown

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/benchmarks.md"
START, END = "<!-- measured: start -->", "<!-- measured: end -->"

#: Threads of the runs, and what every run is asked for.
THREADS = (1, 2)
OPTIONS = [
    "--set", "facts", "--passes", *PASSES, "--outputs", "fresh", "reused", "--networks",
    "--seconds", "0.6",
]  # fmt: skip


def measured(threads: int, folder: Path) -> Report:
    """Make one run in a process of its own, so that no library's threads outlive it."""
    path = folder / f"{threads}.json"
    picture = folder / f"{threads}.png"  # asks for the roofs
    files = ["--json", str(path), "--roofline", str(picture)]
    command = [sys.executable, "-m", "benchmarks.peers", "--threads", str(threads)]
    subprocess.run([*command, *OPTIONS, *files], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return Report.load(path)


def replaced(page: str, text: str) -> str:
    """Return the page with `text` between its marks."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"{PAGE.name} has no section between {START} and {END}")
    return f"{before}{START}\n\n{text}\n{END}{after}"


def rewrite() -> int:
    """Measure, then write the page and its pictures."""
    with tempfile.TemporaryDirectory() as folder:
        reports = [measured(threads, Path(folder)) for threads in THREADS]
    for report in reports[:-1]:
        report.notes.clear()  # the same for each: said once, at the end
    text = "".join(markdown(report, level=3) + "\n" for report in reports)
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), text.rstrip() + "\n"), "utf-8")
    for which in PASSES:
        panels = [roofline.panel(report, which, "fresh") for report in reports]
        roofline.draw(panels, reports[-1].machine, PAGE.parent / f"images/roofline-{which}.png")
    return 0
