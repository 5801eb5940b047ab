"""What the states of a masked language model lay open: whether letters of a text changed places.

The task is that of "bigram shift", with letters for words: A. Conneau et al., "What you can cram
into a single $&!#* vector: Probing sentence embeddings for linguistic properties", 2018
(arXiv:1805.01070), section 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import default_generator, manual_seed
from minigen.data import CharTokenizer
from minigen.models.bert import Bert
from minigen.models.probing import LinearProbe
from minigen.models.sampling import evaluating
from minigen.training.recipes.loading import EVALUATION_SEED
from minigen.training.recipes.text import cut, plays

EXAMPLES = 1000  # windows for training the probe, and at most as many to test it
PAIRS = 4  # of letters that change places


def swap_letters(window: NDArray, letters: NDArray, rng: np.random.Generator) -> NDArray:
    """A window (T,) in which PAIRS pairs of neighbours that are different letters changed places;
    fewer if it has not so many. letters: which ids are letters, bool (V,).

    >>> rng = np.random.default_rng(0)
    >>> swap_letters(np.array([0, 1, 2, 9]), np.arange(10) < 9, rng)
    array([1, 0, 2, 9])
    """
    first, second = window[:-1], window[1:]
    possible = np.flatnonzero(letters[first] & letters[second] & (first != second))
    swapped, taken = window.copy(), np.zeros(len(window), bool)
    pairs = 0
    for place in rng.permutation(possible):
        if pairs < PAIRS and not taken[place : place + 2].any():
            swapped[place : place + 2] = window[place : place + 2][::-1]
            taken[place : place + 2] = True
            pairs += 1
    return swapped


def swapped_and_not(
    text: str, tokenizer: CharTokenizer, context: int, rng: np.random.Generator
) -> tuple[NDArray, NDArray]:
    """Windows of a text, each as it is (0) and scrambled (1): ids (M, T), labels (M,)."""
    windows = cut(tokenizer.encode(text), context)[:, :-1]  # (M, T)
    windows = windows[:: max(1, len(windows) // EXAMPLES)][:EXAMPLES]
    letters = np.array([symbol.isalpha() for symbol in tokenizer.symbols])
    scrambled = np.stack([swap_letters(window, letters, rng) for window in windows])
    labels = np.repeat(np.arange(2), len(windows))
    return np.concatenate([windows, scrambled]), labels


def mean_states(model: Bert, ids: NDArray) -> NDArray[np.float32]:
    """The mean of the states over each window: (M, T) -> (M, C)."""
    device = model.tokens.weight.device
    with evaluating(model):
        means = [
            model(minigen.from_numpy(ids[start : start + 64]).to(device)).mean(dim=1).cpu().numpy()
            for start in range(0, len(ids), 64)
        ]
    return np.concatenate(means)


def count_characters(ids: NDArray, tokens: int) -> NDArray[np.float64]:
    """How often each character is in each window: (M, T) -> (M, V)."""
    return (ids[:, :, None] == np.arange(tokens)).sum(axis=1).astype(np.float64)


def untrained(model: Bert) -> Bert:
    """One like it, with weights as at a beginning. The default random stream is left alone."""
    before = default_generator.state
    manual_seed(EVALUATION_SEED)
    fresh = Bert(model.config).to(model.tokens.weight.device)
    default_generator.state = before
    return fresh


def probe_swaps(model: Bert, tokenizer: CharTokenizer, characters: int | None) -> dict[str, float]:
    """How often a probe is right on unseen text, in percent: on the model's states, on those of an
    untrained one, and on counts of the characters. By chance it is 50 %."""
    rng = np.random.default_rng(EVALUATION_SEED)
    context = model.config.context
    (x, y), (unseen_x, unseen_y) = (
        swapped_and_not(text, tokenizer, context, rng) for text in plays(characters)
    )

    def percent(features: NDArray, unseen_features: NDArray) -> float:
        return 100 * LinearProbe.fit(features, y).accuracy(unseen_features, unseen_y)

    fresh, tokens = untrained(model), len(tokenizer)
    return {
        "probe": percent(mean_states(model, x), mean_states(model, unseen_x)),
        "probe_untrained": percent(mean_states(fresh, x), mean_states(fresh, unseen_x)),
        "probe_bag": percent(count_characters(x, tokens), count_characters(unseen_x, tokens)),
    }
