"""Normalisation: data brought to a scale that networks like, and results brought back.

A `Normalisation` is made once, from the training data or from what is known of them; applied to
everything that goes into the model; written into the run's settings as plain data; and inverted for
what the model makes, so that samples are in the data's own units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigen.ops.creation import from_numpy
from minigen.tensor import Tensor


class Normalisation:
    """y = (x - offset) / scale, and back: x = y scale + offset.

    offset, scale: a number each, or one for every channel; channel_axis: the dimension whose
    entries are the channels, if there are several numbers (counted from the end if negative, so
    that one example and a batch are served alike).
    Raises ValueError for numbers that are not finite, a scale of 0, or unequal counts.

    >>> to_tanh = Normalisation.from_range(0, 255, to=(-1, 1))
    >>> pixels = np.array([0, 51, 255], np.uint8)
    >>> to_tanh(pixels).round(3).tolist(), to_tanh.inverse(to_tanh(pixels)).round(3).tolist()
    ([-1.0, -0.6000000238418579, 1.0], [0.0, 51.0, 255.0])
    """

    def __init__(
        self,
        offset: float | Sequence[float],
        scale: float | Sequence[float],
        channel_axis: int | None = None,
    ) -> None:
        self.offset, self.scale = _numbers(offset), _numbers(scale)
        self.channel_axis = channel_axis
        several = len(self.offset) if channel_axis is not None else 1
        if len(self.offset) != several or len(self.scale) != several or several == 0:
            raise ValueError(
                "Normalisation: needs one offset and one scale, or as many of each as there are "
                f"channels, with channel_axis; got {offset!r}, {scale!r}, {channel_axis!r}"
            )
        if not all(map(math.isfinite, (*self.offset, *self.scale))) or 0 in self.scale:
            raise ValueError(
                f"Normalisation: offset and scale must be finite and scale not 0; got {offset!r} "
                f"and {scale!r}"
            )

    @classmethod
    def from_range(
        cls, low: float, high: float, to: tuple[float, float] = (0.0, 1.0)
    ) -> Normalisation:
        """What is known to lie between `low` and `high` goes to between `to[0]` and `to[1]`.

        Raises ValueError unless low < high and to[0] < to[1].

        >>> Normalisation.from_range(10, 20)(np.array([10.0, 12.5, 20.0])).tolist()
        [0.0, 0.25, 1.0]
        """
        if not (low < high and to[0] < to[1]):
            raise ValueError(
                f"Normalisation.from_range: needs low < high, from and to; got {low}, {high}, {to}"
            )
        scale = (high - low) / (to[1] - to[0])
        return cls(low - to[0] * scale, scale)

    @classmethod
    def fit_range(cls, data: ArrayLike, to: tuple[float, float] = (0.0, 1.0)) -> Normalisation:
        """From the smallest and the largest value of the data to `to`.

        Data of one value only have no range: that value goes to the middle of `to`, with scale 1.
        Raises ValueError for no data, NaN or infinity.

        >>> Normalisation.fit_range([5.0, 5.0, 5.0])(np.array([5.0])).tolist()
        [0.5]
        """
        array = _finite("fit_range", data)
        low, high = float(array.min()), float(array.max())
        if low == high:
            return cls(low - (to[0] + to[1]) / 2, 1.0)
        return cls.from_range(low, high, to)

    @classmethod
    def standardise(cls, data: ArrayLike, channel_axis: int | None = None) -> Normalisation:
        """To mean 0 and standard deviation 1, of all data or of each channel apart.

        A channel (or series) of one value only has no deviation: it goes to 0, with scale 1, and
        comes back as it was.
        Raises ValueError for no data, NaN or infinity.

        >>> Normalisation.standardise([[1.0, 7.0], [3.0, 7.0]], channel_axis=-1).to_dict()
        {'offset': [2.0, 7.0], 'scale': [1.0, 1.0], 'channel_axis': -1}
        """
        array = _finite("standardise", data).astype(np.float64)
        if channel_axis is None:
            rows = array.reshape(1, -1)
        else:
            _require_axis(array.ndim, channel_axis)
            rows = np.moveaxis(array, channel_axis, 0).reshape(array.shape[channel_axis], -1)
        constant = rows.min(1) == rows.max(1)  # exactly: rounding may give it a deviation
        offset = np.where(constant, rows[:, 0], rows.mean(1))
        scale = np.where(constant, 1.0, rows.std(1))
        if channel_axis is None:
            return cls(float(offset[0]), float(scale[0]))
        return cls(offset.tolist(), scale.tolist(), channel_axis)

    def __call__(self, data: Any) -> Any:
        """The data as the model sees them: array or tensor of the same shape; integers become
        float32.  Raises ValueError for NaN or infinity and another number of channels."""
        array = data.detach().cpu().numpy() if isinstance(data, Tensor) else np.asarray(data)
        if not np.isfinite(array).all():
            raise ValueError("Normalisation: the data hold NaN or infinity")
        return self._mapped(data, lambda x, offset, scale: (x - offset) / scale)

    def inverse(self, data: Any) -> Any:
        """What the model made, in the units of the data.  Shapes and errors as for a call, but NaN
        stays NaN."""
        return self._mapped(data, lambda y, offset, scale: y * scale + offset)

    def _mapped(self, data: Any, change: Any) -> Any:
        """Computed in float64, so that going there and back changes float32 in no digit that
        counts."""
        tensor = isinstance(data, Tensor)
        array = data.detach().cpu().numpy() if tensor else np.asarray(data)
        shape = [1] * array.ndim
        if self.channel_axis is not None:
            _require_axis(array.ndim, self.channel_axis)
            if array.shape[self.channel_axis] != len(self.offset):
                raise ValueError(
                    f"Normalisation: was made for {len(self.offset)} channels in dimension "
                    f"{self.channel_axis}, got shape {array.shape}"
                )
            shape[self.channel_axis] = len(self.offset)
        dtype = array.dtype if array.dtype.kind == "f" else np.dtype(np.float32)
        offset, scale = (np.reshape(v, shape) for v in (self.offset, self.scale))
        changed = change(array.astype(np.float64), offset, scale).astype(dtype)
        return from_numpy(changed).to(data.device) if tensor else changed

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` needs, as numbers and lists only: for the config of a run.

        >>> Normalisation.from_range(0, 255).to_dict()
        {'offset': [0.0], 'scale': [255.0], 'channel_axis': None}
        """
        return {"offset": self.offset, "scale": self.scale, "channel_axis": self.channel_axis}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Normalisation:
        """The normalisation that `to_dict` described, to the last bit.

        Raises ValueError for another description.
        """
        if set(saved) != {"offset", "scale", "channel_axis"}:
            raise ValueError(
                "Normalisation.from_dict: expects offset, scale and channel_axis, got "
                f"{dict(saved)!r}"
            )
        return cls(**saved)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Normalisation) and self.to_dict() == other.to_dict()

    def __repr__(self) -> str:
        return f"Normalisation({self.offset}, {self.scale}, {self.channel_axis})"


def _numbers(value: float | Sequence[float]) -> list[float]:
    return np.asarray(value, np.float64).reshape(-1).tolist()


def _finite(name: str, data: ArrayLike) -> NDArray:
    array = data.detach().cpu().numpy() if isinstance(data, Tensor) else np.asarray(data)
    if array.size == 0:
        raise ValueError(f"Normalisation.{name}: there are no data")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise ValueError(
            f"Normalisation.{name}: {bad} of {array.size} values are NaN or infinite; one would "
            "spoil all"
        )
    return array


def _require_axis(ndim: int, axis: int) -> None:
    if not -ndim <= axis < ndim:
        raise ValueError(f"Normalisation: there is no dimension {axis} among {ndim}")
