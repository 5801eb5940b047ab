"""LoRA: equation 3 and its gradients against torch, merging, and what of a model it changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import minigen
from minigen import nn
from minigen.models import GPT, GPTConfig, load_pretrained, save_pretrained
from minigen.models.lora import LoRALinear, add_lora, lora_layers, merge_lora

RNG = np.random.default_rng(0)
IDS = minigen.from_numpy(RNG.integers(0, 13, (2, 7)))


def adapted(bias: bool = True, rank: int = 3, alpha: float = 12.0) -> LoRALinear:
    """A layer (6 -> 5) in float64 whose change is not zero."""
    layer = LoRALinear(nn.Linear(6, 5, bias=bias).double(), rank, alpha)
    with minigen.no_grad():
        layer.lora_B.copy_(minigen.from_numpy(RNG.normal(size=(5, rank))))
    return layer


def gpt(bias: bool = True) -> GPT:
    config = GPTConfig(vocabulary=13, context=8, layers=2, heads=2, width=12, bias=bias)
    return GPT(config).double()


def changed(model: GPT) -> None:
    with minigen.no_grad():
        for layer in lora_layers(model):
            layer.lora_B += minigen.from_numpy(RNG.normal(size=layer.lora_B.shape) * 0.3)


@pytest.mark.parametrize("bias", [True, False])
def test_equation_3_and_its_gradients(bias: bool) -> None:
    layer, x = adapted(bias), RNG.normal(size=(2, 4, 6))
    seed = RNG.normal(size=(2, 4, 5))
    w, a, b = (
        torch.tensor(p.detach().numpy(), requires_grad=True)
        for p in (layer.weight, layer.lora_A, layer.lora_B)
    )
    inputs = torch.tensor(x, requires_grad=True)
    expected = inputs @ (w + 12.0 / 3 * b @ a).T
    if bias:
        expected = expected + torch.from_numpy(layer.bias.detach().numpy())
    expected.backward(torch.from_numpy(seed))
    ours = minigen.from_numpy(x).requires_grad_()
    y = layer(ours)
    y.backward(minigen.from_numpy(seed))
    np.testing.assert_allclose(y.detach().numpy(), expected.detach(), atol=1e-12)
    for gradient, theirs in ((ours.grad, inputs), (layer.lora_A.grad, a), (layer.lora_B.grad, b)):
        assert theirs.grad is not None
        np.testing.assert_allclose(gradient.numpy(), theirs.grad, atol=1e-12)
    assert layer.weight.grad is None


def test_it_begins_as_what_it_was() -> None:
    plain = nn.Linear(6, 5)
    layer, x = LoRALinear(plain, 2), minigen.randn(3, 6)
    np.testing.assert_array_equal(layer(x).detach().numpy(), plain(x).detach().numpy())
    assert layer.lora_A.detach().numpy().std() > 0.2


def test_merged_it_computes_the_same_and_unmerged_it_is_as_before() -> None:
    layer, x = adapted(), minigen.from_numpy(RNG.normal(size=(4, 6)))
    before, y = layer.weight.detach().numpy().copy(), layer(x).detach().numpy()
    layer.merge()
    layer.merge()  # once is enough
    np.testing.assert_allclose(layer(x).detach().numpy(), y, atol=1e-12)
    np.testing.assert_allclose(
        layer.weight.detach().numpy() - before, layer.change().detach().numpy(), atol=1e-12
    )
    layer.unmerge()
    layer.unmerge()
    np.testing.assert_allclose(layer.weight.detach().numpy(), before, atol=1e-12)
    np.testing.assert_allclose(layer(x).detach().numpy(), y, atol=1e-12)


@pytest.mark.parametrize("rank", [0, 6, -1])
def test_no_such_rank(rank: int) -> None:
    with pytest.raises(ValueError, match=f"from 1 to 5, .* got {rank}"):
        LoRALinear(nn.Linear(6, 5), rank)


def test_what_of_a_model_is_trained() -> None:
    model = gpt()
    learned = add_lora(model, ["c_attn", "c_fc"], rank=2)
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert len(names) == len(learned) == 8
    assert names == {
        f"h.{i}.{layer}.lora_{m}"
        for i in (0, 1)
        for layer in ("attn.c_attn", "mlp.c_fc")
        for m in "AB"
    }
    with pytest.raises(ValueError, match="no Linear named query or key"):
        add_lora(gpt(), ["query", "key"])


def test_a_step_changes_nothing_else() -> None:
    model = gpt()
    learned = add_lora(model, ["c_attn", "c_proj"], rank=2)
    before = {name: t.numpy().copy() for name, t in model.state_dict().items()}
    optimizer = minigen.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(2):  # after the first, A has a gradient, too
        optimizer.zero_grad()
        model(IDS).square().mean().backward()
        optimizer.step()
    for name, tensor in model.state_dict().items():
        same = np.array_equal(tensor.numpy(), before[name])
        assert same != (".lora_" in name), name
    assert all(p.grad is not None for p in learned)


def test_a_merged_model_is_a_plain_one_that_can_be_saved(tmp_path: Path) -> None:
    model = gpt()
    names = list(model.state_dict())
    add_lora(model, ["c_attn", "c_proj", "c_fc"], rank=2)
    changed(model)
    expected = model(IDS).detach().numpy()
    merge_lora(model)
    assert list(model.state_dict()) == names
    assert all(p.requires_grad for p in model.parameters())
    np.testing.assert_allclose(model(IDS).detach().numpy(), expected, atol=1e-12)
    save_pretrained(model.float(), tmp_path)
    with minigen.no_grad():
        again = load_pretrained(tmp_path)(IDS).numpy()
    np.testing.assert_allclose(again, expected, atol=1e-5)
