from typing import Any

from numpy.typing import NDArray

_Array = NDArray[Any]
_Entry = tuple[int, _Array, _Array, _Array | None, _Array | None, _Array | None]

SGD: int
RMSPROP: int
ADAM: int

def ready(entry: _Entry) -> bool: ...
def step(
    rule: int,
    lr: float,
    weight_decay: float,
    momentum: float,
    dampening: float,
    betas: tuple[float, float],
    eps: float,
    nesterov: bool,
    entries: list[_Entry],
) -> None: ...
