"""Dropout."""

from __future__ import annotations

import numpy as np

from fastconv import ops
from fastconv.nn.initialization import RandomSource
from fastconv.nn.module import Array, Module


class Dropout(Module):
    """In training, zero each entry with probability `p` and scale the others by 1 / (1 - p).

    In evaluation the input passes unchanged. `p` is the probability of dropping, as in PyTorch (the
    notes, 004 section 6.4, call p the probability of keeping). Masks are drawn from `rng`, a
    numpy.random.Generator or a seed. Raises ValueError unless 0 <= p <= 1.

    >>> import numpy as np
    >>> Dropout(0.5, rng=0).eval()(np.ones(3, dtype=np.float32))
    array([1., 1., 1.], dtype=float32)
    """

    def __init__(self, p: float = 0.5, *, rng: RandomSource = None) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"p is {p!r}: expected a probability between 0 and 1")
        self.p = float(p)
        self.rng = np.random.default_rng(rng)

    def forward(self, input: Array) -> Array:
        """Drop entries (training) or return `input` itself (evaluation)."""
        if not self.training or self.p == 0.0:
            self._save(None)
            return input
        output, mask = ops.dropout(input, self.p, self.rng)
        self._save(mask)
        return output

    def backward(self, grad_output: Array, input_gradient: bool = True) -> Array | None:
        """Pass the gradient through the entries that were kept, scaled alike."""
        (mask,) = self._restore()
        if not input_gradient:
            return None
        return grad_output if mask is None else ops.dropout_backward(grad_output, mask, self.p)

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"p={self.p}"
