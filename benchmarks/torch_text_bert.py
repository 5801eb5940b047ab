"""The recipe of the masked language model as it is written in torch, with minigen's names of
weights, for tests and benchmarks: the same tokens are hidden when both are given the same random
numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch_job import TorchJob, cosine_with_warmup

from minigen.training import Settings


class TorchLayer(nn.Module):
    """Post-norm, as in the paper."""

    def __init__(self, width: int, hidden: int, heads: int, epsilon: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention = nn.Module()
        for name in ("query", "key", "value", "output"):
            setattr(self.attention, name, nn.Linear(width, width))
        self.attention_norm = nn.LayerNorm(width, eps=epsilon)
        self.widen, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.feed_forward_norm = nn.LayerNorm(width, eps=epsilon)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, c = x.shape
        a = self.attention
        q, k, v = (
            project(x).view(n, t, self.heads, c // self.heads).transpose(1, 2)
            for project in (a.query, a.key, a.value)
        )
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c)
        x = self.attention_norm(x + a.output(y))
        return self.feed_forward_norm(x + self.narrow(F.gelu(self.widen(x))))


class TorchBert(nn.Module):
    """Without dropout, pooler and segments of more than one kind."""

    def __init__(self, c: Any) -> None:
        super().__init__()
        width, epsilon = c["width"], c["epsilon"]
        self.tokens = nn.Embedding(c["vocabulary"], width)
        self.positions = nn.Embedding(c["context"], width)
        self.segments = nn.Embedding(c["segments"], width)
        self.norm = nn.LayerNorm(width, eps=epsilon)
        self.layers = nn.ModuleList(
            [TorchLayer(width, c["hidden"], c["heads"], epsilon) for _ in range(c["layers"])]
        )
        self.head = nn.Module()
        self.head.transform = nn.Linear(width, width)
        self.head.norm = nn.LayerNorm(width, eps=epsilon)
        self.head.bias = nn.Parameter(torch.zeros(c["vocabulary"]))
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=c["deviation"])
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        if c["sinusoids"]:
            frequencies = 10_000.0 ** (-torch.arange(0, width, 2) / width)
            angles = torch.outer(torch.arange(c["context"]), frequencies)
            places = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
            self.positions.weight.data = places * 2**0.5 * c["deviation"]

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]] + self.segments.weight[0]
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x)
        return x

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        x = self.head.norm(F.gelu(self.head.transform(states)))
        return F.linear(x, self.tokens.weight, self.head.bias)


def hide(
    ids: torch.Tensor, tokens: int, uniform: Callable[..., torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """80 / 10 / 10 of 15 %."""
    choice, kind, other = (uniform(*ids.shape) for _ in range(3))
    chosen = choice < 0.15
    shown = ids.clone()
    replaced = chosen & (kind >= 0.8) & (kind < 0.9)
    shown[replaced] = (other * tokens).long()[replaced]
    shown[chosen & (kind < 0.8)] = tokens
    return shown, chosen


def bert(settings: Settings, fused: bool = False) -> TorchJob:
    options, tokens = settings.options, settings.model["vocabulary"] - 1
    model = TorchBert(settings.model)
    groups = [
        {
            "params": [p for p in model.parameters() if (p.ndim >= 2) == decays],
            "weight_decay": options["weight_decay"] if decays else 0.0,
        }
        for decays in (True, False)
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=settings.lr, betas=tuple(options["betas"]), fused=fused
    )
    schedule = cosine_with_warmup(optimizer, options)

    def step(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        shown, chosen = hide(batch, tokens, job.uniform)
        loss = F.cross_entropy(model.logits(model(shown)[chosen]), batch[chosen])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), options["clip"])
        optimizer.step()
        schedule.step()
        return {"loss": loss}

    job = TorchJob({"bert": model}, step)
    return job


RECIPES = {"bert": bert}
