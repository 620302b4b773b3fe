"""Activation layers: each names its function in `fastconv.ops`, and what backward takes."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, cast

from fastconv import ops
from fastconv.nn.module import Array, Module
from fastconv.ops.activation import relu_backward_in_place
from fastconv.ops.conv_pooled import PooledOutput


class Activation(Module):
    """A function of `fastconv.ops` as a layer; the output has the input's shape and dtype.

    Subclasses set `function` (the name in ops), `keeps_output` (True when `<function>_backward`
    takes the function's output rather than its input) and `options` (attributes, in order).
    """

    function: ClassVar[str]
    keeps_output: ClassVar[bool] = False
    options: ClassVar[tuple[str, ...]] = ()

    def _arguments(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.options)

    def forward(self, input: Array) -> Array:
        """Apply the function to every entry."""
        output = cast(Array, getattr(ops, self.function)(input, *self._arguments()))
        self._save(output if self.keeps_output else input)
        return output

    def backward(self, grad_output: Array, input_gradient: bool = True) -> Array | None:
        """Multiply by the derivative."""
        (kept,) = self._restore()
        if not input_gradient:
            return None
        function = getattr(ops, self.function + "_backward")
        return cast(Array, function(grad_output, kept, *self._arguments()))

    def extra_repr(self) -> str:
        """The options by name."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.options)


class ReLU(Activation):
    """max(0, x).

    >>> import numpy as np
    >>> ReLU()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    function = "relu"
    keeps_output = True

    def adopt(self, output: Array | PooledOutput) -> None:
        """Take an `output` that the layer before has clipped already for this layer's own.

        Of a PooledOutput it is known in those places alone that a gradient will come from.
        """
        self._save(output)

    def backward_in_place(self, grad_output: Array) -> Array:
        """As `backward`, for a gradient that nobody else needs: it is overwritten."""
        (output,) = self._restore()
        return relu_backward_in_place(grad_output, output)


class Sigmoid(Activation):
    """1 / (1 + exp(-x)).

    >>> import numpy as np
    >>> Sigmoid()(np.array([0.0]))
    array([0.5])
    """

    function = "sigmoid"
    keeps_output = True


class Tanh(Activation):
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)).

    >>> import numpy as np
    >>> Tanh()(np.array([0.0]))
    array([0.])
    """

    function = "tanh"
    keeps_output = True


class LeakyReLU(Activation):
    """x where x > 0, negative_slope * x elsewhere.

    >>> import numpy as np
    >>> LeakyReLU(0.5)(np.array([-2.0, 2.0]))
    array([-1.,  2.])
    """

    function = "leaky_relu"
    options = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = negative_slope


class ELU(Activation):
    """x where x > 0, alpha * (exp(x) - 1) elsewhere.

    >>> import numpy as np
    >>> ELU()(np.array([0.0, 2.0]))
    array([0., 2.])
    """

    function = "elu"
    options = ("alpha",)

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha


class GELU(Activation):
    """x * Phi(x), Phi the normal distribution function; approximate="tanh" takes the usual fit.

    >>> import numpy as np
    >>> GELU()(np.array([0.0]))
    array([0.])
    """

    function = "gelu"
    options = ("approximate",)

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        super().__init__()
        self.approximate = approximate


class SiLU(Activation):
    """x * sigmoid(x).

    >>> import numpy as np
    >>> SiLU()(np.array([0.0]))
    array([0.])
    """

    function = "silu"


class Hardswish(Activation):
    """x * min(max(x + 3, 0), 6) / 6.

    >>> import numpy as np
    >>> Hardswish()(np.array([3.0]))
    array([3.])
    """

    function = "hardswish"


class Softmax(Activation):
    """exp(x) / sum(exp(x)) along `axis` (PyTorch's `dim`).

    >>> import numpy as np
    >>> Softmax(-1)(np.array([[1.0, 1.0]]))
    array([[0.5, 0.5]])
    """

    function = "softmax"
    keeps_output = True
    options = ("axis",)

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis
