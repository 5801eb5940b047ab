"""The VQ-VAE with its prior, and their recipe, in torch."""

from __future__ import annotations

import math
from typing import Any

import torch
import twins
from torch import nn
from torch.nn import functional as F
from torch_job import TorchJob, cosine_with_warmup

from minigen.training import Settings


class Codebook(nn.Module):
    def __init__(self, codes: int, dimension: int, commitment: float) -> None:
        super().__init__()
        self.commitment = commitment
        self.vectors = nn.Parameter(torch.empty(codes, dimension).uniform_(-1 / codes, 1 / codes))

    def nearest(self, z: torch.Tensor) -> torch.Tensor:
        flat = z.permute(0, 2, 3, 1).flatten(0, 2)
        distances = self.vectors.pow(2).sum(1) - 2 * flat @ self.vectors.T
        return distances.argmin(1).view(len(z), *z.shape[2:])

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, ...]:
        symbols = self.nearest(z)
        q = self.vectors[symbols].permute(0, 3, 1, 2)
        loss = F.mse_loss(q, z.detach()) + self.commitment * F.mse_loss(z, q.detach())
        return z + (q - z).detach(), symbols, loss

    @torch.no_grad()
    def revive(self, z: torch.Tensor) -> None:
        flat = z.permute(0, 2, 3, 1).flatten(0, 2)
        counts = torch.bincount(self.nearest(z).flatten(), minlength=len(self.vectors))
        dead = (counts == 0).nonzero().flatten()
        self.vectors[dead] = flat[torch.randint(len(flat), (len(dead),))]


class TorchVQVAE(nn.Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.shape = (c["channels"], c["size"], c["size"])
        (w1, w2), d = c["widths"], c["dimension"]
        self.encoder = nn.Sequential(
            nn.Conv2d(c["channels"], w1, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(w1, w2, 4, 2, 1), nn.ReLU(), nn.Conv2d(w2, d, 1),
        )  # fmt: skip
        self.codebook = Codebook(c["codes"], d, c["commitment"])
        self.decoder = nn.Sequential(
            nn.Conv2d(d, w2, 3, 1, 1), nn.ReLU(), nn.ConvTranspose2d(w2, w1, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(w1, c["channels"], 4, 2, 1),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        q, symbols, loss = self.codebook(self.encoder(x.view(-1, *self.shape)))
        return self.decoder(q).flatten(1), symbols, loss


class TorchPrior(nn.Module):
    def __init__(self, codes: int, places: int, size: Any) -> None:
        super().__init__()
        self.codes = codes
        self.gpt = twins.TorchGPT(
            codes + 1, places, size["layers"], size["heads"], size["channels"], bias=False,
            dropout=size["dropout"],
        )  # fmt: skip

    def forward(self, symbols: torch.Tensor) -> torch.Tensor:
        targets = symbols.flatten(1)
        begin = torch.full((len(targets), 1), self.codes)
        logits = self.gpt(torch.cat([begin, targets[:, :-1]], 1))[..., : self.codes]
        cost = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        return cost / len(targets)


def vq_vae(settings: Settings, fused: bool = False) -> TorchJob:
    c, options = settings.model, settings.options
    model = TorchVQVAE(c)
    places = (c["size"] // 4) ** 2
    prior = TorchPrior(c["codes"], places, options["prior"])
    adam = torch.optim.Adam(model.parameters(), lr=settings.lr, fused=fused)
    weights = list(prior.parameters())
    groups = [
        {"params": [p for p in weights if p.ndim >= 2], "weight_decay": options["weight_decay"]},
        {"params": [p for p in weights if p.ndim < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=options["prior_lr"], betas=(0.9, 0.99), fused=fused)
    first, warmup = options["autoencoder_steps"], options["warmup"]
    horizon = max(options["prior_steps"], warmup + 1)
    lowest = {"lowest_lr": 0.1}
    first_rate = cosine_with_warmup(adam, {"warmup": 0, "horizon": first, **lowest})
    second_rate = cosine_with_warmup(adamw, {"warmup": warmup, "horizon": horizon, **lowest})
    done = 0

    def improve_autoencoder(x: torch.Tensor) -> dict[str, torch.Tensor]:
        logits, _, loss = model(x)
        nats = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        adam.zero_grad()
        (nats / x.shape[1] + loss).backward()
        adam.step()
        every = options["revive_every"]
        if every and done % every == 0 and done < first // 2:
            with torch.no_grad():
                model.codebook.revive(model.encoder(x.view(-1, *model.shape)))
        first_rate.step()
        return {"reconstruction": nats, "prior": nats.new_tensor(places * math.log(c["codes"]))}

    def improve_prior(x: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            logits, symbols, _ = model(x)
            nats = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        cost = prior(symbols)
        adamw.zero_grad()
        cost.backward()
        nn.utils.clip_grad_norm_(prior.parameters(), 1.0)
        adamw.step()
        second_rate.step()
        return {"reconstruction": nats, "prior": cost}

    def step(batch: Any) -> dict[str, torch.Tensor]:
        nonlocal done
        (x,) = batch
        losses = improve_prior(x) if done >= first else improve_autoencoder(x)
        done += 1
        return losses

    return TorchJob({"vq_vae": model, "prior": prior}, step)


RECIPES = {"vq_vae": vq_vae}
