"""minigen's recipes of diffusion (`minigen.training.recipes.diffusion`) in torch: the same network,
with the same names of weights, and the same updates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch_job import TorchJob, cosine_with_warmup

from minigen.training import Settings


class ResidualBlock(nn.Module):
    def __init__(self, width_in: int, width: int, told: int, groups: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups, width_in), nn.Conv2d(width_in, width, 3, 1, 1)
        self.tell = nn.Linear(told, width)
        self.norm2, self.conv2 = nn.GroupNorm(groups, width), nn.Conv2d(width, width, 3, 1, 1)
        self.skip = nn.Conv2d(width_in, width, 1) if width_in != width else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.tell(told)[:, :, None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class TorchUNet(nn.Module):
    def __init__(
        self,
        channels: int = 1,
        size: int = 28,
        patch: int = 2,
        widths: tuple[int, int] = (32, 64),
        groups: int = 8,
        time: int = 64,
        classes: int = 10,
    ) -> None:
        super().__init__()
        self.patch, self.frequencies, self.classes = patch, time // 2, classes
        (fine, coarse), told = widths, 2 * time
        self.time = nn.Sequential(nn.Linear(time, told), nn.SiLU(), nn.Linear(told, told))
        self.label = nn.Embedding(classes + 1, told)
        self.read = nn.Conv2d(patch**2 * channels, fine, 3, 1, 1)
        self.down = ResidualBlock(fine, fine, told, groups)
        self.shrink = nn.Conv2d(fine, coarse, 3, 2, 1)
        self.middle1 = ResidualBlock(coarse, coarse, told, groups)
        self.middle2 = ResidualBlock(coarse, coarse, told, groups)
        self.grow = nn.ConvTranspose2d(coarse, fine, 4, 2, 1)
        self.up = ResidualBlock(2 * fine, fine, told, groups)
        self.norm = nn.GroupNorm(groups, fine)
        self.write = nn.Conv2d(fine, patch**2 * channels, 3, 1, 1)
        self.keep = nn.Linear(told, 1)
        for layer in (self.write, self.keep):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        powers = torch.arange(self.frequencies, dtype=t.dtype) / self.frequencies
        angles = 1000 * t[:, None] / 10_000**powers
        told = F.silu(self.time(torch.cat([angles.cos(), angles.sin()], 1)) + self.label(y))
        fine = self.down(self.read(F.pixel_unshuffle(x, self.patch)), told)
        coarse = self.middle2(self.middle1(self.shrink(fine), told), told)
        h = self.up(torch.cat([self.grow(coarse), fine], 1), told)
        h = F.pixel_shuffle(self.write(F.silu(self.norm(h))), self.patch)
        return h + self.keep(told)[:, :, None, None] * x


def flow_matching_loss(
    model: Any, x1: torch.Tensor, y: torch.Tensor, x0: torch.Tensor, t: torch.Tensor
) -> torch.Tensor:
    s = t[:, None, None, None]
    return F.mse_loss(model((1 - s) * x0 + s * x1, t, y), x1 - x0)


def ddpm_loss(
    abar: torch.Tensor,
    model: Any,
    x0: torch.Tensor,
    y: torch.Tensor,
    noise: torch.Tensor,
    t: torch.Tensor,
) -> torch.Tensor:
    """abar: of the steps 1 to T, so that of step t stands at t - 1."""
    a = abar[t - 1][:, None, None, None].to(x0.dtype)
    return F.mse_loss(
        model(a.sqrt() * x0 + (1 - a).sqrt() * noise, t.to(x0.dtype) / len(abar), y), noise
    )


def cosine_abar(steps: int) -> torch.Tensor:
    t = np.arange(steps + 1) / steps
    f = np.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    return torch.from_numpy(np.cumprod(1 - np.minimum(1 - f[1:] / f[:-1], 0.999)))


def flow(settings: Settings, fused: bool = False) -> TorchJob:
    return _job(settings, fused, flow_matching_loss, lambda u: u)


def ddpm(settings: Settings, fused: bool = False) -> TorchJob:
    steps = settings.options["diffusion_steps"]
    assert settings.options["noise_schedule"] == "cosine"
    abar = cosine_abar(steps)

    def loss(*parts: Any) -> torch.Tensor:
        return ddpm_loss(abar, *parts)

    return _job(settings, fused, loss, lambda u: (u * steps).long() + 1)


def _job(
    settings: Settings, fused: bool, loss: Callable[..., torch.Tensor], times: Callable
) -> TorchJob:
    options = settings.options
    model = TorchUNet(**settings.model)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=settings.lr, betas=tuple(options["betas"]), fused=fused
    )
    schedule = cosine_with_warmup(optimizer, options)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(options["ema"])
    )

    def step(batch: Any) -> dict[str, torch.Tensor]:
        x, y = batch
        noise, t = job.noise(*x.shape).to(x.dtype), times(job.uniform(len(x)).to(x.dtype))
        hidden = job.uniform(len(x)) < options["hide_class"]
        value = loss(model, x, y.masked_fill(hidden, model.classes), noise, t)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        return {"loss": value}

    job = TorchJob({"model": model, "average": average}, step)
    return job


RECIPES: dict[str, Callable[..., TorchJob]] = {"ddpm": ddpm, "flow": flow}
