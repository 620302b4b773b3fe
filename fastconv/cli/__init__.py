"""The command line: `fastconv COMMAND ...`, one module for each command.

A command's module has SUMMARY (one line), EXAMPLE (shown by --help), `add_arguments(parser)` and
`run(arguments)`, which returns the exit status. Modules import what is heavy inside `run`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

#: Command -> module. A new command is one line here.
COMMANDS = {
    "info": "fastconv.cli.info",
    "train": "fastconv.cli.train",
    "evaluate": "fastconv.cli.evaluate",
    "predict": "fastconv.cli.predict",
    "bench": "fastconv.cli.bench",
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="fastconv",
        description="Fast convolutional networks on a CPU, for people who hold NumPy arrays.",
        epilog="Try: fastconv train lenet",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module_name in COMMANDS.items():
        module = importlib.import_module(module_name)
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.SUMMARY[0].upper() + module.SUMMARY[1:] + ".",
            epilog="examples:\n" + module.EXAMPLE,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; errors a user can mend are printed in one line, with exit status 2.

    >>> main(["predict", "nowhere.safetensors", "--digit", "0"])  # doctest: +SKIP
    fastconv: error: nowhere.safetensors: there is no such weights file
    2
    """
    parsed = build_parser().parse_args(arguments)
    try:
        status: int = parsed.run(parsed)
    except (OSError, ValueError, ImportError, FloatingPointError) as error:
        print(f"fastconv: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nfastconv: interrupted", file=sys.stderr)
        return 130
    return status
