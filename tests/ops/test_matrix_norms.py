"""Norms of vectors and matrices in `linalg` against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minigen
from tests.expressions import both_reject, function, listed, normal, same
from tests.oracle import check

ORDERS = ["2", "1", "0", "3", "0.5", "2.5", "-1", "-2.5", "inf", "-inf"]
DIMS = ["", ", dim=0", ", dim=-1, keepdim=True", ", dim=(0, -1)", ", keepdim=True", ", dim=()"]


@pytest.mark.parametrize("shape", [(3, 4), (5,), ()], ids=str)
@pytest.mark.parametrize("order", ORDERS)
def test_vector_norm(order, shape):
    for dim in DIMS:
        if len(shape) > 1 or "(0" not in dim:
            same(f"m.linalg.vector_norm(x, {order}{dim})", normal(*shape))


@pytest.mark.parametrize("order", ORDERS)
def test_vector_norm_at_zeros_ties_and_nan(order):
    """Where the norm has a kink, torch's choice of a subgradient."""
    with_nan = np.array([[1.0, np.nan], [2.0, -2.0]])
    for x in (np.zeros((2, 2)), np.array([[0.0, 0.0], [-3.0, 0.0]]), with_nan):
        check_first(f"m.linalg.vector_norm(x, {order}, dim=1)", x)
    if order not in ("-1", "-2.5", "inf", "-inf"):
        same(f"m.linalg.vector_norm(x, {order})", np.zeros((0, 3)), order=1)
        same(f"m.linalg.vector_norm(x, {order}, dim=0)", np.zeros((0, 3)), order=1)


@pytest.mark.parametrize("name", ["vector_norm", "norm", "matrix_norm"])
def test_a_cast_comes_first(name):
    same(f"m.linalg.{name}(x.float() * 1e30, dtype=m.float64)", normal(3, 4), order=0)


def check_first(expression, x):
    ours, theirs = function(expression, minigen), function(expression, torch)
    check(ours, theirs, x, order=1, numeric=False)


MATRIX = ["'fro'", "'nuc'", "1", "-1", "2", "-2", "inf", "-inf"]


@pytest.mark.parametrize("order", MATRIX)
@pytest.mark.parametrize("shape", [(1, 1), (2, 3, 4)], ids=str)
def test_matrix_norm(order, shape):
    same(f"m.linalg.matrix_norm(x, {order})", normal(*shape))
    same(f"m.linalg.matrix_norm(x, {order}, dim=(0, -1), keepdim=True)", normal(*shape))
    same(f"m.linalg.matrix_norm(x, {order}, dim=(1, 0))", normal(*shape))
    if len(shape) == 2:
        same(f"m.linalg.norm(x, {order}, keepdim=True)", normal(*shape))
    same(f"m.linalg.norm(x, {order}, dim=(-1, 0))", normal(*shape))


def test_matrix_norms_of_nothing():
    for order in ("'fro'", "'nuc'"):
        same(f"m.linalg.matrix_norm(x, {order})", normal(0, 3), order=1)
        same(f"m.linalg.matrix_norm(x, {order})", normal(2, 0, 0), order=1)
    for order in MATRIX:
        same(f"m.linalg.matrix_norm(x, {order})", normal(0, 2, 3), order=1)
    for shape in ((0, 0), (0, 3), (3, 0), (2, 0, 3)):
        for order in ("1", "2", "inf"):
            same(f"m.linalg.matrix_norm(x, {order})", np.zeros(shape, np.float32), order=0)
    for order in ("-1", "-2", "-inf"):
        both_reject(f"m.linalg.matrix_norm(x, {order})", normal(0, 0))


@pytest.mark.parametrize(
    "expression",
    listed("""
    m.linalg.norm(x) | m.linalg.norm(x, dim=1)
    m.linalg.norm(x, 1, 0) | m.linalg.norm(x, 2, (0, 1))
    m.linalg.norm(x[0], 3) | m.linalg.norm(x, dim=(0, 1), keepdim=True) | m.linalg.norm(x[0], inf)
    m.linalg.norm(m.stack([x, x])) | m.linalg.norm(x, 2, dim=[0]) | m.linalg.norm(x, 'fro')
    m.linalg.vector_norm(x, dtype=m.float64) | m.linalg.norm(x[0, 0])
    """),
)
def test_norm(expression):
    same(expression, normal(3, 4))


@pytest.mark.parametrize(
    "expression",
    listed("""
    m.linalg.vector_norm(x, "fro") | m.linalg.matrix_norm(x[0]) | m.linalg.matrix_norm(x, 3)
    m.linalg.matrix_norm(x, dim=(0, 0)) | m.linalg.matrix_norm(x, dim=1)
    m.linalg.norm(x[0], "fro")
    m.linalg.norm(m.stack([x, x]), 2) | m.linalg.vector_norm(x.long()) | m.linalg.norm(x, 3)
    m.linalg.vector_norm(x, dim=2) | m.linalg.matrix_norm(x, "trace")
    m.linalg.norm(x, dim=(0, 1, 1))
    m.linalg.vector_norm(x[:0], inf) | m.linalg.vector_norm(x[:0], -1, dim=0)
    m.linalg.vector_norm(x[:0], -inf)
    """),
)
def test_rejected(expression):
    both_reject(expression, normal(3, 4))
