"""x[index], gather, scatter, masks and order against torch: values, gradients, errors."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from minigen.kernels.fused.scatter import SHORT

import minigen
from minigen.ops.accumulate import add_at_places, add_rows
from minigen.ops.masking import one_hot
from tests.expressions import both_reject, function, listed, normal, same
from tests.oracle import check

rng = np.random.default_rng(21)

BASIC = """
x[0] | x[-1] | x[1, 2] | x[1, 2, 3] | x[:] | x[...] | x[()] | x[1:] | x[:, ::2] | x[..., -1]
x[None] | x[:, None, 1] | x[..., None] | x[0, ..., 0] | x[-1:, 1:2, ::3] | x[5:] | x[:, 2:1]
x[None, ..., None, 0] | x[m.tensor(1)] | x[:, m.tensor(-1)] | x[m.tensor(0):, 1] | x[1][2][0]
x[:0] | x[0:2, 0:3, 0:4]
"""
ADVANCED = """
x[[0, 1]] | x[[1, 1, 0, 1]] | x[[-1]] | x[[]] | x[:, [0, 0, 2]] | x[..., [3, 0, 3]]
x[[0], [1], [2]] | x[0, :, [1, 1]] | x[:, 1, [0, 0]] | x[[0, 1], :, [1, 1]] | x[[0, 1], [1, 1]]
x[m.tensor([[0, 1], [1, 1]])] | x[:, m.tensor([[0, 2], [1, 1]])] | x[:, m.tensor([2, 2]), 1:3]
x[m.tensor([0, 0]), m.tensor([[1], [2]])] | x[None, [1, 1]] | x[[1, 1], None] | x[..., None, [1]]
x[:, [0, 1], None, [2, 2]] | x[m.tensor([0, 1]), None, m.tensor([1, 1])] | x[0, [0, 2], [1, 1]]
x[m.arange(2), 1] | x[m.arange(2), m.tensor([2, 2]), 0] | x[1, m.tensor(2), [0, 0]]
x[m.tensor([1, 0], dtype=m.int32)] | x[range(2)] | x[x > 0] | x[x > 9] | x[x[:, 0, 0] < 9]
x[x[:, :, 0] > 0] | x[:, x[0, :, 0] > -9] | x[..., x[0, 0] > 0] | x[0, x[0] > 0]
x[[True, False]] | x[1, [True, False, True]] | x[[True, True], [0, 2]] | x[True] | x[False]
x[m.tensor(True)] | x[:, True] | x[True, 0] | x[None, x[:, 0, 0] < 9]
x[x[:, 0, 0] < 9, :, [1, 1]] | x[[1], ..., [0]] | x[:, 0][..., [1, 1]] | x[..., 1:][[1, 1]]
x.mT[:, [1, 1]] | x[m.zeros(0, dtype=m.int64)] | x[:, m.zeros((2, 0), dtype=m.int64)]
x.take_along_dim(x.argsort(1), 1) | x.take_along_dim(x.argsort(-1)[:1], dim=-1)
x.take_along_dim(m.tensor([3, 3])) | x.index_select(1, m.tensor([2, 0, 2]))
x.index_select(-1, m.tensor(1)) | x.masked_select(x > 0) | x.masked_select(x[0] > 0)
m.masked_select(x[:, :1], x[:1] > 0) | x.masked_fill(x > 0, 2.5) | x.masked_fill(x[0] > 0, -1)
x[0, 0].masked_fill(x > 0, 0.0) | x.masked_fill(x > 0, x[0, 0, 0])
m.masked_fill(x, x[:, :1, :1] > 0, m.tensor(3)) | x.masked_scatter(x > 0, x.flip(0))
x.masked_scatter(x[:, :1] > 0, x.mT) | x.index_add(1, m.tensor([0, 2, 0]), x.flip(1))
x.index_add(-1, m.tensor([1, 1, 1, 1]), x, alpha=-2.5) | x.index_copy(0, m.tensor([1, 0]), x * x)
x.index_copy(2, m.tensor([1]), x[..., :1]) | x.index_fill(1, m.tensor([0, 2]), 3.0)
x.index_fill(-1, m.tensor([1]), x[0, 0, 0])
x.index_put((m.tensor([0, 1]), m.tensor([2, 0])), x[0, 0]) | x.index_put((x > 0,), x[0, 0, 0])
x.index_put((m.tensor([1, 1]),), x[0], accumulate=True) | x.index_put((m.tensor(1),), x[0])
x.index_put((m.tensor([1, 1]), m.tensor([[2], [2]])), x[0, 0], accumulate=True) | x.sort()
x.sort(0) | x.sort(1, descending=True).values | m.sort(x, dim=1, stable=True) | x.topk(2)
x.topk(2, 1) | x.topk(1, 0, largest=False) | x.topk(0) | x.topk(4, sorted=True)
"""


@pytest.mark.parametrize("expression", listed(BASIC) + listed(ADVANCED))
def test_as_torch(expression):
    same(expression, normal(2, 3, 4))


@pytest.mark.parametrize("expression", listed(BASIC))
def test_a_basic_index_is_a_view(expression):
    start, seen = normal(2, 3, 4), []
    for module in (torch, minigen):
        x = module.from_numpy(start.copy())
        function(expression, module)(x).fill_(7.0)
        seen.append(x.numpy().copy())
    np.testing.assert_array_equal(seen[1], seen[0])


@pytest.mark.parametrize("expression", listed(ADVANCED))
def test_any_other_index_is_a_copy(expression):
    x = minigen.from_numpy(normal(2, 3, 4))
    before = x.numpy().copy()
    result = function(expression, minigen)(x)
    for part in result if isinstance(result, tuple) else (result,):
        part.array[...] = 7
    np.testing.assert_array_equal(x.numpy(), before)


def test_zero_dimensions_and_empty():
    for expression in ["x[...]", "x[None]", "x[()]", "x[True]", "x[x > 9]", "x[m.tensor(True)]"]:
        same(expression, normal())
    for expression in ["x[:, [2, 0]]", "x[x > 0]", "x[[]]", "x[1:]", "x[:, 0]", "x.sort(1).values"]:
        same(expression, np.zeros((0, 3)))
    same("x.gather(0, m.tensor(0))", normal())
    same("x.index_select(0, m.tensor([0]))", normal())
    same("x.masked_fill(x > -99, 3.0)", normal())
    same("x.sort().values", normal())
    same("x.scatter(0, m.tensor(0), y)", normal(), normal())
    same("x.scatter_add(0, m.tensor(0), y)", normal(), normal())
    same("x.index_add(0, m.tensor([0]), y)", normal(), normal())
    same("x.index_copy(0, m.tensor([0]), y)", normal(), normal())
    same("x.index_fill(0, m.tensor([0]), y)", normal(), normal())


def test_gradients_of_a_repeated_place_add_up():
    """The sum over all readings of a row, also where rows are long and sorted by another path."""
    for width in (1, 3, SHORT, SHORT + 1, 100):
        index = rng.integers(-5, 5, 40)
        same("x[y]", normal(5, width), index)
        same("x[:, y]", normal(width, 5), index)
    same("x[y]", normal(50, SHORT + 5), rng.permutation(50)[:30])
    same("x[y, z]", normal(4, 5, 3), rng.integers(-4, 4, (6, 2)), rng.integers(-5, 5, (2,)))
    same("x[y, :, z]", normal(4, 3, 5), rng.integers(0, 4, (6, 2)), rng.integers(-5, 0, (2,)))
    same("x[:, y, z]", normal(3, 4, 50), rng.integers(0, 4, 30), rng.integers(-5, 0, (2, 1)))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 60), st.integers(1, 20), st.sampled_from([(), (1,), (7,), (33,), (9, 5)]))
def test_add_rows_is_the_definition(n, count, rest):
    rows, values = rng.integers(-count, count, n), normal(n, *rest)
    expected = np.zeros((count, *rest))
    np.add.at(expected, rows, values)
    np.testing.assert_allclose(add_rows(rows, values, count), expected, atol=1e-13)
    single = add_rows(rows, values.astype(np.float32), count)
    assert single.dtype == np.float32
    whole = np.rint(values * 9).astype(np.int64)
    np.testing.assert_array_equal(
        add_rows(rows, whole, count), np.rint(add_rows(rows, whole.astype(float), count))
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_indices(data):
    """Any mixture of integers, slices, None, Ellipsis, lists and masks."""
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    length = data.draw(st.integers(1, 3))
    skipped = sorted(data.draw(st.integers(0, len(shape))) for _ in range(2))  # under an Ellipsis
    index, kinds = [], []
    for dim, n in enumerate(shape):
        if skipped[0] <= dim < skipped[1]:
            index += [Ellipsis] * (dim == skipped[0])
            continue
        kind = data.draw(st.sampled_from(["int", "slice", "list", "mask", "none"]))
        place = st.integers(-n, n - 1)
        if kind == "mask" and not {"mask", "list"} & set(kinds):
            index.append(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
        elif kind == "list" and "mask" not in kinds:
            index.append(data.draw(st.lists(place, min_size=length, max_size=length)))
        elif kind == "int":
            index.append(data.draw(place))
        else:
            edge = st.none() | st.integers(-5, 5)
            index.append(slice(data.draw(edge), data.draw(edge), data.draw(st.integers(1, 3))))
        index += [None] * (kind == "none")
        kinds.append(kind)
    chosen = tuple(index)
    check(lambda x: x[chosen], lambda x: x[chosen], normal(*shape))


@pytest.mark.parametrize(
    ("expression", "kind", "text"),
    [
        ("x[5]", IndexError, "index 5 is out of bounds"),
        ("x[:, -4]", IndexError, "index -4 is out of bounds"),
        ("x[m.tensor([0, 7])]", IndexError, "index 7 is out of bounds"),
        ("x[[0, 1], [0, 9]]", IndexError, "index 9 is out of bounds"),
        ("x[0, 0, 0]", IndexError, "too many indices"),
        ("x[0, 0, [0]]", IndexError, "too many indices"),
        ("x[1.0]", IndexError, "float"),
        ("x['a']", IndexError, "str"),
        ("x[m.tensor([1.0])]", IndexError, "float32"),
        ("x[::-1]", ValueError, "greater than zero"),
        ("x[[0], ::-1]", ValueError, "greater than zero"),
        ("x[m.tensor([True, False, True])]", IndexError, "mask"),
        ("x[[0, 1], [0, 1, 2]]", IndexError, "broadcast"),
        ("x[0, 0][0]", IndexError, "too many|invalid index"),
        ("x.gather(1, m.tensor([[3]]))", (IndexError, RuntimeError), "index 3 is out of bounds"),
        ("x.gather(1, m.tensor([[-1]]))", (IndexError, RuntimeError), "index -1 is out of bounds"),
        ("x.gather(1, m.tensor([0]))", RuntimeError, "dimensions"),
        ("x.gather(1, m.zeros(3, 1, dtype=m.int64))", RuntimeError, "beyond"),
        ("x.gather(2, m.tensor([[0]]))", IndexError, r"\[-2, 1\]"),
        ("x.gather(1, m.tensor([[0.0]]))", (TypeError, RuntimeError), "int64"),
        ("x.index_select(1, m.tensor([-1]))", (IndexError, RuntimeError), "index -1"),
        ("x.index_select(1, m.tensor([3]))", (IndexError, RuntimeError), "index 3"),
        ("x.index_select(1, m.tensor([[1]]))", (IndexError, RuntimeError), "1-d"),
        ("x.scatter(1, m.tensor([[3]]), 1.0)", (IndexError, RuntimeError), "index 3"),
        ("x.scatter(1, m.tensor([[0, 1]]), x[:, :1])", RuntimeError, "beyond"),
        ("x.scatter_add(1, m.tensor([[0]]), x.float())", (TypeError, RuntimeError), "float64"),
        ("x.masked_fill(m.tensor([0, 1, 1]), 0.0)", (TypeError, RuntimeError), "boolean"),
        ("x.masked_fill(x > 0, x)", RuntimeError, "0-d"),
        ("x.masked_select(m.tensor([0, 1, 1]))", (TypeError, RuntimeError), "boolean"),
        ("x.masked_scatter(x > -99, x[0])", RuntimeError, "6 elements"),
        ("x.index_add(0, m.tensor([0]), x)", (RuntimeError, IndexError), "source"),
        ("x.index_add(0, m.tensor([2]), x[:1])", (RuntimeError, IndexError), "index 2"),
        ("x.index_fill(0, m.tensor([0]), x[0])", RuntimeError, "0-d"),
        ("x.index_put((m.tensor([5]),), x[0])", IndexError, "index 5"),
        ("x.topk(4)", (RuntimeError, IndexError), "k = 4"),
        ("x.topk(-1)", (RuntimeError, IndexError), "k = -1"),
        ("x.sort(2)", IndexError, r"\[-2, 1\]"),
        ("m.bincount(m.tensor([0, -1]))", RuntimeError, ">= 0"),
        ("m.bincount(m.tensor([1.0]))", RuntimeError, ">= 0"),
        ("x.histc(0)", RuntimeError, "positive"),
        ("x.histc(3, 2, 1)", RuntimeError, "range"),
    ],
)
def test_errors(expression, kind, text):
    error = both_reject(expression, normal(2, 3))
    assert isinstance(error, kind), error
    assert re.search(text, str(error)), error


# -------------------------------------------------------------------------- gather and scatter


def index_for(shape, dim, size, low=0):
    return rng.integers(low, shape[dim], size)


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
@pytest.mark.parametrize("size", [(2, 3, 4), (1, 1, 1), (2, 1, 3), (2, 3, 1), (1, 3, 2), (0, 3, 4)])
def test_gather_and_scatter(dim, size):
    shape = (2, 3, 4)
    index = index_for(shape, dim, size)
    same(f"x.gather({dim}, y)", normal(*shape), index)
    same(f"x.scatter_add({dim}, y, z)", normal(*shape), index, normal(*size))
    same(f"x.scatter({dim}, y, 1.5)", normal(*shape), index)
    same(f"x.scatter({dim}, y, value=2.5)", normal(*shape), index)
    order = np.argsort(rng.random(shape), axis=dim)  # no place is named twice
    unique = order[tuple(slice(n) for n in size)]
    same(f"x.scatter({dim}, y, z)", normal(*shape), unique, normal(*size))


@pytest.mark.parametrize("name", ["scatter", "scatter_add"])
def test_src_may_be_larger_than_the_index(name):
    """PyTorch takes it, too, but fails in backward."""
    index, x, src = np.array([[2, 0], [1, 3]]), normal(3, 4), normal(3, 5)
    same(f"x.detach().{name}(1, y, z.detach())", x, index, src, order=0)
    check(
        lambda x, src: getattr(x, name)(1, minigen.from_numpy(index), src),
        lambda x, src: getattr(x, name)(1, torch.from_numpy(index), src[:2, :2]),
        x,
        src,
        numeric=False,
    )


def test_gather_may_be_longer_and_adds_up():
    index = rng.integers(0, 3, (4, 9))
    same("x.gather(1, y)", normal(4, 3), index)
    same("x.scatter_add(1, y, z)", normal(4, 3), index, normal(4, 9))
    same("x.gather(0, y)", normal(3, 4), rng.integers(0, 3, (9, 2)))
    same("x.gather(1, y)", np.arange(12).reshape(4, 3), index, order=0)
    same("x.scatter_add(1, y, z)", np.arange(12).reshape(4, 3), index, index, order=0)
    same("x.gather(1, y)", np.ones((4, 3), np.float32), index.astype(np.int64), order=0)


def test_in_place_forms():
    index = np.array([[0, 2], [1, 1]])
    for expression in [
        "(x * 1).scatter_add_(1, y, z[:, :2])",
        "(x * 1).masked_fill_(x > 0, 3.0)",
        "(x * 1).index_add_(0, y[1], z)",
        "(x * 1).index_fill_(0, y[1], 2.0)",
        "(x * 1).index_put_((y[0], y[1]), z[0, :2], accumulate=True)",
    ]:
        same(
            expression,
            normal(3, 3)[:2] if "scatter" in expression else normal(3, 3),
            index,
            normal(2, 3),
            forward=False,
        )


def test_a_changed_index_is_noticed_or_does_not_matter():
    """The gradient goes to the places that were read, or an error says that they are gone."""
    for expression in ("x[y]", "x.gather(0, y)", "x.index_select(0, y)"):
        x, y = minigen.from_numpy(normal(3)).requires_grad_(), minigen.tensor([0, 1])
        z = function(expression, minigen)(x, y).sum()
        y.fill_(2)
        with pytest.raises(RuntimeError, match=r"'index' .* changed in place"):
            z.backward()
    x, y = minigen.from_numpy(normal(3, 3)).requires_grad_(), minigen.tensor([0, 1])
    z = x[y, y].sum()
    y.fill_(2)
    z.backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.diag([1.0, 1.0, 0.0]))


def test_nonzero():
    for x in (np.array([[0, 2], [3, 0]]), np.array([0.0, np.nan], np.float32), np.array(3),
              np.array(0), np.zeros((0, 2), bool), np.zeros((2, 0), int)):  # fmt: skip
        same("x.nonzero()", x, order=0)
        if x.ndim:
            same("m.nonzero(x, as_tuple=True)", x, order=0)


def test_one_hot():
    x = np.array([[0, 2], [1, 1]])
    for n in (-1, 3, 5):
        ours = one_hot(minigen.from_numpy(x), n)
        theirs = torch.nn.functional.one_hot(torch.from_numpy(x), n)
        assert ours.dtype == minigen.int64
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    for wrong in (2, 0):
        with pytest.raises(RuntimeError, match=str(wrong)):
            one_hot(minigen.from_numpy(x), wrong)
    with pytest.raises(RuntimeError, match="-1"):
        one_hot(minigen.tensor([-1]), 3)
    with pytest.raises(TypeError, match="float32"):
        one_hot(minigen.tensor([1.0]), 3)


def test_nested_lists_and_bytes_as_index():
    """A nested list is an index tensor (PyTorch from 2.9 on), a tensor of uint8 a mask."""
    x = minigen.from_numpy(normal(2, 3))
    assert minigen.equal(x[[[0, 1], [1, 0]]], x[minigen.tensor([[0, 1], [1, 0]])])
    assert minigen.equal(x[minigen.tensor([0, 1], dtype=minigen.uint8)], x[[False, True]])


def test_dtypes_are_kept():
    x, i = np.ones((3, 3), np.float32), np.array([0, 2, 0])
    for expression in ["x[y]", "x.index_add(0, y, x)", "x.masked_fill(x > 0, 2)", "x[x > 0]"]:
        same(expression, x, i, order=0)
        same(expression, x.astype(np.int32), i, order=0)
    leaf = minigen.from_numpy(x).requires_grad_()
    (leaf[minigen.from_numpy(i)] * 2).sum().backward()
    assert leaf.grad.dtype == minigen.float32


def test_add_at_places_between_slices():
    values, expected = normal(2, 6, 3), np.zeros((2, 4, 5, 3))
    places = (slice(None), rng.integers(-4, 4, 6), rng.integers(0, 5, 6))
    np.add.at(expected, places, values)
    np.testing.assert_allclose(add_at_places(values, expected.shape, places), expected)
