"""The categorical distribution: one of several classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen.distributions import constraints
from minigen.distributions.distribution import Distribution
from minigen.distributions.utils import lazy_property, logits_to_probs, probs_to_logits
from minigen.ops.creation import empty, full
from minigen.ops.random import multinomial
from minigen.ops.ranges import arange
from minigen.ops.shape import broadcast_tensors
from minigen.tensor import Size, Tensor


class Categorical(Distribution):
    """k with probability p_k, for k = 0, ..., K - 1.

    probs, logits: (..., K), one of them; probs are divided by their sum, and from logits their
    logsumexp is subtracted, so that exp(logits) = probs.  Outcomes are int64 of shape (...).

    >>> import minigen
    >>> d = Categorical(probs=minigen.tensor([1.0, 3.0]))
    >>> d.probs, d.log_prob(minigen.tensor([0, 1]))
    (tensor([0.2500, 0.7500]), tensor([-1.3863, -0.2877]))
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if (probs is None) == (logits is None):
            raise ValueError("Categorical: give either probs or logits, and not both")
        given = probs if logits is None else logits
        if not isinstance(given, Tensor) or given.ndim < 1:
            raise ValueError(
                "Categorical: probs or logits must be a tensor with a last dimension of classes, "
                f"got {given!r}"
            )
        if logits is None:
            self.probs = self._param = given / given.sum(-1, keepdim=True)
        else:
            self.logits = self._param = given - given.logsumexp(-1, keepdim=True)
        self._num_events = self._param.shape[-1]
        super().__init__(self._param.shape[:-1], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        new = self._expanded(Categorical, batch_shape, _instance, ("probs", "logits", "_param"))
        new._num_events = self._num_events
        return new

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self._num_events - 1)

    @lazy_property
    def logits(self) -> Tensor:
        return probs_to_logits(self.probs)

    @lazy_property
    def probs(self) -> Tensor:
        return logits_to_probs(self.logits)

    @property
    def param_shape(self) -> Size:
        return self._param.shape

    @property
    def mean(self) -> Tensor:
        """NaN: classes have no mean."""
        return full(self._batch_shape, math.nan, dtype=self.probs.dtype, device=self.probs.device)

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Tensor:
        return self.mean

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        count = math.prod(sample_shape)
        rows = self.probs.reshape(math.prod(self._batch_shape), self._num_events)
        if count and not rows.shape[0]:
            return empty(shape, dtype=np.int64, device=rows.device)
        # a single draw is the same with and without replacement, and faster for many rows without
        return multinomial(rows, count, replacement=count != 1).T.reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        index, logits = broadcast_tensors(value.long().unsqueeze(-1), self.logits)
        return logits.gather(-1, index[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        """-Σ p log p, where 0 log 0 = 0."""
        smallest = float(np.finfo(self.logits.dtype.numpy).min)
        return -(self.logits.clamp(min=smallest) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        n = self._num_events
        values = arange(n, device=self._param.device).view(n, *(1,) * len(self._batch_shape))
        return values.expand(n, *self._batch_shape) if expand else values
