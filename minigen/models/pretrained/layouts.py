"""Names and layouts of tensors: `transformers`' and ours, as data.

In a `Rule`, `{}` stands for one part of a name, such as the number of a layer or "weight"; what it
stands for on one side it stands for on the other. The first rule that fits a name is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Convert = Callable[[np.ndarray, Any], np.ndarray]  # an array and the config -> the same, turned


def same(array: np.ndarray, config: Any) -> np.ndarray:
    """As it is: y = x W^T + b, W of shape (out, in), on both sides."""
    return array


def transposed(array: np.ndarray, config: Any) -> np.ndarray:
    """GPT-2 was written with y = x W, W of shape (in, out)."""
    return np.ascontiguousarray(array.T)


def halves_to_pairs(array: np.ndarray, config: Any) -> np.ndarray:
    """Rows of queries or keys, in which x_i is rotated with x_(i + d/2), as the paper has them, in
    which x_2i is with x_(2i+1): (h d, C), each head's rows 0, d/2, 1, d/2 + 1, ..."""
    d = config.size_of_head
    rows = array.reshape(-1, 2, d // 2, array.shape[-1])  # (h d, C) -> (h, 2, d/2, C)
    return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(array.shape)


def pairs_to_halves(array: np.ndarray, config: Any) -> np.ndarray:
    """The inverse of `halves_to_pairs`."""
    d = config.size_of_head
    rows = array.reshape(-1, d // 2, 2, array.shape[-1])  # (h d, C) -> (h, d/2, 2, C)
    return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(array.shape)


@dataclass(frozen=True)
class Rule:
    """ours, theirs: names.  to_ours, to_theirs: how the array is turned, one way and back."""

    ours: str
    theirs: str
    to_ours: Convert = same
    to_theirs: Convert = same

    def translate(self, name: str) -> str | None:
        """Their name of ours, None if the rule is of others."""
        parts = re.fullmatch(re.escape(self.ours).replace(r"\{\}", "([^.]+)"), name)
        return self.theirs.format(*parts.groups()) if parts else None


@dataclass(frozen=True)
class Layout:
    """prefix:   of all names in a file with a head, of none in one without; some names lack it.
    ignored: regular expressions of tensors that are no weights of this model.
    tied:    tensors that must equal others, since the model has only those.
    renamed: endings in old files."""

    prefix: str
    rules: Sequence[Rule]
    ignored: Sequence[str] = ()
    tied: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)

    def rule(self, name: str) -> tuple[Rule, str]:
        """The rule for a tensor of ours, and their name of it."""
        for rule in self.rules:
            theirs = rule.translate(name)
            if theirs is not None:
                return rule, theirs
        raise KeyError(name)

    def is_ignored(self, theirs: str) -> bool:
        return any(re.fullmatch(pattern, theirs) for pattern in self.ignored)

    def plain_name(self, theirs: str) -> str:
        """A name of theirs as the rules have it: without the prefix, with today's ending."""
        plain = theirs.removeprefix(self.prefix)
        for old, new in self.renamed.items():
            if plain.endswith(old):
                plain = plain.removesuffix(old) + new
        return plain

    def full_name(self, plain: str, *, bare: bool) -> str:
        """A name as it is written; bare: in a file of a model without a head."""
        is_head = plain.startswith(("lm_head.", "cls."))
        return plain if bare or is_head else self.prefix + plain


GPT2 = Layout(
    prefix="transformer.",
    rules=[
        Rule("h.{}.attn.{}.weight", "h.{}.attn.{}.weight", transposed, transposed),
        Rule("h.{}.mlp.{}.weight", "h.{}.mlp.{}.weight", transposed, transposed),
        Rule("h.{}.{}.{}.bias", "h.{}.{}.{}.bias"),
        Rule("h.{}.{}.{}", "h.{}.{}.{}"),  # layer norms
        Rule("{}.{}", "{}.{}"),  # wte, wpe, ln_f
    ],
    ignored=[r"h\.\d+\.attn\.(bias|masked_bias)"],  # the causal mask
    tied={"lm_head.weight": "wte.weight"},
)

LLAMA = Layout(
    prefix="model.",
    rules=[
        Rule(
            f"layers.{{}}.self_attn.{name}_proj.weight",
            f"layers.{{}}.self_attn.{name}_proj.weight",
            halves_to_pairs,
            pairs_to_halves,
        )
        for name in ("q", "k")
    ]
    + [
        Rule("layers.{}.{}.{}.weight", "layers.{}.{}.{}.weight"),
        Rule("layers.{}.{}.weight", "layers.{}.{}.weight"),
        Rule("{}.weight", "{}.weight"),  # embed_tokens, norm, lm_head
    ],
    ignored=[r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq"],  # computed from the config
)
LLAMA_TIED = Layout(
    LLAMA.prefix, LLAMA.rules, LLAMA.ignored, tied={"lm_head.weight": "embed_tokens.weight"}
)

_BERT_LAYER = "encoder.layer.{}."
BERT = Layout(
    prefix="bert.",
    rules=[
        Rule("tokens.weight", "embeddings.word_embeddings.weight"),
        Rule("positions.weight", "embeddings.position_embeddings.weight"),
        Rule("segments.weight", "embeddings.token_type_embeddings.weight"),
        Rule("norm.{}", "embeddings.LayerNorm.{}"),
        Rule("layers.{}.attention.output.{}", _BERT_LAYER + "attention.output.dense.{}"),
        Rule("layers.{}.attention.{}.{}", _BERT_LAYER + "attention.self.{}.{}"),
        Rule("layers.{}.attention_norm.{}", _BERT_LAYER + "attention.output.LayerNorm.{}"),
        Rule("layers.{}.widen.{}", _BERT_LAYER + "intermediate.dense.{}"),
        Rule("layers.{}.narrow.{}", _BERT_LAYER + "output.dense.{}"),
        Rule("layers.{}.feed_forward_norm.{}", _BERT_LAYER + "output.LayerNorm.{}"),
        Rule("pooler.{}", "pooler.dense.{}"),
        Rule("head.transform.{}", "cls.predictions.transform.dense.{}"),
        Rule("head.norm.{}", "cls.predictions.transform.LayerNorm.{}"),
        Rule("head.bias", "cls.predictions.bias"),
    ],
    ignored=[
        r"embeddings\.(position_ids|token_type_ids)",  # 0, 1, 2, ... and 0, 0, 0, ...
        r"cls\.seq_relationship\.(weight|bias)",  # whether one sentence follows another
    ],
    tied={
        "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    renamed={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"},
)
