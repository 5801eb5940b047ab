"""Convolution of any stride, padding, dilation and groups, and its two companions.

    convolution(input, weight, bias, size, windows) -> output             Y(x, w) + bias
    transposed_convolution(input, weight, bias, size, windows) -> output  X(y, w) + bias
    weight_correlation(input, output_gradient, size, windows) -> weight   W(x, y)

The three are the partial derivatives of one trilinear form, summed over all indices,

    T(x, w, y) = Σ y[n, o, i] x[n, c, s i + d k - p] w[o, c, k],    x = 0 outside its borders,

so each one's gradients are the two others. x is (batch, c, X...), w (o, c / groups, K...), y
(batch, o, Y...), in float32 or float64 and of any strides; `size` is the spatial extent of the
result, `windows` a `Windows` of stride s, padding p, dilation d and groups. Results are contiguous.

| rung      | files                      | idea                                                   |
|-----------|----------------------------|--------------------------------------------------------|
| reference | `reference.py`             | the formula, tap by tap, in float64                    |
| numpy     | `taps.py`                  | im2col and one product; the transposed one tap by tap  |
| numba     | `blocks.py`, `loops.py`    | im2col and col2im of a few images at a time, in cache  |
|           | `depthwise.py`, `loops.py` | one filter a channel: no product, vectors of channels  |

Error: |result - exact| <= (K + 2) u times the formula with every term's absolute value, K being how
many products are summed in a number (Higham, Accuracy and Stability of Numerical Algorithms, 2002,
section 3.1), u = 2⁻²⁴ in float32 and 2⁻⁵³ in float64.
"""

from .rungs import CONVOLUTION
from .windows import Windows

__all__ = ["CONVOLUTION", "Windows"]
