"""Views, joins and rearrangements against torch: values, gradients, shared memory, errors."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from minigen.errors import ShapeError
from minigen.ops import joining
from tests.expressions import both_reject, function, listed, normal, same

VIEWS = """
x.reshape(4, 6) | x.reshape(-1) | x.reshape((3, -1, 2)) | x.view(6, 4) | x.view(-1, 2)
x.reshape(2, 3, 4) | x.flatten() | x.flatten(1) | x.flatten(0, 1) | x.flatten(-2, -1) | x.ravel()
x.unflatten(2, (2, 2)) | x.unflatten(-1, (-1, 1, 4)) | m.flatten(x, 1, 1) | x.squeeze()
x.unsqueeze(0) | x.unsqueeze(-1) | x.unsqueeze(-2) | x.unsqueeze(3) | x.transpose(0, 1)
x.transpose(-1, 0) | x.swapaxes(1, 2) | m.transpose(x, 1, 1) | x.permute(2, 0, 1)
x.permute((-1, 0, 1)) | m.permute(x, (1, 0, 2)) | x.mT | x[0].T | x[0].t() | x[0, 0].t()
x.movedim(0, 2) | x.movedim((0, 1), (-1, 0)) | m.moveaxis(x, -1, 0) | x.expand(2, 3, 4)
x.expand(5, 2, 3, 4) | x[:, :1].expand(-1, 3, -1) | x[:1].expand(7, 3, 4)
x[0, :, :1].expand(2, 3, 3) | m.broadcast_to(x, (2, 2, 3, 4)) | x[:1, 0].broadcast_to((3, 4))
x.diagonal() | x.diagonal(1) | x.diagonal(-1, 0, 2) | x.diagonal(2, dim1=-1, dim2=-2)
x.diagonal(-5) | m.diagonal(x, 1, 2, 0) | x.narrow(1, 1, 2) | x.narrow(-1, -3, 2) | x.select(0, 1)
x.select(-1, -2) | x.select(1, 2) | x.view_as(x) | x.reshape_as(x.mT) | x.split(2) | x.split(2, 1)
x.split([1, 3], dim=-1) | x.split([3, 0], 1) | x.chunk(3, 2) | x.chunk(2, -1) | x.chunk(9)
x.unbind() | x.unbind(-1) | m.unbind(x, 1) | m.adjoint(x) | x.unfold(2, 2, 1) | x.unfold(1, 3, 2)
x.unfold(-1, 3, 3) | x.unfold(2, 1, 2) | x.unfold(0, 2, 1) | m.atleast_1d(x) | m.atleast_3d(x[0])
m.atleast_3d(x[0, 0]) | m.atleast_2d(x[0, 0, 0]) | m.broadcast_tensors(x, x[0], x[:, :, :1])
"""
COPIES = """
m.cat([x, x]) | m.cat((x, x[:, :1], x[:, 1:]), 1) | m.cat([x], -1) | m.concat([x, x[..., :0]], -1)
m.stack([x, x * 2]) | m.stack((x, x), 1) | m.stack([x, x, x], -1) | m.stack([x], dim=-2)
m.hstack([x, x]) | m.hstack([x[0, 0], x[1, 1]]) | m.vstack([x, x]) | m.vstack([x[0, 0], x[0]])
m.dstack([x[0], x[1]]) | m.hstack([x[0, 0, 0], x[0, 0]]) | m.concatenate([x, x], dim=2)
x.repeat(2, 1, 3) | x.repeat(2, 1, 1, 2) | x.repeat((1, 1, 1)) | x.tile(2) | m.tile(x, (2, 1))
x.tile(2, 1, 1, 3) | x.repeat_interleave(2) | x.repeat_interleave(3, dim=1)
m.repeat_interleave(x, m.tensor([1, 0, 2]), 1) | x.repeat_interleave(m.tensor([2]), -1)
x.repeat_interleave(m.tensor([1, 2]), 0, output_size=3) | x.flip(0) | x.flip((0, -1))
m.flip(x, [1, 2]) | m.fliplr(x) | m.flipud(x) | x.flip([]) | x.roll(1) | x.roll(-5) | x.roll(1, 0)
x.roll((1, -2), (1, 2)) | m.roll(x, 7, -1) | x.roll((1, 1), (0, 0)) | m.rot90(x) | m.rot90(x, 2)
m.rot90(x, -1, (1, 2)) | m.rot90(x, 4, [0, 2]) | x.tril() | x.triu() | x.tril(1) | m.triu(x, -1)
x.tril(-5) | x.triu(9) | m.tril(x, diagonal=2) | x[0].diag() | x[0].diag(1) | x[0, 0].diag()
m.diag(x[0, 0], -2) | m.diag_embed(x) | m.diag_embed(x, 1) | m.diag_embed(x, -1, 0, 2)
x[0].diag_embed(dim1=0, dim2=-1)
"""


@pytest.mark.parametrize("expression", listed(VIEWS) + listed(COPIES))
def test_as_torch(expression):
    same(expression, normal(2, 3, 4))


@pytest.mark.parametrize("expression", listed(VIEWS))
def test_a_view_shares_memory_where_torchs_does(expression):
    """What is written through the result appears in the base, or not, as in torch."""
    start = normal(2, 3, 4)
    seen = []
    for module in (torch, minigen):
        x = module.from_numpy(start.copy())
        result = function(expression, module)(x)
        parts = result if isinstance(result, tuple | list) else (result,)
        for part in parts:
            if all(n < 2 or stride for n, stride in zip(part.shape, part.stride())):
                part.detach().fill_(7.0)  # what is stretched cannot be written
        seen.append(x.numpy().copy())
    np.testing.assert_array_equal(seen[1], seen[0])


@pytest.mark.parametrize("expression", listed(COPIES))
def test_a_copy_shares_nothing(expression):
    start = normal(2, 3, 4)
    x = minigen.from_numpy(start.copy())
    result = function(expression, minigen)(x)
    for part in result if isinstance(result, tuple | list) else (result,):
        part.array[...] = 7.0
    if expression not in ("x.repeat((1, 1, 1))",):
        np.testing.assert_array_equal(x.numpy(), start)


@pytest.mark.parametrize(
    "expression",
    listed(
        """
x.reshape(1) | x.reshape(1, 1) | x.flatten() | x.unsqueeze(0) | x.ravel() | x.expand(3)
x.squeeze() | x.transpose(0, -1) | x.permute(()) | x.t() | x.flip([]) | x.repeat(2, 3)
m.stack([x, x]) | x.roll(1) | x.view(()) | x.squeeze(0) | x.tile(2) | x.repeat_interleave(2)
m.atleast_2d(x) | x.unfold(0, 1, 1) | x.unfold(0, 0, 1)
"""
    ),
)
def test_zero_dimensions(expression):
    same(expression, normal())


@pytest.mark.parametrize(
    "expression",
    listed(
        """
x.reshape(3, 0) | x.reshape(-1, 3) | x.flatten() | x.ravel() | x.split(2) | x.split(0)
x.chunk(3) | x.chunk(2, 1) | x.unbind(1) | m.cat([x, x]) | x.view(0, 7) | x.expand(4, 0, 3) | x.mT
x.repeat(2, 2) | x.flip(0) | x.roll(1, 0) | x.tril() | m.stack([x, x], 1) | x.diagonal()
x.squeeze() | m.cat([x[0:], x], 1) | x.repeat_interleave(2, 1) | x.roll(2) | x.unfold(1, 2, 1)
"""
    ),
)
def test_empty(expression):
    same(expression, np.zeros((0, 3)))


def test_repeated_no_times():
    same("x.repeat(2, 0, 1)", normal(2, 3, 4), order=1)


def test_squeeze():
    for expression in ["x.squeeze()", "x.squeeze(0)", "x.squeeze(-1)", "x.squeeze((0, 3))"]:
        same(expression, normal(1, 3, 1, 2, 1))
    same("x.squeeze(1)", normal(1, 3))


def test_cat_promotes_and_passes_over_empty_vectors():
    x, i, f = normal(2, 2), np.array([[1, 2]]), np.ones((1, 2), np.float32)
    for inputs in ([x, i], [i, f], [f, x], [i, i.astype(np.int32)], [f, i > 1]):
        same("m.cat([x, y])", *inputs, order=0)
    same("m.cat([m.zeros(0, dtype=m.float64), x, m.zeros(0, dtype=m.float64)])", x)
    same("m.stack([x, y])", i, f, order=0)
    same("m.cat([m.zeros(0), m.zeros(0)])", order=0)


def test_unused_parts_have_zero_gradient():
    same("x.split([1, 2, 1])[1]", normal(4, 2))
    same("x.unbind(1)[2]", normal(2, 4))
    same("x.unbind()[3] * x.unbind()[0]", normal(4, 2))
    same("x.chunk(2, 1)[0] + x.chunk(2, 1)[1]", normal(3, 4))


@pytest.mark.parametrize(
    ("expression", "kind", "text"),
    [
        ("x.reshape(4, 4)", RuntimeError, "4"),
        ("x.reshape(-1, -1)", RuntimeError, "unknown"),
        ("x.reshape(-2, 3)", RuntimeError, "-1"),
        ("x.mT.view(6)", RuntimeError, "reshape"),
        ("x.flatten(1, 0)", RuntimeError, "start_dim"),
        ("x.flatten(2)", IndexError, r"\[-2, 1\], but got 2"),
        ("x.unflatten(1, (2, 2))", RuntimeError, "3"),
        ("x.unsqueeze(3)", IndexError, r"\[-3, 2\], but got 3"),
        ("x.squeeze(2)", IndexError, r"\[-2, 1\], but got 2"),
        ("x.transpose(0, 2)", IndexError, r"\[-2, 1\], but got 2"),
        ("x.permute(0)", RuntimeError, "2 dimensions"),
        ("x.permute(0, 0)", RuntimeError, "multiple times"),
        ("x.movedim(0, (0, 1))", RuntimeError, "movedim"),
        ("x.expand(3, 3)", RuntimeError, "stretch"),
        ("x.expand(3)", RuntimeError, "stretch"),
        ("x.expand(-1, 2, 3)", RuntimeError, "stretch"),
        ("x.split(-1)", RuntimeError, "positive"),
        ("x.split(0)", RuntimeError, "positive"),
        ("x.split([1, 2])", RuntimeError, "sum"),
        ("x.chunk(0)", RuntimeError, "positive"),
        ("m.cat([])", (RuntimeError, ValueError), "empty"),
        ("m.cat([x, x.mT])", RuntimeError, "dimension 0"),
        ("m.cat([x, x[0]])", RuntimeError, "equal"),
        ("m.cat([x[0, 0], x[0, 0]])", RuntimeError, "stack"),
        ("m.stack([x, x.mT])", RuntimeError, "equal"),
        ("m.stack([])", RuntimeError, "empty"),
        ("x[0, 0].unbind()", (RuntimeError, IndexError), "0-d"),
        ("x.repeat(2)", RuntimeError, "repeat"),
        ("x.repeat(2, -1)", RuntimeError, "repeat"),
        ("x.repeat_interleave(m.tensor([1, 2, 3]), 0)", RuntimeError, "3 repeats"),
        ("x.roll((1, 2), 0)", RuntimeError, "roll"),
        ("x[0].tril()", RuntimeError, "2 dimensions"),
        ("x.diagonal(0, 1, 1)", RuntimeError, "same"),
        ("x.unfold(0, 3, 1)", RuntimeError, "windows"),
        ("x.unfold(0, 1, 0)", RuntimeError, "windows"),
        ("x.narrow(0, 1, 2)", RuntimeError, "exceeds"),
        ("x.narrow(0, 3, 1)", IndexError, "3"),
        ("x.select(1, 3)", IndexError, "3"),
        ("x.unsqueeze(0).t()", RuntimeError, "mT"),
        ("x[0].mT", RuntimeError, "2 dimensions"),
    ],
)
def test_errors(expression, kind, text):
    error = both_reject(expression, normal(2, 3))
    assert isinstance(error, kind)
    assert re.search(text, str(error)), error
    assert not isinstance(error, RuntimeError) or isinstance(error, ShapeError)


# ------------------------------------------------------------------- in place through views


def in_place(module, change):
    """Gradient of a sum of squares after `change(y, views)` wrote through views of y = 2 x."""
    x = module.from_numpy(np.arange(1.0, 13.0).reshape(3, 4)).requires_grad_()
    y = x * 2
    change(y)
    (y * y).sum().backward()
    return y.detach().numpy(), x.grad.numpy()


@pytest.mark.parametrize(
    "expression",
    listed(
        """
x.view(-1)[:5] | x.T | x[1] | x[:, 1:3].T[0] | x.view(2, 6).mT[1:] | x.diagonal()
x.reshape(4, 3)[2:] | x.unsqueeze(0)[..., -1] | x.expand(3, 4)[1] | x.flatten()[::5]
x.permute(1, 0)[1:, 2] | x.unfold(1, 2, 2)[:, 1] | x.movedim(0, 1)[..., 0]
x.squeeze().narrow(0, 1, 1)
"""
    ),
)
def test_writing_into_a_view_of_a_view_reaches_base_and_graph(expression):
    def change(module):
        view = function(expression, module)
        return lambda y: view(y).mul_(3.0)

    ours, theirs = (in_place(m, change(m)) for m in (minigen, torch))
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b)


@pytest.mark.parametrize(
    ("part", "same_place"),
    [("x.split(2)[1]", "x[2:]"), ("x.unbind(1)[2]", "x[:, 2]"), ("x.chunk(2, 1)[0]", "x[:, :2]")],
)
def test_writing_into_one_of_several_views(part, same_place):
    """PyTorch refuses this; here it means what it means for the same view made by an index."""

    def tripled(expression, module):
        view = function(expression, module)
        return in_place(module, lambda y: view(y).mul_(3.0))

    for a, b in zip(tripled(part, minigen), tripled(same_place, torch)):
        np.testing.assert_allclose(a, b)


@pytest.mark.parametrize(
    "expression",
    listed(
        """
x.view(-1) | x.T | x[1] | x.expand(2, 3, 4) | x.diagonal() | x.unbind()[1] | x.unfold(1, 2, 1)
x.split(1)[2] | x[None].expand(2, 3, 4)[1] | x.expand(2, 3, 4)[0, 1]
"""
    ),
)
def test_a_change_of_the_base_invalidates_what_a_view_saved(expression):
    for module in (torch, minigen):
        x = module.from_numpy(normal(3, 4)).requires_grad_()
        y = x * 1
        z = function(expression, module)(y).square()
        y.add_(1.0)
        with pytest.raises(RuntimeError, match=r"in.?place"):
            z.sum().backward()


def test_expanded_memory_cannot_be_written():
    with pytest.raises((RuntimeError, ValueError)):
        minigen.zeros(3).expand(2, 3).add_(1.0)


# ----------------------------------------------------------------------------- properties

shapes = st.lists(st.integers(0, 4), min_size=0, max_size=4).map(tuple)


@settings(max_examples=25, deadline=None)
@given(shapes, st.data())
def test_permutations_undo_themselves(shape, data):
    order = data.draw(st.permutations(range(len(shape))))
    same(f"x.permute({tuple(order)})", normal(*shape))


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 1, 1), (2, None, 0)])
def test_gradients_of_parts_that_lie_side_by_side(order):
    """They are put together without a copy if, and only if, they are the parts in their order."""
    whole = np.arange(24, dtype=np.float32).reshape(2, 12)
    thirds = np.split(whole, 3, axis=1)
    given = [None if i is None else thirds[i] for i in order]
    found = joining._split_gradient(given, (2, 12), (4, 4, 4), 1)
    zeros = np.zeros((2, 4), np.float32)
    expected = np.concatenate([zeros if g is None else g for g in given], 1)
    np.testing.assert_array_equal(found, expected)
    assert np.shares_memory(found, whole) == (order == (0, 1, 2))


def test_a_gradient_is_no_part_of_somebody_elses_array():
    x = minigen.zeros(2, 12, requires_grad=True)
    whole = np.ones((2, 12), np.float32)
    parts = x.split(4, 1)
    minigen.autograd.backward(parts, [minigen.from_numpy(g) for g in np.split(whole, 3, axis=1)])
    whole[:] = 7
    assert (x.grad.numpy() == 1).all()
    buffer = np.frombuffer(np.ones(24, np.float32).tobytes(), np.float32).reshape(2, 12)
    x.grad = None
    parts = x.split(4, 1)
    minigen.autograd.backward(parts, [minigen.autograd.wrap(g) for g in np.split(buffer, 3, 1)])
    assert (x.grad.numpy() == 1).all()


@settings(max_examples=25, deadline=None)
@given(shapes.filter(len), st.integers(1, 5), st.data())
def test_split_and_cat_are_inverse(shape, size, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = minigen.from_numpy(normal(*shape))
    assert minigen.equal(minigen.cat(x.split(size, dim), dim), x)
    same(f"x.split({size}, {dim})", x.numpy())


@settings(max_examples=25, deadline=None)
@given(shapes, st.data())
def test_reshape_to_any_factors(shape, data):
    n = int(np.prod(shape))
    first = data.draw(st.sampled_from([k for k in range(1, n + 1) if n % k == 0] or [0]))
    same(f"x.reshape({first}, {n // first if first else 5})", normal(*shape))
