"""Margin losses and the bilinear form against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minigen
import minigen.nn.functional as F
from tests.expressions import both_reject, listed, normal, same
from tests.oracle import check

rng = np.random.default_rng(8)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (0,), (2, 0)], ids=str)
def test_soft_margin_loss(shape, reduction):
    signs = np.asarray(rng.choice([-1, 1], shape))
    x = normal(*shape)
    if reduction == "mean" and 0 in shape:
        x = x.astype(np.float32)  # the mean of nothing is NaN
    order = 2 if x.dtype == np.float64 else 0
    same(f"m.nn.functional.soft_margin_loss(x, y, reduction={reduction!r})", x, signs, order=order)


def test_soft_margin_loss_does_not_overflow():
    x = minigen.tensor([-1000.0], requires_grad=True)
    loss = F.soft_margin_loss(x, minigen.ones(1))
    loss.backward()
    assert (loss.item(), x.grad.item()) == (1000.0, -1.0)


def multi_margin(x, target, weight, p, margin, reduction):
    """The definition, in torch's differentiable operations (torch has no second derivative)."""
    own = x.gather(1, target[:, None])
    excess = torch.relu(margin - own + x) ** p
    if weight is not None:
        excess = excess * weight[target][:, None]
    losses = excess.masked_fill(torch.nn.functional.one_hot(target, x.shape[1]).bool(), 0).mean(1)
    return losses if reduction == "none" else getattr(losses, reduction)()


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(("p", "margin"), [(1, 1.0), (2, 1.0), (1, 0.3), (2, -0.5)])
def test_multi_margin_loss(p, margin, weighted, reduction):
    target = rng.integers(0, 4, 5)
    weight = rng.uniform(0.5, 2, 4) if weighted else None
    fixed = [torch.from_numpy(target), None if weight is None else torch.from_numpy(weight)]
    options = {"p": p, "margin": margin, "reduction": reduction}
    ours = [None if v is None else minigen.from_numpy(v) for v in (target, weight)]
    x = normal(5, 4)
    check(
        lambda x: F.multi_margin_loss(x, ours[0], weight=ours[1], **options),
        lambda x: torch.nn.functional.multi_margin_loss(x, fixed[0], weight=fixed[1], **options),
        x,
        order=1,
    )
    check(
        lambda x: F.multi_margin_loss(x, ours[0], weight=ours[1], **options),
        lambda x: multi_margin(x, *fixed, **options),
        x,
    )


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_multi_margin_loss_of_one_input(reduction):
    for target in (np.asarray(2), np.asarray([2])):
        same(
            f"m.nn.functional.multi_margin_loss(x, y, reduction={reduction!r})",
            normal(4), target, order=1,
        )  # fmt: skip
    for shape in ((), (1,)):
        same("m.nn.functional.multi_margin_loss(x, y)", normal(*shape), np.asarray(0), order=1)
    empty = np.zeros((0, 3), np.float32), np.zeros(0, np.int64)
    same("m.nn.functional.multi_margin_loss(x, y, reduction='none')", *empty, order=0)
    same("m.nn.functional.multi_margin_loss(x, y, reduction='sum') * 0", *empty, order=0)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(
    "shapes",
    [((3, 4), (3, 4)), ((4,), (4,)), ((2, 3, 4), (2, 3, 4)), ((3, 4), (4,)), ((0, 4), (0, 4))],
)
def test_multilabel_soft_margin_loss(shapes, reduction):
    inputs = normal(*shapes[0]), rng.uniform(0, 1, shapes[1]), rng.uniform(0.5, 2, 4)
    if reduction == "mean" and 0 in shapes[0]:
        inputs = tuple(each.astype(np.float32) for each in inputs)  # the mean of nothing is NaN
    order = 2 if inputs[0].dtype == np.float64 else 0
    name = "m.nn.functional.multilabel_soft_margin_loss"
    same(f"{name}(x, y, reduction={reduction!r})", *inputs[:2], order=order)
    same(f"{name}(x, y, z, reduction={reduction!r})", *inputs, order=order)


@pytest.mark.parametrize(
    "shapes",
    [((3,), (4,)), ((2, 3), (2, 4)), ((2, 5, 3), (2, 5, 4)), ((0, 3), (0, 4)), ((2, 1), (2, 1))],
)
def test_bilinear(shapes):
    weight, bias = normal(5, shapes[0][-1], shapes[1][-1]), normal(5)
    same("m.nn.functional.bilinear(x, y, z)", *(normal(*s) for s in shapes), weight)
    same("m.bilinear(x, y, z, w)", *(normal(*s) for s in shapes), weight, bias)


REJECTED = """
multi_margin_loss(x, y, p=3) | multi_margin_loss(x, y[:1]) | multi_margin_loss(x, y + 2)
multi_margin_loss(x, y - 5) | multi_margin_loss(x[None], y) | multi_margin_loss(x, y.double())
multi_margin_loss(x, y, weight=x[0, :2]) | multi_margin_loss(x[:, :0], y)
multi_margin_loss(x.long(), y) | multilabel_soft_margin_loss(x[0, 0], y[0])
soft_margin_loss(x.long(), y[:, None]) | bilinear(x, x[:1], x[None].mT)
bilinear(x, x, x[None]) | bilinear(x, x, m.stack([x.mT @ x] * 2), x[0])
soft_margin_loss(x, x, reduction="average")
"""


@pytest.mark.parametrize("expression", listed(REJECTED))
def test_rejected(expression):
    both_reject(f"m.nn.functional.{expression}", normal(2, 4), np.array([1, 3]))
