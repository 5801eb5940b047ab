"""A typical call of each operation, by size: what the choice of the default is measured on.

    EXAMPLES[operation][class](size, draw) -> arguments

`size` is the number of elements of the array that decides; `draw(*shape)` gives normal numbers in
the dtype that is measured. The class of shapes is "" where an operation knows only one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Draw = Callable[..., Any]
Example = Callable[[int, Draw], tuple[Any, ...]]


def _rows(size: int) -> tuple[int, int]:
    """A matrix of about so many elements, twice as wide as high."""
    rows = max(2, math.isqrt(size // 2))
    return rows, size // rows


def _square(size: int, draw: Draw) -> tuple[Any, ...]:
    side = math.isqrt(size)
    return draw(side, side), draw(side, side)


def _batched(size: int, draw: Draw) -> tuple[Any, ...]:
    side = min(64, math.isqrt(max(4, size // 4)))
    batch = max(1, size // side**2)
    return draw(batch, side, side), draw(batch, side, side)


def _attention(size: int, draw: Draw) -> tuple[Any, ...]:
    tokens = min(64, max(2, size // 32))
    q, k, v = (draw(max(1, size // (32 * tokens)), tokens, 32) for _ in range(3))
    return q, k, v, None, True


def _attention_backward(size: int, draw: Draw) -> tuple[Any, ...]:
    from .attention.whole import attention_whole

    q, k, v, *options = _attention(size, draw)
    return draw(*q.shape), q, k, v, *attention_whole(q, k, v, *options), *options


def _adam(size: int, draw: Draw) -> tuple[Any, ...]:
    p, g, m = (draw(size) for _ in range(3))
    return p, g, m, np.ones_like(p), 0.0, 0.9, 0.999, 1e-8, 0.0, False, 9


def _elementwise(size: int, draw: Draw) -> tuple[Any, ...]:
    return (draw(*_rows(size)),)


def _elementwise_backward(size: int, draw: Draw) -> tuple[Any, ...]:
    return draw(*_rows(size)), draw(*_rows(size))


def _layer_norm(size: int, draw: Draw) -> tuple[Any, ...]:
    features = _rows(size)[1]
    return draw(*_rows(size)), draw(features), draw(features), 1e-5


def _layer_norm_backward(size: int, draw: Draw) -> tuple[Any, ...]:
    rows, features = _rows(size)
    return *_elementwise_backward(size, draw), draw(features), draw(rows), draw(rows) ** 2


def _targets(size: int) -> Any:
    rows, classes = _rows(size)
    return np.random.default_rng(1).integers(0, classes, rows)


def _cross_entropy(size: int, draw: Draw) -> tuple[Any, ...]:
    return draw(*_rows(size)), _targets(size)


def _cross_entropy_backward(size: int, draw: Draw) -> tuple[Any, ...]:
    rows = _rows(size)[0]
    return draw(rows), draw(*_rows(size)), _targets(size), draw(rows)


EXAMPLES: dict[str, dict[str, Example]] = {
    "matmul": {"matrix": _square, "batched": _batched},
    "attention": {"": _attention},
    "attention_backward": {"": _attention_backward},
    "erf": {"": _elementwise},
    "gelu": {"": _elementwise},
    "gelu_backward": {"": _elementwise_backward},
    "layer_norm": {"": _layer_norm},
    "layer_norm_backward": {"": _layer_norm_backward},
    "cross_entropy": {"": _cross_entropy},
    "cross_entropy_backward": {"": _cross_entropy_backward},
    "adam": {"": _adam},
}
