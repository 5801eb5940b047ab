"""minigen's recipes (`minigen.training.recipes`) in torch: the same models, data and updates.

A recipe is a function of the same `Settings` and returns a `TorchJob`, whose `step` is one update
from a batch of torch tensors.  Weights have minigen's names, so that they can be carried over in
both directions and be judged by one and the same evaluation.

fused:  torch's fused Adam, for a contender that a hurried user would not think of.
usual:  written as the well-known scripts are, where minigen's recipe has found a shorter way: the
        discriminator sees real and generated images in two passes, and it also computes gradients
        in the generator's step, where nobody uses them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch_diffusion
import torch_gans
import torch_series
import torch_text
import torch_text_bert
import torch_text_finetune
import torch_vaes
import torch_vq_vae
import twins
from torch import nn
from torch.nn import functional as F
from torch_job import TorchJob, cosine_with_warmup

from minigen.training import Settings
from minigen.training.recipes.language import unseen_windows


def gan(settings: Settings, fused: bool = False, usual: bool = False) -> TorchJob:
    return _adversarial(*_mlps(settings.model), settings, fused, usual)


def dcgan(settings: Settings, fused: bool = False, usual: bool = False) -> TorchJob:
    """With R1 or averaged weights as `torch_gans` has it; without, what is quickest."""
    c = settings.model
    if settings.options["r1"] or settings.options["average"]:
        return torch_gans.dcgan(settings, fused)
    G = twins.torch_conv_generator(c["channels"], c["size"], c["latent"], c["width"], c["kernel"])
    D = twins.torch_conv_discriminator(
        c["channels"], c["size"], c["width"], c["kernel"], c["slope"], c["dropout"]
    )
    D.shape = (c["channels"], c["size"], c["size"])
    return _adversarial(G, D, settings, fused, usual)


def _mlps(c: Any) -> tuple[nn.Module, nn.Module]:
    G = twins.torch_generator(c["generator"], c["latent"], c["pixels"], c["batch_norm_eps"])
    D = twins.torch_discriminator(c["discriminator"], c["pixels"], c["dropout"])
    D.shape = (c["pixels"],)
    return G, D


def _adams(G: nn.Module, D: nn.Module, settings: Settings, fused: bool) -> list:
    options: Any = {"lr": settings.lr, "betas": tuple(settings.options["betas"]), "fused": fused}
    return [torch.optim.Adam(module.parameters(), **options) for module in (G, D)]


def _adversarial(G: nn.Module, D: Any, settings: Settings, fused: bool, usual: bool) -> TorchJob:
    adam_g, adam_d = _adams(G, D, settings, fused)

    def judge(real: torch.Tensor, fake: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if usual:
            return D.model(real), D.model(fake)
        both = D.model(torch.cat([real, fake]))
        return both[: len(real)], both[len(real) :]

    def step(batch: Any) -> dict[str, torch.Tensor]:
        real = batch[0].reshape(-1, *D.shape)
        fake = G.model(job.noise(len(real), settings.model["latent"]))
        of_real, of_fake = judge(real, fake.detach())
        loss_d = (F.softplus(-of_real).mean() + F.softplus(of_fake).mean()) / 2
        adam_d.zero_grad()
        loss_d.backward()
        adam_d.step()
        if not usual:
            D.requires_grad_(False)
        loss_g = F.softplus(-D.model(fake)).mean()
        adam_g.zero_grad()
        loss_g.backward()
        adam_g.step()
        D.requires_grad_(True)
        return {"discriminator": loss_d, "generator": loss_g}

    job = TorchJob({"generator": G, "discriminator": D}, step)
    return job


def wgan_gp(settings: Settings, fused: bool = False) -> TorchJob:
    G, D = _mlps(settings.model)
    adam_g, adam_d = _adams(G, D, settings, fused)
    latent, options = settings.model["latent"], settings.options

    def improve_critic(real: torch.Tensor) -> torch.Tensor:
        n = len(real)
        with torch.no_grad():
            fake = G.model(job.noise(n, latent))
        epsilon = job.uniform(n, 1)
        logits = D.model(torch.cat([real, fake]))
        loss = logits[n:].mean() - logits[:n].mean()
        between = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(D.model(between).sum(), between, create_graph=True)
        penalty = ((slope.norm(2, dim=1) - 1) ** 2).mean()
        adam_d.zero_grad()
        (loss + options["penalty"] * penalty).backward()
        adam_d.step()
        return loss

    def step(batch: Any) -> dict[str, torch.Tensor]:
        for part in batch[0].chunk(options["critic_steps"]):
            loss_d = improve_critic(part)
        D.requires_grad_(False)
        loss_g = -D.model(G.model(job.noise(len(part), latent))).mean()
        adam_g.zero_grad()
        loss_g.backward()
        adam_g.step()
        D.requires_grad_(True)
        return {"wasserstein": -loss_d, "generator": loss_g}

    job = TorchJob({"generator": G, "discriminator": D}, step)
    return job


def gpt(settings: Settings, fused: bool = False) -> TorchJob:
    c = settings.model
    model = twins.TorchGPT(
        c["vocabulary"], c["context"], c["layers"], c["heads"], c["width"], c["bias"]
    )
    decay = [p for p in model.parameters() if p.ndim == 2]
    rest = [p for p in model.parameters() if p.ndim == 1]
    groups = [
        {"params": decay, "weight_decay": settings.options["weight_decay"]},
        {"params": rest, "weight_decay": 0.0},
    ]
    return _language(settings.recipe, model, groups, settings, fused)


def recurrent(settings: Settings, fused: bool = False) -> TorchJob:
    c = settings.model
    model = twins.TorchRNN(
        c["vocabulary"], c["cell"], c["embedding"], c["hidden"], c["layers"], c["dropout"]
    )
    return _language(settings.recipe, model, list(model.parameters()), settings, fused)


def _language(
    name: str, model: nn.Module, parameters: list, settings: Settings, fused: bool
) -> TorchJob:
    options = settings.options
    optimizer = torch.optim.AdamW(
        parameters,
        lr=settings.lr,
        betas=tuple(options["betas"]),
        weight_decay=options["weight_decay"],
        fused=fused,
    )
    schedule = cosine_with_warmup(optimizer, options)
    windows, characters = unseen_windows(settings)
    length = characters / windows[:, 1:].numel()  # of a token, in characters

    def step(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = model(batch[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), options["clip"])
        optimizer.step()
        schedule.step()
        return {"loss": loss / length}

    return TorchJob({name: model}, step)


RECIPES: dict[str, Callable[..., TorchJob]] = {
    **torch_vaes.RECIPES,
    **torch_vq_vae.RECIPES,
    **torch_diffusion.RECIPES,
    "gan": gan,
    "dcgan": dcgan,
    "wgan_gp": wgan_gp,
    "gpt": gpt,
    "bpe_gpt": gpt,
    **torch_text_bert.RECIPES,
    **torch_text_finetune.RECIPES,
    "lstm": recurrent,
    "gru": recurrent,
    **torch_gans.RECIPES,
    **torch_series.RECIPES,
    **torch_text.RECIPES,
}
