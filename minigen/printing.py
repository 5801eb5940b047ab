"""How a tensor prints: as PyTorch prints it.

Four digits after the point; whole numbers as `1.`; scientific notation when the nonzero values span
more than a factor 1,000, exceed 1e8 or fall below 1e-4.  More than 1,000 elements are summarised by
three at each edge.  Lines end at 80 characters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import backend, dtypes

PREFIX = "tensor("


@dataclass
class PrintOptions:
    """What `set_printoptions` changes."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None  # None: where the values call for it


OPTIONS = PrintOptions()
_PROFILES: dict[str, dict] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": float("inf"), "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors print from now on.

    precision: digits after the point.  threshold: how many elements print in full.
    edgeitems: how many at each edge otherwise.  linewidth: characters on a line.
    profile:   "default", "short" or "full" sets these four at once.
    sci_mode:  scientific notation always or never; None lets the values decide.

    >>> import minigen
    >>> set_printoptions(precision=2)
    >>> minigen.tensor([1.2345])
    tensor([1.23])
    >>> set_printoptions(profile="default")
    """
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems}
    given["linewidth"] = linewidth
    if profile is not None and profile not in _PROFILES:
        raise ValueError(f"set_printoptions: there is no profile {profile!r}, only {[*_PROFILES]}")
    chosen = {} if profile is None else dict(_PROFILES[profile])
    chosen |= {name: value for name, value in given.items() if value is not None}
    for name, value in chosen.items():
        setattr(OPTIONS, name, value)
    OPTIONS.sci_mode = sci_mode


class _Style:
    """One notation and one width for all elements."""

    def __init__(self, values: np.ndarray) -> None:
        self.format, self.point = "{}", ""
        if values.dtype.kind == "f":
            values = values[np.isfinite(values) & (values != 0)].astype(np.float64)
            scientific = self._spread(values) if OPTIONS.sci_mode is None else OPTIONS.sci_mode
            if scientific:
                self.format = f"{{:.{OPTIONS.precision}e}}"
            elif (values == np.ceil(values)).all():
                self.format, self.point = "{:.0f}", "."
            else:
                self.format = f"{{:.{OPTIONS.precision}f}}"
        self.width = max((len(self._text(v)) for v in values.ravel().tolist()), default=1)

    @staticmethod
    def _spread(values: np.ndarray) -> bool:
        """Whether the sizes differ too much for one fixed point, or are extreme."""
        if not values.size:
            return False
        size = np.abs(values)
        low, high = size.min(), size.max()
        tiny = low < 1e-4 and not (values == np.ceil(values)).all()
        with np.errstate(over="ignore"):
            return bool(high / low > 1000 or high > 1e8 or tiny)

    def _text(self, value: Any) -> str:
        text = self.format.format(value)
        return text if not self.point or text[-1] in "fn" else text + self.point  # inf, nan

    def __call__(self, value: Any) -> str:
        return self._text(value).rjust(self.width)


def _row(row: np.ndarray, style: _Style, indent: int, summarise: bool) -> str:
    """The elements of the last dimension, on as many lines as they need."""
    values, edge = row.tolist(), OPTIONS.edgeitems
    if summarise and len(values) > 2 * edge:
        words = [*map(style, values[:edge]), " ...", *map(style, values[-edge:])]
    else:
        words = [*map(style, values)]
    count = max(1, (OPTIONS.linewidth - indent) // (style.width + 2))
    lines = [", ".join(words[i : i + count]) for i in range(0, len(words), count)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _block(array: np.ndarray, style: _Style, indent: int, summarise: bool) -> str:
    """An array in brackets, its rows one below the other."""
    if array.ndim == 0:
        return style(array.item())
    if array.ndim == 1:
        return _row(array, style, indent, summarise)
    edge = OPTIONS.edgeitems
    rows = [*array]
    gap = summarise and len(array) > 2 * edge
    if gap:
        rows = [*rows[:edge], *rows[-edge:]]
    parts = [_block(row, style, indent + 1, summarise) for row in rows]
    if gap:
        parts.insert(edge, "...")
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _edges(array: np.ndarray) -> np.ndarray:
    """Those elements of a large array that are shown."""
    edge = OPTIONS.edgeitems
    for axis, n in enumerate(array.shape):
        if n > 2 * edge:
            array = np.take(array, [*range(edge), *range(n - edge, n)], axis)
    return array


def _notes(tensor: Any) -> list[str]:
    """What stands behind the numbers: device, size, dtype, place in the graph."""
    notes = []
    if tensor.device.type != "cpu":
        notes.append(f"device='{tensor.device}'")
    default = [dtypes.get_default_dtype()]
    if tensor.array.size == 0:
        if tensor.array.ndim != 1:
            notes.append(f"size={tuple(tensor.array.shape)}")
    else:
        default += [dtypes.int64, dtypes.bool_]
    if tensor.dtype not in default:
        notes.append(f"dtype={tensor.dtype!r}")
    if tensor.grad_fn is not None:
        notes.append(f"grad_fn={tensor.grad_fn}")
    elif tensor.requires_grad:
        notes.append("requires_grad=True")
    return notes


def format_tensor(tensor: Any) -> str:
    """`tensor([1., 2.], grad_fn=<MulBackward0>)`.

    >>> import minigen
    >>> minigen.tensor([[1.0, 2.5], [3.0, float("nan")]])
    tensor([[1.0000, 2.5000],
            [3.0000,    nan]])
    """
    array = backend.to_device(tensor.array, backend.CPU)
    summarise = array.size > OPTIONS.threshold
    text = PREFIX + "[]"
    if array.size:
        style = _Style(_edges(array) if summarise else array)
        text = PREFIX + _block(array, style, len(PREFIX), summarise)
    used = len(text) - text.rfind("\n") + 1  # as PyTorch counts, a comma included
    for note in _notes(tensor):
        if used + len(note) + 2 > OPTIONS.linewidth:
            text += ",\n" + " " * len(PREFIX) + note
            used = len(PREFIX) + len(note)
        else:
            text += ", " + note
            used += len(note) + 2
    return text + ")"
