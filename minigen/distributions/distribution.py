"""What every distribution offers: shapes, checks, and the names of its methods."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from minigen.distributions import constraints
from minigen.distributions.utils import lazy_property
from minigen.modes import no_grad
from minigen.tensor import Size, Tensor


class Distribution:
    """The base class of distributions.

    A draw has the shape sample_shape + batch_shape + event_shape: the draws asked for, the
    distributions that stand side by side (one for each parameter), the extent of one outcome.
    `log_prob` and `entropy` have no event dimensions left.

    validate_args: check parameters and values against `arg_constraints` and `support` (ValueError);
    None for the default, which `set_default_validate_args` changes and `python -O` turns off.

    >>> import minigen
    >>> d = minigen.distributions.Normal(minigen.zeros(3), 1.0)
    >>> d.batch_shape, d.event_shape, d.sample((2,)).shape
    (minigen.Size([3]), minigen.Size([]), minigen.Size([2, 3]))
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions that are not told check what they are given."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args: expects True or False, got {value!r}")
        Distribution._validate_args = value

    def __init__(
        self,
        batch_shape: Sequence[int] = (),
        event_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            with no_grad():
                self._validate_parameters()

    # ------------------------------------------------------------------------------- checks

    def _validate_parameters(self) -> None:
        try:
            arg_constraints = self.arg_constraints
        except NotImplementedError:
            warnings.warn(
                f"{type(self).__name__} defines no arg_constraints, so its parameters are not "
                "checked; define them, {} for none, or pass validate_args=False",
                stacklevel=4,
            )
            return
        for name, constraint in arg_constraints.items():
            lazy = isinstance(getattr(type(self), name, None), lazy_property)
            if constraints.is_dependent(constraint) or (lazy and name not in self.__dict__):
                continue
            value = getattr(self, name)
            if not constraint.check(value).all():
                raise ValueError(
                    f"{type(self).__name__}: parameter {name} of shape {tuple(value.shape)} must "
                    f"satisfy {constraint}, got\n{value}"
                )

    def _validate_sample(self, value: Any) -> None:
        """Raise ValueError unless `value` has a fitting shape and lies in the support."""
        name = type(self).__name__
        if not isinstance(value, Tensor):
            raise ValueError(f"{name}: the value must be a tensor, got {value!r}")
        shape, event = tuple(value.shape), tuple(self._event_shape)
        if shape[len(shape) - len(event) :] != event:
            raise ValueError(
                f"{name}: a value of shape {shape} must end with the event_shape {event}"
            )
        expected = (*self._batch_shape, *event)
        if any(i != j and 1 not in (i, j) for i, j in zip(reversed(shape), reversed(expected))):
            raise ValueError(
                f"{name}: a value of shape {shape} does not broadcast with batch_shape + "
                f"event_shape = {expected}"
            )
        try:
            support: Any = self.support
        except NotImplementedError:
            warnings.warn(
                f"{name} defines no support, so values are not checked; define it, or pass "
                "validate_args=False",
                stacklevel=3,
            )
            return
        with no_grad():
            inside = support.check(value).all()
        if not inside:
            raise ValueError(
                f"{name}: the value of shape {shape} must lie in the support, {support}, got\n"
                f"{value}"
            )

    # ------------------------------------------------------------------------------- shapes

    @property
    def batch_shape(self) -> Size:
        """One distribution for each element of this shape."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one outcome: () for numbers, (n,) for vectors."""
        return self._event_shape

    def _extended_shape(self, sample_shape: Sequence[int] = ()) -> Size:
        """The shape of draws: sample_shape + batch_shape + event_shape."""
        if not isinstance(sample_shape, tuple | list):
            raise TypeError(
                f"sample_shape must be a tuple of ints, such as (5,), got {sample_shape!r}"
            )
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same distributions for a larger batch_shape, as `Tensor.expand` without copying.

        A subclass whose constructor takes other arguments has to define its own.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define expand")

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        """The object that `expand` of `cls` fills: one that a subclass made, or a new one."""
        if _instance is not None:
            return _instance
        if type(self).__init__ is not cls.__init__:  # type: ignore[misc]
            raise NotImplementedError(
                f"{type(self).__name__} has a constructor of its own, so it must define expand, too"
            )
        return object.__new__(type(self))

    def _expanded(
        self, cls: type, batch_shape: Sequence[int], _instance: Any, names: Sequence[str]
    ) -> Any:
        """`expand` of a family whose parameters are tensors of shape batch_shape + something.

        Those of `names` that were given, or computed since, are expanded.
        """
        new = self._get_checked_instance(cls, _instance)
        for name in names:
            if name in self.__dict__:
                parameter = self.__dict__[name]
                rest = tuple(parameter.shape)[len(self._batch_shape) :]
                setattr(new, name, parameter.expand((*batch_shape, *rest)))
        return self._finish_expanded(new, batch_shape)

    def _finish_expanded(self, new: Any, batch_shape: Sequence[int]) -> Any:
        Distribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    # ---------------------------------------------------------------------- what it consists of

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """Where each parameter must lie."""
        raise NotImplementedError(f"{type(self).__name__} does not define arg_constraints")

    @property
    def support(self) -> constraints.Constraint:
        """Where outcomes lie."""
        raise NotImplementedError(f"{type(self).__name__} does not define support")

    @property
    def mean(self) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define mean")

    @property
    def mode(self) -> Tensor:
        """The most likely outcome."""
        raise NotImplementedError(f"{type(self).__name__} does not define mode")

    @property
    def variance(self) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define variance")

    @property
    def stddev(self) -> Tensor:
        """The square root of the variance."""
        return self.variance.sqrt()

    # ------------------------------------------------------------------------------- draws

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Independent draws, which have no gradient: sample_shape + batch_shape + event_shape."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws that are a differentiable function of the parameters and of noise, so that the
        gradient of an average over them estimates that of an expectation (Kingma & Welling 2014,
        arXiv:1312.6114, section 2.4).  Offered where `has_rsample`."""
        raise NotImplementedError(f"{type(self).__name__} does not offer rsample; use sample")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All outcomes along dimension 0: (count, *batch_shape, *event_shape).

        expand: False leaves the batch dimensions at size 1.
        """
        raise NotImplementedError(f"{type(self).__name__} does not offer enumerate_support")

    # -------------------------------------------------------------------------- probabilities

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability of discrete outcomes."""
        raise NotImplementedError(f"{type(self).__name__} does not define log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of an outcome <= value."""
        raise NotImplementedError(f"{type(self).__name__} does not define cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`: the quantile of each probability in `value`."""
        raise NotImplementedError(f"{type(self).__name__} does not define icdf")

    def entropy(self) -> Tensor:
        """-E log p, in nats: batch_shape."""
        raise NotImplementedError(f"{type(self).__name__} does not define entropy")

    def perplexity(self) -> Tensor:
        """exp(entropy): as uncertain as that many equally likely outcomes."""
        return self.entropy().exp()

    def __repr__(self) -> str:
        given = {k: self.__dict__[k] for k in self.arg_constraints if k in self.__dict__}
        shown = ", ".join(f"{k}: {_short(v)}" for k, v in given.items())
        return f"{type(self).__name__}({shown})"


def _short(parameter: Tensor) -> Any:
    """A number, else a single element as a tensor, else the shape."""
    if parameter.ndim == 0:
        return parameter.item()
    return parameter if parameter.numel() == 1 else parameter.shape
