"""softmax(scale Q Kᵀ + mask) V, and its gradient.

    attention(q, k, v, mask=None, is_causal=False, scale=None, dropout_p=0.0, seed=0)
        -> (out, logsumexp)
    attention_backward(grad, q, k, v, out, logsumexp, mask=None, is_causal=False, scale=None,
                       dropout_p=0.0, seed=0) -> (dq, dk, dv)

| rung         | file              | idea                                             | memory   |
|--------------|-------------------|--------------------------------------------------|----------|
| reference    | `reference.py`    | the formula in float64                           | O(L S)   |
| numpy        | `whole.py`        | the whole score matrix, worked on in place       | O(L S)   |
| three_passes | `three_passes.py` | query by query: scores, softmax, mixture         | O(S)     |
| online       | `online.py`       | one pass per query, running maximum and sum      | O(1)     |
| flash        | `flash*.py`       | online softmax over tiles, causal tiles skipped  | O(L + S) |
| parallel     | `parallel.py`     | the same, heads and blocks on several cores      | O(L + S) |

The ladder of the gradient is reference, numpy, flash, parallel. `tiles.py` holds the register tile,
`operands.py` how arrays of any strides reach the kernels, `dropout.py` the stream of dropout.

Measured: see benchmarks/README.md

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
