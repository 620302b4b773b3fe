from typing import Any

from numpy.typing import NDArray

from fastconv._core.conv import Conv2d

class Algorithm:
    def forward(
        self,
        conv: Conv2d,
        input: NDArray[Any],
        weight: NDArray[Any],
        bias: NDArray[Any] | None,
        relu: bool,
        output: NDArray[Any],
    ) -> None: ...
    def grad_input(
        self,
        conv: Conv2d,
        grad_output: NDArray[Any],
        weight: NDArray[Any],
        result: NDArray[Any],
    ) -> None: ...
    def grad_weight(
        self,
        conv: Conv2d,
        input: NDArray[Any],
        grad_output: NDArray[Any],
        result: NDArray[Any],
    ) -> None: ...
    def packed_size(self, conv: Conv2d, double: bool, which: str) -> int: ...
    def pack_weight(
        self, conv: Conv2d, which: str, weight: NDArray[Any], packed: NDArray[Any]
    ) -> None: ...
    def workspace(self, conv: Conv2d, double: bool, which: str) -> int: ...

implicit_gemm: Algorithm
winograd: Algorithm

def winograd_tiling(conv: Conv2d, double: bool, which: str) -> tuple[int, int, int, int]: ...
