"""The GPT on byte pairs: its figures are for a character, whatever the tokens are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minigen
from minigen.training.recipes import RECIPES, default_settings
from minigen.training.recipes.language import read_tokenizer, unseen_windows
from minigen.training.recipes.text import plays

TINY = {"layers": 1, "heads": 2, "width": 16, "context": 8}


def test_the_loss_is_all_nats_over_all_characters() -> None:
    """Recomputed with torch, token by token, over the text that the tokens stand for."""
    settings = default_settings("bpe_gpt", True, {**TINY, "tokens": 300})
    job = RECIPES["bpe_gpt"](settings)
    windows, characters = unseen_windows(settings)
    tokenizer = read_tokenizer(settings.options["tokenizer"])
    _, unseen = plays(settings.options["characters"])
    first = tokenizer.tokens[int(windows[0, 0])].decode()
    text = tokenizer.decode(windows[:, 1:].reshape(-1))
    assert unseen.startswith(first + text)  # each token but the first is predicted once
    assert len(unseen) - len(text) < 8 * 20
    assert characters == len(text) > 1.2 * windows[:, 1:].numel()
    with minigen.no_grad():
        logits = torch.from_numpy(job.modules["bpe_gpt"].eval()(windows[:, :-1]).numpy())
    targets = torch.from_numpy(windows[:, 1:].numpy()).flatten()
    nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets, reduction="sum")
    found = job.evaluate(True)
    assert found["validation_loss"] == pytest.approx(float(nats) / len(text), rel=1e-5)
    assert found["ngram_loss"] < 3
    bits, perplexity = job.scores(found)["the same in other units"]
    assert bits.n == perplexity.n == len(text)
    assert bits.value == pytest.approx(found["validation_loss"] / np.log(2))


def test_the_run_holds_its_tokenizer() -> None:
    settings = default_settings("bpe_gpt", True, {**TINY, "tokens": 280})
    assert settings.model["vocabulary"] == 280
    tokenizer = read_tokenizer(settings.options["tokenizer"])
    training, unseen = plays(settings.options["characters"])
    assert tokenizer.decode(tokenizer.encode(unseen)) == unseen
    assert type(tokenizer).train(training, 280) == tokenizer  # of the training text alone
    with pytest.raises(ValueError, match="no room for 256 bytes"):
        default_settings("bpe_gpt", True, {"tokens": 100})


def test_characters_as_tokens_are_counted_as_before() -> None:
    settings = default_settings("gpt", True, TINY)
    windows, characters = unseen_windows(settings)
    assert characters == windows[:, 1:].numel()
