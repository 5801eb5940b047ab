"""The multivariate normal distribution against torch, by each of its three matrices."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import minigen
from minigen import distributions as ours
from tests.expressions import function, normal, same
from tests.oracle import check, close

# a symmetric positive definite and a lower triangular matrix that depend on all, or half, of y
SPD = "(y @ y.mT + m.eye(y.shape[-1]).to(y.dtype))"
TRIL = "(y.tril(-1) + (y.diagonal(0, -2, -1).exp()).diag_embed())"
MATRICES = {
    "covariance_matrix": SPD,
    "precision_matrix": SPD,
    "scale_tril": TRIL,
}


def made(matrix: str) -> str:
    return f"m.distributions.MultivariateNormal(x, {matrix}={MATRICES[matrix]})"


@st.composite
def arrays(draw):
    """loc, matrix and value with batches that broadcast."""
    found = draw(mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, 4))
    shapes = [(*batch, *(n,) * dims) for batch, dims in zip(found.input_shapes, (1, 2, 1))]
    return [np.asarray(0.5 * rng.standard_normal(shape)) for shape in shapes]


@pytest.mark.parametrize("matrix", MATRICES)
def test_numbers_and_derivatives(matrix):
    text = (
        "(lambda d: [d.log_prob(z), d.entropy(), d.mean, d.mode, d.variance, d.stddev,"
        " d.covariance_matrix, d.precision_matrix, d.scale_tril, d.perplexity()])"
    )
    expression = f"{text}({made(matrix)})"

    @settings(max_examples=15, deadline=None)
    @given(arrays())
    def compare(given_arrays):
        check(function(expression, minigen), function(expression, torch), *given_arrays)

    compare()


@pytest.mark.parametrize("matrix", MATRICES)
def test_expand(matrix):
    text = f"{made(matrix)}.expand((4, 2))"
    fields = "d.log_prob(z), d.entropy(), d.mean, d.variance, d.covariance_matrix, d.scale_tril"
    same(f"(lambda d: [{fields}])({text})", normal(2, 3), normal(1, 3, 3), normal(5, 4, 2, 3))

    def shapes(module):
        d = function(text, module)(*(module.from_numpy(normal(*s)) for s in ((2, 3), (1, 3, 3))))
        draws = [tuple(d.sample(n).shape) for n in ((), (6,), (0, 2))]
        return tuple(d.batch_shape), tuple(d.event_shape), draws

    assert shapes(minigen) == shapes(torch)
    assert shapes(minigen)[:2] == ((4, 2), (3,))


def test_a_thousand_values_are_one_system_of_equations(monkeypatch):
    """The right-hand sides of one matrix are its columns, whatever their batch."""
    from minigen.distributions import multivariate_normal as module

    seen = []

    def spy(factor, columns, **options):
        seen.append((tuple(factor.shape), tuple(columns.shape)))
        return solve(factor, columns, **options)

    solve = module.solve_triangular
    monkeypatch.setattr(module, "solve_triangular", spy)
    loc, factor = minigen.zeros(3), minigen.eye(3)
    assert ours.MultivariateNormal(loc, scale_tril=factor).log_prob(
        minigen.ones(10, 100, 3)
    ).shape == (10, 100)
    several = ours.MultivariateNormal(
        minigen.zeros(4, 3), scale_tril=minigen.eye(3).expand(4, 3, 3)
    )
    assert several.log_prob(minigen.ones(10, 4, 3)).shape == (10, 4)
    assert seen == [((3, 3), (3, 1000)), ((4, 3, 3), (4, 3, 10))]


@pytest.mark.parametrize("shape", [(), (3,), (2, 1)])
@pytest.mark.parametrize("pair", [(SPD, TRIL), (TRIL, SPD)])
def test_kl_divergence(shape, pair):
    renamed = re.sub(r"\by\b", "w", pair[1])
    names = {SPD: "covariance_matrix", TRIL: "scale_tril"}
    p = f"m.distributions.MultivariateNormal(x, {names[pair[0]]}={pair[0]})"
    q = f"m.distributions.MultivariateNormal(z, {names[pair[1]]}={renamed})"
    n = 3
    inputs = [normal(*shape, n), normal(n, n), normal(n), normal(*shape[:1], n, n)]
    if len(shape) == 2:
        inputs[3] = normal(4, n, n)
    same(f"m.distributions.kl_divergence({p}, {q})", *inputs)


def test_a_diagonal_is_a_batch_of_normals():
    loc, scale, x = (minigen.from_numpy(normal(2, 3)) for _ in range(3))
    joint = ours.MultivariateNormal(loc, scale_tril=scale.exp().diag_embed())
    factors = ours.Independent(ours.Normal(loc, scale.exp()), 1)
    for one, two in [
        (joint.log_prob(x), factors.log_prob(x)),
        (joint.entropy(), factors.entropy()),
        (joint.variance, factors.variance),
    ]:
        close(one, two.numpy(), 1e-12, "diagonal")
    assert joint.batch_shape == factors.batch_shape == (2,)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        ("(m.zeros(2))", "exactly one of"),
        ("(m.zeros(2), m.eye(2), m.eye(2))", "exactly one of"),
        ("(m.tensor(0.0), m.eye(1))", "loc must be a vector"),
        ("(m.zeros(2), m.ones(2))", r"covariance_matrix must end with \(2, 2\)"),
        ("(m.zeros(2), m.ones(2, 2))", "PositiveDefinite"),
        ("(m.zeros(2), m.tensor([[1.0, 0.5], [0.0, 1.0]]))", "PositiveDefinite"),
        ("(m.zeros(2), precision_matrix=-m.eye(2))", "parameter precision_matrix"),
        ("(m.zeros(2), scale_tril=m.ones(2, 2))", "LowerCholesky"),
        ("(m.zeros(2), scale_tril=-m.eye(2))", "LowerCholesky"),
        ("(m.tensor([0.0, float('nan')]), m.eye(2))", "parameter loc"),
        ("(m.zeros(3, 2), m.eye(2).expand(4, 2, 2))", "do not broadcast"),
        ("(m.zeros(2), m.eye(2)).log_prob(m.zeros(3))", "end with the event_shape"),
        ("(m.zeros(2), m.eye(2)).log_prob(m.tensor([0.0, float('nan')]))", "support"),
    ],
)
def test_what_is_wrong_is_said(make, match):
    with pytest.raises(ValueError, match=match):
        eval(f"d.MultivariateNormal{make}", {"m": minigen, "d": ours})
    with pytest.raises((ValueError, RuntimeError)):
        eval(f"d.MultivariateNormal{make}", {"m": torch, "d": torch.distributions})


def test_a_matrix_of_another_size():
    """torch accepts this one, and fails when it draws."""
    with pytest.raises(ValueError, match=r"covariance_matrix must end with \(2, 2\), got \(3, 3\)"):
        ours.MultivariateNormal(minigen.zeros(2), minigen.eye(3))


def test_vectors_of_different_lengths_have_no_divergence():
    two, three = (ours.MultivariateNormal(minigen.zeros(n), minigen.eye(n)) for n in (2, 3))
    with pytest.raises(ValueError, match="vectors of 2 and 3 numbers"):
        ours.kl_divergence(two, three)
