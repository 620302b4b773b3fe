"""Running Python code in a process of its own, with another environment."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import fastconv

ROOT = str(Path(fastconv.__file__).parents[1])


def run_python(
    code: str, *, folder: Path | None = None, timeout: float = 60, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `code` where it finds fastconv as this process does; variables set to "" are removed.

    When the time is up, the process and all its children are ended.
    """
    variables = {**os.environ, **environment}
    arguments = [sys.executable, "-c", f"import sys; sys.path.insert(0, {ROOT!r})\n{code}"]
    process = subprocess.Popen(
        arguments,
        cwd=folder,
        env={name: value for name, value in variables.items() if value != ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


def output_of(
    code: str, *, folder: Path | None = None, timeout: float = 60, **environment: str
) -> str:
    """Run `code`, which must succeed, and return what it printed, stripped."""
    done = run_python(code, folder=folder, timeout=timeout, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()
