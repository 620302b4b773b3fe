"""Packed weights of the channel-blocked algorithms: bytes, aligned as vectors read them."""

import numpy as np

from fastconv._core.blocked import Algorithm
from fastconv.ops.arrays import Array
from fastconv.ops.geometry import Conv2dGeometry

#: Bytes that the core wants packed weights aligned to.
ALIGNMENT = 64


def pack(core: Algorithm, geometry: Conv2dGeometry, which: str, weight: Array) -> Array | None:
    """Return the weight in the order of a pass, None where it is read as it is."""
    size = core.packed_size(geometry.core, weight.dtype.itemsize == 8, which)
    if size == 0:
        return None
    room = np.empty(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    packed = room[start : start + size]
    core.pack_weight(geometry.core, which, weight, packed)
    return packed
