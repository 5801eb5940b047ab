"""The ladders of the elementwise operations."""

from __future__ import annotations

from . import binary, functions, reference, scatter, special, vectorised
from .ladders import fused, like_second

LOOP = ("ufuncs in place", "one loop")
FUNCTION = ("ufuncs in place", "one loop around a polynomial; libm in float64")

ELEMENTWISE = (
    fused(
        "exp(x) -> y",
        functions.exp_reference,
        functions.exp,
        "function_loops",
        FUNCTION,
        "5 u y + half of the smallest subnormal number",
    ),
    fused(
        "tanh(x) -> y",
        functions.tanh_reference,
        functions.tanh,
        "function_loops",
        FUNCTION,
        "8 u |y|",
    ),
    fused(
        "sigmoid(x) -> y",
        functions.sigmoid_reference,
        functions.sigmoid,
        "function_loops",
        FUNCTION,
        "8 u y + the smallest normal number",
    ),
    fused(
        "sigmoid_backward(grad, y) -> dx",
        functions.sigmoid_backward_reference,
        functions.sigmoid_backward,
        "function_loops",
        LOOP,
        "4 u |grad|",
        like_second,
    ),
    fused(
        "tanh_backward(grad, y) -> dx",
        functions.tanh_backward_reference,
        functions.tanh_backward,
        "function_loops",
        LOOP,
        "4 u |grad|",
        like_second,
    ),
    fused(
        "relu_backward(grad, y, slope=0.0) -> dx",
        functions.relu_backward_reference,
        functions.relu_backward,
        "function_loops",
        LOOP,
        "4 u |grad| max(1, |slope|)",
        like_second,
    ),
    fused(
        "softplus(x, beta=1.0, threshold=20.0) -> y",
        functions.softplus_reference,
        functions.softplus,
        "function_loops",
        FUNCTION,
        "12 u (|y| + |x| exp(-|beta x|)) + the smallest normal number",
    ),
    fused(
        "silu(x) -> y",
        functions.silu_reference,
        functions.silu,
        "function_loops",
        FUNCTION,
        "10 u |y| + |x| times the smallest normal number",
    ),
    fused(
        "silu_backward(grad, x) -> dx",
        functions.silu_backward_reference,
        functions.silu_backward,
        "function_loops",
        FUNCTION,
        "20 u |grad|",
        like_second,
    ),
    fused(
        "erf(x) -> y",
        reference.erf_reference,
        special.erf,
        "elementwise_loops",
        ("rational approximations", "the same approximation in one loop; libm in float64"),
        "10 u |y|",
    ),
    fused(
        'gelu(x, approximate="none") -> y',
        reference.gelu_reference,
        vectorised.gelu,
        "elementwise_loops",
        LOOP,
        "10 u |x|",
    ),
    fused(
        'gelu_backward(grad, x, approximate="none") -> dx',
        reference.gelu_backward_reference,
        vectorised.gelu_backward,
        "elementwise_loops",
        LOOP,
        "40 u |grad|",
        like_second,
    ),
    fused(
        "binary_cross_entropy(logits, target) -> losses",
        binary.binary_cross_entropy_reference,
        binary.binary_cross_entropy,
        "binary_loops",
        FUNCTION,
        "4 u (|max(x, 0) - x y| + |x y|) + 8 u exp(-|x|) + the smallest normal number",
    ),
    fused(
        "binary_cross_entropy_backward(grad, logits, target) -> dlogits",
        binary.binary_cross_entropy_backward_reference,
        binary.binary_cross_entropy_backward,
        "binary_loops",
        FUNCTION,
        "10 u |grad| (1 + |target|)",
        like_second,
        sized_by=1,
    ),
    fused(
        "dropout(x, mask, scale) -> y",
        scatter.dropout_reference,
        scatter.dropout,
        "scatter_loops",
        LOOP,
        "2 u |y|",
    ),
)
