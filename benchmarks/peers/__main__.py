"""`python -m benchmarks.peers`."""

import os
import sys

from benchmarks.peers import arguments


def main(words: list[str]) -> int:
    """Parse, start anew where the environment must differ, and run."""
    parser = arguments.parser()
    options = parser.parse_args(words)
    missing = arguments.missing_environment(options.isa)
    if missing:
        # read when libraries are loaded: nothing of them may be in this process yet
        command = [sys.executable, "-m", "benchmarks.peers", *words]
        os.execve(sys.executable, command, os.environ | missing)
    if options.docs:
        from benchmarks.peers.docs import rewrite

        return rewrite()
    from benchmarks.peers.report import make

    try:
        return make(options)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
