"""The prior over maps of symbols: a distribution, drawn from as it says, its gradients torch's."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from twins import TorchGPT, copy_weights

import minigen
from minigen import Generator
from minigen.models.symbol_prior import SymbolPrior, SymbolPriorConfig


def prior(codes: int, height: int, width: int) -> SymbolPrior:
    """With weights so large that no symbol is as likely as the next one."""
    minigen.manual_seed(1)
    config = SymbolPriorConfig(codes, height, width, layers=1, heads=2, channels=8, dropout=0.0)
    model = SymbolPrior(config).double()
    for p in model.parameters():
        p.data = p.data + 0.4 * minigen.randn_like(p)
    return model


def all_maps(codes: int, height: int, width: int) -> minigen.Tensor:
    every = list(itertools.product(range(codes), repeat=height * width))
    return minigen.from_numpy(np.array(every).reshape(-1, height, width))


def test_the_probabilities_of_all_maps_add_up_to_one() -> None:
    """They would not if a symbol saw itself, or "begin" could come again."""
    model = prior(3, 2, 2)
    p = np.exp(model(all_maps(3, 2, 2)).detach().numpy())
    assert len(p) == 81
    assert p.sum() == pytest.approx(1, abs=1e-10)
    assert p.max() > 3 * p.min()


def test_maps_are_drawn_as_often_as_they_are_probable() -> None:
    model = prior(3, 1, 2)
    maps = all_maps(3, 1, 2)
    p = np.exp(model(maps).detach().numpy())
    n = 20_000
    drawn = model.sample(n, Generator().manual_seed(0)).numpy()
    assert drawn.shape == (n, 1, 2)
    counts = np.array([(drawn == m).all((1, 2)).sum() for m in maps.numpy()])
    assert counts.sum() == n
    assert (np.abs(counts - n * p) < 5 * np.sqrt(n * p * (1 - p))).all()
    again = model.sample(50, Generator().manual_seed(7)).numpy()
    np.testing.assert_array_equal(again, model.sample(50, Generator().manual_seed(7)).numpy())


def test_cost_and_gradients_equal_torchs() -> None:
    model = prior(5, 2, 3)
    theirs = TorchGPT(vocabulary=6, context=6, layers=1, heads=2, width=8, bias=False)
    copy_weights(model.gpt, theirs)
    symbols = np.random.default_rng(0).integers(0, 5, (4, 2, 3))
    cost = -model(minigen.from_numpy(symbols)).mean()
    cost.backward()
    targets = torch.from_numpy(symbols.reshape(4, 6))
    tokens = torch.cat([torch.full((4, 1), 5), targets[:, :-1]], 1)
    logits = theirs(tokens)[..., :5]
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()) * 6
    expected.backward()
    assert cost.item() == pytest.approx(expected.item(), rel=1e-10)
    for name, p in theirs.named_parameters():
        ours = dict(model.gpt.named_parameters())[name].grad.numpy()
        np.testing.assert_allclose(ours, p.grad.numpy(), atol=1e-10, err_msg=name)


def test_untrained_it_costs_what_equal_symbols_cost() -> None:
    minigen.manual_seed(0)
    model = SymbolPrior()
    assert model.untrained_cost() == pytest.approx(49 * math.log(64))
    symbols = minigen.randint(64, (20, 7, 7))
    assert -float(model(symbols).mean()) == pytest.approx(model.untrained_cost(), rel=0.02)
    with pytest.raises(ValueError, match=r"7 x 7 symbols, got shape \(3, 49\)"):
        model(minigen.zeros(3, 49, dtype=minigen.int64))
