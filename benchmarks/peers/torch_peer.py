"""PyTorch: forward and backward, float32 and float64, contiguous NCHW and channels_last.

float32 goes to oneDNN, float64 to its own im2col and BLAS. Autograd is off: the operators are called as
autograd would call them.
"""

from functools import partial
from typing import Any

from benchmarks.peers.contender import Contender, Prepared, Problem
from benchmarks.peers.layers import PASSES

REUSE = (
    "the faster of its `out=` variant, which computes into a fresh "
    "tensor and copies, and of a plain call, whose tensor comes from memory just freed"
)


def _prepare(problem: Problem, *, channels_last: bool, out: bool = False) -> Prepared:
    """Close over tensors that share the arrays' memory, or have a channels_last copy of it."""
    import torch

    torch.set_num_threads(problem.threads)
    layout = torch.channels_last if channels_last else torch.contiguous_format

    def tensor(array: Any) -> Any:
        return torch.from_numpy(array).contiguous(memory_format=layout)

    image, weight, grad = map(tensor, (problem.input, problem.weight, problem.grad_output))
    layer, pair = problem.layer, [problem.layer.stride] * 2
    rest: tuple[Any, ...] = (pair, list(layer.padding), [1, 1], False, [0, 0], layer.groups)
    if problem.which == "backward":
        backward = torch.ops.aten.convolution_backward.default
        return Prepared(
            lambda: backward(grad, image, weight, [layer.filters], *rest, [True] * 3),
            lambda gradients: tuple(g.numpy() for g in gradients),
        )
    into = {"out": torch.zeros_like(grad)} if out else {}
    operator = torch.ops.aten.convolution.out if out else torch.ops.aten.convolution.default
    return Prepared(
        lambda: operator(image, weight, None, *rest, **into), lambda output: (output.numpy(),)
    )


def contenders() -> list[Contender]:
    """Return both layouts, and for reused outputs the `out=` variants of both."""
    import torch

    torch.set_grad_enabled(False)
    found = []
    for column, last in (("torch", False), ("torch channels_last", True)):
        for name, out in ((column, False), (f"{column} out=", True)):
            prepare = partial(_prepare, channels_last=last, out=out)
            found.append(
                Contender(
                    name, column, "torch", prepare, PASSES, ("float32", "float64"),
                    reused_only=out, follows_isa=True, reuse=REUSE,
                )
            )  # fmt: skip
    return found
