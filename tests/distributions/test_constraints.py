"""Constraints against torch: what they accept, and how they print."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import minigen
from minigen.distributions import constraints as ours

theirs = torch.distributions.constraints

NUMBERS = np.array(
    [-2.0, -1.5, -1.0, 0.0, 1e-300, 0.5, 1.0, 2.0, 2.5, 3.0, math.inf, -math.inf, math.nan]
)
VECTORS = np.array(
    [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [1.0, 1.0], [0.0, 0.0], [-0.5, 1.5], [math.nan, 1.0],
     [0.5, 0.5 + 2e-6], [0.5, 0.5 + 5e-7], [math.inf, -math.inf]]
)  # fmt: skip
MATRICES = np.array(
    [[[1.0, 0.0], [0.0, 1.0]], [[2.0, 1.0], [1.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]],
     [[1.0, 0.0], [3.0, 1.0]], [[1.0, 3.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]],
     [[-1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [5.0, -1.0]], [[math.nan, 0.0], [0.0, 1.0]],
     [[1.0, 1e-7], [0.0, 1.0]]]
)  # fmt: skip

CHECKS = [
    *((text, NUMBERS) for text in [
        "boolean", "real", "positive", "nonnegative", "nonnegative_integer", "positive_integer",
        "unit_interval", "greater_than(0.5)", "greater_than_eq(0.5)", "less_than(0.5)",
        "interval(-1.0, 2.0)", "half_open_interval(-1.0, 2.0)", "integer_interval(-1, 2)",
        "independent(real, 0)", "independent(positive, 1)",
    ]),
    *((text, VECTORS) for text in [
        "one_hot", "simplex", "real_vector", "independent(positive, 2)", "independent(simplex, 1)",
    ]),
    *((text, MATRICES) for text in [
        "lower_triangular", "lower_cholesky", "square", "symmetric", "positive_definite",
        "independent(lower_cholesky, 1)",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "values"), CHECKS)
def test_what_is_accepted(text, values):
    one, two = (eval(text, dict(vars(module))) for module in (ours, theirs))
    assert (one.is_discrete, one.event_dim) == (two.is_discrete, two.event_dim)
    assert repr(one) == repr(two)
    if text in ("symmetric", "positive_definite"):  # one matrix at a time: torch looks at all first
        for value in values:
            accepted = one.check(minigen.from_numpy(value)).item()
            assert accepted == two.check(torch.from_numpy(value)).item(), value
        return
    accepted = one.check(minigen.from_numpy(values))
    np.testing.assert_array_equal(accepted.numpy(), two.check(torch.from_numpy(values)).numpy())


def test_bounds_broadcast():
    inside = ours.interval(minigen.tensor([0.0, 1.0]), 2.0).check(minigen.full((3, 1), 0.5))
    assert inside.tolist() == [[True, False]] * 3


def test_batches_of_matrices():
    both = minigen.from_numpy(MATRICES[[1, 2]])
    assert ours.positive_definite.check(both).tolist() == [True, False]
    assert ours.square.check(minigen.zeros(4, 2, 3)).tolist() == [False] * 4
    assert ours.positive_definite.check(minigen.zeros(4, 2, 3)).tolist() == [False] * 4


def test_dependent_constraints():
    assert ours.is_dependent(ours.dependent)
    assert not ours.is_dependent(ours.real)
    known = ours.dependent(is_discrete=True)(event_dim=1)
    assert (known.is_discrete, known.event_dim) == (True, 1)
    with pytest.raises(NotImplementedError, match="event_dim depends on parameters"):
        _ = ours.dependent.event_dim
    with pytest.raises(ValueError, match="cannot be checked"):
        known.check(minigen.zeros(2))
    assert ours.is_dependent(minigen.distributions.Uniform.support)
    assert minigen.distributions.Uniform.support.event_dim == 0
    assert minigen.distributions.Categorical.support.is_discrete
    assert "Interval" in repr(minigen.distributions.Uniform(0.0, 1.0).support)


def test_errors():
    with pytest.raises(ValueError, match=r"value of shape \(\) has less than the 1 dimensions"):
        ours.real_vector.check(minigen.tensor(1.0))
    with pytest.raises(ValueError, match="0 or more dimensions, got -1"):
        ours.independent(ours.real, -1)
    with pytest.raises(NotImplementedError, match="Constraint does not define check"):
        ours.Constraint().check(minigen.zeros(2))


def test_all_names_are_torchs():
    assert set(ours.__all__) <= set(theirs.__all__)
