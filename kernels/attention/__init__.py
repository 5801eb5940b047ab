"""softmax(scale Q Kᵀ + mask) V, and its gradient.

    attention(q, k, v, mask=None, is_causal=False, scale=None, dropout_p=0.0, seed=0)
        -> (out, logsumexp)
    attention_backward(grad, q, k, v, out, logsumexp, mask=None, is_causal=False, scale=None,
                       dropout_p=0.0, seed=0) -> (dq, dk, dv)

| rung              | file               | idea                                         | memory   |
|-------------------|--------------------|----------------------------------------------|----------|
| reference         | `reference.py`     | the formula in float64                       | O(L S)   |
| numpy             | `whole.py`         | the whole score matrix, worked on in place   | O(L S)   |
| three_passes      | `three_passes.py`  | query by query: scores, softmax, mixture     | O(S)     |
| online            | `online.py`        | one pass a query, running maximum and sum    | O(1)     |
| flash             | `flash*.py`        | softmax over tiles, causal ones skipped      | O(L + S) |
| parallel          | `parallel.py`      | the same, heads and blocks on many cores     | O(L + S) |
| bf16              | `bf16.py`          | operands rounded as tensor cores take them   | O(L S)   |
| cuda_online       | `cuda_online.py`   | on a GPU, in Numba: a thread a query         | O(1)     |
| cuda_flash        | `cuda/*fp32*.cu`   | on a GPU: tiles in registers, shared memory  | O(L + S) |
| cuda_flash_tf32x3 | `cuda/*tf32x3*.cu` | on a GPU's tensor cores, accurate as float32 | O(L + S) |
| cuda_flash_bf16   | `cuda/*bf16*.cu`   | on a GPU's tensor cores, in bfloat16         | O(L + S) |

The ladder of the gradient is reference, numpy, flash, parallel, bf16, and the last three on a GPU.
`tiles.py` holds the register tile, `operands.py` how arrays of any strides reach the kernels,
`dropout.py` the stream of dropout.

[measured]
Speed over NumPy's, float32, one thread:

| attention    | (8, 8, 128, 64), causal | (2, 8, 1024, 64) | (2, 8, 1024, 64), causal |
|--------------|-------------------------|------------------|--------------------------|
| numpy        | 1.00                    | 1.00             | 1.00                     |
| three_passes | 1.06                    | 0.46             | 1.13                     |
| online       | 0.62                    | 0.25             | 0.67                     |
| flash        | 2.79                    | 2.42             | 4.42                     |
| parallel     | 2.65                    | 2.50             | 4.37                     |
| torch        | 1.51                    | 2.40             | 2.73                     |

| attention_backward | (8, 8, 128, 64), causal | (2, 8, 1024, 64) | (2, 8, 1024, 64), causal |
|--------------------|-------------------------|------------------|--------------------------|
| numpy              | 1.00                    | 1.00             | 1.00                     |
| flash              | 2.45                    | 1.94             | 3.52                     |
| parallel           | 2.34                    | 1.78             | 3.46                     |
[end of measured]

Shapes: q (…, L, E), k (…, S, E), v (…, S, Ev), leading dimensions broadcast; out (…, L, Ev) and
logsumexp (…, L) = log Σⱼ exp(scoreᵢⱼ), from which the backward pass recomputes every probability.
The mask is boolean (True: may attend) or floating (added to the scores) and broadcasts to
(…, L, S); causal means that query i attends to the keys j <= i. A query that may attend to nothing
gets zeros, as in PyTorch 2.13, with logsumexp -inf, the logarithm of its empty sum, and passes no
gradient. dq, dk and dv have the shapes of q, k and v, summed where these were broadcast: grouped
queries, of which several heads share keys, are q (…, Hkv, group, L, E) with k and v
(…, Hkv, 1, S, E). With dropout_p a weight is kept, over 1 - dropout_p, or dropped as (seed, head,
query, key) say, the same in every rung; logsumexp is that of all weights.
"""

from .rungs import ATTENTION, ATTENTION_BACKWARD

__all__ = ["ATTENTION", "ATTENTION_BACKWARD"]
