"""Recipes of the generative adversarial networks."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Tensor, optim
from minigen.data import TensorDataset
from minigen.models.dcgan import ConvDiscriminator, ConvGenerator, DCGANConfig
from minigen.models.gan import (
    Discriminator,
    GANConfig,
    Generator,
    MLPDiscriminator,
    MLPGenerator,
)
from minigen.models.gan_losses import (
    critic_loss,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
)
from minigen.training.job import Job, Settings
from minigen.training.recipe import LossCurve, Recipe
from minigen.training.recipes.images import (
    TO_TANH,
    digits,
    frechet_figure,
    image_scores,
    normalisation,
    realism,
)
from minigen.training.recipes.loading import batches


def gan(settings: Settings) -> Job:
    """Algorithm 1 of Goodfellow et al., one update of D for one of G, with two Adams."""
    config = GANConfig(**settings.model)
    return _adversarial(MLPGenerator(config), MLPDiscriminator(config), settings)


def dcgan(settings: Settings) -> Job:
    """The same with convolutional networks."""
    config = DCGANConfig(**settings.model)
    return _adversarial(ConvGenerator(config), ConvDiscriminator(config), settings)


def wgan_gp(settings: Settings) -> Job:
    """Algorithm 1 of Gulrajani et al.: several updates of the critic for one of G, each on a part
    of the batch of its own."""
    config, options = GANConfig(**settings.model), settings.options
    G, D = MLPGenerator(config), MLPDiscriminator(config)
    G.to(settings.device)
    D.to(settings.device)
    optimizer_g, optimizer_d = _adams(G, D, settings)

    def improve_critic(real: Tensor) -> Tensor:
        n = len(real)  # (N, 784)
        with minigen.no_grad():
            fake = G(G.noise(n))
        epsilon = minigen.rand(n, 1, device=real.device)
        logits = D(minigen.cat([real, fake]))  # (2N, 784) -> (2N, 1)
        loss = critic_loss(logits[:n], logits[n:])
        penalty = gradient_penalty(D, real, fake, epsilon)
        optimizer_d.zero_grad()
        (loss + options["penalty"] * penalty).backward()
        optimizer_d.step()
        return loss

    def step(batch: Any) -> dict[str, Tensor]:
        (real,) = batch  # (N * critic_steps, 784)
        for part in real.chunk(options["critic_steps"]):
            loss_d = improve_critic(part)
        with D.frozen():
            loss_g = -D(G(G.noise(len(part)))).mean()
            optimizer_g.zero_grad()
            loss_g.backward()
        optimizer_g.step()
        return {"wasserstein": -loss_d, "generator": loss_g}

    return _job(G, D, optimizer_g, optimizer_d, step, settings)


def _adversarial(G: Generator, D: Discriminator, settings: Settings) -> Job:
    G.to(settings.device)
    D.to(settings.device)
    optimizer_g, optimizer_d = _adams(G, D, settings)

    def step(batch: Any) -> dict[str, Tensor]:
        (real,) = batch  # (N, 784)
        n = len(real)
        fake = G(G.noise(n)).flatten(1)  # (N, ...) -> (N, 784)
        # Real and generated images go through D together: one product of twice the size.
        logits = D(minigen.cat([real, fake.detach()]))  # (2N, 784) -> (2N, 1)
        loss_d = discriminator_loss(logits[:n], logits[n:])
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()
        with D.frozen():
            loss_g = generator_loss(D(fake))
            optimizer_g.zero_grad()
            loss_g.backward()
        optimizer_g.step()
        return {"discriminator": loss_d, "generator": loss_g}

    return _job(G, D, optimizer_g, optimizer_d, step, settings)


def _adams(G: Generator, D: Discriminator, settings: Settings) -> tuple[optim.Adam, optim.Adam]:
    betas = tuple(settings.options["betas"])
    return (
        optim.Adam(G.parameters(), lr=settings.lr, betas=betas),
        optim.Adam(D.parameters(), lr=settings.lr, betas=betas),
    )


def _job(
    G: Generator,
    D: Discriminator,
    optimizer_g: optim.Adam,
    optimizer_d: optim.Adam,
    step: Any,
    settings: Settings,
) -> Job:
    scaling = normalisation(settings)

    def images(count: int, generator: minigen.Generator) -> NDArray[np.float32]:
        made = G.draw(count, generator).cpu().numpy()
        return scaling.inverse(made.reshape(count, 28, 28))

    return Job(
        settings,
        modules={"generator": G, "discriminator": D},
        optimizers={"generator": optimizer_g, "discriminator": optimizer_d},
        loader=batches(settings, TensorDataset(scaling(digits("train")))),
        step=step,
        evaluate=lambda thorough: realism(images, settings, with_floor=thorough),
        best="frechet",
        images=images,
        scores=image_scores(images, settings),
    )


def gan_settings(fast: bool) -> Settings:
    return Settings(
        recipe="gan",
        steps=40 if fast else 2500,
        batch_size=64,
        lr=2e-4,
        log_every=10 if fast else 50,
        save_every=20 if fast else 500,
        model=dataclasses.asdict(GANConfig()),
        options={
            "betas": [0.5, 0.999],
            "normalisation": TO_TANH.to_dict(),
            "test_images": 200 if fast else 1000,
        },
    )


def dcgan_settings(fast: bool) -> Settings:
    return dataclasses.replace(
        gan_settings(fast),
        recipe="dcgan",
        model=dataclasses.asdict(DCGANConfig(width=4 if fast else 16)),
    )


def wgan_gp_settings(fast: bool) -> Settings:
    config = GANConfig(dropout=0.0)  # the penalty is of one function, not of a drawn one
    return dataclasses.replace(
        gan_settings(fast),
        recipe="wgan_gp",
        steps=10 if fast else 500,
        batch_size=5 * 64,
        lr=1e-4,
        log_every=2 if fast else 10,
        save_every=5 if fast else 100,
        model=dataclasses.asdict(config),
        options={
            "betas": [0.0, 0.9],
            "critic_steps": 5,
            "penalty": 10.0,  # lambda
            "normalisation": TO_TANH.to_dict(),
            "test_images": 200 if fast else 1000,
        },
    )


LEAD = (
    "A generator turns noise into digits; a discriminator learns to tell them from real ones; each "
    "gets better against the other."
)
CURVE = LossCurve("loss (nats)", "Losses over the steps: in a contest, neither has to fall")
RECIPES = {
    "gan": Recipe(
        build=gan,
        settings=gan_settings,
        title="Generative adversarial network",
        lead=LEAD,
        figures=(frechet_figure(torch=231.8),),
        curve=CURVE,
    ),
    "dcgan": Recipe(
        build=dcgan,
        settings=dcgan_settings,
        title="Deep convolutional generative adversarial network",
        lead=LEAD,
        figures=(frechet_figure(),),
        curve=CURVE,
    ),
    "wgan_gp": Recipe(
        build=wgan_gp,
        settings=wgan_gp_settings,
        title="Wasserstein generative adversarial network with gradient penalty",
        lead=LEAD,
        figures=(frechet_figure(),),
        curve=CURVE,
    ),
}
