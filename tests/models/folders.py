"""Folders as the `transformers` library writes them, made by torch, and what their models compute,
written with torch's functions in the layout of the files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.nn.functional as F

Weights = dict[str, torch.Tensor]

V, T, C, H, LAYERS, WIDE = 13, 9, 16, 4, 2, 24


def gpt2_weights(random: Callable[..., torch.Tensor]) -> Weights:
    w = {"transformer.wte.weight": random(V, C), "transformer.wpe.weight": random(T, C)}
    for i in range(LAYERS):
        h = f"transformer.h.{i}."
        for name, shape in {
            "ln_1": (C,), "attn.c_attn": (C, 3 * C), "attn.c_proj": (C, C),
            "ln_2": (C,), "mlp.c_fc": (C, 4 * C), "mlp.c_proj": (4 * C, C),
        }.items():  # fmt: skip
            w |= {f"{h}{name}.weight": random(*shape), f"{h}{name}.bias": random(shape[-1])}
    return w | {"transformer.ln_f.weight": random(C), "transformer.ln_f.bias": random(C)}


def gpt2(w: Weights, ids: torch.Tensor) -> torch.Tensor:
    n, t = ids.shape
    x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][:t]
    mask = torch.full((t, t), -math.inf, dtype=x.dtype).triu(1)
    for i in range(LAYERS):
        p = {k.split(".", 3)[3]: v for k, v in w.items() if k.startswith(f"transformer.h.{i}.")}
        y = F.layer_norm(x, (C,), p["ln_1.weight"], p["ln_1.bias"])
        q, k, v = (y @ p["attn.c_attn.weight"] + p["attn.c_attn.bias"]).split(C, 2)
        q, k, v = (a.view(n, t, H, C // H).transpose(1, 2) for a in (q, k, v))
        y = (q @ k.mT / math.sqrt(C // H) + mask).softmax(-1) @ v
        y = y.transpose(1, 2).reshape(n, t, C)
        x = x + y @ p["attn.c_proj.weight"] + p["attn.c_proj.bias"]
        y = F.layer_norm(x, (C,), p["ln_2.weight"], p["ln_2.bias"])
        y = F.gelu(y @ p["mlp.c_fc.weight"] + p["mlp.c_fc.bias"], approximate="tanh")
        x = x + y @ p["mlp.c_proj.weight"] + p["mlp.c_proj.bias"]
    x = F.layer_norm(x, (C,), w["transformer.ln_f.weight"], w["transformer.ln_f.bias"])
    return x @ w["transformer.wte.weight"].T


G, D = 2, 6  # heads of keys and values; the size of a head is not C / H here


def llama_weights(random: Callable[..., torch.Tensor]) -> Weights:
    w = {"model.embed_tokens.weight": random(V, C), "lm_head.weight": random(V, C)}
    for i in range(LAYERS):
        for name, shape in {
            "self_attn.q_proj": (H * D, C), "self_attn.k_proj": (G * D, C),
            "self_attn.v_proj": (G * D, C), "self_attn.o_proj": (C, H * D),
            "mlp.gate_proj": (WIDE, C), "mlp.up_proj": (WIDE, C), "mlp.down_proj": (C, WIDE),
            "input_layernorm": (C,), "post_attention_layernorm": (C,),
        }.items():  # fmt: skip
            w[f"model.layers.{i}.{name}.weight"] = random(*shape)
    return w | {"model.norm.weight": random(C)}


def llama(w: Weights, ids: torch.Tensor, base: float = 10000.0) -> torch.Tensor:
    n, t = ids.shape

    def norm(x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * gain

    frequencies = 1.0 / base ** (torch.arange(0, D, 2, dtype=torch.float64) / D)
    angles = torch.outer(torch.arange(t, dtype=torch.float64), frequencies)
    cos, sin = (torch.cat([f(angles), f(angles)], -1) for f in (torch.cos, torch.sin))

    def rotary(x: torch.Tensor) -> torch.Tensor:  # half with half, as the files have it
        turned = torch.cat([-x[..., D // 2 :], x[..., : D // 2]], -1)
        return x * cos + turned * sin

    x = w["model.embed_tokens.weight"][ids]
    mask = torch.full((t, t), -math.inf, dtype=x.dtype).triu(1)
    for i in range(LAYERS):
        p = {k.split(".", 3)[3]: v for k, v in w.items() if k.startswith(f"model.layers.{i}.")}
        y = norm(x, p["input_layernorm.weight"])
        q, k, v = (
            (y @ p[f"self_attn.{a}_proj.weight"].T).view(n, t, -1, D).transpose(1, 2) for a in "qkv"
        )
        q, k = rotary(q), rotary(k)
        k, v = (a.repeat_interleave(H // G, dim=1) for a in (k, v))
        y = (q @ k.mT / math.sqrt(D) + mask).softmax(-1) @ v
        x = x + y.transpose(1, 2).reshape(n, t, H * D) @ p["self_attn.o_proj.weight"].T
        y = norm(x, p["post_attention_layernorm.weight"])
        gate = F.silu(y @ p["mlp.gate_proj.weight"].T)
        x = x + (gate * (y @ p["mlp.up_proj.weight"].T)) @ p["mlp.down_proj.weight"].T
    head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
    return norm(x, w["model.norm.weight"]) @ head.T


def bert_weights(random: Callable[..., torch.Tensor]) -> Weights:
    """Of BertForMaskedLM with a pooler."""
    e, w = "bert.embeddings.", {}
    for name, rows in {"word": V, "position": T, "token_type": 2}.items():
        w[f"{e}{name}_embeddings.weight"] = random(rows, C)
    w |= {f"{e}LayerNorm.weight": random(C), f"{e}LayerNorm.bias": random(C)}
    layer = {
        "attention.self.query": (C, C), "attention.self.key": (C, C),
        "attention.self.value": (C, C), "attention.output.dense": (C, C),
        "attention.output.LayerNorm": (C,), "intermediate.dense": (WIDE, C),
        "output.dense": (C, WIDE), "output.LayerNorm": (C,),
    }  # fmt: skip
    shapes = {f"bert.encoder.layer.{i}.{k}": s for i in range(LAYERS) for k, s in layer.items()}
    shapes["bert.pooler.dense"] = (C, C)
    shapes["cls.predictions.transform.dense"] = (C, C)
    shapes["cls.predictions.transform.LayerNorm"] = (C,)
    for name, shape in shapes.items():
        w |= {f"{name}.weight": random(*shape), f"{name}.bias": random(shape[0])}
    return w | {"cls.predictions.bias": random(V)}


def bert(
    w: Weights, ids: torch.Tensor, segments: torch.Tensor, there: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """States, their summary, logits."""
    n, t = ids.shape

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, (C,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-12)

    e = "bert.embeddings."
    words = w[f"{e}word_embeddings.weight"]
    x = words[ids] + w[f"{e}position_embeddings.weight"][:t]
    x = norm(x + w[f"{e}token_type_embeddings.weight"][segments], f"{e}LayerNorm")
    mask = torch.zeros(n, 1, 1, t, dtype=x.dtype).masked_fill(there[:, None, None] == 0, -math.inf)
    for i in range(LAYERS):
        p = f"bert.encoder.layer.{i}."
        q, k, v = (
            linear(x, f"{p}attention.self.{a}").view(n, t, H, C // H).transpose(1, 2)
            for a in ("query", "key", "value")
        )
        y = (q @ k.mT / math.sqrt(C // H) + mask).softmax(-1) @ v
        y = linear(y.transpose(1, 2).reshape(n, t, C), f"{p}attention.output.dense")
        x = norm(x + y, f"{p}attention.output.LayerNorm")
        y = linear(F.gelu(linear(x, f"{p}intermediate.dense")), f"{p}output.dense")
        x = norm(x + y, f"{p}output.LayerNorm")
    summary = linear(x[:, 0], "bert.pooler.dense").tanh()
    y = F.gelu(linear(x, "cls.predictions.transform.dense"))
    logits = norm(y, "cls.predictions.transform.LayerNorm") @ words.T + w["cls.predictions.bias"]
    return x, summary, logits


CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {
        "model_type": "gpt2", "vocab_size": V, "n_positions": T, "n_embd": C, "n_layer": LAYERS,
        "n_head": H, "n_inner": None, "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5, "resid_pdrop": 0.1, "scale_attn_weights": True,
    },
    "llama": {
        "model_type": "llama", "vocab_size": V, "max_position_embeddings": T, "hidden_size": C,
        "intermediate_size": WIDE, "num_hidden_layers": LAYERS, "num_attention_heads": H,
        "num_key_value_heads": G, "head_dim": D, "rms_norm_eps": 1e-5, "hidden_act": "silu",
        "rope_theta": 10000.0, "rope_scaling": None, "attention_bias": False,
        "tie_word_embeddings": False,
    },
    "bert": {
        "model_type": "bert", "vocab_size": V, "max_position_embeddings": T, "hidden_size": C,
        "intermediate_size": WIDE, "num_hidden_layers": LAYERS, "num_attention_heads": H,
        "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
    },
}  # fmt: skip

WEIGHTS = {"gpt2": gpt2_weights, "llama": llama_weights, "bert": bert_weights}


def weights(kind: str, dtype: torch.dtype = torch.float32) -> Weights:
    """Random ones, of such a size that nothing saturates."""
    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> torch.Tensor:
        values = torch.randn(shape, generator=generator) * 0.3
        return (values + (len(shape) == 1)).to(dtype)

    return WEIGHTS[kind](random)


def write(folder: Path, kind: str, tensors: Weights, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIGS[kind], **changes}))
    safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder
