from typing import Any

from numpy.typing import NDArray

from fastconv._core.conv import Conv2d

def description() -> str: ...
def forward(
    conv: Conv2d,
    input: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    relu: bool,
    output: NDArray[Any],
) -> None: ...
def grad_input(
    conv: Conv2d, grad_output: NDArray[Any], weight: NDArray[Any], result: NDArray[Any]
) -> None: ...
def grad_weight(
    conv: Conv2d, input: NDArray[Any], grad_output: NDArray[Any], result: NDArray[Any]
) -> None: ...
