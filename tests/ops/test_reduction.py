"""Reductions, cumulative operations, statistics and norms against torch."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from tests.expressions import both_reject, function, listed, normal, same
from tests.oracle import check

rng = np.random.default_rng(22)

EXPRESSIONS = """
x.sum() | x.sum(0) | x.sum(-1, True) | x.sum((0, 2)) | x.sum((0, -1), keepdim=True) | x.sum(())
x.sum(dim=[1]) | m.sum(x, 1) | x.sum(dim=(0, 1, 2), keepdim=True) | x.sum(axis=1, keepdims=True)
x.mean() | x.mean(1) | x.mean((0, 1), True) | m.mean(x, dim=-1) | x.mean(()) | x.amax()
x.amax(1) | x.amax((0, 2), True) | x.amin(-1) | m.amin(x, (1, 2)) | x.amin() | x.max() | x.min()
x.max(0) | x.max(1, True) | m.max(x, dim=-1) | x.min(2, keepdim=True) | m.min(x, 0)
x.max(x.flip(0)) | m.min(x, x[0]) | m.max(x, other=x.flip(1)) | x.max(dim=1).values
x.max(axis=1) | x.prod() | x.prod(1) | x.prod(-1, True) | m.prod(x, 0) | x.var() | x.var(1)
x.var((0, 2)) | x.var(unbiased=False) | x.var(-1, False) | x.var(False)
x.var(0, correction=0, keepdim=True) | m.var(x, (1, 2), correction=2) | x.var(1, True, True)
x.std() | x.std(1) | x.std((0, 1), keepdim=True) | m.std(x, -1, False) | x.std(unbiased=False)
m.var_mean(x) | m.var_mean(x, 1) | m.std_mean(x, (0, 2), keepdim=True)
m.std_mean(x, unbiased=False) | m.var_mean(x, dim=1, correction=0) | x.logsumexp(0)
x.logsumexp(-1, True) | x.logsumexp((0, 2)) | m.logsumexp(x, (0, 1, 2), True) | x.norm()
x.norm(dim=1) | x.norm(2, -1, True) | x.norm(3) | x.norm(3.5, (0, 1))
x.norm(inf) | x.norm(inf, 1) | x.norm(-inf, 2) | x.norm(0.5, 1) | x.norm(1.5, 2) | x.norm(p="fro")
x.norm(keepdim=True) | x.norm(p=2, dim=(1, 2)) | m.norm(x.mT) | x.norm(-1.5, 0) | x.cumsum(0)
x.cumsum(-1) | m.cumsum(x, dim=1) | x.cumprod(0) | x.cumprod(-1) | m.cumprod(x, dim=1)
x.nansum() | x.nansum(1) | x.nansum((0, 2), keepdim=True) | x.mT.sum(1) | x[:, 1].mean()
x.sum(1, dtype=m.float64) | x.cumsum(0, dtype=m.float64) | x.prod(1, dtype=m.float64)
"""
VALUES = """
x.all() | x.all(1) | x.any(0, True) | x.any() | x.all((0, 1)) | m.any(x, dim=-1)
x.count_nonzero() | x.count_nonzero(1) | x.count_nonzero((0, 1)) | x.sum() | x.sum(1) | x.prod()
x.prod(1) | x.cumsum(0) | x.cumprod(1) | x.amax() | x.amin(1) | x.max(1) | x.min()
"""


@pytest.mark.parametrize("expression", listed(EXPRESSIONS))
def test_as_torch(expression):
    same(expression, normal(2, 3, 4))


@pytest.mark.parametrize("expression", listed(VALUES))
@pytest.mark.parametrize("kind", [bool, np.int64, np.int32, np.uint8, np.int8, np.float32])
def test_dtypes_of_results(expression, kind):
    same(expression, rng.integers(0, 3, (2, 3)).astype(kind), order=0)


@pytest.mark.parametrize("expression", listed(EXPRESSIONS))
def test_float32_stays_float32(expression):
    x = minigen.from_numpy(normal(2, 3, 4).astype(np.float32)).requires_grad_()
    if "float64" in expression:
        return
    result = function(expression, minigen)(x)
    for part in result if isinstance(result, tuple) else (result,):
        if part.is_floating_point():
            assert part.dtype is minigen.float32
            if part.requires_grad:
                (g,) = minigen.autograd.grad(part.sum(), x)
                assert g.dtype is minigen.float32


SCALARS = (
    "x.sum() | x.sum(0) | x.mean(-1, True) | x.amax(0) | x.max() | x.max(0) | x.prod(0) | x.prod()"
)
SCALARS += " | x.logsumexp(0) | x.norm() | x.norm(1, 0) | x.cumsum(0)"
SCALARS += " | x.cumprod(-1) | x.var(correction=0) | x.median(0) | x.norm(3, keepdim=True)"


@pytest.mark.parametrize("expression", SCALARS.split(" | "))
def test_zero_dimensions(expression):
    same(expression, normal())


@pytest.mark.parametrize(
    "expression",
    listed(
        """
x.sum() | x.sum(0) | x.sum(1) | x.prod() | x.prod(0) | x.prod(1) | x.logsumexp(1) | x.amax(1)
x.max(1) | x.norm() | x.norm(1, 0) | x.cumsum(0) | x.cumprod(1) | x.norm(3, 0) | x.nansum(0)
"""
    ),
)
def test_empty(expression):
    same(expression, np.zeros((0, 3)))


def test_argmax():
    for expression in ["x.argmax()", "x.argmax(1)", "x.argmin(-1, True)", "m.argmin(x, dim=0)"]:
        for x in (normal(2, 3, 4), rng.integers(0, 3, (5, 6)), np.zeros((2, 2))):
            same(expression, x.astype(np.float32), order=0)
    for expression in ["x.argmax()", "x.argmin(0, True)", "x.argmax(-1)", "x.argmax(keepdim=True)"]:
        same(expression, np.array(3), order=0)
    same("x.argmax(keepdim=True)", rng.integers(0, 9, (2, 3)), order=0)
    same("x.argmin(1)", np.zeros((0, 3), np.float32), order=0)


def test_empty_means_are_nan():
    for expression in ("x.mean()", "x.mean(0)", "x.mean(1)", "x.mean((0, 1))", "x.logsumexp(0)"):
        same(expression, np.zeros((0, 3), np.float32), order=0)
    assert np.isnan(minigen.zeros(1).var().item())
    assert np.isnan(minigen.zeros(0).var().item())


@pytest.mark.parametrize("value", [0.0, 1.0, -np.inf, np.inf, np.nan])
def test_ties_and_infinities(value):
    """First derivatives where several elements are extreme, or the norm is that of zero."""
    x = np.array([[value, value, -2.0], [value, value, value], [1.0, value, 3.0]])
    for expression in ["x.max()", "x.max(1)", "x.min(0)"]:
        check(*_pair(expression), x, order=1, numeric=False)
    for expression in ["x.amax(1)", "x.amin(0)", "x.amax()"]:
        # torch divides 0 by 0 in amax of NaN; here the NaN elements share, as in max()
        check(*_pair(expression), x, order=0 if np.isnan(value) else 1, numeric=False)
    for expression in ["x.logsumexp(1)", "x.logsumexp((0, 1))", "x.prod(1)", "x.cumprod(0)"]:
        if np.isfinite(value) or "log" in expression:
            check(*_pair(expression), x, order=1, numeric=False)
    if value == 0:
        for expression in ["x.norm(dim=1)", "x.norm(1, 1)", "x.norm(3, 1)", "x.norm(1.5, 1)"]:
            check(*_pair(expression), x, order=1, numeric=False)
        for expression in ["x.norm(inf, 1)", "x.norm(0, 1)", "x.std(1)", "x.norm(0.5, 0)"]:
            check(*_pair(expression), x, order=1, numeric=False)


def _pair(expression):
    return function(expression, minigen), function(expression, torch)


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_products_with_zeros_have_two_derivatives(zeros):
    x = normal(3, 4)
    x.reshape(-1)[rng.permutation(12)[:zeros]] = 0.0
    x[1, :zeros] = 0.0
    for expression in ["x.prod()", "x.prod(1)", "x.prod(0, True)", "x.cumprod(1)", "x.cumprod(0)"]:
        same(expression, x)
    same("x.prod(0).prod()", x)


def test_three_derivatives_of_a_product_with_a_zero():
    x = minigen.tensor([0.0, 2.0, 3.0, 5.0], dtype=minigen.float64, requires_grad=True)
    (g,) = minigen.autograd.grad(x.prod(), x, create_graph=True)
    (h,) = minigen.autograd.grad(g[0], x, create_graph=True)  # 30: d/dx1 = 15, ...
    (k,) = minigen.autograd.grad(h[1], x)
    np.testing.assert_allclose(h.tolist(), [0.0, 15.0, 10.0, 6.0])
    np.testing.assert_allclose(k.tolist(), [0.0, 0.0, 5.0, 3.0])


def test_nan_is_an_extreme_and_not_in_nansum():
    x = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]], np.float32)
    for expression in [
        "x.amax(1)",
        "x.max(1)",
        "x.min(0)",
        "x.argmax(1)",
        "x.argmin()",
        "x.nansum(1)",
    ]:
        same(expression, x, order=0)
    y = minigen.from_numpy(x.astype(np.float64)).requires_grad_()
    y.nansum().backward()
    np.testing.assert_array_equal(y.grad.numpy(), np.isfinite(x))


def test_logsumexp_does_not_overflow():
    same("x.logsumexp(1)", np.array([[1000.0, 999.0], [-1000.0, -999.0], [-np.inf, 3.0]]), order=1)
    total = minigen.tensor([1, 2, 3]).logsumexp(0)
    assert total.dtype is minigen.float32
    assert abs(total.item() - 3.4076059644) < 1e-6


def test_half_precision_sums_in_float32():
    x = np.full(5000, 0.1, np.float16)
    for expression in ("x.sum()", "x.mean()"):
        ours, theirs = (f(m.from_numpy(x)) for f, m in zip(_pair(expression), (minigen, torch)))
        assert ours.dtype is minigen.float16
        np.testing.assert_allclose(float(ours), float(theirs), rtol=1e-3)


def test_1_norm():
    """First derivatives: for the second, which is zero, torch loads its compiler."""
    for expression in ("x.norm(1)", "x.norm(1, 0)", "x.norm(1, (0, -1), True)"):
        check(*_pair(expression), normal(2, 3, 4), order=1)


def test_the_number_of_nonzero_elements_has_no_slope():
    for expression in ("x.norm(0)", "x.norm(0, 1, True)"):
        check(*_pair(expression), np.array([[1.0, 0.0], [2.0, 3.0]]), order=1, numeric=False)


def test_cdist():
    for p in (2.0, 1.0, 3.0, float("inf")):
        check(
            lambda x, y, p=p: minigen.cdist(x, y, p),
            lambda x, y, p=p: torch.cdist(x, y, p, "donot_use_mm_for_euclid_dist"),
            normal(2, 3, 4),
            normal(2, 5, 4),
            order=1,
        )
    both_reject("m.cdist(x, x.mT)", normal(2, 3))


def test_named_results():
    result = minigen.tensor([[1.0, 3.0]]).max(1)
    assert result.values.tolist() == [3.0]
    assert result.indices.tolist() == [1]
    assert type(result)._fields == ("values", "indices")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_shape_and_dims(data):
    shape = data.draw(st.lists(st.integers(1, 4), max_size=4))
    n = max(len(shape), 1)
    dims = data.draw(st.lists(st.integers(0, n - 1), unique=True, min_size=1))
    dims = tuple(d - n if data.draw(st.booleans()) else d for d in dims)
    keepdim = data.draw(st.booleans())
    name = data.draw(st.sampled_from(["sum", "mean", "amax", "amin", "logsumexp", "nansum"]))
    same(f"x.{name}({dims}, keepdim={keepdim})", normal(*shape))


@pytest.mark.parametrize(
    ("expression", "kind", "text"),
    [
        ("x.sum(2)", IndexError, r"\[-2, 1\], but got 2"),
        ("x.mean(-3)", IndexError, r"\[-2, 1\], but got -3"),
        ("x[0, 0].sum(1)", IndexError, r"\[-1, 0\], but got 1"),
        ("x.sum((0, 0))", RuntimeError, "multiple times"),
        ("x.sum((0, -2))", RuntimeError, "multiple times"),
        ("x.long().mean()", (RuntimeError, TypeError), "floating"),
        ("x.long().var()", (RuntimeError, TypeError), "floating"),
        ("x.long().norm()", (RuntimeError, TypeError), "floating"),
        ("x[:0].max()", (RuntimeError, IndexError), "no elements"),
        ("x[:0].amax()", (RuntimeError, IndexError), "no elements"),
        ("x[:0].amax(0)", IndexError, "no elements"),
        ("x[:0].max(0)", IndexError, "no elements"),
        ("x[:0].argmax()", IndexError, "no elements"),
        ("x[:0].argmin(0)", IndexError, "no elements"),
        ("x.argmax((0, 1))", TypeError, "integer"),
        ("x.max(2)", IndexError, r"\[-2, 1\]"),
        ("x.prod((0, 1))", TypeError, "integer"),
        ("x.cumsum()", TypeError, "dim"),
        ("x.cumsum(2)", IndexError, r"\[-2, 1\]"),
        ("x.norm('fancy')", RuntimeError, "fancy"),
        ("x.logsumexp()", TypeError, "dim"),
        ("x.var(0, True, correction=1)", TypeError, "either"),
        ("x[:, :0].median(1)", IndexError, "no elements"),
    ],
)
def test_errors(expression, kind, text):
    error = both_reject(expression, normal(2, 3))
    assert isinstance(error, kind), repr(error)
    assert re.search(text, str(error)), error
