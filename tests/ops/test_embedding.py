"""Embedding against torch: look-ups, gradients of rows used often or never, the padding row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as T

import minigen
import minigen.nn.functional as F
from minigen.errors import ShapeError
from minigen.ops.embedding import _look_up_gradient, _sum_rows
from tests.oracle import check

rng = np.random.default_rng(3)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape))


@pytest.mark.parametrize("dtype", ["int64", "int32"])
@pytest.mark.parametrize("padding_idx", [None, 0, 2, -1])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("width", [1, 5])
def test_embedding(shape, width, padding_idx, dtype):
    rows, table = np.asarray(rng.integers(0, 4, shape)).astype(dtype), normal(4, width)
    functions = [lambda i, w, m=m: m.embedding(i, w, padding_idx=padding_idx) for m in (F, T)]
    # without its gradient the padding row has no numerical derivative to agree with
    numeric = padding_idx is None
    check(*functions, rows, table, order=1, numeric=numeric)
    # a cotangent that depends on the table and on something else, for the second derivative
    products = [lambda i, w, z, f=f: f(i, w) * f(i, w) * z for f in functions]
    check(*products, rows, table, normal(*shape, width), numeric=numeric)


@pytest.mark.parametrize("padding_idx", [None, 2])
def test_the_gradient_and_its_adjoint(padding_idx):
    """The table's gradient as an operation of its own: third derivatives of embeddings need it."""
    numbers, rows = rng.integers(0, 4, (3, 2)), normal(3, 2, 5)

    def counted(i, r):
        return r if padding_idx is None else r * (i != padding_idx).unsqueeze(-1)

    def added(i, r):
        table = torch.zeros(4, 5).double()
        return table.index_add(0, i.flatten(), counted(i, r).flatten(0, 1)) ** 2

    check(lambda i, r: _sum_rows(i, r, 4, padding_idx) ** 2, added, numbers, rows)
    check(
        lambda i, w: _look_up_gradient(i, w, padding_idx) ** 2,
        lambda i, w: counted(i, w[i]) ** 2,
        numbers, normal(4, 5),
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_no_rows(shape):
    """torch's gradient fails here; it is zero."""
    w = minigen.from_numpy(normal(4, 3)).requires_grad_()
    y = F.embedding(minigen.zeros(*shape).long(), w)
    assert y.shape == (*shape, 3)
    y.backward(minigen.zeros(*y.shape).double())
    np.testing.assert_array_equal(w.grad.numpy(), np.zeros((4, 3)))


def test_rows_used_often_and_never():
    rows, g = rng.integers(0, 50, 4000), normal(4000, 40)
    rows[rows == 7] = 8
    w = minigen.from_numpy(normal(60, 40)).requires_grad_()
    F.embedding(minigen.from_numpy(rows), w).backward(minigen.from_numpy(g))
    expected = np.zeros((60, 40))
    for row, values in zip(rows, g):
        expected[row] += values
    np.testing.assert_array_equal(w.grad.numpy(), expected)  # bit for bit: in the order of the rows
    assert not w.grad.numpy()[[7, *range(50, 60)]].any()


def test_not_contiguous_cotangent_and_table():
    rows, table = rng.integers(0, 4, (3, 2)), normal(5, 4)
    functions = [
        lambda i, w, m=m: m.embedding(i, w.transpose(0, 1)).transpose(0, 2) for m in (F, T)
    ]
    check(*functions, rows, table, order=1)


def test_float32_stays_and_the_table_is_not_changed():
    w = minigen.from_numpy(normal(6, 3).astype("f4")).requires_grad_()
    before = w.detach().numpy().copy()
    y = F.embedding(minigen.tensor([[0, 5], [5, 5]]), w, padding_idx=0)
    assert y.dtype is minigen.float32
    y.backward(minigen.ones_like(y))
    assert w.grad.dtype is minigen.float32
    np.testing.assert_array_equal(w.grad.numpy()[:, 0], [0, 0, 0, 0, 0, 3])
    np.testing.assert_array_equal(w.detach().numpy(), before)


@pytest.mark.parametrize(
    ("rows", "table", "padding_idx", "error", "message"),
    [
        ([0, 4], (4, 2), None, IndexError, "4 is no row of a table of 4 rows"),
        ([0, -1], (4, 2), None, IndexError, "-1 is no row"),
        ([0.0], (4, 2), None, TypeError, "int32 or int64, got float32"),
        ([True], (4, 2), None, TypeError, "int32 or int64, got bool"),
        ([0], (4,), None, ShapeError, r"must be \(num_embeddings, embedding_dim\)"),
        ([0], (4, 2), 4, ShapeError, "padding_idx 4 is no row"),
        ([0], (4, 2), -5, ShapeError, "padding_idx -5 is no row"),
    ],
)
def test_errors(rows, table, padding_idx, error, message):
    with pytest.raises(error, match=f"embedding: {message}|{message}"):
        F.embedding(minigen.tensor(rows), minigen.zeros(*table), padding_idx)
    with pytest.raises((IndexError, RuntimeError, AssertionError)):
        T.embedding(torch.tensor(rows), torch.zeros(table), padding_idx)
