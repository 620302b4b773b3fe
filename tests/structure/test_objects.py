"""What the compiler made of the kernels: no instruction runs on a CPU that does not have it.

Every object is compiled here with setup.py's own table of flags and taken apart with objdump. The
instructions that a file holds decide, whatever the flags meant.
"""

import platform
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from structure import build_flags
from structure.tree import ROOT

FLAGS = build_flags.load()
#: What a user may have in CFLAGS; it comes first, and must change nothing.
HOSTILE = ["-march=native", "-Ofast", "-flto"]

pytestmark = [
    pytest.mark.skipif(not shutil.which("objdump"), reason="objdump (binutils) is missing"),
    pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is missing"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the patterns are those of x86-64"),
]


def compiled(job: Any, folder: Path) -> Path:
    """Compile one object of the library."""
    target = folder / f"{job.folder}-{job.source.stem}.o"
    macros = [f"-D{name}={value}" for name, value in job.macros]
    command = ["gcc", *HOSTILE, "-c", str(job.source), "-o", str(target), *macros, *job.flags]
    subprocess.run(command, cwd=ROOT, check=True)
    return target


def objdump(*options: str) -> str:
    """Output of objdump."""
    return subprocess.run(["objdump", *options], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name -> file of every object: "avx2-isa", "portable-threads", ..."""
    folder = tmp_path_factory.mktemp("objects")
    with ThreadPoolExecutor(2) as pool:
        built = pool.map(lambda job: compiled(job, folder), FLAGS.compile_jobs("x86_64"))
    return {path.stem: path for path in built}


@pytest.fixture(scope="module")
def code(objects: dict[str, Path]) -> dict[str, list[str]]:
    """Name -> instructions with their operands, one a line."""
    return {
        name: re.findall(r"^\s+[0-9a-f]+:\t(.*)$", objdump("-d", "--no-show-raw-insn", path), re.M)
        for name, path in ((name, str(path)) for name, path in objects.items())
    }


def holding(pattern: str, lines: list[str]) -> list[str]:
    """The first few instructions in which the pattern is found."""
    return [line for line in lines if re.search(pattern, line)][:5]


VEX = r"^v|[yz]mm|%k[0-7]\b"  # every AVX instruction's name begins with a v
FMA = r"^vfn?m(add|sub)\d+p[sd]"


def test_every_instruction_set_and_driver_is_there(code: dict[str, list[str]]) -> None:
    assert {"avx512-isa", "avx2-isa", "baseline-isa", "portable-threads"} <= code.keys()
    assert min(map(len, code.values())) > 5


def test_what_runs_everywhere_has_no_avx(code: dict[str, list[str]]) -> None:
    everywhere = [name for name in code if name.startswith(("portable-", "baseline-"))]
    assert {name: found for name in everywhere if (found := holding(VEX, code[name]))} == {}


def test_avx2_has_no_avx512(code: dict[str, list[str]]) -> None:
    assert holding(r"zmm|%k[0-7]\b|[xy]mm(1[6-9]|2\d|3[01])", code["avx2-isa"]) == []


@pytest.mark.parametrize(("isa", "register"), [("avx2", "ymm"), ("avx512", "zmm")])
def test_products_and_sums_are_contracted(
    code: dict[str, list[str]], isa: str, register: str
) -> None:
    """One rounding a product, in registers of the full width."""
    fused = [line for line in code[f"{isa}-isa"] if re.search(FMA, line)]
    assert sum(register in line for line in fused) > 100


def test_nothing_runs_before_dispatch(objects: dict[str, Path]) -> None:
    """A constructor, or a global computed at load time, would run before the CPU is asked."""
    for path in objects.values():
        assert not re.search(r"\.(init|pre_init|fini)_array|\.ctors", objdump("-h", str(path))), (
            path
        )


def test_kernels_export_their_table_alone(objects: dict[str, Path]) -> None:
    for isa in ("avx512", "avx2", "baseline"):
        symbols = objdump("-t", str(objects[f"{isa}-isa"])).splitlines()
        defined = [line.split()[-1] for line in symbols if " g " in line]
        assert defined == [f"fc_kernels_{isa}"]


def test_kernels_are_constant_data(objects: dict[str, Path]) -> None:
    """No .data or .bss that several threads could share."""
    for isa in ("avx512", "avx2", "baseline"):
        sections = objdump("-h", str(objects[f"{isa}-isa"]))
        sizes = re.findall(r"\s(\.(?:t?bss|t?data))\s+([0-9a-f]+)", sections)
        assert [size for _, size in sizes if int(size, 16)] == []
