"""The recipes of the variational autoencoders (`minigen.training.recipes`) in torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import twins
from torch import nn
from torch.nn import functional as F
from torch_job import TorchJob

from minigen.training import Settings


def vae(settings: Settings, fused: bool = False) -> TorchJob:
    return _vae(twins.TorchVAE(**settings.model), settings, fused)


def conv_vae(settings: Settings, fused: bool = False) -> TorchJob:
    return _vae(twins.TorchConvVAE(**settings.model), settings, fused)


def _vae(model: nn.Module, settings: Settings, fused: bool) -> TorchJob:
    beta = settings.options.get("beta", 1.0)

    def loss(x: torch.Tensor, job: TorchJob) -> torch.Tensor:
        return model.loss(x, job.noise(len(x), settings.model["latent"]), beta)

    return _job("vae", model, settings, fused, loss)


def iwae(settings: Settings, fused: bool = False) -> TorchJob:
    model, k = twins.TorchVAE(**settings.model), settings.options["k"]

    def loss(x: torch.Tensor, job: TorchJob) -> torch.Tensor:
        mu, logvar = model.encode(x)
        q = torch.distributions.Normal(
            mu.repeat_interleave(k, 0), (0.5 * logvar).exp().repeat_interleave(k, 0)
        )
        z = q.mean + q.stddev * job.noise(len(x) * k, settings.model["latent"])
        logits = model.decode(z)
        prior = torch.distributions.Normal(0.0, 1.0)
        log_w = (prior.log_prob(z) - q.log_prob(z)).sum(1)
        many = x.repeat_interleave(k, 0)
        log_w = log_w - F.binary_cross_entropy_with_logits(logits, many, reduction="none").sum(1)
        return (math.log(k) - torch.logsumexp(log_w.view(-1, k), 1)).mean()

    return _job("vae", model, settings, fused, loss)


def _job(
    name: str,
    model: nn.Module,
    settings: Settings,
    fused: bool,
    loss: Callable[[torch.Tensor, TorchJob], torch.Tensor],
) -> TorchJob:
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr, fused=fused)
    drawn = settings.options.get("binarize", "no") == "stochastic"

    def step(batch: Any) -> dict[str, torch.Tensor]:
        (x,) = batch
        if drawn:
            x = (job.uniform(*x.shape) < x).to(x.dtype)
        value = loss(x, job)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return {"loss": value}

    job = TorchJob({name: model}, step)
    return job


def conditional_vae(settings: Settings, fused: bool = False) -> TorchJob:
    c = settings.model
    model = twins.TorchVAE(c["pixels"], c["hidden"], c["latent"])
    model.fc1 = nn.Linear(c["pixels"] + c["classes"], c["hidden"])
    model.fc3 = nn.Linear(c["latent"] + c["classes"], c["hidden"])
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr, fused=fused)

    def step(batch: Any) -> dict[str, torch.Tensor]:
        x, y = batch
        hot = F.one_hot(y, c["classes"]).to(x.dtype)
        mu, logvar = model.encode(torch.cat([x, hot], 1))
        z = mu + (0.5 * logvar).exp() * job.noise(len(x), c["latent"])
        logits = model.decode(torch.cat([z, hot], 1))
        bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        loss = (bce + settings.options["beta"] * kld) / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    job = TorchJob({"conditional_vae": model}, step)
    return job


def restoration(settings: Settings, fused: bool = False) -> TorchJob:
    model, options = twins.TorchConvVAE(**settings.model), settings.options
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr, fused=fused)

    def damage(x: torch.Tensor) -> torch.Tensor:
        if options["task"] == "denoise":
            return (x + 0.5 * job.noise(*x.shape)).clamp(0, 1)
        if options["task"] == "super_resolution":
            half = F.avg_pool2d(x, 2)
            return F.interpolate(half, scale_factor=2, mode="bicubic").clamp(0, 1)
        x = x.clone()
        for image, (i, j) in zip(x, torch.randint(7, 12, (len(x), 2)).tolist()):
            image[0, i : i + 10, j : j + 10] = 0
        return x

    def step(batch: Any) -> dict[str, torch.Tensor]:
        (x,) = batch
        seen = damage(x.view(-1, 1, 28, 28)).flatten(1)
        out, mu, logvar = model(seen, job.noise(len(x), settings.model["latent"]))
        bce = F.binary_cross_entropy_with_logits(out, x, reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        loss = (bce + options["beta"] * kld) / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    job = TorchJob({"vae": model}, step)
    return job


RECIPES = {
    "vae": vae,
    "conv_vae": conv_vae,
    "iwae": iwae,
    "conditional_vae": conditional_vae,
    "restoration": restoration,
}
