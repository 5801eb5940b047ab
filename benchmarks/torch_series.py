"""minigen's recipes for series (`minigen.training.recipes.ar`, `wavenet`) in torch: see
`torch_recipes`, which hands them on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch_job import TorchJob, cosine_with_warmup

from minigen.training import Settings


def ar(settings: Settings, fused: bool = False) -> TorchJob:
    model = nn.Linear(settings.model["order"], 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(model.weight)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr, fused=fused)
    schedule = cosine_with_warmup(optimizer, settings.options)

    def step(batch: Any) -> dict[str, torch.Tensor]:
        x, y = batch
        loss = F.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return {"loss": loss}

    return TorchJob({"ar": model}, step)


class Heights(nn.Module):
    def __init__(self, levels: int, channels: int) -> None:
        super().__init__()
        height = torch.linspace(-1, 1, levels, dtype=torch.float64)
        number = height.sign() * (levels ** height.abs() - 1)
        table = torch.stack([height, number], dim=1)
        table = table / table.std(dim=0, correction=0)
        self.register_buffer("table", table, persistent=False)
        self.linear = nn.Linear(2, channels)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.linear(self.table.to(self.linear.weight.dtype)[ids])


class Layer(nn.Module):
    def __init__(self, channels: int, skips: int, gap: int) -> None:
        super().__init__()
        self.gap = gap
        self.filter_and_gate = nn.Conv1d(channels, 2 * channels, 2, dilation=gap)
        self.residual = nn.Conv1d(channels, channels, 1)
        self.skip = nn.Conv1d(channels, skips, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        a, b = self.filter_and_gate(F.pad(x, (self.gap, 0))).chunk(2, dim=1)
        z = torch.tanh(a) * torch.sigmoid(b)
        return x + self.residual(z), self.skip(z)


class TorchWaveNet(nn.Module):
    def __init__(self, levels: int, one_hot: bool, layers: int, channels: int, skips: int) -> None:
        super().__init__()
        self.embedding = (nn.Embedding if one_hot else Heights)(levels, channels)
        self.layers = nn.ModuleList([Layer(channels, skips, 2**i) for i in range(layers)])
        self.hidden, self.head = nn.Conv1d(skips, skips, 1), nn.Conv1d(skips, levels, 1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids).transpose(1, 2)
        total: Any = 0
        for layer in self.layers:
            x, skip = layer(x)
            total = total + skip
        return self.head(F.relu(self.hidden(F.relu(total)))).transpose(1, 2)


def mu_law_levels(x: torch.Tensor, levels: int) -> torch.Tensor:
    mu = levels - 1
    x = x.clamp(-1, 1)
    compressed = x.sign() * torch.log1p(mu * x.abs()) / math.log1p(mu)
    return ((compressed + 1) / 2 * mu + 0.5).long()


def wavenet(settings: Settings, fused: bool = False) -> TorchJob:
    options, levels = settings.options, settings.model["levels"]
    model = TorchWaveNet(**settings.model)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr, fused=fused)
    schedule = cosine_with_warmup(optimizer, options)

    def step(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        factor = (options["gain"] * job.noise(len(batch), 1)).exp()
        ids = mu_law_levels(factor * batch + options["shift"] * job.noise(len(batch), 1), levels)
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), options["clip"])
        optimizer.step()
        schedule.step()
        return {"loss": loss}

    job = TorchJob({"wavenet": model}, step)
    return job


RECIPES: dict[str, Callable[..., TorchJob]] = {"ar": ar, "wavenet": wavenet}
