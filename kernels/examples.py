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


def _clip_norm(size: int, draw: Draw) -> tuple[Any, ...]:
    return draw(size), 1.0


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


def _functions_backward(size: int, draw: Draw) -> tuple[Any, ...]:
    return draw(*_rows(size)), np.tanh(draw(*_rows(size)))


def _probabilities(size: int, draw: Draw) -> tuple[Any, ...]:
    x = np.exp(draw(*_rows(size)))
    return draw(*_rows(size)), x / x.sum(axis=1, keepdims=True)


def _log_probabilities(size: int, draw: Draw) -> tuple[Any, ...]:
    grad, probabilities = _probabilities(size, draw)
    return grad, np.log(probabilities)


def _rms_norm(size: int, draw: Draw) -> tuple[Any, ...]:
    return draw(*_rows(size)), draw(_rows(size)[1]), 1e-5


def _rms_norm_backward(size: int, draw: Draw) -> tuple[Any, ...]:
    rows, features = _rows(size)
    return *_elementwise_backward(size, draw), draw(features), draw(rows) ** 2


def _batch_norm(size: int, draw: Draw) -> tuple[Any, ...]:
    rows, features = _rows(size)
    return draw(rows, features, 1), draw(features), draw(features), 1e-5


def _batch_norm_backward(size: int, draw: Draw) -> tuple[Any, ...]:
    rows, features = _rows(size)
    statistics = draw(features), draw(features), draw(features) ** 2
    return draw(rows, features, 1), draw(rows, features, 1), *statistics


def _binary(size: int, draw: Draw) -> tuple[Any, ...]:
    return draw(*_rows(size)), draw(*_rows(size)) ** 2


def _binary_backward(size: int, draw: Draw) -> tuple[Any, ...]:
    return draw(*_rows(size)), *_binary(size, draw)


def _dropout(size: int, draw: Draw) -> tuple[Any, ...]:
    return draw(*_rows(size)), draw(*_rows(size)) > 0, 2.0


def _add_rows(size: int, draw: Draw) -> tuple[Any, ...]:
    rows, features = _rows(size)
    return draw(rows, features), np.random.default_rng(1).integers(0, 64, rows), 64


def _sgd(size: int, draw: Draw) -> tuple[Any, ...]:
    p, g, b = (draw(size) for _ in range(3))
    return p, g, b, 0.0, 0.9, 0.0, 0.0, False, False, False


def _image_shape(size: int) -> tuple[int, int, int]:
    """Images, channels and side: of 8 channels, 16 x 16, or what small sizes allow."""
    if size >= 8 * 16 * 16:
        return size // (8 * 16 * 16), 8, 16
    return 1, max(1, size // 64), 8


def _halving() -> Any:
    from .convolution.windows import Windows

    return Windows((2, 2), (1, 1), (1, 1), 1)


def _convolution(size: int, draw: Draw) -> tuple[Any, ...]:
    """16 filters of 4 x 4 that halve the images."""
    images, channels, side = _image_shape(size)
    half = side // 2
    filters = draw(16, channels, 4, 4)
    return draw(images, channels, side, side), filters, None, (half, half), _halving()


def _transposed_convolution(size: int, draw: Draw) -> tuple[Any, ...]:
    images, channels, side = _image_shape(size)
    filters = draw(channels, 8, 4, 4)
    return draw(images, channels, side, side), filters, None, (2 * side, 2 * side), _halving()


def _weight_correlation(size: int, draw: Draw) -> tuple[Any, ...]:
    images, channels, side = _image_shape(size)
    half = side // 2
    return draw(images, channels, side, side), draw(images, 16, half, half), (4, 4), _halving()


def _lstm(size: int, draw: Draw) -> tuple[Any, ...]:
    """16 sequences, as long as a state has features."""
    features = max(1, round((size / 64) ** 0.5))
    steps = max(1, size // (64 * features))
    batch = min(16, max(1, size // (4 * features * steps)))
    weight = draw(4 * features, features) * features**-0.5
    state = draw(batch, features), draw(batch, features)
    return draw(steps * batch, 4 * features), *state, weight, None, (batch,) * steps, False


def _lstm_backward(size: int, draw: Draw) -> tuple[Any, ...]:
    from .recurrence.steps import lstm_steps

    _, _, _, weight, *options = arguments = _lstm(size, draw)
    output, last, gates, squashed, cells, _ = lstm_steps(*arguments)
    grad, last_grad = draw(*output.shape), draw(*last.shape)
    return grad, last_grad, gates, squashed, cells, weight, *options


def _gru(size: int, draw: Draw) -> tuple[Any, ...]:
    projected, hidden, _, weight, _, sizes, reverse = _lstm(size, draw)
    n = 3 * hidden.shape[1]
    return projected[:, :n].copy(), hidden, weight[:n], draw(n), sizes, reverse


def _gru_backward(size: int, draw: Draw) -> tuple[Any, ...]:
    from .recurrence.steps import gru_steps

    _, hidden, weight, _, *options = arguments = _gru(size, draw)
    output, *kept = gru_steps(*arguments)
    return draw(*output.shape), *kept, weight, *options, hidden.shape[0]


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
    "sgd": {"": _sgd},
    "clip_norm": {"": _clip_norm},
    "exp": {"": _elementwise},
    "tanh": {"": _elementwise},
    "sigmoid": {"": _elementwise},
    "softplus": {"": _elementwise},
    "silu": {"": _elementwise},
    "tanh_backward": {"": _functions_backward},
    "sigmoid_backward": {"": _functions_backward},
    "relu_backward": {"": _elementwise_backward},
    "silu_backward": {"": _elementwise_backward},
    "binary_cross_entropy": {"": _binary},
    "binary_cross_entropy_backward": {"": _binary_backward},
    "dropout": {"": _dropout},
    "softmax": {"": _elementwise},
    "log_softmax": {"": _elementwise},
    "softmax_backward": {"": _probabilities},
    "log_softmax_backward": {"": _log_probabilities},
    "rms_norm": {"": _rms_norm},
    "rms_norm_backward": {"": _rms_norm_backward},
    "batch_norm": {"": _batch_norm},
    "batch_norm_backward": {"": _batch_norm_backward},
    "add_rows": {"": _add_rows},
    "convolution": {"": _convolution},
    "transposed_convolution": {"": _transposed_convolution},
    "weight_correlation": {"": _weight_correlation},
    "lstm": {"": _lstm},
    "lstm_backward": {"": _lstm_backward},
    "gru": {"": _gru},
    "gru_backward": {"": _gru_backward},
}
