"""Build the C library `libfastconv` once per instruction set, and the Cython modules over it.

Everything declarative is in pyproject.toml, the flags are in src_c/build_flags.py. What is here is
the one thing setuptools cannot say: `src_c/kernels/isa.c` is compiled several times with other
flags, each into a folder of its own, and all objects are linked into one shared library that the
small Cython modules share.
"""

import os
import platform
import shutil
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import Cython
import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

sys.path.insert(0, str(Path(__file__).parent / "src_c"))
from build_flags import (
    ARCHITECTURES,
    C_FLAGS,
    LINK_FLAGS,
    OPENMP,
    SANITIZE,
    SOURCE,
    Job,
    compile_jobs,
)

HEADERS = SOURCE / "include"
CORE = Path("fastconv/_core")
LIBRARY = "libfastconv.so"


def require_machine() -> None:
    """Stop with an explanation where the library can't be built."""
    if sys.platform != "linux" or platform.machine() not in ARCHITECTURES:
        sys.exit(
            f"fastconv can't be built for {sys.platform} on {platform.machine()}, but on Linux for "
            f"{' and '.join(ARCHITECTURES)}. A new architecture is a row in src_c/build_flags.py."
        )
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.is_file():
        sys.exit(f"fastconv needs Python's headers: {header} is missing (Debian: python3-dev)")


class BuildWithLibrary(build_ext):
    """build_ext that first builds the shared C library beside the extension modules."""

    def finalize_options(self) -> None:
        """Compile in parallel unless told otherwise."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self) -> None:
        """Build the library, then the modules that link to it."""
        require_machine()
        library_folder = self.build_library()
        for extension in self.extensions:
            extension.library_dirs.append(str(library_folder))
            extension.extra_compile_args += [*C_FLAGS, "-Wno-unused-function"]
            extension.extra_link_args += LINK_FLAGS
        super().build_extensions()

    def library_file(self) -> Path:
        """Where the shared library belongs: beside the extension modules."""
        return Path(self.get_ext_fullpath("fastconv._core.runtime")).with_name(LIBRARY)

    def compile_one(self, job: Job) -> list[str]:
        """Compile one C source into its own folder: one object per (source, instruction set)."""
        return self.compiler.compile(
            [str(job.source)],
            output_dir=str(Path(self.build_temp) / job.folder),
            macros=job.macros,
            include_dirs=[str(HEADERS)],
            extra_postargs=job.flags,
        )

    def build_library(self) -> Path:
        """Compile all of src_c, whatever has changed, and link it."""
        sanitize = SANITIZE if os.environ.get("FASTCONV_SANITIZE") else []
        jobs = compile_jobs(platform.machine(), [*C_FLAGS, *sanitize])
        with ThreadPoolExecutor(self.parallel) as pool:
            compiled = pool.map(self.compile_one, jobs)
            objects = [item for each in compiled for item in each]
        target = self.library_file()
        self.compiler.link_shared_object(
            objects,
            str(target),
            libraries=["m"],
            extra_postargs=[*OPENMP, *(sanitize or LINK_FLAGS), f"-Wl,-soname,{LIBRARY}"],
        )
        return target.parent

    def run(self) -> None:
        """Build, then ship the public C headers beside the library, for other Cython code."""
        super().run()
        if not self.inplace:
            shutil.copytree(HEADERS, self.library_file().parent / "include", dirs_exist_ok=True)

    def copy_extensions_to_source(self) -> None:
        """Editable installs: put the library and the headers beside the modules in the tree."""
        super().copy_extensions_to_source()
        # Replaced, not overwritten: a process that has mapped the old library goes on using it.
        temporary = CORE / f".{LIBRARY}.new"
        shutil.copy2(Path(self.build_lib) / CORE / LIBRARY, temporary)
        temporary.replace(CORE / LIBRARY)
        shutil.copytree(HEADERS, CORE / "include", dirs_exist_ok=True)

    def get_outputs(self) -> list[str]:
        """Tell setuptools (and so wheels and uninstall) of the library and the headers too."""
        headers = [self.library_file().parent / "include" / path.name for path in HEADERS.iterdir()]
        return [*super().get_outputs(), *map(str, [self.library_file(), *headers])]


def extension(path: Path) -> Extension:
    """One small Cython module, linked to the library that lies beside it."""
    return Extension(
        f"fastconv._core.{path.stem}",
        [str(path)],
        include_dirs=[str(HEADERS), numpy.get_include()],
        define_macros=[
            ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
            ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),  # allocators of one's own: NEP 49
        ],
        libraries=["fastconv"],
        runtime_library_dirs=["$ORIGIN"],
        depends=[*map(str, HEADERS.iterdir()), *map(str, CORE.glob("*.pxd"))],
    )


setup(
    ext_modules=cythonize(
        [extension(path) for path in sorted(CORE.glob("*.pyx"))],
        # C that Cython wrote for one NumPy's headers need not compile with another's.
        build_dir=f"build/cython-{Cython.__version__}-numpy-{numpy.__version__}",
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
            "embedsignature": True,
            "freethreading_compatible": True,
        },
    ),
    cmdclass={"build_ext": BuildWithLibrary},
)
