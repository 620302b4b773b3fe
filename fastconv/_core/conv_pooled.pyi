from typing import Any

from numpy.typing import NDArray

from fastconv._core.conv import Conv2d

class Maxima:
    def __init__(
        self, conv: Conv2d, maxima: int, indices: NDArray[Any], output: NDArray[Any] | None
    ) -> None: ...

def can_forward(conv: Conv2d, double: bool) -> bool: ...
def forward(
    conv: Conv2d,
    input: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    relu: bool,
    output: NDArray[Any],
    places: NDArray[Any] | None,
) -> None: ...
def can(conv: Conv2d, maxima: int, double: bool) -> bool: ...
def pays(conv: Conv2d, maxima: int, double: bool) -> bool: ...
def grad_input(
    conv: Conv2d,
    maxima: Maxima,
    grad_maxima: NDArray[Any],
    weight: NDArray[Any],
    result: NDArray[Any],
) -> None: ...
def grad_weight(
    conv: Conv2d,
    maxima: Maxima,
    grad_maxima: NDArray[Any],
    input: NDArray[Any],
    result: NDArray[Any],
    bias_result: NDArray[Any] | None,
) -> None: ...
