"""Importing from a checkout in which nothing was compiled says what to do."""

import shutil
import subprocess
import sys
from pathlib import Path

import fastconv


def test_source_without_compiled_modules_says_what_to_do(tmp_path: Path) -> None:
    source = Path(fastconv.__file__).parent
    shutil.copytree(
        source, tmp_path / "fastconv", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    command = [sys.executable, "-c", "import fastconv"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "without compiled modules" in run.stderr
    assert "pip install -e ." in run.stderr
