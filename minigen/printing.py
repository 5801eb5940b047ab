"""How a tensor prints: PyTorch's `torch._tensor_str` rules, in one page.

Four digits after the point; whole numbers as `1.`; scientific notation when the nonzero values span
more than a factor 1,000, exceed 1e8 or fall below 1e-4; more than 1,000 elements are summarised by
three at each edge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigen import backend, dtypes

PRECISION, THRESHOLD, EDGE, LINE_WIDTH = 4, 1000, 3, 80


def _formatter(values: np.ndarray) -> Callable[[Any], str]:
    """One width and one notation for all elements."""
    if values.dtype.kind == "b":
        width = max((len(str(bool(v))) for v in values.flat), default=0)
        return lambda v: f"{bool(v)!s:>{width}}"
    if values.dtype.kind != "f":
        width = max((len(str(int(v))) for v in values.flat), default=0)
        return lambda v: f"{int(v):>{width}}"
    numbers = values[np.isfinite(values) & (values != 0)].astype(np.float64)
    size = np.abs(numbers)
    if not len(numbers):
        spec = ".0f"
    elif (numbers == np.ceil(numbers)).all():
        wide = size.max() / size.min() > 1000 or size.max() > 1e8
        spec = f".{PRECISION}e" if wide else ".0f"
    elif size.max() / size.min() > 1000 or size.max() > 1e8 or size.min() < 1e-4:
        spec = f".{PRECISION}e"
    else:
        spec = f".{PRECISION}f"

    def text(v: Any) -> str:
        return f"{float(v):{spec}}" + ("." if spec == ".0f" and np.isfinite(v) else "")

    width = max((len(text(v)) for v in [*numbers.flat, *values.flat[:1]]), default=0)
    if not np.isfinite(values).all() or (values == 0).any():
        width = max([width, *(len(text(v)) for v in values.flat)])
    return lambda v: f"{text(v):>{width}}"


def _lines(array: np.ndarray, text: Callable, indent: int, summarise: bool) -> str:
    if array.ndim == 0:
        return text(array[()])
    rows: list[Any] = list(array)
    gap = summarise and len(rows) > 2 * EDGE
    if gap:
        rows = [*rows[:EDGE], None, *rows[-EDGE:]]
    if array.ndim == 1:
        words = [" ..." if row is None else text(row) for row in rows]
        per_line = max(1, (LINE_WIDTH - indent) // (len(words[0]) + 2)) if words else 1
        if summarise:
            return "[" + ", ".join(words) + "]"
        chunks = [words[i : i + per_line] for i in range(0, len(words), per_line)]
        return "[" + (",\n " + " " * indent).join(", ".join(chunk) for chunk in chunks) + "]"
    parts = ["..." if row is None else _lines(row, text, indent + 1, summarise) for row in rows]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def format_tensor(tensor: Any) -> str:
    """`tensor([1., 2.], grad_fn=<MulBackward0>)`.

    >>> import minigen
    >>> minigen.tensor([[1.0, 2.5], [3.0, float("nan")]])
    tensor([[1.0000, 2.5000],
            [3.0000,    nan]])
    """
    array = backend.to_device(tensor.array, backend.CPU)
    summarise = array.size > THRESHOLD
    shown = array
    if summarise:
        for axis, n in enumerate(array.shape):
            if n > 2 * EDGE:
                shown = np.take(shown, [*range(EDGE), *range(n - EDGE, n)], axis)
    body = _lines(array, _formatter(shown), len("tensor("), summarise) if array.size else "[]"
    notes = []
    if array.size == 0 and array.ndim != 1:
        notes.append(f"size={tuple(array.shape)}")
    default = (dtypes.get_default_dtype(), dtypes.int64, dtypes.bool_)
    if tensor.dtype not in default or (array.size == 0 and tensor.dtype is not default[0]):
        notes.append(f"dtype={tensor.dtype!r}")
    if tensor.device.type != "cpu":
        notes.insert(0, f"device='{tensor.device}'")
    if tensor.grad_fn is not None:
        notes.append(f"grad_fn={tensor.grad_fn}")
    elif tensor.requires_grad:
        notes.append("requires_grad=True")
    return "tensor(" + ", ".join([body, *notes]) + ")"
