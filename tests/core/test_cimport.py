"""Other people's Cython code can cimport our declarations and call the C library."""

import shutil
from pathlib import Path

import pytest
from processes import output_of

EXAMPLE = '''
# cython: language_level=3
"""What a user of the C interface would write."""
cimport numpy as cnp
from fastconv._core.c_api cimport (
    data_of, dtype_of, fc_conv2d_direct_forward, fc_dtype, fc_selected_isa, fc_status, raise_status,
)
from fastconv._core.conv cimport Conv2d

cnp.import_array()


def isa():
    return fc_selected_isa().decode()


def convolve(Conv2d geometry, cnp.ndarray input, cnp.ndarray weight, cnp.ndarray output):
    cdef fc_dtype dtype = dtype_of(input)
    cdef int number = cnp.PyArray_TYPE(input)
    cdef void* x = geometry.input_of(input, number)
    cdef void* w = geometry.weight_of(weight, number)
    cdef void* y = geometry.output_of(output, number)
    cdef fc_status status
    with nogil:
        status = fc_conv2d_direct_forward(&geometry.c, dtype, x, w, NULL, 0, y)
    raise_status(status)
'''

BUILD = """
import sys
import fastconv as fc, numpy, pathlib
from Cython.Build import cythonize
from setuptools import Extension, setup
core = str(pathlib.Path(fc.get_include()).parent)
extension = Extension(
    "example", ["example.pyx"], include_dirs=[fc.get_include(), numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    libraries=["fastconv"], library_dirs=[core], runtime_library_dirs=[core],
    extra_compile_args=["-O0"],
)
sys.argv = ["setup.py", "-q", "build_ext", "--inplace"]
setup(name="example", py_modules=[], ext_modules=cythonize([extension], quiet=True))
"""

USE = """
import numpy as np, fastconv as fc, example
from fastconv._core.conv import Conv2d
x, w = np.ones((1, 2, 4, 4), np.float32), np.ones((3, 2, 3, 3), np.float32)
y = np.empty((1, 3, 2, 2), np.float32)
geometry = Conv2d(1, 1, 2, 3, (4, 4), (3, 3), (2, 2), (1, 1), (1, 1), (0, 0), "NCHW", "NCHW")
example.convolve(geometry, x, w, y)
assert np.array_equal(y, fc.conv2d(x, w)), y
assert example.isa() in fc.show_config()
try:
    example.convolve(geometry, x, w, y[:, :2].copy())
except ValueError:
    print("the door is shut")
"""


@pytest.mark.skipif(not (shutil.which("gcc") or shutil.which("cc")), reason="no C compiler")
def test_cython_code_calls_the_library(tmp_path: Path) -> None:
    """It takes a few seconds: Cython and gcc run."""
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    (tmp_path / "example.pyx").write_text(EXAMPLE)
    output_of(BUILD, folder=tmp_path, timeout=120)
    assert "the door is shut" in output_of(USE, folder=tmp_path)
