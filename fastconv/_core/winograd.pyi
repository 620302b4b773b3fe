from typing import Any

from numpy.typing import NDArray

from fastconv._core.conv import Conv2d

def forward(
    conv: Conv2d,
    input: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    relu: bool,
    output: NDArray[Any],
) -> None: ...
def forward_packed(
    conv: Conv2d,
    input: NDArray[Any],
    packed: NDArray[Any],
    bias: NDArray[Any] | None,
    relu: bool,
    output: NDArray[Any],
) -> None: ...
def pack_weight(conv: Conv2d, weight: NDArray[Any], packed: NDArray[Any]) -> None: ...
def packed_size(conv: Conv2d, double: bool) -> int: ...
def grad_input(
    conv: Conv2d, grad_output: NDArray[Any], weight: NDArray[Any], result: NDArray[Any]
) -> None: ...
def grad_weight(
    conv: Conv2d, input: NDArray[Any], grad_output: NDArray[Any], result: NDArray[Any]
) -> None: ...
def workspace(conv: Conv2d, double: bool, which: str) -> int: ...
