"""Clipping and vectors of parameters, beside torch's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import minigen
from minigen import kernels
from minigen.nn import utils
from tests.oracle import close


def with_gradients(arrays: list, module: Any) -> list:
    """Leaves with these gradients, and one without."""
    leaves = []
    for array in arrays:
        leaf = module.from_numpy(np.zeros_like(array)).requires_grad_()
        leaf.grad = module.from_numpy(np.array(array))
        leaves.append(leaf)
    return [*leaves, module.zeros(2, requires_grad=True)]


def gradients() -> list:
    rng = np.random.default_rng(0)
    return [np.asarray(rng.standard_normal(shape)) for shape in ((3, 4), (5,), (), (2, 0))]


@pytest.mark.parametrize("norm_type", [2.0, 1, 3.5, math.inf, 0.5, "inf"])
@pytest.mark.parametrize("max_norm", [0.5, 1e3])
def test_clip_grad_norm(norm_type: Any, max_norm: float) -> None:
    arrays = gradients()[:3]
    ours, theirs = (with_gradients(arrays, module) for module in (minigen, torch))
    a = utils.clip_grad_norm_(ours, max_norm, norm_type)
    b = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    close(a, b, 1e-12, "norm")
    for p, q in zip(ours[:3], theirs):
        close(p.grad, q.grad, 1e-12, "clipped")
    assert ours[3].grad is None
    changed = not np.array_equal(ours[0].grad.numpy(), arrays[0])
    assert changed == (max_norm == 0.5)


def test_clip_grad_norm_of_an_empty_gradient_and_of_one_tensor() -> None:
    arrays = gradients()
    ours, theirs = (with_gradients(arrays, module) for module in (minigen, torch))
    close(
        utils.clip_grad_norm_((p for p in ours), 1.0),
        torch.nn.utils.clip_grad_norm_(theirs, 1.0),
        1e-12,
        "norm",
    )
    assert utils.clip_grad_norm_(ours[0], 0.1).ndim == 0
    assert abs(np.linalg.norm(ours[0].grad.numpy()) - 0.1) < 1e-6
    assert utils.clip_grad_norm_([ours[4]], 1.0).item() == 0.0


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_clip_grad_norm_keeps_the_dtype(dtype: Any) -> None:
    arrays = [(100 * g).astype(dtype) for g in gradients()[:2]]
    ours, theirs = (with_gradients(arrays, module) for module in (minigen, torch))
    a = utils.clip_grad_norm_(ours, 1.0)
    b = torch.nn.utils.clip_grad_norm_(theirs, 1.0)
    close(a, b, 1e-6 if dtype is np.float32 else 2e-3, "norm")
    close(ours[0].grad, theirs[0].grad, 1e-6 if dtype is np.float32 else 2e-3, "clipped")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_clip_grad_norm_of_nan_and_infinity(value: float) -> None:
    arrays = [np.array([1.0, value]), np.array([2.0])]
    ours, theirs = (with_gradients(arrays, module) for module in (minigen, torch))
    for leaves, clip in ((ours, utils), (theirs, torch.nn.utils)):
        with pytest.raises(RuntimeError, match="total norm"):
            clip.clip_grad_norm_(leaves, 1.0, error_if_nonfinite=True)
    assert ours[1].grad.item() == 2, "nothing is scaled then"
    close(utils.clip_grad_norm_(ours, 1.0), torch.nn.utils.clip_grad_norm_(theirs, 1.0), 0, "norm")
    for p, q in zip(ours[:2], theirs):
        close(p.grad, q.grad, 0, "clipped")


def test_clip_grad_norm_of_dtypes_that_differ() -> None:
    arrays = [np.array([3.0], np.float32), np.array([4.0]), np.array([12.0], np.float16)]
    ours, theirs = (with_gradients(arrays, module) for module in (minigen, torch))
    a, b = utils.clip_grad_norm_(ours, 1.0), torch.nn.utils.clip_grad_norm_(theirs, 1.0)
    close(a, b, 1e-3, "norm")
    for p, q, array in zip(ours, theirs, arrays):
        close(p.grad, q.grad, 1e-3, "clipped")
        assert p.grad.numpy().dtype == array.dtype


@pytest.mark.parametrize("norm_type", [2.0, 1.0])
def test_clip_grad_norm_of_a_gradient_that_is_listed_twice(norm_type: float) -> None:
    leaves = []
    for module in (minigen, torch):
        first, second, *_ = with_gradients([np.array([3.0, 4.0])] * 2, module)
        second.grad = first.grad
        (module.nn.utils if module is torch else utils).clip_grad_norm_(
            [first, second, first],
            2.0,
            norm_type,
            **({"foreach": False} if module is torch else {}),
        )
        leaves.append(first)
    close(leaves[0].grad, leaves[1].grad, 1e-12, "scaled three times")


@pytest.mark.parametrize("norm_type", [2.0, 1.0])
def test_clip_grad_norm_tells_the_graph_of_the_change(norm_type: float) -> None:
    w = minigen.tensor([3.0, 4.0], requires_grad=True)
    w.grad = minigen.tensor([3.0, 4.0])
    y = (w * w.grad).sum()
    utils.clip_grad_norm_([w], 100.0, norm_type)
    y.backward(retain_graph=True)  # nothing was clipped
    w.grad = minigen.tensor([3.0, 4.0])
    y = (w * w.grad).sum()
    utils.clip_grad_norm_([w], 1.0, norm_type)
    with pytest.raises(RuntimeError, match=r"changed in place since .* last by .*clip_grad_norm_"):
        y.backward()


def test_clip_grad_norm_by_a_kernel_that_was_swapped_in() -> None:
    calls = []

    def mine(grads: list, max_norm: float) -> tuple:
        calls.append(([g.shape for g in grads], max_norm))
        return kernels.get("clip_norm", "numpy")(grads, max_norm)

    arrays = [g.astype(np.float32) for g in gradients()]
    ours = with_gradients(arrays, minigen)
    with kernels.use(clip_norm=mine):
        norm = utils.clip_grad_norm_(ours, 1)
        utils.clip_grad_norm_(ours, 1, 3.0)  # of another kind
    assert calls == [([(3, 4), (5,), (), (2, 0)], 1.0)]
    close(norm, utils.get_total_norm([minigen.from_numpy(a) for a in arrays]), 0, "norm")
    with kernels.use(clip_norm="reference"):
        norm = utils.clip_grad_norm_(ours, 1e3)
    assert norm.dtype is minigen.float32


def test_clip_grad_value() -> None:
    arrays = gradients()
    ours, theirs = (with_gradients(arrays, module) for module in (minigen, torch))
    utils.clip_grad_value_(ours, 0.4)
    torch.nn.utils.clip_grad_value_(theirs, 0.4)
    for p, q in zip(ours[:4], theirs):
        close(p.grad, q.grad, 0, "clipped")
    assert np.abs(ours[0].grad.numpy()).max() == 0.4


def test_parameters_as_a_vector_and_back() -> None:
    model = minigen.nn.Sequential(minigen.nn.Linear(2, 3), minigen.nn.Linear(3, 1))
    vector = utils.parameters_to_vector(model.parameters())
    assert vector.shape == (13,)
    cotangent = minigen.arange(13.0)
    (vector * cotangent).sum().backward()
    np.testing.assert_array_equal(model[0].weight.grad.numpy().ravel(), np.arange(6))
    utils.vector_to_parameters(cotangent * 2, model.parameters())
    np.testing.assert_array_equal(model[1].weight.detach().numpy(), [[18.0, 20.0, 22.0]])
    assert model[1].weight.requires_grad
    with pytest.raises(TypeError, match="expected a tensor"):
        utils.vector_to_parameters([1.0], model.parameters())
    with pytest.raises(ValueError, match="13 elements"):
        utils.vector_to_parameters(minigen.zeros(12), model.parameters())
