from typing import Any

from numpy.typing import NDArray

def forward(
    input: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    relu: bool,
    output: NDArray[Any],
) -> None: ...
def grad_input(grad_output: NDArray[Any], weight: NDArray[Any], result: NDArray[Any]) -> None: ...
def grad_weight(input: NDArray[Any], grad_output: NDArray[Any], result: NDArray[Any]) -> None: ...
