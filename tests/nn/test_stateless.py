"""`functional_call` and `stack_module_state` beside torch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import minigen
from minigen import nn
from minigen.func import functional_call, stack_module_state


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x: Any) -> Any:
        return self.a(x) + self.b(x)


def test_what_is_not_named_stays_and_all_is_put_back() -> None:
    layer = nn.Linear(2, 2)
    weight, bias = layer.weight, layer.bias
    x, ones = minigen.ones(2), minigen.ones(2, 2)
    found = functional_call(layer, {"weight": ones}, x)
    np.testing.assert_allclose(found.detach().numpy(), 2 + bias.detach().numpy())
    zero = minigen.zeros(2)
    assert functional_call(layer, ({"weight": ones}, {"bias": zero}), (x,)).tolist() == [2, 2]
    assert functional_call(layer, {"weight": ones, "bias": zero}, (), {"input": x}).tolist() == [
        2,
        2,
    ]
    with pytest.raises(RuntimeError):
        functional_call(layer, {"weight": minigen.ones(3, 3)}, x)
    assert layer.weight is weight
    assert layer.bias is bias


def test_gradients_go_to_the_tensors_that_were_given() -> None:
    layer = nn.Linear(2, 1)
    given = {name: p.detach().requires_grad_() for name, p in layer.named_parameters()}
    functional_call(layer, given, minigen.ones(3, 2)).sum().backward()
    assert given["weight"].grad.tolist() == [[3, 3]]
    assert layer.weight.grad is None


def test_tied_weights_as_torch_has_them() -> None:
    x, ones, zeros = minigen.ones(2), minigen.ones(2, 2), minigen.zeros(2, 2)
    module = Tied()
    assert functional_call(module, {"a.weight": ones}, x).tolist() == [4, 4]
    assert functional_call(module, {"b.weight": ones}, x).tolist() == [4, 4]
    alone = functional_call(module, {"a.weight": ones}, x, tie_weights=False)
    np.testing.assert_allclose(alone.detach().numpy(), 2 + module.b(x).detach().numpy(), rtol=1e-6)
    both = {"a.weight": ones, "b.weight": zeros}
    with pytest.raises(ValueError, match="are tied"):
        functional_call(module, both, x)
    assert functional_call(module, both, x, tie_weights=False).tolist() == [2, 2]


def test_buffers_and_strict() -> None:
    norm = nn.BatchNorm1d(2)
    state = {name: b.clone() for name, b in norm.named_buffers()}
    x = minigen.randn(5, 2)
    functional_call(norm, state, x)
    assert norm.running_mean.tolist() == [0, 0]  # the given one moved
    assert state["running_mean"].tolist() != [0, 0]
    with pytest.raises(RuntimeError, match="missing"):
        functional_call(norm, state, x, strict=True)
    everything = {**state, **dict(norm.named_parameters())}
    functional_call(norm, everything, x, strict=True)
    with pytest.raises(RuntimeError, match=r"BatchNorm1d has no \['w'\]"):
        functional_call(norm, {**everything, "w": x}, x, strict=True)
    functional_call(norm, {"w": x}, x)  # not noticed otherwise, as in torch
    with pytest.raises(ValueError, match="more than one dictionary"):
        functional_call(norm, (state, state), x)
    with pytest.raises(ValueError, match="expects a dictionary"):
        functional_call(norm, [x], x)


def test_stacked_states() -> None:
    ours, _ = stack_module_state([nn.BatchNorm1d(2), nn.BatchNorm1d(2)])
    theirs, buffers = torch.func.stack_module_state([torch.nn.BatchNorm1d(2)] * 2)
    assert {k: tuple(v.shape) for k, v in ours.items()} == {
        k: tuple(v.shape) for k, v in theirs.items()
    }
    assert list(stack_module_state([nn.BatchNorm1d(2)])[1]) == list(buffers)
    for wrong, message in (
        ([], "at least one"),
        ([nn.Linear(1, 1), nn.ReLU()], "one class"),
        ([nn.Linear(1, 1), nn.Linear(1, 1).eval()], "one mode"),
    ):
        with pytest.raises(RuntimeError, match=message):
            stack_module_state(wrong)
