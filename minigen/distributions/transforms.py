"""Invertible functions that know how they stretch space.

`transform(x)`, `transform.inv(y)`, and `transform.log_abs_det_jacobian(x, y)`, the logarithm of
|det dy/dx|, one number for each event of `domain.event_dim` dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen.distributions import constraints
from minigen.distributions.transform import (
    ComposeTransform,
    IndependentTransform,
    Transform,
    identity_transform,
    with_events,
)
from minigen.distributions.utils import (
    Number,
    broadcast_all,
    broadcast_shapes,
    lazy_property,
    sum_rightmost,
)
from minigen.nn.functional import logsigmoid, softmax, softplus
from minigen.ops.creation import full_like
from minigen.ops.functions import sigmoid

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "ComposeTransform",
    "ExpTransform",
    "IndependentTransform",
    "PowerTransform",
    "SigmoidTransform",
    "SoftmaxTransform",
    "SoftplusTransform",
    "TanhTransform",
    "Transform",
    "identity_transform",
]


# ------------------------------------------------------------------------------ of each number


class _OfNumbers(Transform):
    """A function of numbers without parameters: all of its kind are equal."""

    domain = constraints.real
    bijective = True
    sign: Any = 1

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    __hash__ = object.__hash__


class ExpTransform(_OfNumbers):
    """y = exp(x)."""

    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return x.exp()

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return x


class SigmoidTransform(_OfNumbers):
    """y = 1 / (1 + exp(-x)), kept off 0 and 1, so that it can be inverted."""

    codomain = constraints.unit_interval

    def _inside(self, y: Any) -> Any:
        limits = np.finfo(y.dtype.numpy)
        return y.clamp(float(limits.tiny), 1 - float(limits.eps))

    def _call(self, x: Any) -> Any:
        return self._inside(sigmoid(x))

    def _inverse(self, y: Any) -> Any:
        y = self._inside(y)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """log y (1 - y)."""
        return logsigmoid(x) + logsigmoid(-x)


class SoftplusTransform(_OfNumbers):
    """y = log(1 + exp(x))."""

    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return softplus(x)

    def _inverse(self, y: Any) -> Any:
        return (-(-y).expm1()).log() + y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """log sigmoid(x)."""
        return logsigmoid(x)


class TanhTransform(_OfNumbers):
    """y = tanh(x).  The inverse of a y that was rounded to ±1 is infinite: use cache_size=1."""

    codomain = constraints.interval(-1.0, 1.0)

    def _call(self, x: Any) -> Any:
        return x.tanh()

    def _inverse(self, y: Any) -> Any:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """log(1 - tanh² x) = 2 (log 2 + log sigmoid(2x) - x), without cancellation."""
        return 2 * (math.log(2) + logsigmoid(2 * x) - x)


class AbsTransform(_OfNumbers):
    """y = |x|, which is not bijective; `inv` gives the positive x."""

    codomain = constraints.positive
    bijective = False

    @property
    def sign(self) -> Any:
        return Transform.sign.fget(self)  # type: ignore[attr-defined]

    def _call(self, x: Any) -> Any:
        return x.abs()

    def _inverse(self, y: Any) -> Any:
        return y


class PowerTransform(Transform):
    """y = x to the power of `exponent`, for x > 0."""

    domain = constraints.positive
    codomain = constraints.positive
    bijective = True

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        (self.exponent,) = broadcast_all(exponent)

    def with_cache(self, cache_size: int = 1) -> Transform:
        if self._cache_size == cache_size:
            return self
        return PowerTransform(self.exponent, cache_size)

    @lazy_property
    def sign(self) -> Any:
        return self.exponent.sign()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PowerTransform) and _same(self.exponent, other.exponent)

    __hash__ = object.__hash__

    def _call(self, x: Any) -> Any:
        return x.pow(self.exponent)

    def _inverse(self, y: Any) -> Any:
        return y.pow(1 / self.exponent)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return (self.exponent * y / x).abs().log()

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        return broadcast_shapes(shape, self.exponent.shape)

    inverse_shape = forward_shape


def _same(a: Any, b: Any) -> bool:
    """Whether two parameters, tensors or numbers, are equal."""
    equal = a == b
    return bool(equal if isinstance(equal, bool) else equal.all())


class AffineTransform(Transform):
    """y = loc + scale x; tensors or numbers.  event_dim: how many dimensions are one event."""

    bijective = True

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, event_dim

    @property
    def event_dim(self) -> int:
        return self._event_dim

    @constraints.dependent_property(is_discrete=False)
    def domain(self) -> Any:
        return with_events(constraints.real, self._event_dim)

    @constraints.dependent_property(is_discrete=False)
    def codomain(self) -> Any:
        return with_events(constraints.real, self._event_dim)

    def with_cache(self, cache_size: int = 1) -> Transform:
        if self._cache_size == cache_size:
            return self
        return AffineTransform(self.loc, self.scale, self._event_dim, cache_size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AffineTransform):
            return False
        return _same(self.loc, other.loc) and _same(self.scale, other.scale)

    __hash__ = object.__hash__

    @property
    def sign(self) -> Any:
        if isinstance(self.scale, Number):
            return (self.scale > 0) - (self.scale < 0)
        return self.scale.sign()

    def _call(self, x: Any) -> Any:
        return self.loc + self.scale * x

    def _inverse(self, y: Any) -> Any:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        if isinstance(self.scale, Number):
            stretched = full_like(x, math.log(abs(self.scale)))
        else:
            stretched = self.scale.abs().log().expand(x.shape)
        return sum_rightmost(stretched, self._event_dim)

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        own = [getattr(parameter, "shape", ()) for parameter in (self.loc, self.scale)]
        return broadcast_shapes(shape, *own)

    inverse_shape = forward_shape


# ---------------------------------------------------------------------------------- of vectors


class SoftmaxTransform(Transform):
    """y = softmax(x) over the last dimension: not bijective; `inv` gives log y."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SoftmaxTransform)

    __hash__ = object.__hash__

    def _call(self, x: Any) -> Any:
        return softmax(x, -1)

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        if not len(shape):
            raise ValueError("SoftmaxTransform: needs a last dimension, got shape ()")
        return shape

    inverse_shape = forward_shape
