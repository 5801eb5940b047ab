"""softmax(scale Q Kᵀ + mask) V, and its gradient.

    attention(q, k, v, mask=None, is_causal=False, scale=None) -> (out, logsumexp)
    attention_backward(grad, q, k, v, out, logsumexp, mask=None, is_causal=False, scale=None)
        -> (dq, dk, dv)

| rung      | file           | idea                                            | memory   |
|-----------|----------------|-------------------------------------------------|----------|
| reference | `reference.py` | the formula in float64                          | O(L S)   |
| numpy     | `whole.py`     | the whole score matrix, worked on in place      | O(L S)   |
| numba     | `flash*.py`    | online softmax over tiles, causal tiles skipped | O(L + S) |

Time of forward and backward on one thread of a Zen 3 core, float32, medians of interleaved rounds:

| (B, H, T, E), causal | numba   | numpy / numba | PyTorch 2.13 / numba |
|----------------------|---------|---------------|----------------------|
| (16, 4, 64, 32)      | 2.1 ms  | 2.9           | 1.7                  |
| (8, 8, 128, 64)      | 10.9 ms | 2.3           | 1.8                  |
| (2, 8, 1024, 64)     | 115 ms  | 3.0           | 1.6                  |
| the same, not causal | 224 ms  | 1.6           | 1.0                  |

Shapes: q (…, L, E), k (…, S, E), v (…, S, Ev), leading dimensions broadcast; out (…, L, Ev) and
logsumexp (…, L) = log Σⱼ exp(scoreᵢⱼ), from which the backward pass recomputes every probability.
The mask is boolean (True: may attend) or floating (added to the scores) and broadcasts to
(…, L, S); causal means that query i attends to the keys j <= i. A query that may attend to nothing
gets zeros, as in PyTorch 2.13, with logsumexp -inf, the logarithm of its empty sum, and passes no
gradient.
"""

from .rungs import ATTENTION, ATTENTION_BACKWARD

__all__ = ["ATTENTION", "ATTENTION_BACKWARD"]
