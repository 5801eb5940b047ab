"""Functions of each element: exponentials, logarithms, roots, trigonometric and hyperbolic ones.

Integers and booleans become the default dtype.  Gradients: Abramowitz & Stegun, Handbook of
Mathematical Functions (1964), chapters 4 to 7, or any table of derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable
from minigen.backend import silent
from minigen.dtypes import promote_to_float
from minigen.tensor import method

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cos",
    "cosh",
    "erf",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "rsqrt",
    "sigmoid",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
]


def _function(
    ufunc: Callable, name: str, formula: str, example: str, shown: str, kernel: bool = False
) -> Any:
    """The operation and Tensor method that computes one of NumPy's functions.

    kernel: large arrays go to the kernel of that name.
    """

    def plain(input: Any) -> Any:
        return silent().run(ufunc, input)

    def chosen(input: Any) -> Any:
        if backend.large(input):
            return backend.kernel(name, input)
        return silent().run(ufunc, input)

    forward = chosen if kernel else plain
    forward.__name__ = forward.__qualname__ = name
    forward.__doc__ = f"""{formula}, of each element.

    >>> import minigen
    >>> minigen.{name}(minigen.tensor({example}))
    {shown}
    """
    return method(name)(differentiable(promote=promote_to_float)(forward))


# ------------------------------------------------------------- exponentials, logarithms, roots

exp: Any = _function(
    np.exp,
    "exp",
    "e to the power of input",
    "[0.0, 1.0]",
    "tensor([1.0000, 2.7183])",
    kernel=True,
)
exp.gradients(input=lambda g, output: g * output)

exp2: Any = _function(np.exp2, "exp2", "2 to the power of input", "[0.0, 3.0]", "tensor([1., 8.])")
exp2.gradients(input=lambda g, output: g * output * math.log(2))

expm1: Any = _function(
    np.expm1, "expm1", "exp(input) - 1, accurate near 0", "[0.0, 1.0]", "tensor([0.0000, 1.7183])"
)
expm1.gradients(input=lambda g, output: g * (output + 1))

log: Any = _function(
    np.log,
    "log",
    "The natural logarithm (-inf at 0, NaN below)",
    "[1.0, 10.0]",
    "tensor([0.0000, 2.3026])",
)
log.gradients(input=lambda g, input: g / input)

log1p: Any = _function(
    np.log1p, "log1p", "log(1 + input), accurate near 0", "[0.0, 1.0]", "tensor([0.0000, 0.6931])"
)
log1p.gradients(input=lambda g, input: g / (input + 1))

log2: Any = _function(np.log2, "log2", "The logarithm to base 2", "[1.0, 8.0]", "tensor([0., 3.])")
log2.gradients(input=lambda g, input: g / (input * math.log(2)))

log10: Any = _function(
    np.log10, "log10", "The logarithm to base 10", "[2.0, 5.0]", "tensor([0.3010, 0.6990])"
)
log10.gradients(input=lambda g, input: g / (input * math.log(10)))

sqrt: Any = _function(
    np.sqrt, "sqrt", "The square root (NaN below 0)", "[4.0, 2.0]", "tensor([2.0000, 1.4142])"
)
sqrt.gradients(input=lambda g, output: g / (output * 2))


def _reciprocal_root(x: Any) -> Any:
    return 1 / np.sqrt(x)


rsqrt: Any = _function(
    _reciprocal_root, "rsqrt", "1 / sqrt(input)", "[1.0, 4.0]", "tensor([1.0000, 0.5000])"
)
rsqrt.gradients(input=lambda g, output: g * output * output * output * -0.5)


# ------------------------------------------------------------------------------ trigonometry

sin: Any = _function(
    np.sin, "sin", "The sine of an angle in radians", "[0.0, 1.0]", "tensor([0.0000, 0.8415])"
)
sin.gradients(input=lambda g, input: g * cos(input))

cos: Any = _function(
    np.cos, "cos", "The cosine of an angle in radians", "[0.0, 1.0]", "tensor([1.0000, 0.5403])"
)
cos.gradients(input=lambda g, input: -g * sin(input))

tan: Any = _function(
    np.tan, "tan", "The tangent of an angle in radians", "[0.0, 1.0]", "tensor([0.0000, 1.5574])"
)
tan.gradients(input=lambda g, output: g * (output * output + 1))

asin: Any = _function(
    np.arcsin,
    "asin",
    "The angle whose sine is input, in radians",
    "[0.0, 1.0]",
    "tensor([0.0000, 1.5708])",
)
asin.gradients(input=lambda g, input: g * rsqrt(1 - input * input))

acos: Any = _function(
    np.arccos,
    "acos",
    "The angle whose cosine is input, in radians",
    "[0.0, 1.0]",
    "tensor([1.5708, 0.0000])",
)
acos.gradients(input=lambda g, input: -g * rsqrt(1 - input * input))

atan: Any = _function(
    np.arctan,
    "atan",
    "The angle whose tangent is input, in radians",
    "[0.0, 1.0]",
    "tensor([0.0000, 0.7854])",
)
atan.gradients(input=lambda g, input: g / (input * input + 1))


# ------------------------------------------------------------------------ hyperbolic functions

sinh: Any = _function(
    np.sinh, "sinh", "(exp(input) - exp(-input)) / 2", "[0.0, 1.0]", "tensor([0.0000, 1.1752])"
)
sinh.gradients(input=lambda g, input: g * cosh(input))

cosh: Any = _function(
    np.cosh, "cosh", "(exp(input) + exp(-input)) / 2", "[0.0, 1.0]", "tensor([1.0000, 1.5431])"
)
cosh.gradients(input=lambda g, input: g * sinh(input))

tanh: Any = _function(
    np.tanh,
    "tanh",
    "sinh(input) / cosh(input)",
    "[0.0, 1.0]",
    "tensor([0.0000, 0.7616])",
    kernel=True,
)


def _tanh_gradient(g: Any, output: Any) -> Any:
    if backend.large(g):
        return backend.kernel("tanh_backward", g, output)
    return g * (1 - output * output)


tanh.gradients(input=_tanh_gradient)

asinh: Any = _function(
    np.arcsinh, "asinh", "The number whose sinh is input", "[0.0, 1.0]", "tensor([0.0000, 0.8814])"
)
asinh.gradients(input=lambda g, input: g * rsqrt(input * input + 1))

acosh: Any = _function(
    np.arccosh,
    "acosh",
    "The number >= 0 whose cosh is input",
    "[1.0, 2.0]",
    "tensor([0.0000, 1.3170])",
)
acosh.gradients(input=lambda g, input: g * rsqrt(input * input - 1))

atanh: Any = _function(
    np.arctanh, "atanh", "The number whose tanh is input", "[0.0, 0.5]", "tensor([0.0000, 0.5493])"
)
atanh.gradients(input=lambda g, input: g / (1 - input * input))


def _logistic(x: Any) -> Any:
    if x.dtype == np.float16:  # exp(-x) would overflow at -12 already
        return _logistic(x.astype(np.float32)).astype(np.float16)
    y = np.negative(x, out=np.empty_like(x))
    np.exp(y, out=y)  # infinite far below 0, where 1 / (1 + inf) = 0 is right
    y += 1
    return np.reciprocal(y, out=y)


sigmoid: Any = _function(
    _logistic,
    "sigmoid",
    "1 / (1 + exp(-input))",
    "[0.0, 1.0]",
    "tensor([0.5000, 0.7311])",
    kernel=True,
)


def _sigmoid_gradient(g: Any, output: Any) -> Any:
    if backend.large(g):
        return backend.kernel("sigmoid_backward", g, output)
    return g * (output * (1 - output))


sigmoid.gradients(input=_sigmoid_gradient)


# ------------------------------------------------------------------------- the error function

ERF_SLOPE = 2 / math.sqrt(math.pi)  # of erf at 0


def erf_array(x: Any) -> Any:
    if x.dtype == np.float16:
        return backend.kernel("erf", x.astype(np.float32)).astype(np.float16)
    return silent().run(backend.kernel, "erf", x)


@method("erf")
@differentiable(promote=promote_to_float)
def erf(input: Any) -> Any:
    """2/√π ∫₀ˣ exp(-t²) dt.

    >>> import minigen
    >>> minigen.erf(minigen.tensor([0.0, 0.5]))
    tensor([0.0000, 0.5205])
    """
    return erf_array(input)


erf.gradients(input=lambda g, input: g * exp(-(input * input)) * ERF_SLOPE)
