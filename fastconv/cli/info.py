"""`fastconv info`."""

from __future__ import annotations

import argparse

SUMMARY = "show the version, the instruction set chosen, threads, BLAS and build flags"
EXAMPLE = """  fastconv info
  FASTCONV_ISA=avx2 fastconv info"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`info` has no arguments of its own."""


def run(arguments: argparse.Namespace) -> int:
    """Print the configuration."""
    import fastconv

    fastconv.show_config()
    return 0
