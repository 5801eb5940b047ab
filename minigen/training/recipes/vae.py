"""Recipes of the variational autoencoders."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor, optim
from minigen.data import TensorDataset
from minigen.models.importance_weighting import active_units, negative_log_likelihood
from minigen.models.vae import VAE, ConvVAE, ConvVAEConfig, VAEConfig, elbo, kl_divergence
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.binary import binarized, require_binarization
from minigen.training.recipes.images import digits, frechet_figure, image_scores, realism
from minigen.training.recipes.latent_pictures import pictures
from minigen.training.recipes.loading import EVALUATION_SEED, batches

# How much a batch of images (N, 784) falls short: a scalar to be made small.
Objective = Callable[[Tensor], Tensor]


def vae(settings: Settings) -> Job:
    """Maximise the ELBO of grey MNIST digits with Adam."""
    return _elbo_job(VAE(VAEConfig(**settings.model)), settings)


def conv_vae(settings: Settings) -> Job:
    """The same with a convolutional encoder and decoder."""
    return _elbo_job(ConvVAE(ConvVAEConfig(**settings.model)), settings)


def _elbo_job(model: VAE, settings: Settings) -> Job:
    beta = settings.options.get("beta", 1.0)
    if beta <= 0:
        raise ValueError(f"beta must be a positive number, got {beta}")

    def loss(x: Tensor) -> Tensor:
        output, mu, logvar = model(x)
        return -elbo(output, x, mu, logvar, beta, model.log_likelihood).mean()

    def bounds(test: Tensor, draws: int) -> dict[str, float]:
        noise = Generator().manual_seed(EVALUATION_SEED)
        mu, _ = model.encode(test)
        losses, kls = [], []
        for _ in range(draws):
            epsilon = minigen.randn(*mu.shape, generator=noise, dtype=mu.dtype, device=mu.device)
            output, mu, logvar = model(test, epsilon)
            likelihood = model.log_likelihood
            losses.append(-float(elbo(output, test, mu, logvar, 1.0, likelihood).mean()))
            kls.append(float(kl_divergence(mu, logvar).mean()))
        return {"test_loss": float(np.mean(losses)), "test_kl": float(np.mean(kls))}

    return vae_job(model, settings, loss, bounds)


def vae_job(
    model: VAE,
    settings: Settings,
    loss: Objective,
    bounds: Callable[[Tensor, int], dict[str, float]],
) -> Job:
    """A VAE in training: with which loss, and measured by which bounds on ln p(x), given the test
    images and the number of draws; `test_loss` is among them."""
    options = settings.options
    model.to(settings.device)
    optimizer = optim.Adam(model.parameters(), lr=settings.lr)
    how = require_binarization(options.get("binarize", "no"))
    training, test = digits("train"), digits("test")[: options["test_images"]]
    if how != "no":
        test = binarized(test, Generator().manual_seed(EVALUATION_SEED))
    if how == "fixed":
        training = binarized(training, Generator().manual_seed(EVALUATION_SEED))
    test = test.to(settings.device)

    def step(batch: Any) -> dict[str, Tensor]:
        (x,) = batch  # (N, 784)
        if how == "stochastic":
            x = binarized(x)
        value = loss(x)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return {"loss": value}

    @minigen.no_grad()
    def evaluate(thorough: bool) -> dict[str, float]:
        metrics = bounds(test, 10 if thorough else 1)  # draws of z for each image
        if thorough:
            metrics |= realism(images, settings)
            metrics["active"] = active_units(model.encode(test)[0])
            samples = options.get("nll_samples", 0)
            if samples:
                noise = Generator().manual_seed(EVALUATION_SEED)
                nll = negative_log_likelihood(model, test, samples, noise)
                metrics |= {"nll": float(nll.mean()), "nll_samples": samples}
        return metrics

    def images(count: int, generator: Generator) -> NDArray[np.float32]:
        return model.sample(count, generator).cpu().numpy().reshape(count, 28, 28)

    def reconstruct(originals: NDArray[np.float32]) -> NDArray[np.float32]:
        there = minigen.from_numpy(originals).to(settings.device)
        return model.reconstruct(there).cpu().numpy().reshape(originals.shape)

    return Job(
        settings,
        modules={"vae": model},
        optimizers={"adam": optimizer},
        loader=batches(settings, TensorDataset(training)),
        step=step,
        evaluate=evaluate,
        best="test_loss",
        images=images,
        pictures=pictures(model),
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
        options={
            "test_images": 200 if fast else 1000,
            "beta": 1.0,
            "binarize": "no",  # or "stochastic", anew in every step, or "fixed"
            "nll_samples": 20 if fast else 100,  # K; 0 to do without
        },
    )


def conv_vae_settings(fast: bool) -> Settings:
    size: dict[str, Any] = {"widths": (4, 8), "hidden": 32} if fast else {}
    settings = vae_settings(fast)
    return dataclasses.replace(
        settings,
        recipe="conv_vae",
        steps=60 if fast else 800,
        save_every=30 if fast else 200,
        model=dataclasses.asdict(ConvVAEConfig(**size)),
        options={**settings.options, "nll_samples": 0},  # convolutions make it a matter of minutes
    )


def elbo_figure(torch: float | None = None) -> Figure:
    return Figure(
        "test_loss",
        "negative ELBO on test digits",
        "How many nats it takes at most to describe an unseen image. Lower is better.",
        unit="nats",
        torch=torch,
        goal=None if torch is None else "torch",
        slack=0.5,
    )


NLL = Figure(
    "nll",
    "negative log-likelihood of test digits",
    "The same from many weighted draws of the code for each image, in place of one: a tighter "
    "bound, close to the truth. Lower is better.",
    unit="nats",
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
    "reconstructions": "Digits of the test set, and below each what its code keeps of it",
    "interpolation": "From one test digit to another: straight lines between their codes",
    "walk": "A test digit, one number of its code moved from -3 to 3: a row for each of the "
    "numbers that say most",
    "plane": "The whole plane of codes, decoded: as many digits as the prior thinks likely",
    "codes": "Where the encoder puts the test digits on the plane of codes",
}
RECIPES = {
    "vae": Recipe(
        build=vae,
        settings=vae_settings,
        title="Variational autoencoder",
        lead=LEAD,
        figures=(elbo_figure(torch=112.4), NLL, frechet_figure(torch=252.0)),
        curve=_curve(torch=112.4),
        captions=CAPTIONS,
    ),
    "conv_vae": Recipe(
        build=conv_vae,
        settings=conv_vae_settings,
        title="Convolutional variational autoencoder",
        lead=LEAD,
        figures=(elbo_figure(), frechet_figure()),
        curve=_curve(),
        captions=CAPTIONS,
    ),
}
