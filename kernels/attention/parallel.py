"""FlashAttention on several cores: the same loops over batch, heads, and blocks of queries or keys.

Forward, no query knows of another: a part is a few heads or, where heads are few, a stripe of the
queries of one, which costs packing its K and V once more. Backward, dK and dV of a head are sums
over its queries, so a part is a few whole groups of heads that share k and v or, where those are
few, a stripe of the keys of one; each stripe then sums a dQ of its own. Parts are cut by the shapes
alone and write disjoint places: results are the same bits on any number of threads
(`minigen.kernels.parallel`). Every part has a workspace of its own, which stays in the cache of its
core, so what moves and the arithmetic intensity are those of `flash`.

Measured: 0.95 times as fast as `flash` ((8, 8, 128, 64), causal, float32, one thread).
"""

from __future__ import annotations

from typing import Any

from .. import parallel
from .flash import forward
from .flash_backward import backward, finished

Array = Any


def attention_parallel(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> tuple[Array, Array]:
    """`attention_flash` on all the threads of `minigen.kernels.parallel`.

    >>> import numpy as np
    >>> x = np.eye(2, dtype=np.float32)
    >>> attention_parallel(x, x, x, is_causal=True)[0][0]
    array([1., 0.], dtype=float32)
    """
    parallel.take_over()
    results, compute, parts = forward(q, k, v, mask, is_causal, scale, dropout_p, seed, split=True)
    parallel.each(compute, parts)
    return results


def attention_backward_parallel(
    grad: Array,
    q: Array,
    k: Array,
    v: Array,
    out: Array,
    logsumexp: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> tuple[Array, Array, Array]:
    """`attention_backward_flash` on all the threads of `minigen.kernels.parallel`.

    Up to four stripes of keys, each with a dQ of its own, when fewer than four groups of heads are
    there to share out.
    """
    parallel.take_over()
    gradients, compute, parts = backward(
        grad, q, k, v, out, logsumexp, mask, is_causal, scale, dropout_p, seed, split=True
    )
    parallel.each(compute, parts)
    if k.shape[-2] == 0:
        gradients[0].fill(0)
    return finished(gradients, q, k, v)
