"""Dropout: how often, how much, the same in the gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigen
import minigen.nn.functional as F
from minigen.errors import ShapeError
from minigen.ops.dropout import ALPHA, keep_mask

PROBABILITIES = [0.05, 0.1, 0.25, 0.3, 0.5, 0.75, 0.9, 0.999]


@pytest.fixture(autouse=True)
def _seed():
    minigen.manual_seed(0)


def randn(*shape: int, dtype: str = "float64") -> minigen.Tensor:
    values = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    return minigen.from_numpy(values).requires_grad_()


@pytest.mark.parametrize("p", PROBABILITIES)
def test_how_often(p):
    """Over 4 million draws the share that is kept is within 5 standard deviations of 1 - p."""
    n = 4_000_000
    share = keep_mask((n,), p).mean()
    assert abs(share - (1 - p)) < min(1e-3, 5 * math.sqrt(p * (1 - p) / n) + 1e-5)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_neighbours_are_independent(p):
    mask = keep_mask((1_000_001,), p).astype(float)
    for lag in (1, 2, 4, 8):
        together = (mask[lag:] * mask[:-lag]).mean()
        assert abs(together - (1 - p) ** 2) < 5 * math.sqrt(0.25 / len(mask))


@pytest.mark.parametrize("shape", [(64, 1024), (3, 5, 7), (1,), (), (0, 4)])
@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kept_elements_are_scaled(shape, p, dtype):
    x = randn(*shape, dtype=dtype) if shape else minigen.tensor(2.0, dtype=getattr(minigen, dtype))
    y = F.dropout(x, p)
    a, b = x.detach().numpy(), y.detach().numpy()
    assert b.dtype == dtype
    assert b.shape == shape
    kept = b != 0
    np.testing.assert_allclose(b[kept], a[kept] / (1 - p), rtol=1e-6)
    if a.size > 1000:
        assert abs(kept.mean() - (1 - p)) < 0.01


def test_the_gradient_has_the_same_mask():
    x = randn(40, 50)
    y = F.dropout(x, 0.3)
    g = np.random.default_rng(1).standard_normal(y.shape)
    (back,) = minigen.autograd.grad(y, x, minigen.from_numpy(g))
    factor = np.where(y.detach().numpy() != 0, 1 / 0.7, 0.0)
    np.testing.assert_allclose(back.numpy(), g * factor, rtol=1e-12)


def test_second_derivative():
    """Of Σ (m x)³, m the mask: 6 m³ x."""
    x = randn(30)
    y = F.dropout(x, 0.5)
    factor = np.where(y.detach().numpy() != 0, 2.0, 0.0)
    (first,) = minigen.autograd.grad((y * y * y).sum(), x, create_graph=True)
    (second,) = minigen.autograd.grad(first.sum(), x)
    np.testing.assert_allclose(second.numpy(), 6 * factor**3 * x.detach().numpy(), rtol=1e-12)


def test_every_call_draws_anew_and_a_seed_repeats():
    x = randn(1000)
    first, second = F.dropout(x).detach().numpy(), F.dropout(x).detach().numpy()
    assert (first != second).any()
    minigen.manual_seed(0)
    np.testing.assert_array_equal(F.dropout(x).detach().numpy(), first)
    state = minigen.default_generator.state
    third = F.dropout(x, 0.3).detach().numpy()
    minigen.default_generator.state = state
    np.testing.assert_array_equal(F.dropout(x, 0.3).detach().numpy(), third)


@pytest.mark.parametrize("name", ["dropout", "dropout1d", "dropout2d", "alpha_dropout"])
def test_edges(name):
    function = getattr(F, name)
    x = randn(*{"dropout1d": (3, 4, 5), "dropout2d": (3, 4, 2, 2)}.get(name, (6,)))
    assert function(x, 0.5, training=False) is x
    assert function(x, 0.0, training=True) is x
    nothing = function(x, 1.0, training=True)
    assert not nothing.detach().numpy().any()
    nothing.backward(minigen.ones_like(nothing))
    assert not x.grad.numpy().any()
    for p in (-0.1, 1.5, math.nan):
        with pytest.raises(ShapeError, match=f"{name}: p is a probability"):
            function(x, p)
    with pytest.raises(ShapeError, match="inplace=True is not offered"):
        function(x, 0.5, True, True)
    with pytest.raises(TypeError, match="floating-point"):
        function(minigen.ones(*x.shape).long(), 0.5, True)


@pytest.mark.parametrize(
    ("name", "shape"), [("dropout1d", (50, 40, 6)), ("dropout2d", (50, 40, 3, 2))]
)
def test_channels_go_together(name, shape):
    x = minigen.ones(*shape, requires_grad=True)
    y = getattr(F, name)(x, 0.25)
    values = y.detach().numpy().reshape(2000, 6)
    assert (values == values[:, :1]).all()
    assert set(values[:, 0].tolist()) == {0.0, np.float32(1 / 0.75)}
    assert abs((values[:, 0] != 0).mean() - 0.75) < 0.05
    y.backward(minigen.ones_like(y))
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_channel_dropout_shapes():
    with pytest.raises(
        ShapeError, match=r"dropout2d: input must have 4 dimensions, got shape \(3, 4\)"
    ):
        F.dropout2d(minigen.ones(3, 4))
    alone = F.dropout1d(minigen.ones(50, 4), 0.5)
    assert (alone.amax(1) == alone.amin(1)).all()
    assert 0 < (alone == 0).sum().item() < 200


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_alpha_dropout(p):
    x = randn(400_000)
    y = F.alpha_dropout(x, p, training=True)
    values = y.detach().numpy()
    assert abs(values.mean()) < 0.01
    assert abs(values.var() - 1) < 0.02
    scale = 1 / math.sqrt((1 - p) * (1 + p * ALPHA**2))
    y.backward(minigen.ones_like(y))
    dropped = x.grad.numpy() == 0
    assert abs(dropped.mean() - p) < 0.01
    np.testing.assert_allclose(x.grad.numpy()[~dropped], scale)
    expected = np.where(dropped, -ALPHA, x.detach().numpy()) * scale + scale * p * ALPHA
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12)
