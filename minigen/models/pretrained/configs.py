"""`config.json` of `transformers`, and our config dataclasses.

A setting that would change what the model computes, and that ours cannot follow, is an error: a
model that loads and is quietly another one would be the worst outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minigen.models.bert import BertConfig
from minigen.models.llama import LlamaConfig
from minigen.models.transformer import GPTConfig

Json = Mapping[str, Any]


class Settings:
    """A `config.json` that is read key by key; each has to be of the right type."""

    def __init__(self, content: Json, source: object) -> None:
        self.content, self.source = content, source

    def require(self, *names: str) -> None:
        """Raises ValueError that lists all of these keys that are missing."""
        missing = [name for name in names if name not in self.content]
        if missing:
            raise ValueError(f"{self.source} lacks {', '.join(missing)}")

    def size(self, name: str, default: int | None = None) -> int:
        """A whole number of 1 or more."""
        value = self.content.get(name)
        value = default if value is None else value
        if type(value) is not int or value < 1:
            raise ValueError(f"{self.source}: {name} must be a whole number above 0, got {value!r}")
        return value

    def number(self, name: str, default: float) -> float:
        """A number of 0 or more."""
        value = self.content.get(name, default)
        if type(value) not in (int, float) or not 0 <= value < float("inf"):
            raise ValueError(f"{self.source}: {name} must be a number from 0 on, got {value!r}")
        return float(value)

    def positive(self, name: str, default: float) -> float:
        """A number above 0."""
        if self.number(name, default) == 0:
            raise ValueError(f"{self.source}: {name} must be above 0")
        return self.number(name, default)

    def flag(self, name: str, default: bool) -> bool:
        value = self.content.get(name, default)
        if type(value) is not bool:
            raise ValueError(f"{self.source}: {name} must be true or false, got {value!r}")
        return value

    def only(self, name: str, *values: Any) -> None:
        """Raises ValueError unless the setting is one of `values`, or not there."""
        if name in self.content and self.content[name] not in values:
            offered = " or ".join(map(repr, values))
            raise ValueError(
                f"{self.source}: {name} is {self.content[name]!r}; only {offered} is offered"
            )


def read_gpt2(settings: Settings) -> GPTConfig:
    """GPT-2."""
    settings.require("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
    settings.only("activation_function", "gelu_new", "gelu_pytorch_tanh", "gelu")
    settings.only("scale_attn_weights", True)
    settings.only("scale_attn_by_inverse_layer_idx", False)
    settings.only("add_cross_attention", False)
    settings.only("tie_word_embeddings", True)
    exact = settings.content.get("activation_function") == "gelu"
    return GPTConfig(
        vocabulary=settings.size("vocab_size"),
        context=settings.size("n_positions"),
        layers=settings.size("n_layer"),
        heads=settings.size("n_head"),
        width=settings.size("n_embd"),
        dropout=settings.number("resid_pdrop", 0.1),
        bias=True,
        gelu="none" if exact else "tanh",
        hidden=settings.size("n_inner", 4 * settings.size("n_embd")),
        epsilon=settings.number("layer_norm_epsilon", 1e-5),
    )


def write_gpt2(config: GPTConfig) -> dict[str, Any]:
    if not config.bias:
        raise ValueError("GPT-2 has biases in all layers; a GPT of bias=False cannot be one")
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": config.vocabulary,
        "n_positions": config.context,
        "n_embd": config.width,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_inner": config.hidden,
        "activation_function": "gelu" if config.gelu == "none" else "gelu_new",
        "layer_norm_epsilon": config.epsilon,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), config.dropout),
    }


def read_llama(settings: Settings) -> LlamaConfig:
    """LLaMA."""
    settings.require(
        "vocab_size", "max_position_embeddings", "hidden_size", "intermediate_size",
        "num_hidden_layers", "num_attention_heads", "rms_norm_eps",
    )  # fmt: skip
    settings.only("hidden_act", "silu")
    settings.only("attention_bias", False)
    settings.only("mlp_bias", False)
    settings.only("rope_scaling", None)
    rotary = settings
    if settings.content.get("rope_parameters") is not None:  # as newer versions write it
        rotary = Settings(
            settings.content["rope_parameters"], f"{settings.source}, rope_parameters"
        )
        if not isinstance(rotary.content, Mapping):
            raise ValueError(f"{rotary.source} is no object, but {rotary.content!r}")
        rotary.only("rope_type", "default")
    heads = settings.size("num_attention_heads")
    size = settings.content.get("head_dim")
    return LlamaConfig(
        vocabulary=settings.size("vocab_size"),
        context=settings.size("max_position_embeddings"),
        layers=settings.size("num_hidden_layers"),
        heads=heads,
        key_value_heads=settings.size("num_key_value_heads", heads),
        width=settings.size("hidden_size"),
        hidden=settings.size("intermediate_size"),
        head_size=None if size is None else settings.size("head_dim"),
        rotary_base=rotary.positive("rope_theta", 10000.0),
        epsilon=settings.number("rms_norm_eps", 1e-6),
        tied=settings.flag("tie_word_embeddings", False),
    )


def write_llama(config: LlamaConfig) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": config.vocabulary,
        "max_position_embeddings": config.context,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.key_value_heads,
        "head_dim": config.size_of_head,
        "hidden_size": config.width,
        "intermediate_size": config.hidden,
        "rope_theta": config.rotary_base,
        "rms_norm_eps": config.epsilon,
        "tie_word_embeddings": config.tied,
        "hidden_act": "silu",
    }


def read_bert(settings: Settings) -> BertConfig:
    """BERT.  Whether there is a pooler and a head, only the tensors say."""
    settings.require(
        "vocab_size", "max_position_embeddings", "hidden_size", "intermediate_size",
        "num_hidden_layers", "num_attention_heads",
    )  # fmt: skip
    settings.only("hidden_act", "gelu")
    settings.only("position_embedding_type", "absolute")
    settings.only("is_decoder", False)
    settings.only("tie_word_embeddings", True)
    return BertConfig(
        vocabulary=settings.size("vocab_size"),
        context=settings.size("max_position_embeddings"),
        segments=settings.size("type_vocab_size", 2),
        layers=settings.size("num_hidden_layers"),
        heads=settings.size("num_attention_heads"),
        width=settings.size("hidden_size"),
        hidden=settings.size("intermediate_size"),
        dropout=settings.number("hidden_dropout_prob", 0.1),
        epsilon=settings.number("layer_norm_eps", 1e-12),
    )


def write_bert(config: BertConfig) -> dict[str, Any]:
    return {
        "model_type": "bert",
        "architectures": ["BertForMaskedLM" if config.masked_language_model else "BertModel"],
        "vocab_size": config.vocabulary,
        "max_position_embeddings": config.context,
        "type_vocab_size": config.segments,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "hidden_size": config.width,
        "intermediate_size": config.hidden,
        "hidden_act": "gelu",
        "layer_norm_eps": config.epsilon,
        **dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), config.dropout),
    }


READERS: dict[str, Callable[[Settings], Any]] = {
    "gpt2": read_gpt2,
    "llama": read_llama,
    "bert": read_bert,
}
