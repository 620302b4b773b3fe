"""Build the C library `libfastconv` once per instruction set, and the Cython modules over it.

Everything declarative is in pyproject.toml. What is here is the one thing setuptools cannot say:
`src_c/kernels/isa.c` is compiled several times with other flags, each into a folder of its own,
and all objects are linked into one shared library that the small Cython modules share.
"""

import os
import platform
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = Path("src_c")
HEADERS = SOURCE / "include"
CORE = Path("fastconv/_core")
LIBRARY = "fastconv"

# gnu11, not c11: ISO mode turns the contraction of a*b+c into one FMA off.
C_FLAGS = ["-std=gnu11", "-O3", "-ffp-contract=fast", "-fvisibility=hidden", "-fPIC", "-fno-math-errno"]
WARNINGS = ["-Wall", "-Wextra", "-Wno-psabi", "-Wno-unknown-pragmas"]
OPENMP = ["-fopenmp"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g", "-O1"]

# One row per instruction set; src_c/runtime/isa_list.inc holds the same names, best first.
X86_FLAGS = {
    "avx512": ["-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mfma", "-mprefer-vector-width=512"],
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "baseline": ["-march=x86-64", "-mtune=generic"],
}
ISA_FLAGS = {"x86_64": X86_FLAGS, "AMD64": X86_FLAGS, "aarch64": {"neon": []}, "arm64": {"neon": []}}


class BuildWithLibrary(build_ext):
    """build_ext that first builds the shared C library beside the extension modules."""

    def finalize_options(self):
        """Compile in parallel unless told otherwise."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        """Build the library, then the modules that link to it."""
        self.compiler.src_extensions = list(self.compiler.src_extensions)
        self.flags = list(C_FLAGS)
        self.link_flags = ["-Wl,--strip-debug"]
        if os.environ.get("FASTCONV_SANITIZE"):
            self.flags += SANITIZE
            self.link_flags += SANITIZE
        library_folder = self.build_library()
        for extension in self.extensions:
            extension.library_dirs.append(str(library_folder))
            extension.extra_compile_args += self.flags + ["-Wno-unused-function"]
            extension.extra_link_args += self.link_flags
        super().build_extensions()

    def library_file(self):
        """Where the shared library belongs, beside the extension modules."""
        folder = Path(self.get_ext_fullpath("fastconv._core.runtime")).parent
        return folder / f"lib{LIBRARY}.so"

    def compile_one(self, job):
        """Compile one C source into its own folder: one object per (source, instruction set)."""
        source, folder, flags, macros = job
        return self.compiler.compile(
            [str(source)],
            output_dir=str(Path(self.build_temp) / folder),
            macros=macros,
            include_dirs=[str(SOURCE / "include")],
            extra_postargs=self.flags + WARNINGS + flags,
        )

    def build_library(self):
        """Compile portable sources once and isa.c once per instruction set; link them."""
        isa_flags = ISA_FLAGS[platform.machine()]
        portable = sorted([*(SOURCE / "runtime").glob("*.c"), *(SOURCE / "ops").glob("*.c")])
        described = [("FC_BUILD_FLAGS", '"%s"' % " ".join(self.flags))]
        extra = {"threads.c": (OPENMP, []), "dispatch.c": ([], described)}
        jobs = [(source, "portable", *extra.get(source.name, ([], []))) for source in portable]
        isa_source = SOURCE / "kernels/isa.c"
        jobs = [
            (isa_source, isa, flags, [("FC_ISA_NAME", isa)]) for isa, flags in isa_flags.items()
        ] + jobs
        with ThreadPoolExecutor(self.parallel) as pool:
            objects = [item for objects in pool.map(self.compile_one, jobs) for item in objects]
        target = self.library_file()
        self.compiler.link_shared_object(
            objects,
            str(target),
            libraries=["m"],
            extra_postargs=[*OPENMP, *self.link_flags, f"-Wl,-soname,{target.name}"],
        )
        return target.parent

    def run(self):
        """Build, then ship the public C headers beside the library, for other Cython code."""
        super().run()
        if not self.inplace:
            shutil.copytree(HEADERS, self.library_file().parent / "include", dirs_exist_ok=True)

    def copy_extensions_to_source(self):
        """Editable installs: put the library and the headers beside the modules in the tree."""
        super().copy_extensions_to_source()
        shutil.copy2(Path(self.build_lib) / CORE / f"lib{LIBRARY}.so", CORE)
        shutil.copytree(HEADERS, CORE / "include", dirs_exist_ok=True)

    def get_outputs(self):
        """Tell setuptools (and so wheels and uninstall) of the library and the headers too."""
        headers = [self.library_file().parent / "include" / path.name for path in HEADERS.iterdir()]
        return [*super().get_outputs(), *map(str, [self.library_file(), *headers])]


def extension(path):
    """One small Cython module, linked to the library that lies beside it."""
    return Extension(
        f"fastconv._core.{path.stem}",
        [str(path)],
        include_dirs=[str(SOURCE / "include"), numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        libraries=[LIBRARY],
        runtime_library_dirs=["$ORIGIN"],
        depends=[str(SOURCE / "include/fastconv.h"), *map(str, CORE.glob("*.pxd"))],
    )


setup(
    ext_modules=cythonize(
        [extension(path) for path in sorted(CORE.glob("*.pyx"))],
        build_dir="build/cython",
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
