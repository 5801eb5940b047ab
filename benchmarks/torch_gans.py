"""The GANs that `minigen.training.recipes.contest` trains, in torch, as the well-known scripts have
them: points in a plane (`mixtures`), the conditional GAN and the DCGAN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import twins
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch_job import TorchJob

from minigen.training import Settings

Loss = Callable[..., torch.Tensor]
LOSSES: dict[str, tuple[Loss, Loss]] = {  # of D from real and generated logits, of G
    "non_saturating": (
        lambda r, f: (F.softplus(-r).mean() + F.softplus(f).mean()) / 2,
        lambda f: F.softplus(-f).mean(),
    ),
    "wasserstein": (lambda r, f: f.mean() - r.mean(), lambda f: -f.mean()),
}


class Network(nn.Module):
    """With classes, `model` gets them as one-hot numbers of a certain length beside its input."""

    def __init__(self, model: nn.Module, classes: int = 0, length: float = 1.0) -> None:
        super().__init__()
        self.model, self.classes, self.length = model, classes, length

    def forward(self, x: torch.Tensor, *y: torch.Tensor) -> torch.Tensor:
        told = [self.length * F.one_hot(each, self.classes).to(x.dtype) for each in y]
        return self.model(torch.cat([x, *told], dim=1))


class Pictures(nn.Module):
    """A network that gets flat images as images of a shape."""

    def __init__(self, model: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.model, self.shape = model, shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x.reshape(-1, *self.shape))


def point_gan(settings: Settings, fused: bool = False) -> TorchJob:
    c = settings.model

    def network(inputs: int, outputs: int) -> nn.Module:
        layers: list[nn.Module] = []
        for width in [inputs] + [c["width"]] * (c["layers"] - 1):
            layers += [nn.Linear(width, c["width"]), nn.ReLU()]
        return Network(nn.Sequential(*layers, nn.Linear(c["width"], outputs)))

    return _contest(network(c["latent"], 2), network(2 * c["pack"], 1), settings, fused)


def conditional_gan(settings: Settings, fused: bool = False) -> TorchJob:
    c = settings.model
    more = c["classes"]
    G = twins.torch_generator(c["generator"], c["latent"] + more, c["pixels"], c["batch_norm_eps"])
    D = twins.torch_discriminator(c["discriminator"], c["pixels"] + more, c["dropout"])
    G, D = Network(G.model, more), Network(D.model, more, c["pixels"] ** 0.5)
    return _contest(G, D, settings, fused)


def dcgan(settings: Settings, fused: bool = False) -> TorchJob:
    c = settings.model
    G = twins.torch_conv_generator(c["channels"], c["size"], c["latent"], c["width"], c["kernel"])
    D = twins.torch_conv_discriminator(
        c["channels"], c["size"], c["width"], c["kernel"], c["slope"], c["dropout"]
    )
    shape = (c["channels"], c["size"], c["size"])
    return _contest(Pictures(G.model, (c["latent"],)), Pictures(D.model, shape), settings, fused)


def slopes(D: nn.Module, x: torch.Tensor, y: list) -> torch.Tensor:
    """Of D's logits, (N, D), to be differentiated again."""
    x = x.detach().requires_grad_()
    (found,) = torch.autograd.grad(D(x, *y).sum(), x, create_graph=True)
    return found


def _contest(G: nn.Module, D: nn.Module, settings: Settings, fused: bool) -> TorchJob:
    """D's `critic_steps` updates, then one of G; with packing, the gradient penalty or R1, mode
    seeking and averaging where the settings ask for them. Raises NotImplementedError for other
    rules."""
    options, latent = settings.options, settings.model["latent"]
    others = ("smoothing", "clip", "feature_matching")
    asked = [name for name in others if options[name]]
    asked += [name for name in ("minibatch_std", "spectral_norm") if settings.model[name]]
    if asked or options["loss"] not in LOSSES:
        raise NotImplementedError(f"not written in torch: {', '.join(asked) or options['loss']}")
    of_d, of_g = LOSSES[options["loss"]]
    betas: Any = tuple(options["betas"])
    adam_g, adam_d = (
        torch.optim.Adam(net.parameters(), lr=settings.lr, betas=betas, fused=fused)
        for net in (G, D)
    )
    modules = {"generator": G, "discriminator": D}
    if options["average"]:
        decay = get_ema_multi_avg_fn(options["average"])
        modules["average"] = AveragedModel(G, multi_avg_fn=decay, use_buffers=True)

    def packed(x: torch.Tensor) -> torch.Tensor:
        pack = settings.model["pack"]
        return x.reshape(len(x) // pack, -1)

    def improve_critic(real: torch.Tensor, fake: torch.Tensor, y: list) -> torch.Tensor:
        real, fake = packed(real), packed(fake)
        loss = of_d(D(real, *y), D(fake, *y))
        total = loss
        if options["penalty"]:
            e = job.uniform(len(real), 1)
            lengths = slopes(D, e * real + (1 - e) * fake, y).norm(2, dim=1)
            total = loss + options["penalty"] * ((lengths - 1) ** 2).mean()
        elif options["r1"]:
            total = loss + options["r1"] / 2 * (slopes(D, real, y) ** 2).sum(1).mean()
        adam_d.zero_grad()
        total.backward()
        adam_d.step()
        return loss

    def step(batch: Any) -> dict[str, torch.Tensor]:
        k = options["critic_steps"]
        for real, *y in zip(*(part.chunk(k) for part in batch)):
            z = job.noise(len(real), latent)
            fake = G(z, *y)
            loss_d = improve_critic(real, fake.detach(), y)
        if k > 1:
            z = job.noise(len(real), latent)
            fake = G(z, *y)
        loss_g = of_g(D(packed(fake), *y))
        total = loss_g
        if options["mode_seeking"]:
            z2 = job.noise(len(real), latent)
            apart = (fake - G(z2, *y)).abs().mean(dim=1)
            ratio = (z - z2).abs().mean(dim=1) / (apart + 1e-5)
            total = loss_g + options["mode_seeking"] * ratio.mean()
        adam_g.zero_grad()
        total.backward()
        adam_g.step()
        if options["average"]:
            modules["average"].update_parameters(G)
        if options["loss"] == "wasserstein":
            return {"wasserstein": -loss_d, "generator": loss_g}
        return {"discriminator": loss_d, "generator": loss_g}

    job = TorchJob(modules, step)
    return job


RECIPES: dict[str, Callable[..., TorchJob]] = {
    "ring": point_gan,
    "grid": point_gan,
    "conditional_gan": conditional_gan,
}
