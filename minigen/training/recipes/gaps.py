"""What counting achieves where a masked language model is to be judged: which character most often
stands between these two?"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator
from minigen.data import CharTokenizer
from minigen.models.masked_language import hide
from minigen.training.recipes.loading import EVALUATION_SEED
from minigen.training.recipes.text import plays

_READINGS = 5  # of the training text, each with other gaps


def witten_bell(counts: NDArray, expected: NDArray) -> NDArray[np.float64]:
    """(counts + kinds * expected) / (total + kinds) along the last dimension: counts, mixed with
    what is expected without them, the more the more kinds of symbols were found here (I. Witten
    and T. Bell, 1991, method C). Where nothing was counted, what is expected.

    >>> witten_bell(np.array([3.0, 1.0, 0.0]), np.array([0.25, 0.25, 0.5]))
    array([0.58333333, 0.25      , 0.16666667])
    """
    kinds = (counts > 0).sum(axis=-1, keepdims=True)
    total = counts.sum(axis=-1, keepdims=True)
    mixed = (counts + kinds * expected) / np.maximum(total + kinds, 1)
    return np.where(total > 0, mixed, expected)


def gap_table(ids: NDArray, seen: NDArray, tokens: int) -> NDArray[np.float64]:
    """p(x | left neighbour, right neighbour) as counted, (S, S, V) for V tokens and S = V + 1
    symbols that are shown: tokens and the gap.

    ids, seen: what there is and what is shown of it, (N, T). From both neighbours it falls back to
    the left one, then to neither.
    """
    left, x, right = seen[:, :-2].ravel(), ids[:, 1:-1].ravel(), seen[:, 2:].ravel()
    shape = (tokens + 1, tokens + 1, tokens)
    places = np.ravel_multi_index((left, right, x), shape)
    both = np.bincount(places, minlength=np.prod(shape)).reshape(shape)  # (S, S, V)
    alone = witten_bell(both.sum(axis=(0, 1)), np.full(tokens, 1 / tokens))  # (V,)
    after_left = witten_bell(both.sum(axis=1), alone)  # (S, V)
    return witten_bell(both, after_left[:, None])


@functools.cache
def count_gaps(characters: int | None) -> dict[str, float]:
    """Its loss in nats, and how often its first guess is right in percent, on unseen text with
    gaps as they are hidden from the model; counted on the training text with gaps of its own."""
    training, unseen = plays(characters)
    tokenizer = CharTokenizer(training + unseen)
    tokens, generator = len(tokenizer), Generator().manual_seed(EVALUATION_SEED)
    ids = minigen.from_numpy(tokenizer.encode(training)[None])  # (1, T)
    readings = [hide(ids, tokens, tokens, generator=generator)[0] for _ in range(_READINGS)]
    shown = minigen.cat(readings).numpy()
    table = gap_table(np.broadcast_to(ids.numpy(), shown.shape), shown, tokens)
    ids = minigen.from_numpy(tokenizer.encode(unseen)[None])
    seen, chosen = hide(ids, tokens, tokens, generator=generator)
    left, right = seen.numpy()[0, :-2], seen.numpy()[0, 2:]
    asked = chosen.numpy()[0, 1:-1]
    p, x = table[left, right][asked], ids.numpy()[0, 1:-1][asked]  # (G, V), (G,)
    return {
        "gap_loss": float(-np.log(p[np.arange(len(x)), x]).mean()),
        "gap_accuracy": float(100 * (p.argmax(axis=1) == x).mean()),
    }
