"""Convolution and its two companions: the three partial derivatives of one trilinear form.

Let x be (batch, c, X...), w be (o, c, K...) and y be (batch, o, Y...).  With stride s, dilation d
and padding p, everything here follows from one number (summed over all indices n, o, c, i, k):

    T(x, w, y) = Σ y[n, o, i] · x[n, c, s i + d k - p] · w[o, c, k],    x = 0 outside its borders

(i and k are positions, one number a dimension, and s i is taken in each.)  T is linear in each
argument, so each of its partial derivatives depends on the other two arguments alone:

    convolution               Y(x, w) = ∂T/∂y     an output is the inner product of w and a window
    transposed convolution    X(y, w) = ∂T/∂x     each y[i] paints w, times itself, in its window
    weight correlation        W(x, y) = ∂T/∂w     each tap of w meets every window once

and T(x, w, y) = ⟨Y(x, w), y⟩ = ⟨x, X(y, w)⟩ = ⟨w, W(x, y)⟩.  All gradients can be read off it: with
a cotangent g in the place of the output, the rules are the two other partial derivatives,

    of ⟨Y(x, w), g⟩ = T(x, w, g)     to x: X(g, w)      to w: W(x, g)
    of ⟨X(y, w), g⟩ = T(g, w, y)     to y: Y(g, w)      to w: W(g, y)
    of ⟨W(x, y), g⟩ = T(x, g, y)     to x: X(y, g)      to y: Y(x, g)

Three maps, closed under differentiation: derivatives of every order are there.  (Dumoulin and Visin
2016, arXiv:1603.07285, draw the arithmetic.  "Convolution" is, as everywhere in deep learning, a
correlation: w is not flipped.)

How each is computed is chosen in `minigen.kernels` (`kernels/convolution`).
"""

from __future__ import annotations

from typing import Any

from minigen import backend
from minigen.autograd import differentiable
from minigen.ops import reduction
from minigen.ops.windows import Windows

__all__: list[str] = []


# Arrays are (batch, channels, n spatial dimensions), for any n; `size` is the spatial extent of the
# result.


@differentiable
def convolution(input: Any, weight: Any, bias: Any, size: tuple, windows: Windows) -> Any:
    """Y(x, w)[n, o, i] = Σ x[n, c, s i + d k - p] w[o, c, k], plus the bias."""
    return backend.kernel("convolution", input, weight, bias, size=size, windows=windows)


@differentiable
def transposed_convolution(
    input: Any, weight: Any, bias: Any, size: tuple, windows: Windows
) -> Any:
    """X(y, w)[n, c, j] = Σ y[n, o, i] w[o, c, k] over s i + d k - p = j, plus the bias."""
    return backend.kernel("transposed_convolution", input, weight, bias, size=size, windows=windows)


@differentiable
def weight_correlation(input: Any, output_gradient: Any, size: tuple, windows: Windows) -> Any:
    """W(x, y)[o, c, k] = Σ y[n, o, i] x[n, c, s i + d k - p]."""
    return backend.kernel("weight_correlation", input, output_gradient, size=size, windows=windows)


def _sum_positions(g: Any) -> Any:
    """The gradient of a bias: it was added to every position of every example."""
    return reduction.sum(g, (0, *range(2, g.ndim)))


convolution.gradients(
    input=lambda g, weight, input_shape, windows: transposed_convolution(
        g, weight, None, input_shape[2:], windows
    ),
    weight=lambda g, input, weight_shape, windows: weight_correlation(
        input, g, weight_shape[2:], windows
    ),
    bias=_sum_positions,
)
transposed_convolution.gradients(
    input=lambda g, weight, input_shape, windows: convolution(
        g, weight, None, input_shape[2:], windows
    ),
    weight=lambda g, input, weight_shape, windows: weight_correlation(
        g, input, weight_shape[2:], windows
    ),
    bias=_sum_positions,
)
weight_correlation.gradients(
    input=lambda g, output_gradient, input_shape, windows: transposed_convolution(
        output_gradient, g, None, input_shape[2:], windows
    ),
    output_gradient=lambda g, input, output_gradient_shape, windows: convolution(
        input, g, None, output_gradient_shape[2:], windows
    ),
)
