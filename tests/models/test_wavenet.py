"""WaveNet: it looks only backwards and as far as it says, writes what it computes, equals torch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import minigen
from minigen.models.wavenet import (
    WaveNet,
    WaveNetConfig,
    mu_law_decode,
    mu_law_encode,
    mu_law_levels,
)

CONFIG = WaveNetConfig(levels=9, layers=3, channels=12, skips=24)  # ReLU lets something pass


@pytest.fixture(params=["one_hot", "height"])
def model(request: pytest.FixtureRequest) -> WaveNet:
    minigen.manual_seed(0)
    return WaveNet(dataclasses.replace(CONFIG, one_hot=request.param == "one_hot")).double()


def logits(model: WaveNet, ids: np.ndarray) -> np.ndarray:
    with minigen.no_grad():
        return model(minigen.from_numpy(ids)).numpy()


def test_a_prediction_sees_the_last_field_of_values_and_nothing_after(model: WaveNet) -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 9, (1, 20))
    before = logits(model, ids)
    for changed in range(20):
        other = ids.copy()
        other[0, changed] = (other[0, changed] + 4) % 9
        moved = np.abs(logits(model, other) - before).max(axis=(0, 2)) > 1e-12
        expected = [changed <= t < changed + CONFIG.field for t in range(20)]
        assert moved.tolist() == expected


def test_forward_equals_torch(model: WaveNet) -> None:
    w = {k: torch.from_numpy(v.detach().numpy().copy()) for k, v in model.named_parameters()}
    ids = np.random.default_rng(1).integers(0, 9, (2, 12))
    if model.config.one_hot:
        x = w["embedding.weight"][torch.from_numpy(ids)]
    else:
        height = torch.linspace(-1, 1, 9, dtype=torch.float64)
        number = height.sign() * (9 ** height.abs() - 1)
        both = torch.stack([height / height.std(correction=0), number / number.std(correction=0)])
        x = F.linear(
            both.T[torch.from_numpy(ids)],
            w["embedding.linear.weight"],
            w["embedding.linear.bias"],
        )
    x = x.transpose(1, 2)
    total = torch.zeros(())
    for i in range(CONFIG.layers):
        name = f"layers.{i}."
        read = F.pad(x, (2**i, 0))
        both = F.conv1d(
            read,
            w[name + "filter_and_gate.weight"],
            w[name + "filter_and_gate.bias"],
            dilation=2**i,
        )
        a, b = both.chunk(2, 1)
        z = torch.tanh(a) * torch.sigmoid(b)
        x = x + F.conv1d(z, w[name + "residual.weight"], w[name + "residual.bias"])
        total = total + F.conv1d(z, w[name + "skip.weight"], w[name + "skip.bias"])
    h = F.relu(F.conv1d(F.relu(total), w["hidden.weight"], w["hidden.bias"]))
    expected = F.conv1d(h, w["head.weight"], w["head.bias"]).transpose(1, 2)
    np.testing.assert_allclose(logits(model, ids), expected.numpy(), atol=1e-12)


def test_writing_with_memory_is_writing_without(model: WaveNet) -> None:
    """Greedy, past the field of view: the kept inputs are the right ones."""
    ids = np.random.default_rng(2).integers(0, 9, (3, 4))
    written = model.generate(minigen.from_numpy(ids), 15, temperature=0).numpy()
    slow = ids
    for _ in range(15):
        following = logits(model, slow)[:, -1].argmax(-1)[:, None]
        slow = np.concatenate([slow, following], axis=1)
    np.testing.assert_array_equal(written, slow)


def test_what_is_remembered_gives_the_logits_of_the_whole(model: WaveNet) -> None:
    ids = np.random.default_rng(4).integers(0, 9, (2, 14))
    whole = logits(model, ids)
    memory = model._memory(2)
    for t in range(14):
        with minigen.no_grad():
            now = model._advance(minigen.from_numpy(ids[:, t].copy()), memory).numpy()
        np.testing.assert_allclose(now, whole[:, t], atol=1e-12)


def test_it_learns_what_a_linear_model_cannot() -> None:
    """x_t = x_{t-1} x_{t-3} of signs: no linear model of the past says anything of it."""
    rng = np.random.default_rng(3)
    signs = np.sign(rng.normal(size=(64, 3)))
    for _ in range(29):
        signs = np.concatenate([signs, (signs[:, -1] * signs[:, -3])[:, None]], axis=1)
    ids = minigen.from_numpy((signs > 0).astype(np.int64))
    minigen.manual_seed(1)
    model = WaveNet(WaveNetConfig(levels=2, layers=3, channels=8, skips=8))
    optimizer = minigen.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        loss = minigen.nn.functional.cross_entropy(
            model(ids[:, :-1]).reshape(-1, 2), ids[:, 1:].reshape(-1)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right = (model(ids[:, :-1]).argmax(dim=-1) == ids[:, 1:]).numpy()
    assert right[:, 3:].mean() > 0.99


def test_mu_law() -> None:
    x = np.linspace(-1, 1, 4001)
    levels = mu_law_encode(x)
    assert levels.min() == 0
    assert levels.max() == 255
    np.testing.assert_array_equal(mu_law_encode(mu_law_decode(np.arange(256))), np.arange(256))
    assert np.abs(mu_law_decode(levels) - x).max() < 0.023
    assert np.abs(mu_law_decode(levels) - x)[np.abs(x) < 0.01].max() < 5e-4
    with pytest.raises(ValueError, match="scale the series"):
        mu_law_encode([1.5])
    with pytest.raises(ValueError, match="scale the series"):
        mu_law_encode([np.nan])


def test_mu_law_of_tensors_is_that_of_arrays() -> None:
    x = np.linspace(-1.5, 1.5, 3001)
    for levels in (16, 256):
        found = mu_law_levels(minigen.from_numpy(x), levels)
        np.testing.assert_array_equal(found.numpy(), mu_law_encode(x.clip(-1, 1), levels))
