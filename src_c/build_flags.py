"""What is compiled with which flags: the one table that setup.py and the tests of objects read.

`kernels/isa.c` is compiled once per instruction set, everything else once, for every machine of the
architecture. A user's CFLAGS come first and cannot undo what is set here: `-march=native`,
`-ffast-math` or `-flto` in them would otherwise put instructions or rounding modes into code that
runs on any machine.
"""

from dataclasses import dataclass
from pathlib import Path

SOURCE = Path("src_c")

# gnu11, not c11: ISO mode turns the contraction of a*b+c into one FMA off.
C_FLAGS = [
    "-std=gnu11",
    "-O3",
    "-fno-fast-math",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-lto",
    "-fvisibility=hidden",
    "-fPIC",
]
WARNINGS = ["-Wall", "-Wextra", "-Wno-psabi", "-Wno-unknown-pragmas"]
OPENMP = ["-fopenmp"]
LINK_FLAGS = [
    "-O3",
    "-fno-fast-math",
    "-fno-lto",
    "-Wl,--strip-debug",
]  # -Ofast would link crtfastmath
SANITIZE = [
    "-fsanitize=address,undefined",
    "-fno-sanitize=null,object-size",  # those the address sanitizer finds too: half the build's time
    "-fno-sanitize-recover=undefined",
    "-fno-omit-frame-pointer",
    "-g1",
    "-O1",
    "-fexpensive-optimizations",  # FMAs, as with -O3: the same results
]

# One row per architecture: the flags of the portable files, and of kernels/isa.c for each
# instruction set. src_c/runtime/isa_list.inc and kernels/tiles.h hold the same names.
X86_64 = ["-march=x86-64", "-mtune=generic"]
AVX2 = ["-mavx2", "-mfma"]
AVX512 = ["-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mfma"]
ARCHITECTURES = {
    "x86_64": (
        X86_64,
        {
            "avx512": [*X86_64, *AVX512, "-mprefer-vector-width=512"],
            "avx2": [*X86_64, *AVX2],
            "baseline": X86_64,
        },
    ),
    "aarch64": (["-march=armv8-a"], {"neon": ["-march=armv8-a"]}),
}


@dataclass(frozen=True)
class Job:
    """One run of the compiler: `source` into an object in the folder `folder`."""

    source: Path
    folder: str
    flags: list[str]
    macros: list[tuple[str, str]]


def compile_jobs(machine: str, common: list[str] = C_FLAGS) -> list[Job]:
    """Return every object of libfastconv on `machine`, the slowest to compile first."""
    portable, instruction_sets = ARCHITECTURES[machine]
    jobs = [
        Job(SOURCE / "kernels/isa.c", isa, [*common, *WARNINGS, *flags], [("FC_ISA_NAME", isa)])
        for isa, flags in instruction_sets.items()
    ]
    extra = {"threads.c": OPENMP}
    macros = {"dispatch.c": [("FC_BUILD_FLAGS", '"{}"'.format(" ".join(common)))]}
    for source in sorted([*SOURCE.glob("runtime/*.c"), *SOURCE.glob("ops/*.c")]):
        flags = [*common, *WARNINGS, *portable, *extra.get(source.name, [])]
        jobs.append(Job(source, "portable", flags, macros.get(source.name, [])))
    return jobs
