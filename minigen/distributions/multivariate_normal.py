"""The normal distribution of vectors, with any covariance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigen.distributions import constraints
from minigen.distributions.distribution import Distribution
from minigen.distributions.utils import broadcast_shapes, lazy_property, standard_normal
from minigen.ops.decompositions import cholesky
from minigen.ops.ranges import eye
from minigen.ops.triangular import solve_triangular
from minigen.tensor import Tensor

_MATRICES = ("covariance_matrix", "precision_matrix", "scale_tril")


def squared_mahalanobis(scale_tril: Any, difference: Any) -> Any:
    """|L⁻¹ x|² of vectors x (..., n), for L (*batch, n, n) whose batch broadcasts with `...`.

    The dimensions of x in front of L's batch become the columns of one right-hand side, so that a
    thousand draws from one distribution are one system of equations.
    """
    draws = difference.ndim - 1 - (scale_tril.ndim - 2)
    shape = tuple(difference.shape)
    columns = difference.reshape(math.prod(shape[:draws]), *shape[draws:]).movedim(0, -1)
    whitened = solve_triangular(scale_tril, columns, upper=False)
    distances = whitened.square().sum(-2).movedim(-1, 0)
    return distances.reshape(*shape[:draws], *distances.shape[1:])


def half_log_det(scale_tril: Any) -> Any:
    """½ log det L Lᵀ = Σ log Lᵢᵢ."""
    return scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def _identity(like: Any) -> Tensor:
    return eye(like.shape[-1], dtype=like.dtype, device=like.device)


def _factor_of_inverse(precision: Any) -> Any:
    """L with L Lᵀ = P⁻¹.

    Reversing rows and columns turns the lower factor of reversed P into an upper one, U Uᵀ = P, and
    then L = U⁻ᵀ is lower triangular, as it should be.
    """
    upper = cholesky(precision.flip(-2, -1)).flip(-2, -1)
    return solve_triangular(upper.mT, _identity(precision), upper=False)


class MultivariateNormal(Distribution):
    """p(x) = exp(-½ (x - μ)ᵀ Σ⁻¹ (x - μ)) / √det(2πΣ) for vectors x (n).

    loc: the mean μ, (..., n).  One of
    covariance_matrix: Σ, symmetric and positive definite, (..., n, n);
    precision_matrix:  Σ⁻¹;
    scale_tril:        L, lower triangular with a positive diagonal, Σ = L Lᵀ: the cheapest, since
                       all computation is done with L.
    Batch dimensions of loc and of the matrix broadcast.

    >>> import minigen
    >>> d = MultivariateNormal(minigen.zeros(2), minigen.tensor([[4.0, 2.0], [2.0, 5.0]]))
    >>> d.scale_tril
    tensor([[2., 0.],
            [1., 2.]])
    >>> d.log_prob(minigen.zeros(2))
    tensor(-3.2242)
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.ndim < 1:
            raise ValueError("MultivariateNormal: loc must be a vector, or a batch of them")
        values = (covariance_matrix, precision_matrix, scale_tril)
        given = [(name, value) for name, value in zip(_MATRICES, values) if value is not None]
        if len(given) != 1:
            raise ValueError(
                f"MultivariateNormal: give exactly one of {', '.join(_MATRICES)}, got {len(given)}"
            )
        name, matrix = given[0]
        n = loc.shape[-1]
        if matrix.ndim < 2 or tuple(matrix.shape[-2:]) != (n, n):
            raise ValueError(
                f"MultivariateNormal: with a loc of shape {tuple(loc.shape)}, {name} must end with "
                f"({n}, {n}), got {tuple(matrix.shape)}"
            )
        batch = broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        self.loc = loc.expand(*batch, n)
        setattr(self, name, matrix.expand(*batch, n, n))
        super().__init__(batch, (n,), validate_args=validate_args)
        if name == "scale_tril":
            self._unbroadcasted_scale_tril = matrix
        elif name == "covariance_matrix":
            self._unbroadcasted_scale_tril = cholesky(matrix)
        else:
            self._unbroadcasted_scale_tril = _factor_of_inverse(matrix)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        new = self._expanded(MultivariateNormal, batch_shape, _instance, ("loc", *_MATRICES))
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        return new

    def _full(self, matrix: Any) -> Any:
        return matrix.expand(*self._batch_shape, *self._event_shape, *self._event_shape)

    @lazy_property
    def scale_tril(self) -> Tensor:
        return self._full(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        factor = self._unbroadcasted_scale_tril
        return self._full(factor @ factor.mT)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        factor = self._unbroadcasted_scale_tril
        inverse = solve_triangular(factor, _identity(factor), upper=False)
        return self._full(inverse.mT @ inverse)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The diagonal of Σ."""
        squares = self._unbroadcasted_scale_tril.square().sum(-1)
        return squares.expand(*self._batch_shape, *self._event_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """μ + L ε with standard normal ε."""
        noise = standard_normal(self._extended_shape(sample_shape), self.loc)
        return self.loc + (self._unbroadcasted_scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        factor = self._unbroadcasted_scale_tril
        distance = squared_mahalanobis(factor, value - self.loc)
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (distance + constant) - half_log_det(factor)

    def entropy(self) -> Tensor:
        """½ log det(2πe Σ)."""
        constant = 0.5 * self._event_shape[0] * (1 + math.log(2 * math.pi))
        return (half_log_det(self._unbroadcasted_scale_tril) + constant).expand(self._batch_shape)
