from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

class Pool2d:
    def __init__(
        self,
        planes: int,
        input_size: Sequence[int],
        output_size: Sequence[int],
        kernel: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
    ) -> None: ...

def max_forward(
    geometry: Pool2d, input: NDArray[Any], output: NDArray[Any], indices: NDArray[Any] | None
) -> None: ...
def max_backward(
    planes: int,
    in_area: int,
    out_area: int,
    grad_output: NDArray[Any],
    indices: NDArray[Any],
    maxima: NDArray[Any] | None,
    grad_input: NDArray[Any],
) -> None: ...
def avg_forward(
    geometry: Pool2d,
    count_include_pad: bool,
    divisor: int,
    input: NDArray[Any],
    output: NDArray[Any],
) -> None: ...
def avg_backward(
    geometry: Pool2d,
    count_include_pad: bool,
    divisor: int,
    grad_output: NDArray[Any],
    grad_input: NDArray[Any],
) -> None: ...
