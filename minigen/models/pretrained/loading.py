"""From a folder to a model, and back."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from minigen.models.bert import Bert
from minigen.models.llama import Llama, LlamaConfig
from minigen.models.pretrained import configs, layouts
from minigen.models.pretrained.layouts import Layout
from minigen.models.pretrained.shards import (
    Arrays,
    read_json,
    read_tensors,
    write_json,
    write_tensors,
)
from minigen.models.transformer import GPT, GPTConfig

PathLike = str | os.PathLike[str]


def load_pretrained(folder: PathLike) -> GPT | Llama | Bert:
    """The model of a folder that holds `config.json` and `model.safetensors` (or several files and
    `model.safetensors.index.json`): GPT-2, LLaMA or BERT, in evaluation mode.

    Weights are float32, whether they were stored in 16, 32 or 64 bits.
    Raises FileNotFoundError if a file is missing. Raises ValueError, and builds nothing, if a file
    is damaged, the config lacks a setting or asks for what is not offered, or tensors are missing,
    unknown, of another shape, or not what they are said to be tied to; the message lists them all.
    """
    folder = Path(folder)
    content = read_json(folder / "config.json")
    kind = content.get("model_type")
    if not isinstance(kind, str) or kind not in configs.READERS:
        offered = ", ".join(configs.READERS)
        raise ValueError(f"{folder / 'config.json'}: model_type is {kind!r}; there are {offered}")
    try:
        config = configs.READERS[kind](configs.Settings(content, folder / "config.json"))
        layout = _layout(config)
        tensors = _plain(layout, read_tensors(folder))
        return _fill(_build(config, tensors), layout, tensors).eval()
    except ValueError as error:
        at = "" if str(error).startswith(str(folder)) else f"{folder}: "
        raise ValueError(f"{at}{error}") from None


def save_pretrained(
    model: GPT | Llama | Bert, folder: PathLike, *, shard_bytes: int | None = 5_000_000_000
) -> None:
    """Write a folder, made if need be, that `transformers` and `load_pretrained` read.

    shard_bytes: tensors of more than so many bytes go into several files; None: always into one.
    Raises TypeError for other models, ValueError for a GPT that is no GPT-2.
    """
    if type(model) not in _FAMILIES:
        raise TypeError(f"save_pretrained: expects GPT, Llama or Bert, got {type(model).__name__}")
    layout = _layout(model.config)
    content = _FAMILIES[type(model)](model.config)
    tensors: Arrays = {}
    for name, tensor in model.state_dict().items():
        rule, theirs = layout.rule(name)
        array = rule.to_theirs(tensor.detach().cpu().numpy(), model.config)
        tensors[layout.full_name(theirs, bare=content["architectures"] == ["BertModel"])] = array
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stored = {str(array.dtype) for array in tensors.values()}
    write_json(folder / "config.json", {**content, "torch_dtype": min(stored)})
    write_tensors(folder, tensors, shard_bytes)


_FAMILIES: dict[type, Any] = {
    GPT: configs.write_gpt2,
    Llama: configs.write_llama,
    Bert: configs.write_bert,
}


def _layout(config: Any) -> Layout:
    if isinstance(config, LlamaConfig):
        return layouts.LLAMA_TIED if config.tied else layouts.LLAMA
    return layouts.GPT2 if isinstance(config, GPTConfig) else layouts.BERT


def _plain(layout: Layout, tensors: Arrays) -> Arrays:
    """The tensors under their names without a prefix."""
    plain: Arrays = {}
    for name, array in tensors.items():
        if layout.plain_name(name) in plain:
            raise ValueError(f"{layout.plain_name(name)} is there twice, with and without prefix")
        plain[layout.plain_name(name)] = array
    return plain


def _build(config: Any, tensors: Arrays) -> GPT | Llama | Bert:
    """A model of the config.

    Its sizes are compared with a few tensors first: a digit too many in the config would otherwise
    ask for more memory than there is.
    """
    complaints = []
    for name, shape in _sizes(config).items():
        if name in tensors and tensors[name].shape != shape:
            complaints.append(f"{name} has shape {tensors[name].shape}, the config says {shape}")
    numbers = [int(found[1]) for name in tensors if (found := re.match(r"\D*\.(\d+)\.", name))]
    layers = max(numbers, default=-1) + 1
    if layers != config.layers:
        complaints.append(f"there are tensors of {layers} layers, the config says {config.layers}")
    if complaints:
        raise ValueError("; ".join(complaints))
    if isinstance(config, GPTConfig):
        return GPT(config)
    if isinstance(config, LlamaConfig):
        return Llama(config)
    pooler, head = "pooler.dense.weight" in tensors, "cls.predictions.bias" in tensors
    return Bert(dataclasses.replace(config, pooler=pooler, masked_language_model=head))


def _sizes(config: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of tensors that between them have each size of the config, by their names."""
    width = config.width
    if isinstance(config, GPTConfig):
        return {
            "wte.weight": (config.vocabulary, width),
            "wpe.weight": (config.context, width),
            "h.0.mlp.c_fc.weight": (width, config.hidden or 4 * width),
        }
    if isinstance(config, LlamaConfig):
        return {
            "embed_tokens.weight": (config.vocabulary, width),
            "layers.0.self_attn.q_proj.weight": (config.heads * config.size_of_head, width),
            "layers.0.self_attn.k_proj.weight": (
                config.key_value_heads * config.size_of_head,
                width,
            ),
            "layers.0.mlp.gate_proj.weight": (config.hidden, width),
        }
    return {
        "embeddings.word_embeddings.weight": (config.vocabulary, width),
        "embeddings.position_embeddings.weight": (config.context, width),
        "embeddings.token_type_embeddings.weight": (config.segments, width),
        "encoder.layer.0.intermediate.dense.weight": (config.hidden, width),
    }


def _fill(model: Any, layout: Layout, tensors: Arrays) -> Any:
    """Give the model its weights, if all of them are there, right, and nothing else is."""
    weights: Arrays = {}
    wanted: set[str] = set()
    missing, complaints = [], []
    for name, target in model.state_dict().items():
        rule, theirs = layout.rule(name)
        wanted.add(theirs)
        if theirs not in tensors:
            missing.append(theirs)
            continue
        array, shape = tensors[theirs], tuple(target.shape)
        shape = shape[::-1] if rule.to_ours is layouts.transposed else shape
        if array.shape != shape:
            complaints.append(f"{theirs} has shape {array.shape}, not {shape}")
        elif array.dtype.kind != "f":
            complaints.append(f"{theirs} is {array.dtype}, not floating-point")
        else:
            weights[name] = rule.to_ours(array.astype(np.float32), model.config)
    others = [name for name in tensors if name not in wanted and not layout.is_ignored(name)]
    unexpected = sorted(name for name in others if name not in layout.tied)
    for name in set(others) - set(unexpected):
        if not np.array_equal(tensors[name], tensors.get(layout.tied[name], np.empty(0))):
            complaints.append(f"{name} is not equal to {layout.tied[name]}, to which it is tied")
    if unexpected:
        complaints.insert(0, f"unexpected: {', '.join(unexpected)}")
    if missing:
        complaints.insert(0, f"missing: {', '.join(missing)}")
    if complaints:
        raise ValueError("; ".join(complaints))
    model.load_state_dict(weights)
    return model
