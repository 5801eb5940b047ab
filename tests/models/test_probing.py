"""Linear probes, against torch, and the task of scrambled letters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from minigen import default_generator, manual_seed
from minigen.data import CharTokenizer
from minigen.models import Bert, BertConfig
from minigen.models.probing import LinearProbe
from minigen.training.recipes import probes

RNG = np.random.default_rng(0)


def test_the_fit_is_the_minimum() -> None:
    """The gradient of torch's loss at the probe's weights is zero, and accuracy is its share."""
    x, y = RNG.normal(size=(200, 5)) * [1, 5, 0.1, 1, 1] + 3, RNG.integers(0, 3, 200)
    x[:, 4] = 7  # never changes
    probe = LinearProbe.fit(x, y, decay=0.01, iterations=200)
    weight, bias = (torch.tensor(a, requires_grad=True) for a in (probe.weight, probe.bias))
    scaled = (x - x.mean(0)) / np.where(x.std(0) == 0, 1, x.std(0))
    logits = torch.from_numpy(scaled) @ weight.T + bias
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y))
    (loss + 0.005 * (weight**2).sum()).backward()
    assert weight.grad is not None
    assert bias.grad is not None
    assert max(weight.grad.abs().max(), bias.grad.abs().max()) < 1e-6
    share = (logits.argmax(1).numpy() == y).mean()
    assert probe.accuracy(x, y) == share


def test_what_cannot_be_fitted_is_refused() -> None:
    for x, y in (
        (np.ones((3, 2)), [0, 1]),
        (np.ones(3), [0, 1, 0]),
        (np.ones((3, 2)), [0, 0, 0]),
        (np.ones((3, 2)), [0.0, 1.0, 0.0]),
        (np.ones((3, 2)), [-1, 0, 1]),
    ):
        with pytest.raises(ValueError, match=r"LinearProbe\.fit"):
            LinearProbe.fit(x, y)


def test_scrambled_windows_have_the_same_letters_in_other_places() -> None:
    tokenizer = CharTokenizer("abcdefghij .\n")
    text = "".join(RNG.choice(list(tokenizer.symbols), 24 * 40))
    ids, labels = probes.swapped_and_not(text, tokenizer, 24, np.random.default_rng(1))
    sound, scrambled = ids[labels == 0], ids[labels == 1]
    assert sound.shape == scrambled.shape
    np.testing.assert_array_equal(np.sort(sound, axis=1), np.sort(scrambled, axis=1))
    assert ((sound != scrambled).sum(axis=1) == 2 * probes.PAIRS).mean() > 0.9
    others = [not symbol.isalpha() for symbol in tokenizer.symbols]
    still = np.isin(sound, np.flatnonzero(others))
    np.testing.assert_array_equal(sound[still], scrambled[still])
    bag = [probes.count_characters(each, len(tokenizer)) for each in (sound, scrambled)]
    np.testing.assert_array_equal(*bag)


def test_a_model_that_sees_neighbours_is_found_out_and_counts_are_at_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """States that hold which letter follows which show scrambling; 50 % is all counts can do."""
    tokenizer = CharTokenizer("abcdefghijklmnopqrstuvwxyz")
    alphabet = tokenizer.symbols * 400
    monkeypatch.setattr(probes, "plays", lambda characters: (alphabet, alphabet[7:]))

    def pairs(model: Bert, ids: np.ndarray) -> np.ndarray:
        if model is not bert:
            return np.random.default_rng(0).normal(size=(len(ids), 3))
        return ((ids[:, 1:] - ids[:, :-1]) % 26 == 1).mean(axis=1, keepdims=True)

    monkeypatch.setattr(probes, "mean_states", pairs)
    bert = Bert(BertConfig(27, context=24, layers=1, width=8, hidden=8, heads=2))
    manual_seed(5)
    before = default_generator.state
    found = probes.probe_swaps(bert, tokenizer, None)
    assert default_generator.state == before
    assert found["probe"] == 100
    assert found["probe_bag"] == 50
    assert 35 < found["probe_untrained"] < 65


def test_states_are_means_over_the_window() -> None:
    bert = Bert(BertConfig(27, context=24, layers=1, width=8, hidden=8, heads=2))
    ids = RNG.integers(0, 27, (70, 24))
    import minigen

    with minigen.no_grad():
        expected = bert.eval()(minigen.from_numpy(ids)).numpy().mean(axis=1)
    bert.train()
    np.testing.assert_allclose(probes.mean_states(bert, ids), expected, atol=1e-6)
    assert bert.training
