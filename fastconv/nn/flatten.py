"""Flatten: from feature maps to feature vectors."""

from __future__ import annotations

from fastconv.nn.module import Array, Module


class Flatten(Module):
    """Merge dimensions start_dim..end_dim (both included) into one: (N, C, H, W) -> (N, C*H*W).

    Raises ValueError when the input has no such dimensions.

    >>> import numpy as np
    >>> Flatten()(np.zeros((2, 3, 4, 5), dtype=np.float32)).shape
    (2, 60)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Array) -> Array:
        """Reshape (a view where memory allows)."""
        start = self.start_dim + (input.ndim if self.start_dim < 0 else 0)
        end = self.end_dim + (input.ndim if self.end_dim < 0 else 0)
        if not 0 <= start <= end < input.ndim:
            raise ValueError(
                f"Flatten(start_dim={self.start_dim}, end_dim={self.end_dim}) cannot be applied to "
                f"an input of shape {input.shape}"
            )
        merged = 1
        for size in input.shape[start : end + 1]:
            merged *= size
        self._save(input.shape)
        return input.reshape(*input.shape[:start], merged, *input.shape[end + 1 :])

    def backward(self, grad_output: Array, input_gradient: bool = True) -> Array | None:
        """Give the gradient the input's shape."""
        (shape,) = self._restore()
        return grad_output.reshape(shape) if input_gradient else None

    def extra_repr(self) -> str:
        """As PyTorch prints it."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
