"""`fastconv bench`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fastconv.cli.arguments import add_threads

if TYPE_CHECKING:
    from fastconv.benchmark.measure import Row

SUMMARY = "time every operation against plain Python and against the NumPy of textbooks"
EXAMPLE = """  fastconv bench
  fastconv bench --threads 1 --only conv2d --output bench-results"""

#: Variables that hold NumPy's own BLAS to the same number of threads.
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add bench's options."""
    add_threads(parser)
    parser.add_argument("--only", metavar="TEXT", help="only operations whose name contains TEXT")
    parser.add_argument(
        "--seconds", type=float, default=1.0, metavar="S", help="time an operation for S seconds"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("bench-results"),
        metavar="DIR",
        help="folder of the table and the bar chart (default: %(default)s)",
    )


def restart_with_threads(threads: int) -> None:
    """Hold NumPy's BLAS to as many threads as ours: it reads its variable at import, so start anew."""
    wanted = dict.fromkeys(BLAS_THREADS, str(threads))
    if all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    environment = os.environ | wanted | {"FASTCONV_NUM_THREADS": str(threads)}
    arguments = [sys.executable, "-m", "fastconv", *sys.argv[1:]]
    os.execve(sys.executable, arguments, environment)


def duration(value: float | None) -> str:
    """Seconds in a unit that reads well."""
    if value is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} us"


def times(value: float | None) -> str:
    """A factor."""
    return "-" if value is None else f"{value:,.1f}x" if value < 100 else f"{value:,.0f}x"


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| operation | problem (float32) | fastconv | textbook NumPy | plain Python* "
        "| over textbook | over plain Python |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {r.name} | {r.problem} | {duration(r.ours)} | {duration(r.textbook)} "
        f"| {duration(r.reference)} | {times(r.over_textbook)} | {times(r.over_reference)} |"
        for r in rows
    ]
    return "\n".join(lines)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the table, write it and the chart."""
    if arguments.threads is not None:
        restart_with_threads(arguments.threads)
    from fastconv.benchmark.chart import draw
    from fastconv.benchmark.machine import describe
    from fastconv.benchmark.measure import measure
    from fastconv.benchmark.operations import operations

    chosen = [o for o in operations() if not arguments.only or arguments.only in o.name]
    if not chosen:
        raise ValueError(f"--only: no operation's name contains {arguments.only!r}")
    rows = []
    for operation in chosen:
        print(f"timing {operation.name} ...", file=sys.stderr, flush=True)
        rows.append(measure(operation, arguments.seconds))
    note = (
        f"{describe()}. Medians; fastconv and textbook take turns in one process. *Plain Python "
        "(fastconv.reference) is timed on a slice of the problem and scaled up by its size."
    )
    text = f"{table(rows)}\n\n{note}\n"
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "operations.md").write_text(text, encoding="utf-8")
    picture = draw(rows, note, arguments.output / "operations.png")
    print(text)
    print(f"written: {arguments.output / 'operations.md'}, {picture}")
    return 0
