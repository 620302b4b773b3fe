from typing import Any

from numpy.typing import NDArray

SOFTMAX: int
LOG_SOFTMAX: int
LOGSUMEXP: int

def forward(
    mode: int, outer: int, size: int, inner: int, input: NDArray[Any], output: NDArray[Any]
) -> None: ...
def backward(
    mode: int,
    outer: int,
    size: int,
    inner: int,
    grad_output: NDArray[Any],
    saved: NDArray[Any],
    output: NDArray[Any] | None,
    grad_input: NDArray[Any],
) -> None: ...
