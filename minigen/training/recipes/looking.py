"""What a language model looks at in a text that it writes."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigen
from minigen.models import sampling
from minigen.models.attention_weights import watch_attention
from minigen.viz.attention import AttentionMap, Look


def look_at_text(model: Any, tokenizer: Any, prompt: str, written: str, device: str) -> Look:
    """Every layer's attention within prompt and what was written after it, of both the last tokens
    that fit into the model's context; and the probabilities of what was written.

    Row t is where the model looks when it has read token t, to predict the one after it.
    Raises ValueError if there is nothing in one of them.
    """
    if not prompt or not written:
        raise ValueError("there must be a prompt, and something written after it")
    ids = np.concatenate([tokenizer.encode(prompt), tokenizer.encode(written)])
    read = ids[:-1][-model.config.context :]  # the last token is predicted, not read
    count = min(len(tokenizer.encode(written)), len(read))
    tokens = minigen.from_numpy(read[None].copy()).to(device)
    with sampling.evaluating(model), watch_attention(model) as weights:
        logits = model(tokens)  # (1, T, V)
    labels = [tokenizer.decode([token]) for token in read]
    maps = [
        AttentionMap(f"layer {layer}", array[0], labels, labels)
        for layer, (array,) in enumerate(weights.values(), 1)
    ]
    probabilities = logits.softmax(-1)[0, -count:].cpu().numpy()
    alphabet = [tokenizer.decode([token]) for token in range(len(tokenizer))]
    return Look(prompt, maps, [alphabet[token] for token in ids[-count:]], alphabet, probabilities)
