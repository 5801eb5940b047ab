"""The distribution of a function of a random number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigen.distributions import constraints
from minigen.distributions.distribution import Distribution
from minigen.distributions.independent import Independent
from minigen.distributions.transforms import ComposeTransform, Transform
from minigen.distributions.utils import sum_rightmost
from minigen.modes import no_grad
from minigen.tensor import Tensor


class TransformedDistribution(Distribution):
    """Y = f(X) with X from `base_distribution` and f one transform after the other.

    log p(y) = log p(x) - log |det dy/dx| at x = f⁻¹(y), the change of variables (also known as a
    normalizing flow: Rezende & Mohamed 2015, arXiv:1505.05770, equation 5).

    >>> import minigen
    >>> from minigen.distributions import Uniform, SigmoidTransform
    >>> logistic = TransformedDistribution(Uniform(0.0, 1.0), [SigmoidTransform().inv])
    >>> logistic.log_prob(minigen.tensor(0.0))
    tensor(-1.3863)
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(
        self,
        base_distribution: Any,
        transforms: Transform | list[Transform],
        validate_args: bool | None = None,
    ) -> None:
        self.transforms = [transforms] if isinstance(transforms, Transform) else transforms
        if not isinstance(self.transforms, list) or not all(
            isinstance(each, Transform) for each in self.transforms
        ):
            raise ValueError(
                f"TransformedDistribution: expects a Transform or a list of them, got {transforms}"
            )
        whole = ComposeTransform(self.transforms)
        events_in, events_out = whole.domain.event_dim, whole.codomain.event_dim
        base_events = len(base_distribution.event_shape)
        base_shape = (*base_distribution.batch_shape, *base_distribution.event_shape)
        if len(base_shape) < events_in:
            raise ValueError(
                f"TransformedDistribution: the transforms take events of {events_in} dimensions, "
                f"draws of the base have shape {base_shape}"
            )
        shape = tuple(whole.forward_shape(base_shape))
        needed = tuple(whole.inverse_shape(shape))  # larger where a parameter of f broadcasts
        if needed != base_shape:
            base_distribution = base_distribution.expand(needed[: len(needed) - base_events])
        if events_in > base_events:
            base_distribution = Independent(base_distribution, events_in - base_events)
        self.base_dist = base_distribution
        # an event is whatever the base or the transforms tie together
        events = max(events_out, base_events + events_out - events_in)
        cut = len(shape) - events
        super().__init__(shape[:cut], shape[cut:], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        new = self._get_checked_instance(TransformedDistribution, _instance)
        shape = (*batch_shape, *self._event_shape)
        for transform in reversed(self.transforms):
            shape = tuple(transform.inverse_shape(shape))
        new.base_dist = self.base_dist.expand(shape[: len(shape) - len(self.base_dist.event_shape)])
        new.transforms = self.transforms
        return self._finish_expanded(new, batch_shape)

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        if not self.transforms:
            return self.base_dist.support
        last = self.transforms[-1].codomain
        extra = len(self._event_shape) - last.event_dim
        return constraints.independent(last, extra) if extra > 0 else last

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return self._transformed(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._transformed(self.base_dist.rsample(sample_shape))

    def _transformed(self, x: Any) -> Any:
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        events = len(self._event_shape)
        volumes: Any = 0.0
        y: Any = value
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            events += transform.domain.event_dim - transform.codomain.event_dim
            volume = transform.log_abs_det_jacobian(x, y)
            volumes = volumes + sum_rightmost(volume, events - transform.domain.event_dim)
            y = x
        base = self.base_dist.log_prob(y)
        return sum_rightmost(base, events - len(self.base_dist.event_shape)) - volumes

    def _flipped_where_falling(self, probability: Any) -> Any:
        """A decreasing f turns P(X <= x) into P(Y >= y)."""
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        if isinstance(sign, int) and sign == 1:
            return probability
        return sign * (probability - 0.5) + 0.5

    def cdf(self, value: Tensor) -> Tensor:
        x: Any = value
        for transform in reversed(self.transforms):
            x = transform.inv(x)
        if self._validate_args:
            self.base_dist._validate_sample(x)
        return self._flipped_where_falling(self.base_dist.cdf(x))

    def icdf(self, value: Tensor) -> Tensor:
        return self._transformed(self.base_dist.icdf(self._flipped_where_falling(value)))
