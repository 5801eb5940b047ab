"""In-place changes of shape, filling in place, and what a tensor says of itself, against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minigen
from tests.expressions import both_reject, function, listed, normal, same
from tests.oracle import close

CHANGES = listed("""
unsqueeze_(0) | unsqueeze_(-1) | squeeze_() | squeeze_(1) | transpose_(0, -1) | swapaxes_(0, 1)
t_() | swapdims_(1, 0)
""")


@pytest.mark.parametrize("change", CHANGES)
def test_other_shapes(change):
    """The tensor itself changes; its history goes on."""
    same(f"(lambda y: (y.{change}, y)[1] * 3)(x * 2)", normal(3, 1), forward=False)
    same(f"(lambda y: (y.{change}.exp(), y)[0])(x.clone())", normal(3, 1), forward=False)
    same(f"(lambda y: y.{change}.mul_(2))(x * 2)", normal(3, 1), forward=False)


@pytest.mark.parametrize("change", CHANGES)
def test_of_a_view(change):
    """Its base keeps the shape, and sees what is then written."""
    same(f"(lambda y: (y[1:].{change}.mul_(3), y)[1] * y)(x * 2)", normal(4, 1), forward=False)
    same(
        f"(lambda y: (lambda v: (v.{change}, y.mul_(2), v)[2])(y[1:]))(x * 2)",
        normal(4, 1),
        forward=False,
    )


def test_shape_and_identity():
    x = minigen.zeros(2, 3)
    assert x.unsqueeze_(0) is x
    assert x.shape == (1, 2, 3)
    same("x.unsqueeze_(1).squeeze_()", np.zeros((2, 3), np.float32), order=0)


def test_a_tensor_that_others_rely_on():
    with pytest.raises(RuntimeError, match="leaf"):
        minigen.zeros(2, requires_grad=True).unsqueeze_(0)
    y = minigen.zeros(2, requires_grad=True) * 2
    _view = y[:1]
    with pytest.raises(RuntimeError, match=r"use x = x.unsqueeze\(...\)"):
        y.unsqueeze_(0)


def test_detach():
    x = minigen.ones(2, requires_grad=True)
    y = x * 2
    assert y.detach_() is y
    assert y.is_leaf
    assert not y.requires_grad
    assert not x.detach_().requires_grad
    with pytest.raises(RuntimeError, match="view"):
        (minigen.ones(2, requires_grad=True) * 2)[:1].detach_()


@pytest.mark.parametrize("size", ["2, 2", "(2, 3)", "3", "0", "()", "1, 2, 1"])
def test_resize(size):
    same(f"x.resize_({size})", normal(2, 3).astype(np.float32), order=0)
    same(f"m.ones(7).resize_as_(m.zeros({size})).double()", normal(1).astype(np.float32), order=0)


def test_resize_to_more():
    x = minigen.arange(3).resize_(2, 3)
    assert x.shape == (2, 3)
    assert x[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "expression",
    listed("""
    (x * 2).fill_diagonal_(7) | (x * 2)[:2, :2].fill_diagonal_(0.5) | (x * 1).T.fill_diagonal_(1)
    (x * 2).fill_diagonal_(7, wrap=True) | m.stack([x[:2, :2]] * 2).fill_diagonal_(3)
    x.mul(2).lgamma_() | x.clone().digamma_() | m.column_stack((x, x)) | m.row_stack((x, x[0]))
    m.column_stack((x[:, 0], x, x[:, :1])) | m.column_stack((x[0, 0], x[0, 1]))
    """),
)
def test_differentiable_ones(expression):
    in_place = "_(" in expression
    same(expression, np.abs(normal(7, 3)) + 0.5, forward=not in_place)


def test_comparisons_in_place():
    for name in ("less_", "less_equal_", "greater_", "greater_equal_", "not_equal_"):
        same(f"x.{name}(0.2)", normal(3).astype(np.float32), order=0)
    same("x.bitwise_left_shift_(2).bitwise_right_shift_(1)", np.array([1, 5]), order=0)
    same("x.clone().arctan2_(x.flip(0))", normal(3), order=0)


@pytest.mark.parametrize("bounds", ["", "5", "3, 6", "-2, 2"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int8", "uint8", "bool"])
def test_random(bounds, dtype):
    """The same set of numbers can come out as in torch."""
    if (dtype == "bool" and bounds) or (dtype == "uint8" and "-" in bounds):
        return
    drawn = []
    for module in (minigen, torch):
        x = module.zeros(4000, dtype=getattr(module, dtype))
        assert eval(f"x.random_({bounds})", {"x": x}) is x
        drawn.append(x.numpy().astype(np.float64))
    ours, theirs = drawn
    if bounds or dtype == "bool":
        assert set(ours) == set(theirs)
    scale = max(1.0, theirs.max())
    assert abs(ours.mean() - theirs.mean()) < 0.1 * scale
    assert abs(ours.max() - theirs.max()) < 0.05 * scale
    assert (ours == np.round(ours)).all()


@pytest.mark.parametrize(
    "expression",
    listed("""
    m.histogram(x, 4) | m.histogram(x, bins=3, range=(-1, 1)) | x.histogram(5, density=True)
    m.histogram(x, 4, weight=x.abs()) | m.histogram(x, 4, weight=x.abs(), density=True)
    m.histogram(x, m.tensor([-1.0, 0.0, 0.25, 2.0]).to(x.dtype)) | m.histogram(x[:0], 3)
    m.histogram(x[0] * 0, 3)
    m.histogram(m.tensor([0.0, 1.0, 2.0, 2.0, 3.0]), m.tensor([0.0, 1.0, 2.0]), density=True)
    m.histogram(m.arange(10.0), 5) | m.histogram(x) | m.histogram(x, 4, range=(1, 1))
    """),
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_histogram(expression, dtype):
    a = normal(5, 6).astype(dtype)
    ours, theirs = function(expression, minigen), function(expression, torch)
    for one, other in zip(ours(minigen.from_numpy(a)), theirs(torch.from_numpy(a))):
        close(one, other, 1e-6 if dtype == np.float32 else 1e-12, expression)


QUESTIONS = """
x.nelement() | x.ndimension() | x.is_sparse | x.is_xpu | x.is_cpu | x.itemsize | x.nbytes
x.get_device() | x.is_complex() | x.is_signed() | m.numel(x) | m.is_tensor(x) | m.is_tensor(3)
m.is_floating_point(x) | m.is_floating_point(x.long()) | m.is_nonzero(x[0, 0])
x[0, :1].is_nonzero()
x.is_same_size(x[:1]) | x.is_same_size(x + 1) | m.detach(x).requires_grad | x.bool().is_signed()
x.byte().is_signed() | x.new(3, 2).numel() | x.new([1, 2]).tolist() | tuple(x.new(x.size()).shape)
x.new([1, 2]).double().tolist() | tuple(x.new().shape) | x.is_quantized | x.is_mps
x.new(x[0]).tolist() | x.new((1, 2)).tolist()
"""


@pytest.mark.parametrize("expression", listed(QUESTIONS))
def test_what_a_tensor_says(expression):
    a = normal(2, 3)
    ours, theirs = function(expression, minigen), function(expression, torch)
    assert ours(minigen.from_numpy(a)) == theirs(torch.from_numpy(a))


TOP = """
relu(x) | softmax(x, dim=1) | softmax(x, -1) | log_softmax(x, 0) | selu(x) | celu(x, 0.5) | rrelu(x)
prelu(x, m.tensor([0.3]).double()) | threshold(x, 0.1, 2.0) | hardshrink(x, 0.3) | celu(x)
conv1d(x.T[None], x[:, :, None]) | conv2d(x[None, None], x[None, None, :2, :2])
conv_transpose1d(x[None], x[:, :, None]) | conv_transpose2d(x[None, None], x[None, None, :2])
avg_pool1d(x, 2) | max_pool1d(x, 2) | max_pool2d(x[None], 2) | adaptive_avg_pool1d(x, 2)
pixel_shuffle(x.reshape(4, 3, 1), 2) | pixel_unshuffle(x.reshape(1, 2, 6), 2)
cosine_similarity(x, x + 1) | pairwise_distance(x, x + 1) | layer_norm(x, (4,))
group_norm(x[None], 3) | rms_norm(x, (4,)) | norm(x) | bilinear(x, x, x[None].mT @ x[None])
"""


@pytest.mark.parametrize("expression", listed(TOP))
def test_top_level_functions(expression):
    same(f"m.{expression}", normal(3, 4), order=1)


@pytest.mark.parametrize(
    "expression",
    listed("""
    x[0].clone().fill_diagonal_(1) | m.zeros(2, 3, 2).fill_diagonal_(1) | x.clone().random_(5, 5)
    m.is_nonzero(x) | m.histogram(x.long(), 3) | m.histogram(x, 0) | m.histogram(x, 3, range=(2, 1))
    m.histogram(x / 0, 3) | m.histogram(x, 3, weight=x[0]) | x.clone().t_().unsqueeze_(5)
    m.stack([x, x]).t_() | x.clone().resize_(-2)
    """),
)
def test_rejected(expression):
    both_reject(expression, normal(2, 3))
