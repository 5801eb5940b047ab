"""Every family against torch.distributions: numbers, derivatives, shapes, broadcasting, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigen
from minigen import distributions as ours
from tests.distributions.families import FAMILIES, SCALARS, inputs, outputs
from tests.expressions import function, normal, same
from tests.oracle import check, close

theirs = torch.distributions


@pytest.mark.parametrize("name", FAMILIES)
def test_numbers_and_derivatives(name):
    """log_prob, cdf, icdf, moments, entropy: values and gradients to second order."""
    expression = outputs(name)

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(inputs(name))
    def compare(arrays):
        check(*_both(expression), *arrays, order=0 if 0 in arrays[0].shape else 2)

    compare()


def _both(expression):
    return function(expression, minigen), function(expression, torch)


@pytest.mark.parametrize("name", FAMILIES)
def test_shapes_and_expand(name):
    """batch_shape, event_shape, shapes of draws, before and after expand; and its numbers."""
    distribution, value, rest = FAMILIES[name]
    fields = ["d.log_prob(v)", *(f"d.{each}" for each in rest.split() if "cdf" not in each)]
    fields = [f"{each}()" if each.endswith(("entropy", "perplexity")) else each for each in fields]
    text = (
        f"(lambda d, v: [{', '.join(fields)}])"
        f"(m.distributions.{distribution}.expand((4, 2, 3)), {value})"
    )
    shape = (2, 1) if name in SCALARS else (2, 1, 3)
    value_shape = (4, 2, *(3,) * (len(shape) - 1))
    x, y, z = (np.asarray(normal(*each) / 2) for each in (shape, shape, value_shape))
    check(*_both(text), x, y, z)

    def shapes(module):
        d = function(f"m.distributions.{distribution}", module)(
            module.from_numpy(x), module.from_numpy(y)
        )
        grown = d.expand((4, 2, 3))
        names = [tuple(s) for e in (d, grown) for s in (e.batch_shape, e.event_shape)]
        draws = [tuple(e.sample(n).shape) for e in (d, grown) for n in ((), (5,), (2, 0), [3])
                 if "Categorical" not in name or 0 not in n]  # fmt: skip
        lengths = [tuple(e._extended_shape((7,))) for e in (d, grown)]
        return names, draws, lengths, type(grown).__name__, grown.has_rsample, repr(grown)

    a, b = shapes(minigen), shapes(torch)
    assert a[:-1] == b[:-1]
    assert a[-1] == b[-1].replace("torch", "minigen")


@pytest.mark.parametrize("validate", [True, False])
def test_expand_keeps_whether_arguments_are_checked(validate):
    d = ours.Normal(0.0, 1.0, validate_args=validate).expand((2,))
    assert d._validate_args is validate


def test_a_distribution_of_numbers_has_the_default_dtype():
    d = ours.Normal(0, 2)
    assert d.batch_shape == () == d.event_shape
    assert d.sample((3,)).dtype == minigen.float32
    assert repr(d) == repr(theirs.Normal(0, 2)) == "Normal(loc: 0.0, scale: 2.0)"
    assert (
        repr(ours.Normal(minigen.zeros(1), 1)) == "Normal(loc: tensor([0.]), scale: tensor([1.]))"
    )
    half = ours.Normal(minigen.zeros(2, dtype=minigen.float16), 1.0)
    assert half.scale.dtype == half.sample().dtype == minigen.float16


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FAMILIES)
def test_dtypes(name, dtype):
    """Draws and logarithms have the dtype of the parameters."""
    distribution, value, _ = FAMILIES[name]
    shape = (2,) if name in SCALARS else (2, 3)

    def kinds(module):
        arrays = [module.from_numpy(np.ones(shape, dtype)) for _ in range(3)]
        text = f"[m.distributions.{distribution}][0]"
        d = function(text, module)(*arrays)
        v = function(value, module)(*arrays)
        return [str(t.dtype).split(".")[1] for t in (d.sample(), d.log_prob(v))]

    assert kinds(minigen) == kinds(torch)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_a_place_for_its_values(name):
    """support and arg_constraints: the same names, and the same words where they are printed."""
    distribution = FAMILIES[name][0]

    def said(module):
        t = [module.from_numpy(np.full(s, 0.5)) for s in ((3,), (3,))]
        d = function(f"m.distributions.{distribution}", module)(*t)
        support = d.support
        return (
            set(d.arg_constraints),
            {k: v.event_dim for k, v in d.arg_constraints.items()},
            {k: v.is_discrete for k, v in d.arg_constraints.items()},
            support.event_dim,
            support.is_discrete,
            type(support).__name__.strip("_").removesuffix("Constraint"),
            d.has_enumerate_support,
        )

    assert said(minigen) == said(torch)


# ---------------------------------------------------------------------- values at the boundaries


def test_densities_outside_the_support():
    x = np.array([-1.0, 0.0, 1.0, 2.0, 3.0])
    same("m.distributions.Uniform(0.0, 2.0, validate_args=False).log_prob(x)", x, order=0)
    check(*_both("m.distributions.Uniform(0.0, 2.0, validate_args=False).cdf(x)"), x, numeric=False)
    same("m.distributions.Uniform(0.0 * x, 2.0).mode", x, order=0)


def test_extreme_probabilities():
    p = np.array([0.0, 1.0, 0.5, 1e-12, 1e-300])
    zero, one = np.zeros(5), np.ones(5)
    for v in (zero, one):
        same("m.distributions.Bernoulli(x).log_prob(y)", p, v, order=0)
    same("m.distributions.Bernoulli(x).entropy()", p, order=0)
    same("m.distributions.Bernoulli(x).mode", p, order=0)
    big = np.array([-800.0, -40.0, 0.0, 40.0, 800.0])
    same("m.distributions.Bernoulli(logits=x).log_prob(m.zeros_like(x))", big, order=1)
    weights = np.array([[0.0, 1.0, 3.0], [1.0, 0.0, 0.0]])
    same("m.distributions.Categorical(x).entropy()", weights, order=0)
    same("m.distributions.Categorical(x).log_prob(y)", weights, np.array([0, 1]), order=0)
    logits = np.array([[-math.inf, 0.0, 1.0], [1000.0, 0.0, -1000.0]])
    same("m.distributions.Categorical(logits=x).entropy()", logits, order=0)
    same("m.distributions.Categorical(logits=x).probs", logits, order=0)


def test_the_moments_of_classes_are_not_numbers():
    same("m.distributions.Categorical(x).mean", np.ones((2, 3)), order=0)
    same("m.distributions.Categorical(x).variance", np.ones((2, 3)), order=0)


@pytest.mark.parametrize(
    "make",
    ["Normal(a, b)", "Laplace(a, b)", "Exponential(b)", "Uniform(a, a + b)", "LogNormal(a, b)"],
)
def test_quantiles_invert_the_distribution_function(make):
    a, b = minigen.tensor([0.5, -2.0]), minigen.tensor([1.5, 3.0])
    d = eval(f"ours.{make}", {"ours": ours, "a": a, "b": b})
    p = minigen.linspace(0.01, 0.99, 50).unsqueeze(-1)
    np.testing.assert_allclose(d.cdf(d.icdf(p)), p.expand(50, 2), rtol=1e-5)


def test_the_far_tail_keeps_its_digits():
    """1 - exp(-λx) and 1 - 2 t would lose them all to cancellation."""
    x = np.array([1e-20, 1e-10])
    np.testing.assert_allclose(ours.Exponential(2.0).cdf(minigen.from_numpy(x)), 2 * x, rtol=1e-9)


# --------------------------------------------------------------------------------- enumeration


@pytest.mark.parametrize("expand", [True, False])
@pytest.mark.parametrize(
    ("family", "shape"),
    [("Bernoulli", ()), ("Bernoulli", (2, 3)), ("Categorical", (4,)), ("Categorical", (2, 4)),
     ("OneHotCategorical", (3,)), ("OneHotCategorical", (2, 1, 3))],
)  # fmt: skip
def test_enumerate_support(family, shape, expand):
    p = np.full(shape, 0.5)
    same(f"m.distributions.{family}(x).enumerate_support({expand})", p, order=0)
    d = getattr(ours, family)(minigen.from_numpy(p))
    total = d.log_prob(d.enumerate_support()).exp().sum(0)
    np.testing.assert_allclose(total, np.ones(d.batch_shape), rtol=1e-12)
    assert d.has_enumerate_support
    independent = ours.Independent(d, 0)
    close(independent.enumerate_support(expand), d.enumerate_support(expand).numpy(), 0, "values")


def test_what_cannot_be_enumerated():
    with pytest.raises(NotImplementedError, match="several dimensions together"):
        ours.Independent(ours.Bernoulli(minigen.full((2,), 0.5)), 1).enumerate_support()
    with pytest.raises(NotImplementedError, match="Normal does not offer enumerate_support"):
        ours.Normal(0, 1).enumerate_support()


# -------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "match"),
    [
        ("d.Normal(0.0, -1.0)", "parameter scale of shape .* must satisfy GreaterThan"),
        ("d.Normal(m.tensor([0.0, float('nan')]), 1.0)", r"parameter loc of shape \(2,\)"),
        ("d.Normal([0.0], 1.0)", "must be a tensor or a number, got list"),
        ("d.Normal(m.zeros(2), m.ones(3))", r"\(2,\), \(3,\) do not broadcast"),
        ("d.Uniform(1.0, 1.0)", "parameter low"),
        ("d.Exponential(0.0)", "parameter rate"),
        ("d.Laplace(0.0, 0.0)", "parameter scale"),
        ("d.Bernoulli(1.5)", r"Interval\(lower_bound=0.0, upper_bound=1.0\)"),
        ("d.Bernoulli()", "either probs or logits"),
        ("d.Bernoulli(0.5, 0.0)", "either probs or logits"),
        ("d.Categorical(m.ones(2), m.ones(2))", "either probs or logits"),
        ("d.Categorical(m.tensor(1.0))", "last dimension of classes"),
        ("d.Categorical(m.tensor([-1.0, 2.0]))", "parameter probs .* Simplex"),
        ("d.Categorical(logits=m.tensor([float('nan'), 2.0]))", "parameter logits"),
        ("d.OneHotCategorical(m.tensor([-1.0, 2.0]))", "parameter probs"),
        ("d.RelaxedBernoulli(m.tensor(1.0))", "either probs or logits"),
        ("d.Independent(d.Normal(m.zeros(2), 1.0), 2)", "cannot be taken from batch_shape"),
        ("d.TransformedDistribution(d.Normal(0.0, 1.0), 3)", "a Transform or a list"),
        ("d.TransformedDistribution(d.Normal(0.0, 1.0), [3])", "a Transform or a list"),
        ("d.TransformedDistribution(d.Normal(0.0, 1.0), d.SoftmaxTransform())", "events of 1"),
        ("d.Normal(0.0, 1.0).log_prob(0.5)", "value must be a tensor, got 0.5"),
        ("d.Normal(0.0, 1.0).log_prob(m.tensor(float('nan')))", r"support, Real\(\)"),
        ("d.Normal(m.zeros(2), 1.0).log_prob(m.zeros(3))", r"\(3,\) does not broadcast .*\(2,\)"),
        ("d.Uniform(0.0, 1.0).cdf(m.tensor(2.0))", "must lie in the support, Interval"),
        ("d.Exponential(1.0).log_prob(m.tensor(-1.0))", "must lie in the support"),
        ("d.LogNormal(0.0, 1.0).log_prob(m.tensor(-1.0))", "must lie in the support"),
        ("d.Bernoulli(0.5).log_prob(m.tensor(0.5))", r"Boolean\(\)"),
        ("d.Categorical(m.ones(3)).log_prob(m.tensor(3))", "upper_bound=2"),
        ("d.OneHotCategorical(m.ones(3)).log_prob(m.tensor([1.0, 1.0, 0.0]))", "OneHot"),
        ("d.OneHotCategorical(m.ones(3)).log_prob(m.tensor([1.0, 0.0]))", "end with .*event_shape"),
        ("d.RelaxedOneHotCategorical(m.tensor(1.0), m.ones(2)).log_prob(m.ones(2))", "Simplex"),
        ("d.Distribution.set_default_validate_args(3)", "True or False"),
        ("d.AffineTransform(0, 1, cache_size=2)", "cache_size must be 0 or 1"),
    ],
)
def test_what_is_wrong_is_said(make, match):
    """torch raises a ValueError in each case, too (a RuntimeError for shapes)."""
    with pytest.raises(ValueError, match=match):
        eval(make, {"m": minigen, "d": ours})
    with pytest.raises((ValueError, RuntimeError)):
        eval(make, {"m": torch, "d": theirs})


def test_draws_that_cannot_be():
    for d in (ours.Normal(0, 1), ours.Categorical(minigen.ones(2)), ours.Bernoulli(0.5)):
        with pytest.raises(TypeError, match=r"such as \(5,\), got 5"):
            d.sample(5)
    with pytest.raises(NotImplementedError, match="Bernoulli does not offer rsample"):
        ours.Bernoulli(0.5).rsample()
    with pytest.raises(RuntimeError, match="cannot draw 0"):
        ours.Categorical(minigen.ones(2)).sample((0,))
    assert not hasattr(ours.Normal(0, 1), "sample_n")


@pytest.mark.parametrize(
    "what", ["mean", "mode", "variance", "stddev", "support", "arg_constraints"]
)
def test_what_a_family_does_not_offer_is_said(what):
    with pytest.raises(NotImplementedError, match=r"Distribution does not define \w+"):
        getattr(ours.Distribution(validate_args=False), what)


@pytest.mark.parametrize("call", ["log_prob", "cdf", "icdf", "expand"])
def test_what_a_family_does_not_compute_is_said(call):
    with pytest.raises(NotImplementedError, match=f"Distribution does not define {call}"):
        getattr(ours.Distribution(validate_args=False), call)(minigen.ones(1))


def test_checks_can_be_switched_off():
    assert ours.Normal(0.0, -1.0, validate_args=False).scale.item() == -1
    ours.Distribution.set_default_validate_args(False)
    try:
        assert ours.Normal(0.0, -1.0).scale.item() == -1
    finally:
        ours.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError, match="scale"):
        ours.Normal(0.0, -1.0)


class _Bare(ours.Distribution):
    """A family that defines nothing."""


class _Shifted(ours.Normal):
    def __init__(self, loc):
        super().__init__(loc, 1.0)


class _Named(ours.Normal):
    pass


def test_families_of_users():
    with pytest.warns(UserWarning, match="_Bare defines no arg_constraints"):
        bare = _Bare()
    with pytest.warns(UserWarning, match="_Bare defines no support"):
        bare._validate_sample(minigen.zeros(()))
    with pytest.raises(NotImplementedError, match="_Shifted has a constructor of its own"):
        _Shifted(0.0).expand((2,))
    assert type(_Named(0.0, 1.0).expand((2,))) is _Named


# ----------------------------------------------------------------- probabilities that are derived


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([(), (2,), (2, 3)]))
def test_probs_and_logits_follow_from_each_other(seed, shape):
    x = np.asarray(np.random.default_rng(seed).uniform(-2, 2, shape))
    same("m.distributions.Bernoulli(logits=x).probs", x)
    same("m.distributions.Bernoulli(x.sigmoid()).logits", x)
    if shape:
        same("m.distributions.Categorical(logits=x).probs", x)
        same("m.distributions.Categorical(x.exp()).logits", x)
        same("m.distributions.OneHotCategorical(x.exp()).logits", x)
        same("m.distributions.Categorical(logits=x).logits", x)


def test_a_derived_parameter_keeps_its_graph_after_no_grad():
    logits = minigen.zeros(2, requires_grad=True)
    d = ours.Bernoulli(logits=logits)
    d.sample()  # reads probs where no graph is recorded
    d.mean.sum().backward()
    np.testing.assert_allclose(logits.grad, [0.25, 0.25])
    assert d.probs is d.probs


def test_a_parameter_that_is_not_used_costs_nothing():
    d = ours.Categorical(logits=minigen.zeros(3))
    d.log_prob(minigen.tensor(0))
    assert "probs" not in d.__dict__


@pytest.mark.parametrize("family", ["Normal", "Exponential", "Bernoulli"])
def test_the_entropy_of_an_exponential_family_follows_from_its_normalizer(family):
    x, y = normal(3), normal(3)
    made = {
        "Normal": "Normal(x.detach(), y.exp())",
        "Exponential": "Exponential(y.exp())",
        "Bernoulli": "Bernoulli(logits=x)",
    }[family]
    general = function(
        f"m.distributions.ExponentialFamily.entropy(m.distributions.{made})", minigen
    )
    check(general, function(f"m.distributions.{made}.entropy()", torch), x, y)
    numbers = general(minigen.from_numpy(x), minigen.from_numpy(y))
    assert not numbers.requires_grad
