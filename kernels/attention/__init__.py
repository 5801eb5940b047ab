"""softmax(scale Q Kᵀ + mask) V, and its gradient.

    attention(q, k, v, mask=None, is_causal=False, scale=None) -> (out, logsumexp)
    attention_backward(grad, q, k, v, out, logsumexp, mask=None, is_causal=False, scale=None)
        -> (dq, dk, dv)

| rung      | file           | idea                                            | memory   |
|-----------|----------------|-------------------------------------------------|----------|
| reference | `reference.py` | the formula in float64                          | O(L S)   |
| numpy     | `whole.py`     | the whole score matrix, worked on in place      | O(L S)   |
| numba     | `flash*.py`    | online softmax over tiles, causal tiles skipped | O(L + S) |

Shapes: q (…, L, E), k (…, S, E), v (…, S, Ev), leading dimensions broadcast; out (…, L, Ev) and
logsumexp (…, L) = log Σⱼ exp(scoreᵢⱼ), from which the backward pass recomputes every probability.
The mask is boolean (True: may attend) or floating (added to the scores) and broadcasts to
(…, L, S); causal means that query i attends to the keys j <= i. A query that may attend to nothing
gets zeros, as in PyTorch 2.13, with logsumexp -inf, the logarithm of its empty sum, and passes no
gradient.
"""

from .rungs import ATTENTION, ATTENTION_BACKWARD

__all__ = ["ATTENTION", "ATTENTION_BACKWARD"]
