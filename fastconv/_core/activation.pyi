from typing import Any

from numpy.typing import NDArray

ACTIVATIONS: dict[str, int]

def forward(f: int, parameter: float, input: NDArray[Any], output: NDArray[Any]) -> None: ...
def backward(
    f: int,
    parameter: float,
    grad_output: NDArray[Any],
    saved: NDArray[Any],
    grad_input: NDArray[Any],
) -> None: ...
