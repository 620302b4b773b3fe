from typing import Any

from numpy.typing import NDArray

def forward(
    shape: tuple[int, int, int],
    input: NDArray[Any],
    target: NDArray[Any],
    weight: NDArray[Any] | None,
    weight_sum: float,
    label_smoothing: float,
    ignore_index: int,
    losses: NDArray[Any],
) -> tuple[float, float]: ...
def backward(
    shape: tuple[int, int, int],
    input: NDArray[Any],
    target: NDArray[Any],
    weight: NDArray[Any] | None,
    weight_sum: float,
    label_smoothing: float,
    ignore_index: int,
    grad_losses: NDArray[Any] | None,
    scale: float,
    grad_input: NDArray[Any],
) -> None: ...
