"""The IDX format of MNIST: two zero bytes, a type, the number of dimensions, the shape, values.

All numbers are big-endian. The format is described at the end of http://yann.lecun.com/exdb/mnist/.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

IDX_DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_CHUNK = 1 << 20


def _read_exactly(file: IO[bytes], size: int, what: str) -> bytes:
    """Read `size` bytes in chunks: a header that lies costs no more memory than the file has."""
    parts = []
    left = size
    while left:
        part = file.read(min(left, _CHUNK))
        if not part:
            raise ValueError(f"it ends after {size - left} of the {size} bytes of {what}")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _parse(file: IO[bytes]) -> Array:
    """Read one array; ValueError without the file's name."""
    first, second, code, dimensions = _read_exactly(file, 4, "its magic number")
    if first or second:
        raise ValueError(f"it starts with bytes {first:#04x} {second:#04x}, not 0x00 0x00")
    if code not in IDX_DTYPES:
        known = ", ".join(f"{known:#04x}" for known in IDX_DTYPES)
        raise ValueError(f"its type code is {code:#04x}; the codes are {known}")
    if dimensions == 0:
        raise ValueError("it says that it has no dimensions")
    header = _read_exactly(file, 4 * dimensions, "its dimensions")
    shape = struct.unpack(f">{dimensions}I", header)
    dtype = IDX_DTYPES[code]
    values = _read_exactly(file, math.prod(shape) * dtype.itemsize, f"values for shape {shape}")
    if file.read(1):
        raise ValueError(f"it goes on after the {len(values)} bytes of values for shape {shape}")
    array = np.frombuffer(values, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def read_idx(path: str | os.PathLike[str]) -> Array:
    """Read an IDX file, gzip-compressed or not (its first bytes tell), as a native, writable array.

    Raises FileNotFoundError, or ValueError that names the file and what is wrong with it: another
    format, an unknown type, a truncated or overlong file, a damaged gzip stream.
    """
    path = Path(path)
    try:
        with path.open("rb") as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not compressed:
                return _parse(raw)
            with gzip.GzipFile(fileobj=raw) as file:
                return _parse(cast(IO[bytes], file))
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a sound IDX file: {error}") from error


def write_idx(path: str | os.PathLike[str], array: npt.ArrayLike) -> None:
    """Write an array as IDX, gzip-compressed when the name ends in ".gz".

    Raises TypeError for a dtype that IDX does not have.
    """
    values = np.asarray(array)
    big_endian = values.dtype.newbyteorder(">")
    codes = {dtype: code for code, dtype in IDX_DTYPES.items()}
    if big_endian not in codes or values.ndim == 0:
        names = ", ".join(dtype.newbyteorder("=").name for dtype in codes)
        raise TypeError(
            f"array is {values.ndim}-dimensional {values.dtype}: IDX holds arrays of {names}"
        )
    header = struct.pack(
        f">BBBB{values.ndim}I", 0, 0, codes[big_endian], values.ndim, *values.shape
    )
    content = header + values.astype(big_endian).tobytes()
    if str(path).endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    Path(path).write_bytes(content)
