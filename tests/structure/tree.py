"""The source tree as the tests of its structure see it."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src_c"
PACKAGE = ROOT / "fastconv"
BENCHMARKS = ROOT / "benchmarks"

C_FILES = sorted(path for path in SOURCE.rglob("*") if path.suffix in (".c", ".h", ".inc"))
PYTHON_FILES = sorted(PACKAGE.rglob("*.py"))
BENCHMARK_FILES = sorted(p for p in BENCHMARKS.rglob("*") if p.suffix in (".c", ".py"))


def name(path: Path) -> str:
    """Path from the root, for messages."""
    return path.relative_to(ROOT).as_posix()


def c_code(path: Path) -> str:
    """C source without its comments, line numbers kept."""
    text = path.read_text()
    text = re.sub(r"/\*.*?\*/", lambda comment: "\n" * comment[0].count("\n"), text, flags=re.S)
    return re.sub(r"//.*", "", text)


def found(pattern: str, path: Path) -> list[str]:
    """Every "file:line: text" of C code, comments aside, in which the pattern is found."""
    lines = c_code(path).splitlines()
    return [
        f"{name(path)}:{number}: {line.strip()}"
        for number, line in enumerate(lines, 1)
        if re.search(pattern, line)
    ]


def tracked_files() -> list[Path]:
    """All files that git knows; the test is skipped outside a checkout."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / entry for entry in done.stdout.split("\0") if entry and (ROOT / entry).is_file()]
