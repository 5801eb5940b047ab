"""Divergences against torch, against averages over draws, and their registry."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import minigen
from minigen import distributions as ours
from minigen.distributions import kl_divergence
from tests.expressions import function, normal, same
from tests.oracle import check

# of two unconstrained tensors each: x, y for p and z, w for q
FAMILIES = {
    "Normal": "Normal({0}, {1}.exp())",
    "Laplace": "Laplace({0}, {1}.exp())",
    "Uniform": "Uniform({0}, {0} + {1}.exp())",
    "Exponential": "Exponential({1}.exp() + 0 * {0})",
    "Bernoulli": "Bernoulli(logits={0} + {1})",
}
# what torch has a formula for
PAIRS = [
    *((name, name) for name in FAMILIES),
    ("Exponential", "Normal"), ("Exponential", "Uniform"), ("Laplace", "Exponential"),
    ("Laplace", "Normal"), ("Laplace", "Uniform"), ("Normal", "Exponential"),
    ("Normal", "Laplace"), ("Normal", "Uniform"), ("Uniform", "Exponential"), ("Uniform", "Normal"),
]  # fmt: skip

# where a mask of one batch shape indexes the other, torch fails
BROADCAST_BY_MINIGEN_ONLY = [("Bernoulli", "Bernoulli"), ("Uniform", "Exponential")]


def divergence(p: str, q: str) -> str:
    first, second = FAMILIES[p].format("x", "y"), FAMILIES[q].format("z", "w")
    return f"m.distributions.kl_divergence(m.distributions.{first}, m.distributions.{second})"


@st.composite
def four_arrays(draw):
    found = draw(mutually_broadcastable_shapes(num_shapes=4, max_dims=2, max_side=3, min_side=0))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return [np.asarray(rng.uniform(-1, 1, shape)) for shape in found.input_shapes]


@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_pairs_of_families(p, q):
    """Uniform intervals that lie outside of the other are among the examples: infinite."""
    expression = divergence(p, q)

    @settings(max_examples=12, deadline=None)
    @given(four_arrays())
    def compare(arrays):
        ours, formula = function(expression, minigen), function(expression, torch)
        theirs = formula
        if (p, q) in BROADCAST_BY_MINIGEN_ONLY:
            theirs = lambda *tensors: formula(*torch.broadcast_tensors(*tensors))  # noqa: E731
        value = theirs(*(torch.from_numpy(a) for a in arrays))
        # a constant infinity in torch has the shape of p alone
        finite = bool(value.isfinite().all())
        check(ours, theirs, *arrays, order=2 if finite and value.numel() else 0, numeric=finite)

    compare()


def test_every_pair_of_torch_is_offered_and_no_other():
    made = {
        name: [function(f"m.distributions.{text.format('x', 'y')}", module) for module in
               (minigen, torch)]
        for name, text in FAMILIES.items()
    }  # fmt: skip
    for p, q in itertools.product(FAMILIES, repeat=2):
        arrays = [np.asarray(0.5), np.asarray(0.1)]
        answers = []
        for side, module in enumerate((minigen, torch)):
            args = [module.from_numpy(a) for a in arrays]
            try:
                value = module.distributions.kl_divergence(made[p][side](*args),
                                                           made[q][side](*args))  # fmt: skip
            except NotImplementedError:
                value = None
            answers.append(value is not None)
        assert answers[0] == answers[1] == ((p, q) in PAIRS), (p, q)


VECTORS = """
kl_divergence(D.Categorical(logits=x), D.Categorical(logits=y))
kl_divergence(D.Categorical(x.exp()), D.Categorical(y.exp()))
kl_divergence(D.OneHotCategorical(logits=x), D.OneHotCategorical(logits=y[0]))
kl_divergence(D.Independent(D.Normal(x, y.exp()), 1), D.Independent(D.Normal(y, x.exp()), 1))
kl_divergence(D.Independent(D.Bernoulli(logits=x), 2), D.Independent(D.Bernoulli(logits=y), 2))
kl_divergence(D.LogNormal(x, y.exp()), D.LogNormal(y, x.exp()))
kl_divergence(D.OneHotCategoricalStraightThrough(logits=x), D.OneHotCategorical(logits=y))
"""


@pytest.mark.parametrize("expression", VECTORS.strip().splitlines())
def test_vectors(expression):
    text = expression.replace("D.", "m.distributions.")
    same(f"m.distributions.{text}", normal(2, 3), normal(2, 3))


def test_impossible_outcomes():
    p, q = np.array([0.0, 1.0, 0.5, 0.0, 1.0, 0.5]), np.array([0.0, 1.0, 0.0, 0.5, 0.5, 1.0])
    text = "m.distributions.kl_divergence(m.distributions.{0}(x), m.distributions.{0}(y))"
    same(text.format("Bernoulli"), p, q, order=0)
    p, q = np.stack([p, 1 - p], -1), np.stack([q, 1 - q], -1)
    same(text.format("Categorical"), p, q, order=0)


def test_the_mean_of_logarithms_over_draws():
    """Every pair with a finite divergence: within five standard errors of the closed form."""
    minigen.manual_seed(5)
    p, q = (minigen.tensor(v, dtype=minigen.float64) for v in ([0.3, 0.2], [0.1, -0.4]))
    for one, two in PAIRS:
        first = eval(f"ours.{FAMILIES[one].format('a[0]', 'a[1]')}", {"ours": ours, "a": p})
        second = eval(f"ours.{FAMILIES[two].format('a[0]', 'a[1]')}", {"ours": ours, "a": q})
        closed = kl_divergence(first, second)
        assert closed.item() >= 0
        if not closed.isfinite():
            continue
        x = first.sample((40_000,))
        ratio = (first.log_prob(x) - second.log_prob(x)).numpy()
        error = ratio.std() / math.sqrt(len(ratio)) + 1e-12
        assert abs(ratio.mean() - closed.item()) < 5 * error, (one, two)


# ------------------------------------------------------- two mistakes that classes keep making


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=4), st.floats(-3, 3))
def test_a_divergence_is_never_negative(means, logvar):
    """The term that a VAE subtracts: 0 for its prior alone, never less."""
    mu = minigen.tensor(means, dtype=minigen.float64)
    sigma = minigen.tensor(0.5 * logvar, dtype=minigen.float64).exp()
    divergence = kl_divergence(ours.Normal(mu, sigma), ours.Normal(0.0, 1.0))
    assert (divergence > -1e-15).all()  # 0 but for rounding, at least
    if max(abs(logvar), *map(abs, means)) > 1e-3:
        assert divergence.max() > 1e-7


def test_the_logarithm_of_the_variance_is_twice_that_of_the_deviation():
    """The closed form of a VAE in logvar is Normal's with scale = exp(logvar / 2); reading logvar
    as log σ gives another number, and an average over draws says which is right."""
    minigen.manual_seed(3)
    mu, logvar = minigen.tensor([0.5, -1.0]).double(), minigen.tensor([1.0, -1.5]).double()
    prior = ours.Normal(0.0, 1.0)
    closed = -0.5 * (1 + logvar - mu**2 - logvar.exp())
    right = ours.Normal(mu, (0.5 * logvar).exp())
    wrong = ours.Normal(mu, logvar.exp())
    np.testing.assert_allclose(kl_divergence(right, prior), closed, rtol=1e-12)
    assert (kl_divergence(wrong, prior) - closed).abs().min() > 0.3
    x = right.sample((40_000,))
    drawn = (right.log_prob(x) - prior.log_prob(x)).mean(0)
    np.testing.assert_allclose(drawn, closed, atol=0.03)


# ------------------------------------------------------------------------------- the registry


class _Mine(ours.Normal):
    pass


class _Other(ours.Normal):
    pass


@pytest.fixture
def registry():
    """The registry, as it was before afterwards."""
    from minigen.distributions import kl

    formulas = dict(kl._FORMULAS)
    yield kl.register_kl
    kl._FORMULAS.clear()
    kl._FORMULAS.update(formulas)
    kl._CHOSEN.clear()


def test_the_most_specific_formula_counts(registry):
    p, q = _Mine(1.0, 1.0), ours.Normal(0.0, 1.0)
    assert kl_divergence(p, q).item() == 0.5  # that of its base class
    registry(_Mine, ours.Normal)(lambda p, q: "mine")
    assert kl_divergence(p, q) == "mine"
    assert kl_divergence(q, p).item() == 0.5


def test_a_tie_is_reported(registry):
    registry(_Mine, ours.Normal)(lambda p, q: "left")
    registry(ours.Normal, _Other)(lambda p, q: "right")
    with pytest.warns(RuntimeWarning, match=r"\(_Mine, _Other\) is ambiguous"):
        assert kl_divergence(_Mine(0.0, 1.0), _Other(0.0, 1.0)) == "left"
    registry(_Mine, _Other)(lambda p, q: "both")
    assert kl_divergence(_Mine(0.0, 1.0), _Other(0.0, 1.0)) == "both"


def test_what_has_no_formula():
    normal_, classes = ours.Normal(0.0, 1.0), ours.Categorical(minigen.ones(2))
    with pytest.raises(NotImplementedError, match="no formula for Normal and Categorical"):
        kl_divergence(normal_, classes)
    with pytest.raises(NotImplementedError, match="Bernoulli and Normal are different exponential"):
        kl_divergence(ours.Bernoulli(0.5), normal_)
    batch = ours.Normal(minigen.zeros(2), 1.0)
    with pytest.raises(NotImplementedError, match="1 and 0 independent dimensions differ"):
        kl_divergence(ours.Independent(batch, 1), ours.Independent(batch, 0))
    with pytest.raises(NotImplementedError, match="transforms or the event shapes"):
        kl_divergence(
            ours.LogNormal(0.0, 1.0),
            ours.TransformedDistribution(normal_, ours.SigmoidTransform()),
        )
    with pytest.raises(TypeError, match="subclasses of Distribution, got 3"):
        ours.register_kl(ours.Normal, 3)
    with pytest.raises(TypeError, match="subclasses of Distribution"):
        ours.register_kl(int, ours.Normal)


class _Poisson(ours.ExponentialFamily):
    """Only what an exponential family needs: log p(k) = k log λ - λ - log k!."""

    arg_constraints = {"rate": ours.constraints.positive}

    def __init__(self, rate):
        self.rate = rate
        super().__init__(rate.shape)

    @property
    def _natural_params(self):
        return (self.rate.log(),)

    def _log_normalizer(self, x):
        return x.exp()


def test_the_divergence_of_an_exponential_family_follows_from_its_normalizer():
    def mine(x, y):
        return kl_divergence(_Poisson(x.exp()), _Poisson(y.exp()))

    def closed(x, y):
        return x.exp() * (x - y) - x.exp() + y.exp()

    check(mine, closed, normal(3), normal(3))
    assert not mine(minigen.zeros(2), minigen.ones(2)).requires_grad
    with pytest.raises(NotImplementedError, match="_mean_carrier_measure"):
        _Poisson(minigen.ones(1)).entropy()
