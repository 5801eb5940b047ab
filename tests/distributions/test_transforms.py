"""Transforms against torch: both directions, Jacobians, shapes, equality; what they make."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from minigen import distributions as ours
from minigen.distributions import transforms
from tests.expressions import function, normal, same
from tests.oracle import check

# transform, x that it takes; parameters are made of y
BIJECTIONS = {
    "ExpTransform()": "x",
    "SigmoidTransform()": "x",
    "TanhTransform()": "x",
    "SoftplusTransform()": "x",
    "PowerTransform(y.exp())": "x.exp()",
    "AffineTransform(y, -y.exp())": "x",
    "AffineTransform(0.5, -2.0)": "x",
    "AffineTransform(y, y.exp(), event_dim=1)": "x",
    "AffineTransform(1.0, 3, event_dim=2)": "x",
    "IndependentTransform(T.ExpTransform(), 1)": "x",
    "ComposeTransform([T.AffineTransform(y, 2.0), T.TanhTransform()])": "x",
    "ComposeTransform([T.ExpTransform(), T.AffineTransform(y, y.exp(), event_dim=1)])": "x",
    "ComposeTransform([T.ExpTransform(), T.PowerTransform(0.5)])": "x",
    "ComposeTransform([T.IndependentTransform(T.ExpTransform(), 2), T.SigmoidTransform()])": "x",
    "ExpTransform().inv": "x.exp()",
    "ComposeTransform([T.ExpTransform(), T.AffineTransform(0.1, 2.0)]).inv": "x.exp() + 0.2",
    "ComposeTransform([])": "x",
}
OTHERS = {"SoftmaxTransform()": "x", "AbsTransform()": "x"}


def made(text: str) -> str:
    return f"m.distributions.transforms.{text}".replace("T.", "m.distributions.transforms.")


@pytest.mark.parametrize("text", BIJECTIONS)
def test_both_directions_and_the_jacobian(text):
    @settings(max_examples=10, deadline=None)
    @given(st.integers(0, 2**32), st.sampled_from([(2, 3), (4, 2, 3), (1, 1)]))
    def compare(seed, shape):
        rng = np.random.default_rng(seed)
        x, y = rng.uniform(-1, 1, shape), rng.uniform(-1, 1, shape[-1:])
        parts = "f(v), f.inv(f(v)), f.log_abs_det_jacobian(v, f(v))"
        parts += ", f.inv.log_abs_det_jacobian(f(v), v)"
        expression = f"(lambda f, v: [{parts}])({made(text)}, {BIJECTIONS[text]})"
        check(function(expression, minigen), function(expression, torch), x, y)

    compare()


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_not_bijective(text):
    same(f"(lambda f: [f(x), f.inv(f(x))])({made(text)})", normal(2, 3))
    f = function(made(text), minigen)()
    assert not f.bijective
    with pytest.raises(NotImplementedError, match="has no Jacobian determinant"):
        f.log_abs_det_jacobian(minigen.zeros(2), minigen.zeros(2))
    with pytest.raises(NotImplementedError, match="neither rises nor falls"):
        _ = f.sign


@pytest.mark.parametrize("text", [*BIJECTIONS, *OTHERS])
def test_what_a_transform_says_of_itself(text):
    def said(module):
        y = module.from_numpy(np.array([0.5, -1.0, 2.0]))
        f = function(made(text), module)(y, y)
        shapes = [tuple(s) for s in (f.forward_shape((2, 3)), f.inverse_shape((4, 3)))]
        dims = [(c.event_dim, c.is_discrete) for c in (f.domain, f.codomain)]
        return shapes, dims, f.bijective, f.inv.inv is f, repr(f) if "tensor" not in repr(f) else ""

    ours_, theirs = said(minigen), said(torch)
    assert ours_ == theirs


def test_signs():
    y = np.array([0.5, -1.0])
    for text in [t for t in BIJECTIONS if "event_dim" not in t]:
        signs = []
        for module in (minigen, torch):
            t = module.from_numpy(y)
            sign = function(made(text), module)(t, t).sign
            signs.append(sign if isinstance(sign, int) else sign.tolist())
        assert signs[0] == signs[1], text


def test_equality():
    t = transforms
    groups = [
        [t.ExpTransform(), t.ExpTransform(cache_size=1)],
        [t.SigmoidTransform(), t.SigmoidTransform()],
        [t.AffineTransform(0, 2), t.AffineTransform(0.0, 2.0)],
        [t.AffineTransform(minigen.zeros(2), 2), t.AffineTransform(0, minigen.full((2,), 2.0))],
        [t.AffineTransform(0, 3)],
        [t.AffineTransform(1, 2)],
        [t.PowerTransform(2.0), t.PowerTransform(minigen.tensor(2.0))],
        [t.PowerTransform(3.0)],
        [t.ComposeTransform([t.ExpTransform()]), t.ComposeTransform([t.ExpTransform()])],
        [t.ComposeTransform([])],
        [t.ExpTransform().inv, t.ExpTransform().inv],
        [t.SoftmaxTransform(), t.SoftmaxTransform()],
    ]
    for i, group in enumerate(groups):
        for j, other in enumerate(groups):
            for a in group:
                for b in other:
                    mixed = {i, j} == {2, 3}  # equal numbers, as tensors or not
                    assert (a == b) == (i == j or mixed), (a, b)
    assert len({t.ExpTransform(), t.ExpTransform()}) == 2  # hashed by identity


def test_the_cache_inverts_what_rounding_destroyed():
    x = minigen.tensor([20.0], dtype=minigen.float64)
    plain, cached = transforms.TanhTransform(), transforms.TanhTransform(cache_size=1)
    assert plain.inv(plain(x)).isinf().all()
    assert cached.inv(cached(x)) is x
    y = minigen.tensor([0.5])
    assert cached(cached.inv(y)) is y
    for f in (
        transforms.AffineTransform(0, 1), transforms.PowerTransform(2.0), transforms.ExpTransform(),
        transforms.IndependentTransform(transforms.ExpTransform(), 1),
        transforms.ComposeTransform([transforms.ExpTransform()]), transforms.ExpTransform().inv,
    ):  # fmt: skip
        again = f.with_cache()
        assert again.with_cache(1) is again
        y = again(x)
        assert again.inv(y) is x


class _Custom(transforms.Transform):
    def __init__(self, parameter):
        super().__init__()
        self.parameter = parameter


def test_what_is_not_there_is_said():
    f = _Custom(1)
    for call in (f, f.inv):
        with pytest.raises(NotImplementedError, match="_Custom"):
            call(minigen.zeros(1))
    with pytest.raises(NotImplementedError, match="_Custom does not define with_cache"):
        f.with_cache()
    with pytest.raises(ValueError, match="needs events of 1 dimensions"):
        transforms.IndependentTransform(transforms.ExpTransform(), 1)(minigen.tensor(0.0))
    with pytest.raises(ValueError, match="needs a last dimension"):
        transforms.SoftmaxTransform().forward_shape(())
    with pytest.raises(RuntimeError, match="do not broadcast"):
        transforms.AffineTransform(minigen.zeros(2), 1.0).forward_shape((3,))


def test_all_names_are_torchs():
    assert set(transforms.__all__) <= set(torch.distributions.transforms.__all__)
    for name in [n for n in dir(ours) if n[0].isupper()]:
        assert hasattr(torch.distributions, name), name


# ------------------------------------------------------------------------ what they are used for

MADE = """
TransformedDistribution(D.Normal(x, 1.5), D.ExpTransform())
TransformedDistribution(D.Normal(x, 1.5), [])
TransformedDistribution(D.Normal(0.0 * x[0, 0], 1.5), D.AffineTransform(x, 2.0))
TransformedDistribution(D.Normal(x, 1.5), [D.AffineTransform(x, -2.0, event_dim=1)])
TransformedDistribution(D.Independent(D.Normal(x, 1.5), 1), [D.ExpTransform(), D.PowerTransform(2)])
TransformedDistribution(D.Laplace(x, 1.5), D.IndependentTransform(D.SoftplusTransform(), 1))
TransformedDistribution(D.Normal(x, 1.5), [D.TanhTransform(), D.AffineTransform(0.5, 0.5)])
"""


@pytest.mark.parametrize("text", MADE.strip().splitlines())
def test_transformed_distributions(text):
    """log_prob at values that the transforms reach, shapes, support, expand."""
    text = f"m.distributions.{text}".replace("D.", "m.distributions.")
    image = "m.distributions.ComposeTransform(d.transforms)(y)"
    expression = f"(lambda d: [d.log_prob({image})])({text})"
    same(expression, normal(2, 3), normal(4, 2, 3))
    same(expression.replace("(lambda d: [d", "(lambda d: [d.expand((4, *d.batch_shape))"),
         normal(2, 3), normal(4, 2, 3))  # fmt: skip

    def said(module):
        d = function(text, module)(module.from_numpy(np.full((2, 3), 0.3)))
        shapes = [d.batch_shape, d.event_shape, d.sample((5,)).shape, d.rsample().shape]
        return [tuple(s) for s in shapes], d.has_rsample, d.support.event_dim

    assert said(minigen) == said(torch)


@pytest.mark.parametrize("scale", [2.0, -2.0])
def test_a_falling_transform_turns_the_distribution_function_around(scale):
    text = f"m.distributions.TransformedDistribution(m.distributions.Normal(x, 1.0), \
[m.distributions.AffineTransform(0.5, {scale})])"
    same(f"(lambda d: [d.cdf(y), d.icdf(y.sigmoid())])({text})", normal(3), normal(3))


def test_values_are_checked_before_they_are_transformed_back():
    d = ours.TransformedDistribution(ours.Uniform(0.0, 1.0), ours.ExpTransform())
    with pytest.raises(ValueError, match="Uniform: the value"):
        d.cdf(minigen.tensor(5.0))


class _Flatten(transforms.Transform):
    """(..., 2, 3) -> (..., 6): it takes events of two dimensions and gives events of one."""

    domain = ours.constraints.independent(ours.constraints.real, 2)
    codomain = ours.constraints.independent(ours.constraints.real, 1)
    bijective = True

    def _call(self, x):
        return x.flatten(-2)

    def _inverse(self, y):
        return y.unflatten(-1, (2, 3))

    def log_abs_det_jacobian(self, x, y):
        return minigen.zeros(x.shape[:-2], dtype=x.dtype)

    def forward_shape(self, shape):
        return (*shape[:-2], 6)

    def inverse_shape(self, shape):
        return (*shape[:-1], 2, 3)


@pytest.mark.parametrize("events", [0, 1, 2, 3])
def test_a_transform_may_change_the_dimensions_of_events(events):
    x, y = normal(4, 2, 3), normal(5, 4, 6)

    def numbers(module, transform):
        loc, value = module.from_numpy(x), module.from_numpy(y)
        made = module.distributions
        base = made.Independent(made.Normal(loc, 1.5), events)
        d = made.TransformedDistribution(base, transform)
        grown = d.expand((7, *d.batch_shape))
        shapes = [tuple(s) for e in (d, grown) for s in (e.batch_shape, e.event_shape)]
        return shapes, d.log_prob(value).numpy(), tuple(grown.sample((2,)).shape)

    one = numbers(minigen, _Flatten())
    two = numbers(torch, torch.distributions.ReshapeTransform((2, 3), (6,)))
    assert one[0] == two[0]
    assert one[2] == two[2]
    np.testing.assert_allclose(one[1], two[1], rtol=1e-12)
    with pytest.raises(ValueError, match="use domain"):
        _ = _Flatten().event_dim
