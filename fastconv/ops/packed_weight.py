"""Convolution weights laid out once, for use in call after call."""

from typing import Any, NoReturn

import numpy as np

from fastconv._core.runtime import get_num_threads, selected_isa
from fastconv.ops.algorithms import autotune
from fastconv.ops.algorithms.select import Plan, select
from fastconv.ops.arrays import Array, as_floats
from fastconv.ops.conv_arguments import geometry_of
from fastconv.ops.geometry import Conv2dGeometry

ISA = selected_isa()

#: What a packed weight was made for, and a call must have again.
FIXED = ("weight_shape", "stride", "dilation", "groups")


class PackedConv2dWeight:
    """A weight that `conv2d` takes in place of an array; `prepack_conv2d_weight` makes it.

    It holds a copy of its own, in the order in which the algorithm reads it where that differs from
    (K, C / groups, R, S), and never changes; any number of threads may use it at once. The order is
    that of this process's instruction set, so it can't be pickled.

    Attributes
    ----------
    shape : tuple of int
        (K, C / groups, R, S), of the weight that was packed.
    dtype : numpy.dtype
        float32 or float64: of the arithmetic (float16 is held as float32).
    algorithm : str
        What every call with it runs.
    nbytes : int
        Memory that it holds.
    """

    __slots__ = ("_accepted", "_data", "_dtype", "_geometry", "_module")

    def __init__(self, data: Array, plan: Plan) -> None:
        """Take over `data`: a weight as it is, or what `pack` made of one for this plan."""
        self._data = data
        self._data.flags.writeable = False
        self._dtype = np.dtype(plan.dtype)
        self._module = plan.module
        self._geometry = self._accepted = plan.geometry

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight that was packed."""
        return self._geometry.weight_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self._dtype

    @property
    def algorithm(self) -> str:
        """What every call runs."""
        name: str = self._module.name
        return name

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        return self._data.nbytes

    def for_call(self, geometry: Conv2dGeometry, dtype: np.dtype[Any], algorithm: str) -> Array:
        """Return the memory that the algorithm reads; ValueError if it was packed for another call."""
        if algorithm not in ("auto", self.algorithm):
            raise ValueError(
                f"algorithm: expected 'auto' or {self.algorithm!r}, which the weight was packed for, "
                f"got {algorithm!r}"
            )
        if dtype != self._dtype:
            self._refuse(f"dtype {self._dtype}", f"{dtype}")
        if geometry is not self._accepted:
            self._check(geometry)
            self._accepted = geometry
        return self._data

    def _check(self, geometry: Conv2dGeometry) -> None:
        for name in FIXED:
            mine, came = getattr(self._geometry, name), getattr(geometry, name)
            if mine != came:
                self._refuse(f"{name.replace('_', ' ')} {mine}", f"{came}")
        if geometry.empty:
            return
        reason = self._module.rejects(geometry, self._dtype)
        if reason:
            self._refuse(f"{self.algorithm!r}", f"a call that it can't do: {reason}")
        if self._data.dtype == np.uint8 and not self._module.packed_weights(
            geometry, self._dtype, "forward"
        ):
            self._refuse(
                f"input {self._geometry.input_shape}",
                f"{geometry.input_shape}, for which {self.algorithm!r} reads it in another order",
            )

    def _refuse(self, expected: str, came: str) -> NoReturn:
        raise ValueError(
            f"weight: it was packed for {expected}, got {came}; pack it anew with "
            "prepack_conv2d_weight and this call's arguments, or pass the plain array"
        )

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        """Packed weights are no array: whatever else takes one gets a clear TypeError."""
        raise TypeError(
            "a PackedConv2dWeight is for the weight of conv2d, forward; pass the plain array here"
        )

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: another process may read another order."""
        raise TypeError("a PackedConv2dWeight can't be pickled; pack the weight where it is used")

    def __copy__(self) -> "PackedConv2dWeight":
        """It never changes: one is enough."""
        return self

    def __deepcopy__(self, _: Any) -> "PackedConv2dWeight":
        """It never changes: one is enough."""
        return self

    def __repr__(self) -> str:
        return (
            f"PackedConv2dWeight(shape={self.shape}, dtype={self._dtype}, "
            f"algorithm={self.algorithm!r}, nbytes={self.nbytes})"
        )


def pack(plan: Plan, weight: Array) -> Array | None:
    """Return the weight in the order in which the plan reads it, None if that is its own."""
    if not plan.packed_weight_bytes:
        return None
    packed: Array | None = plan.module.pack_weight(plan.geometry, weight)
    return packed


def plan_forward(
    input_shape: tuple[int, ...], weight_shape: tuple[int, ...], dtype: np.dtype[Any], stride: Any,
    padding: Any, dilation: Any, groups: Any, layout: str = "NCHW", algorithm: str = "auto",
) -> Plan:  # fmt: skip
    """Return the plan of the forward pass, as `conv2d` makes it."""
    g = geometry_of(input_shape, weight_shape, stride, padding, dilation, groups, layout)
    return select(g, dtype, "forward", algorithm, ISA, get_num_threads(), autotune.table)


def prepack_conv2d_weight(
    weight: Any,
    input_shape: tuple[int, ...],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
    layout: str = "NCHW",
) -> PackedConv2dWeight:
    """Lay a weight out once for many calls of `conv2d`, which otherwise do so every time.

    Parameters
    ----------
    weight : array-like, (K, C / groups, R, S)
        float32, float64 or float16; it is copied, later changes to it are not seen.
    input_shape : tuple of int
        Of a typical input; "auto" chooses for it. Calls may have another batch size, image size,
        padding and layout, with the same algorithm; a few orders depend on the image's size, and
        then `conv2d` says so.
    stride, padding, dilation, groups, algorithm, layout
        As for `conv2d`.

    Returns
    -------
    PackedConv2dWeight
        For `conv2d` in place of `weight`; results are the bits that `conv2d` gives for the plain
        weight with the same algorithm. `conv2d_backward` takes plain weights only: they are needed
        in another order there, and change at every step.

    Raises
    ------
    TypeError, ValueError
        As `conv2d` does.

    Examples
    --------
    >>> x = np.ones((1, 64, 14, 14), np.float32)
    >>> weight = np.ones((32, 64, 3, 3), np.float32)
    >>> packed = prepack_conv2d_weight(weight, x.shape, padding=1, algorithm="implicit_gemm")
    >>> packed.shape, packed.algorithm
    ((32, 64, 3, 3), 'implicit_gemm')
    >>> from fastconv import conv2d
    >>> conv2d(x, packed, padding=1)[0, 0, 0, :3]
    array([256., 384., 384.], dtype=float32)
    """
    array = as_floats("weight", weight)
    shape = tuple(map(int, input_shape))
    options = stride, padding, dilation, groups, layout, algorithm
    plan = plan_forward(shape, array.shape, array.dtype, *options)
    packed = pack(plan, array)
    return PackedConv2dWeight(array.copy() if packed is None else packed, plan)
