"""The GPT: what it computes and how it trains against torch's, and how it writes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from twins import TorchGPT, copy_weights, same_weights

import minigen
from minigen import Generator
from minigen.models.sampling import next_token
from minigen.models.transformer import GPT, GPTConfig, next_token_loss
from minigen.training.recipes import default_settings
from minigen.training.recipes.language import gpt

SMALL = GPTConfig(vocabulary=11, context=8, layers=2, heads=2, width=16)


def ids_of(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 11, shape)


def model_of(config: GPTConfig, seed: int = 0) -> GPT:
    minigen.manual_seed(seed)
    return GPT(config)


@pytest.mark.parametrize("bias", [False, True])
def test_logits_equal_torch(bias: bool) -> None:
    model = model_of(dataclasses.replace(SMALL, bias=bias)).double()
    twin = TorchGPT(11, 8, 2, 2, 16, bias)
    copy_weights(model, twin)
    ids = ids_of(0, 3, 7)
    ours = model(minigen.from_numpy(ids)).detach().numpy()
    np.testing.assert_allclose(ours, twin(torch.from_numpy(ids)).detach().numpy(), rtol=1e-9)


def test_no_place_sees_what_comes_after_it() -> None:
    model = model_of(SMALL)
    ids = ids_of(1, 1, 8)
    changed = ids.copy()
    changed[0, 5] = (changed[0, 5] + 1) % 11
    a = model(minigen.from_numpy(ids)).detach().numpy()
    b = model(minigen.from_numpy(changed)).detach().numpy()
    np.testing.assert_allclose(a[0, :5], b[0, :5], rtol=1e-5, atol=1e-6)
    assert (np.abs(a[0, 5:] - b[0, 5:]).max(axis=1) > 1e-4).all()


def test_the_size_is_that_of_the_published_character_model() -> None:
    model = GPT(GPTConfig(vocabulary=94))
    assert sum(p.numel() for p in model.parameters()) == 807_808


def test_initial_weights() -> None:
    """Normal, 0.02; narrower where a residual branch ends; so the first loss is near uniform."""
    model = model_of(GPTConfig())
    for name, parameter in model.named_parameters():
        values = parameter.detach().numpy()
        if name.endswith("c_proj.weight"):
            assert values.std() == pytest.approx(0.02 / math.sqrt(8), rel=0.05), name
        elif values.ndim == 2:
            assert values.std() == pytest.approx(0.02, rel=0.05), name
        else:
            assert (values == 1).all(), name
    ids = np.random.default_rng(0).integers(0, 76, (4, 65))
    loss = next_token_loss(model(minigen.from_numpy(ids[:, :-1])), minigen.from_numpy(ids[:, 1:]))
    assert float(loss) == pytest.approx(math.log(76), abs=0.15)


def test_ten_steps_equal_torch() -> None:
    """Gradients are clipped in every step: their norm is well above 0.1."""
    settings = default_settings("gpt", fast=True, steps=12)
    settings = dataclasses.replace(settings, options={**settings.options, "clip": 0.1})
    c = settings.model
    job = gpt(settings)
    model = job.modules["gpt"].double()
    twin = TorchGPT(c["vocabulary"], c["context"], c["layers"], c["heads"], c["width"], c["bias"])
    copy_weights(model, twin)
    decay = [p for p in twin.parameters() if p.ndim == 2]
    rest = [p for p in twin.parameters() if p.ndim == 1]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.99))

    def rate(t: int) -> float:  # one step of warm-up, then a cosine from 1 to 0.1 at step 12
        return (t + 1) / 2 if t < 1 else 0.55 + 0.45 * math.cos(math.pi * (t - 1) / 11)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    rng = np.random.default_rng(7)
    for step in range(10):
        batch = rng.integers(0, c["vocabulary"], (6, c["context"] + 1))
        ours = float(job.step(minigen.from_numpy(batch))["loss"])
        ids = torch.from_numpy(batch)
        loss = F.cross_entropy(twin(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        assert torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.1) > 0.2
        optimizer.step()
        schedule.step()
        assert ours == pytest.approx(loss.item(), rel=1e-8), step
    same_weights(model, twin)


def test_next_token_follows_the_probabilities() -> None:
    logits = minigen.tensor([[0.0, 1.0, 2.0, -1.0]]).repeat(40_000, 1)
    drawn = next_token(logits, temperature=0.5, generator=Generator().manual_seed(0)).numpy()
    assert drawn.shape == (40_000, 1)
    weights = np.exp(np.array([0.0, 1.0, 2.0, -1.0]) / 0.5)
    p = weights / weights.sum()
    counts = np.bincount(drawn[:, 0], minlength=4) / 40_000
    np.testing.assert_array_less(np.abs(counts - p), 5 * np.sqrt(p * (1 - p) / 40_000) + 1e-12)


def test_top_k_leaves_only_the_likeliest() -> None:
    logits = minigen.tensor([[0.0, 1.0, 2.0, -1.0]]).repeat(2_000, 1)
    generator = Generator().manual_seed(0)
    assert set(next_token(logits, 2.0, 2, generator).numpy()[:, 0]) == {1, 2}
    assert set(next_token(logits, 2.0, 1, generator).numpy()[:, 0]) == {2}
    assert set(next_token(logits, 2.0, 100, generator).numpy()[:, 0]) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"top_k": 0}, "top_k"),
    ],
)
def test_next_token_refuses(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        next_token(minigen.zeros(1, 3), **options)


def test_generate() -> None:
    model = model_of(SMALL)
    start = minigen.from_numpy(ids_of(3, 2, 3))

    def write(seed: int, **options: object) -> np.ndarray:
        return model.generate(start, 20, generator=Generator().manual_seed(seed), **options).numpy()

    first = write(1)
    assert first.shape == (2, 23)
    np.testing.assert_array_equal(first[:, :3], start.numpy())
    np.testing.assert_array_equal(first, write(1))
    assert (first != write(2)).any()
    np.testing.assert_array_equal(write(1, temperature=0), write(2, temperature=0))
    np.testing.assert_array_equal(write(1, top_k=1), write(2, temperature=0))
    assert model.training


def test_generate_looks_at_the_last_tokens_of_a_long_text() -> None:
    model = model_of(SMALL)
    long = ids_of(4, 1, 30)
    short = long[:, -8:]
    a = model.generate(minigen.from_numpy(long), 1, temperature=0).numpy()[0, -1]
    b = model.generate(minigen.from_numpy(short), 1, temperature=0).numpy()[0, -1]
    assert a == b


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="context of 8"):
        model_of(SMALL)(minigen.from_numpy(ids_of(5, 1, 9)))
    with pytest.raises(ValueError, match="heads"):
        GPTConfig(width=10, heads=3)
