"""Sorting, searching and counting against torch: ties, NaN, gradients."""

from __future__ import annotations

import numpy as np
import pytest

import minigen
from tests.expressions import both_reject, normal, same
from tests.oracle import check

rng = np.random.default_rng(24)

TIES = np.array(
    [[2.0, 1.0, 2.0, np.nan, 1.0, -np.inf], [0.0, -0.0, 0.0, np.inf, 3.0, 3.0]], np.float32
)


@pytest.mark.parametrize(
    "x", [TIES, TIES.T.copy(), np.array([3, 1, 3, 0, 1]), TIES[1] > 0, TIES[:, :0]]
)
@pytest.mark.parametrize("descending", [False, True])
def test_ties_keep_their_order(x, descending):
    for dim in range(-1, x.ndim - 1):
        for name in ("sort", "argsort"):
            same(f"m.{name}(x, dim={dim}, descending={descending}, stable=True)", x, order=0)


def test_topk_of_many():
    for n, k in [(1000, 3), (1000, 100), (1000, 200), (17, 2)]:
        x = rng.permutation(n * 4).reshape(4, n).astype(np.float32)
        for options in ("", ", largest=False", ", dim=0"):
            depth = min(k, 4) if "dim" in options else k
            same(f"x.topk({depth}{options})", x, order=0)
    same("x.topk(3)", normal(2, 100))


def test_topk_of_ties_takes_the_first_and_nan_is_largest():
    x = np.zeros((1, 400), np.float32)
    x[0, 7] = np.nan
    values, indices = minigen.from_numpy(x).topk(3)
    assert np.isnan(values.numpy()[0, 0])
    assert indices[0, 0] == 7
    assert (values.numpy()[0, 1:] == 0).all()
    assert len(set(indices[0].tolist())) == 3


def test_median():
    for expression in ["x.median()", "x.median(0)", "x.median(1, True)", "x.median(-1).values"]:
        same(expression, normal(4, 5))
        same(expression, normal(3, 4))
        same(expression, np.array([[1, 4, 2], [7, 3, 9]]), order=0)
    ties = np.array([2.0, 1.0, 2.0, 2.0])  # which share the gradient
    check(lambda x: x.median(), lambda x: x.median(), ties, numeric=False)
    broken = np.array([[1.0, np.nan, 3.0, np.nan], [4.0, 1.0, 2.0, 3.0]], np.float32)
    same("x.median(1)", broken, order=0)
    same("x.median()", broken, order=0)
    same("x.median()", normal())


def test_searching():
    edges, x = np.array([1.0, 3.0, 3.0, 5.0], np.float32), np.array([[0, 3], [5, 9]], np.float32)
    for options in ("", ", right=True", ", side='right'", ", side='left'", ", out_int32=True"):
        same(f"m.searchsorted(x, y{options})", edges, x, order=0)
    same("m.searchsorted(x, y)", np.sort(rng.random((2, 3, 5)).astype(np.float32)),
         rng.random((2, 3, 4)).astype(np.float32), order=0)  # fmt: skip
    same("m.searchsorted(x, y, sorter=m.argsort(x))", edges[::-1].copy(), x, order=0)
    same("m.searchsorted(x, 3)", edges, order=0)
    same("m.bucketize(y, x, right=True)", edges, x, order=0)
    both_reject("m.searchsorted(x, y, side='left', right=True)", edges, x)
    both_reject("m.searchsorted(x[None], y[:, None])", edges, x)


def test_counting():
    x = np.array([[3, 1, 3], [2, 1, 3]])
    for options in (
        "",
        "return_inverse=True",
        "return_counts=True",
        "dim=1, return_counts=True",
        "dim=1, return_inverse=True",
        "return_inverse=True, return_counts=True, dim=0",
    ):
        same(f"x.unique({options})", x, order=0)
    same("m.unique(x)", np.array([np.nan, 1.0, np.nan], np.float32), order=0)
    same("m.bincount(x)", x[0], order=0)
    same("m.bincount(x, minlength=7)", x[0], order=0)
    same("m.bincount(x, minlength=2)", x[0, :0], order=0)
    for weights in (np.ones(3, np.float32), np.array([0.5, 1, 2]), np.array([1, 2, 3])):
        same("m.bincount(x, y.detach())", x[0], weights, order=0)
    data = normal(200).astype(np.float32)
    for arguments in ("", "10", "7, -1, 1", "bins=5, min=0, max=2", "3, 1, 1"):
        same(f"x.histc({arguments})", data, order=0)
    same("x.histc(4)", np.ones(5, np.float32), order=0)
    same("x.histc(4, 0, 2)", np.zeros(0, np.float32), order=0)
