from typing import Any

from numpy.typing import NDArray

def forward(
    a: NDArray[Any],
    b: NDArray[Any],
    bias: NDArray[Any] | None,
    addend: NDArray[Any] | None,
    c: NDArray[Any],
    transpose_a: bool,
    transpose_b: bool,
    bias_of_rows: bool,
    relu: bool,
) -> None: ...
def packed_size(b: NDArray[Any], transpose_b: bool) -> int: ...
def pack(b: NDArray[Any], transpose_b: bool, packed: NDArray[Any]) -> None: ...
