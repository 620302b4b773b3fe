from typing import Any, Protocol

from numpy.typing import NDArray

class _Geometry(Protocol):
    @property
    def planes(self) -> int: ...
    @property
    def input_size(self) -> tuple[int, ...]: ...
    @property
    def output_size(self) -> tuple[int, ...]: ...
    @property
    def kernel(self) -> tuple[int, int]: ...
    @property
    def stride(self) -> tuple[int, int]: ...
    @property
    def padding(self) -> tuple[int, int]: ...
    @property
    def dilation(self) -> tuple[int, int]: ...

def max_forward(
    geometry: _Geometry, input: NDArray[Any], output: NDArray[Any], indices: NDArray[Any] | None
) -> None: ...
def max_backward(
    planes: int,
    in_area: int,
    out_area: int,
    grad_output: NDArray[Any],
    indices: NDArray[Any],
    grad_input: NDArray[Any],
) -> None: ...
def avg_forward(
    geometry: _Geometry,
    count_include_pad: bool,
    divisor: int,
    input: NDArray[Any],
    output: NDArray[Any],
) -> None: ...
def avg_backward(
    geometry: _Geometry,
    count_include_pad: bool,
    divisor: int,
    grad_output: NDArray[Any],
    grad_input: NDArray[Any],
) -> None: ...
