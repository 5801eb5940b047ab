"""Recipes of the variational autoencoders."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor, optim
from minigen.data import TensorDataset
from minigen.models.vae import VAE, ConvVAE, ConvVAEConfig, VAEConfig, elbo, kl_divergence
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.images import digits, frechet_figure, image_scores, realism
from minigen.training.recipes.loading import EVALUATION_SEED, batches


def vae(settings: Settings) -> Job:
    """Maximise the ELBO of grey MNIST digits with Adam."""
    return _job(VAE(VAEConfig(**settings.model)), settings)


def conv_vae(settings: Settings) -> Job:
    """The same with a convolutional encoder and decoder."""
    return _job(ConvVAE(ConvVAEConfig(**settings.model)), settings)


def _job(model: VAE, settings: Settings) -> Job:
    model.to(settings.device)
    optimizer = optim.Adam(model.parameters(), lr=settings.lr)
    test = digits("test")[: settings.options["test_images"]].to(settings.device)

    def step(batch: Any) -> dict[str, Tensor]:
        (x,) = batch  # (N, 784)
        logits, mu, logvar = model(x)
        loss = -elbo(logits, x, mu, logvar).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    @minigen.no_grad()
    def evaluate(thorough: bool) -> dict[str, float]:
        noise = Generator().manual_seed(EVALUATION_SEED)
        mu, _ = model.encode(test)
        draws = 10 if thorough else 1  # of z for each image
        losses, kls = [], []
        for _ in range(draws):
            epsilon = minigen.randn(*mu.shape, generator=noise, dtype=mu.dtype, device=mu.device)
            logits, mu, logvar = model(test, epsilon)
            losses.append(-float(elbo(logits, test, mu, logvar).mean()))
            kls.append(float(kl_divergence(mu, logvar).mean()))
        metrics = {"test_loss": float(np.mean(losses)), "test_kl": float(np.mean(kls))}
        if thorough:
            metrics |= realism(images, settings)
        return metrics

    def images(count: int, generator: Generator) -> NDArray[np.float32]:
        return model.sample(count, generator).cpu().numpy().reshape(count, 28, 28)

    def reconstruct(originals: NDArray[np.float32]) -> NDArray[np.float32]:
        there = minigen.from_numpy(originals).to(settings.device)
        return model.reconstruct(there).cpu().numpy().reshape(originals.shape)

    def reconstructions() -> NDArray[np.float32]:
        originals = digits("test")[:10].numpy().reshape(-1, 28, 28)
        return np.stack([originals, reconstruct(originals)])

    return Job(
        settings,
        modules={"vae": model},
        optimizers={"adam": optimizer},
        loader=batches(settings, TensorDataset(digits("train"))),
        step=step,
        evaluate=evaluate,
        best="test_loss",
        images=images,
        pictures={"reconstructions": reconstructions},
        scores=image_scores(images, settings, reconstruct),
    )


def vae_settings(fast: bool) -> Settings:
    return Settings(
        recipe="vae",
        steps=60 if fast else 2000,
        batch_size=128,
        lr=1e-3,
        log_every=10 if fast else 50,
        save_every=30 if fast else 500,
        model=dataclasses.asdict(VAEConfig()),
        options={"test_images": 200 if fast else 1000},
    )


def conv_vae_settings(fast: bool) -> Settings:
    size: dict[str, Any] = {"widths": (4, 8), "hidden": 32} if fast else {}
    return dataclasses.replace(
        vae_settings(fast),
        recipe="conv_vae",
        steps=60 if fast else 800,
        save_every=30 if fast else 200,
        model=dataclasses.asdict(ConvVAEConfig(**size)),
    )


def _elbo(torch: float | None = None) -> Figure:
    return Figure(
        "test_loss",
        "negative ELBO on test digits",
        "How many nats it takes at most to describe an unseen image. Lower is better.",
        unit="nats",
        torch=torch,
        goal=None if torch is None else "torch",
        slack=0.5,
    )


def _curve(torch: float | None = None) -> LossCurve:
    return LossCurve(
        "negative ELBO (nats)",
        "Negative ELBO over the steps",
        losses=(("loss", "training"),),
        measured=(("test_loss", "test"),),
        level=None if torch is None else ("PyTorch", torch),
    )


LEAD = (
    "It squeezes each handwritten digit into 20 numbers and draws it again from them. Drawing from "
    "random numbers instead makes new digits."
)
CAPTIONS = {
    "reconstructions": "Digits of the test set, and below each what 20 numbers keep of it",
}
RECIPES = {
    "vae": Recipe(
        build=vae,
        settings=vae_settings,
        title="Variational autoencoder",
        lead=LEAD,
        figures=(_elbo(torch=112.4), frechet_figure(torch=252.0)),
        curve=_curve(torch=112.4),
        captions=CAPTIONS,
    ),
    "conv_vae": Recipe(
        build=conv_vae,
        settings=conv_vae_settings,
        title="Convolutional variational autoencoder",
        lead=LEAD,
        figures=(_elbo(), frechet_figure()),
        curve=_curve(),
        captions=CAPTIONS,
    ),
}
