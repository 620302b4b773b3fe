"""From options to files: one run, its tables, its JSON, its picture."""

import argparse

from benchmarks.peers import roofline
from benchmarks.peers.results import Report
from benchmarks.peers.run import Settings, chosen, run
from benchmarks.peers.table import markdown


def settings(options: argparse.Namespace) -> Settings:
    """Return the settings that the options ask for."""
    return Settings(
        threads=options.threads, layers=chosen(options.sets, options.layers),
        passes=tuple(dict.fromkeys(options.passes)), outputs=tuple(dict.fromkeys(options.outputs)),
        dtype=options.dtype, seconds=options.seconds, contenders=tuple(options.contenders),
        isa=options.isa, roofs=options.roofline is not None, networks=options.networks,
    )  # fmt: skip


def panels(report: Report) -> list[roofline.Panel]:
    """Return a panel for each of the report's tables."""
    parts = dict.fromkeys((row.which, row.outputs) for row in report.rows)
    return [roofline.panel(report, *part) for part in parts]


def make(options: argparse.Namespace) -> int:
    """Run, print the tables, and write what was asked for."""
    report = run(settings(options))
    text = markdown(report, scratch=options.scratch)
    print(text, end="")
    if options.json:
        report.save(options.json)
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    if options.roofline:
        roofline.draw(panels(report), report.machine, options.roofline)
    return 0
