"""Elementwise and row-wise work in one pass over memory instead of one pass a formula symbol.

    erf(x) -> y
    gelu(x, approximate="none") -> y                  gelu_backward(grad, x, approximate) -> dx
    layer_norm(x, weight, bias, eps) -> (y, mean, rstd)
                                        layer_norm_backward(grad, x, weight, mean, rstd)
                                                                    -> (dx, dweight, dbias)
    cross_entropy(logits, target) -> (losses, logsumexp)
                          cross_entropy_backward(grad, logits, target, logsumexp) -> dlogits
    adam(parameter, grad, exp_avg, exp_avg_sq, lr, beta1, beta2, eps, weight_decay,
         decoupled, step) -> None, in place

| rung      | files                                  | idea                                 |
|-----------|----------------------------------------|--------------------------------------|
| reference | `reference.py`                         | the formula in float64               |
| numpy     | `special.py`, `vectorised.py`          | ufuncs with `out=`, few temporaries  |
| numba     | `elementwise_loops.py`, `row_loops.py` | one loop; exp and erf without a call |

Speed of the numba rung on one thread of a Zen 3 core, float32, medians of paired rounds:

| operation                                 | numpy / numba | PyTorch 2.13 / numba     |
|-------------------------------------------|---------------|--------------------------|
| gelu, forward; backward (1024, 512)       | 7.1; 5.6      | 1.6; 1.1                 |
| gelu tanh, forward; backward (1024, 512)  | 5.2; 5.0      | 5.2; 3.2                 |
| erf (1024, 512)                           | 7.0           | 3.8                      |
| layer_norm, forward; backward (1024, 128) | 5.2; 7.6      | 2.2; 1.6                 |
| cross_entropy and backward (1024, 128)    | 3.2           | 2.8                      |
| adam, 10,000; 1,000,000 parameters        | 3.8; 6.9      | 16; 6.5 (fused: 9; 1.6)  |

x of layer_norm is (rows, features) and is normalised over features; logits are (rows, classes) and
target int64 (rows,). NaN and infinity go through every kernel as they go through the formula.
"""

from .rungs import FUSED
from .special import erf

__all__ = ["FUSED", "erf"]
