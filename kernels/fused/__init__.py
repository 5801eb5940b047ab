"""Elementwise and row-wise work in one pass over memory instead of one pass a formula symbol.

    exp(x), tanh(x), sigmoid(x), silu(x), erf(x) -> y
    softplus(x, beta=1.0, threshold=20.0) -> y        gelu(x, approximate="none") -> y
    silu_backward(grad, x), gelu_backward(grad, x, approximate) -> dx
    tanh_backward(grad, y), sigmoid_backward(grad, y), relu_backward(grad, y, slope) -> dx
    binary_cross_entropy(logits, target) -> losses
                          binary_cross_entropy_backward(grad, logits, target) -> dlogits
    dropout(x, mask, scale) -> y

    softmax(x), log_softmax(x) -> y
    softmax_backward(grad, y), log_softmax_backward(grad, y) -> dx
    layer_norm(x, weight, bias, eps) -> (y, mean, rstd)
                  layer_norm_backward(grad, x, weight, mean, rstd) -> (dx, dweight, dbias)
    rms_norm(x, weight, eps) -> (y, rrms)
                  rms_norm_backward(grad, x, weight, rrms) -> (dx, dweight)
    batch_norm(x, weight, bias, eps) -> (y, mean, var, rstd)
                  batch_norm_backward(grad, x, weight, mean, rstd) -> (dx, dweight, dbias)
    cross_entropy(logits, target) -> (losses, logsumexp)
                          cross_entropy_backward(grad, logits, target, logsumexp) -> dlogits
    add_rows(values, rows, count) -> table

    adam(parameters, grads, exp_avgs, exp_avg_sqs, lr, beta1, beta2, eps, weight_decay,
         decoupled, step) -> None, in place
    sgd(parameters, grads, buffers, lr, momentum, dampening, weight_decay, nesterov, maximize,
        first) -> None, in place
    clip_norm(grads, max_norm) -> (norm, factor), grads in place

| operations                       | formula in float64, ufuncs    | Numba                  |
|----------------------------------|-------------------------------|------------------------|
| exp, tanh, sigmoid, softplus,    | `functions.py`                | `function_loops.py`    |
| silu, relu and their gradients   |                               |                        |
| erf, gelu                        | `reference.py`, `special.py`, | `elementwise_loops.py` |
| layer_norm, cross_entropy        | `vectorised.py`               | `row_loops.py`         |
| rms_norm                         | `rms_norm.py`                 | `rms_norm_loops.py`    |
| batch_norm                       | `batch_norm.py`               | `batch_norm_loops.py`  |
| softmax, log_softmax             | `softmax.py`                  | `softmax_loops.py`     |
| binary_cross_entropy             | `binary.py`                   | `binary_loops.py`      |
| add_rows, dropout                | `scatter.py`                  | `scatter_loops.py`     |
| adam, sgd                        | `optimizers.py`               | `optimizer_loops.py`   |
| clip_norm                        | `clip.py`                     | `clip_loops.py`        |

The cuda rungs, CUDA C++ for float32 on a GPU, are in `cuda/`, which has a table of its own. The
numpy rungs are ufuncs with `out=` and few temporaries; the numba rungs one loop over memory, a
row at a time in the cache, with exp, tanh and erf that need no call (`elementary.py`).

[measured]
Speed over NumPy's, float32, one thread:

| layer_norm | (1024, 128) | (1024, 512) |
|------------|-------------|-------------|
| numpy      | 1.00        | 1.00        |
| numba      | 4.90        | 4.91        |
| torch      | 2.40        | 3.16        |

| gelu  | (1024, 512) | (1024, 512), tanh |
|-------|-------------|-------------------|
| numpy | 1.00        | 1.00              |
| numba | 6.07        | 4.56              |
| torch | 3.85        | 0.96              |

| cross_entropy | (1024, 256) |
|---------------|-------------|
| numpy         | 1.00        |
| numba         | 4.53        |
| torch         | 2.40        |

| adam  | 1,000,000 parameters |
|-------|----------------------|
| numpy | 1.00                 |
| numba | 7.25                 |
| torch | 1.21                 |
[end of measured]

Rows are those of (rows, features) or (rows, classes); targets are int64 (rows,). NaN and infinity
go through every kernel as they go through the formula. Long jobs are cut into parts for several
cores, by their shapes alone (`parts.py`), so results are the same on any number of them.
"""

from .functions import log1p
from .rungs import FUSED
from .special import erf

__all__ = ["FUSED", "erf", "log1p"]
