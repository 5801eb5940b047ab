"""A model in training by torch, and the schedule that several recipes share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Noise = Callable[..., torch.Tensor]


@dataclass
class TorchJob:
    """`step` updates the modules from a batch and returns losses; `noise(*shape)` and
    `uniform(*shape)` are what it uses, and may be replaced."""

    modules: dict[str, nn.Module]
    step: Callable[[Any], dict[str, torch.Tensor]]
    noise: Noise = torch.randn
    uniform: Noise = torch.rand


def cosine_with_warmup(
    optimizer: torch.optim.Optimizer, options: Mapping[str, Any]
) -> torch.optim.lr_scheduler.LambdaLR:
    """A linear rise over options["warmup"] steps, then half a cosine down to options["lowest_lr"]
    of the learning rate at step options["horizon"]."""
    warmup, horizon, lowest = options["warmup"], options["horizon"], options["lowest_lr"]

    def rate(t: int) -> float:
        if t < warmup:
            return (t + 1) / (warmup + 1)
        done = min(1.0, (t - warmup) / (horizon - warmup))
        return lowest + (1 - lowest) / 2 * (1 + math.cos(math.pi * done))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
