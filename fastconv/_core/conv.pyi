from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

class Conv2d:
    def __init__(
        self,
        batch: int,
        groups: int,
        in_channels: int,
        out_channels: int,
        in_size: Sequence[int],
        kernel_size: Sequence[int],
        out_size: Sequence[int],
        stride: Sequence[int],
        dilation: Sequence[int],
        padding: Sequence[int],
        input_layout: str,
        output_layout: str,
    ) -> None: ...

def direct_forward(
    conv: Conv2d,
    input: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    relu: bool,
    output: NDArray[Any],
) -> None: ...
def direct_grad_input(
    conv: Conv2d,
    grad_output: NDArray[Any],
    weight: NDArray[Any],
    grad_input: NDArray[Any],
    bias: NDArray[Any] | None = None,
) -> None: ...
def direct_grad_weight(
    conv: Conv2d, input: NDArray[Any], grad_output: NDArray[Any], grad_weight: NDArray[Any]
) -> None: ...
def direct_backward(
    conv: Conv2d,
    grad_output: NDArray[Any],
    input: NDArray[Any],
    weight: NDArray[Any],
    grad_input: NDArray[Any],
    grad_weight: NDArray[Any],
    bias: NDArray[Any] | None = None,
) -> None: ...
def grad_bias(conv: Conv2d, grad_output: NDArray[Any], result: NDArray[Any]) -> None: ...
def direct_workspace(conv: Conv2d, double: bool, which: str) -> int: ...
def direct_work(conv: Conv2d, double: bool, which: str) -> float: ...
