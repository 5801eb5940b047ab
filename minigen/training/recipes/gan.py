"""Recipes of the generative adversarial networks."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen.data import TensorDataset
from minigen.models.dcgan import ConvDiscriminator, ConvGenerator, DCGANConfig
from minigen.models.gan import GANConfig, MLPDiscriminator, MLPGenerator
from minigen.training.job import Job, Settings
from minigen.training.recipe import LossCurve, Recipe
from minigen.training.recipes.contest import Contest, Rules
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
    return _job(Contest(MLPGenerator(config), MLPDiscriminator(config), settings), settings)


def dcgan(settings: Settings) -> Job:
    """The same with convolutional networks."""
    config = DCGANConfig(**settings.model)
    return _job(Contest(ConvGenerator(config), ConvDiscriminator(config), settings), settings)


def wgan_gp(settings: Settings) -> Job:
    """Algorithm 1 of Gulrajani et al.: several updates of the critic for one of G, each on a part
    of the batch of its own."""
    config = GANConfig(**settings.model)
    rules = Rules.of(settings, loss="wasserstein")
    return _job(Contest(MLPGenerator(config), MLPDiscriminator(config), settings, rules), settings)


def _job(contest: Contest, settings: Settings) -> Job:
    scaling = normalisation(settings)

    def images(count: int, generator: minigen.Generator) -> NDArray[np.float32]:
        made = contest.artist.draw(count, generator).cpu().numpy()
        return scaling.inverse(made.reshape(count, 28, 28))

    return Job(
        settings,
        modules=contest.modules,
        optimizers=contest.optimizers,
        loader=batches(settings, TensorDataset(scaling(digits("train")))),
        step=contest.step,
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
            **dataclasses.asdict(Rules()),
            "normalisation": TO_TANH.to_dict(),
            "test_images": 200 if fast else 1000,
        },
    )


def dcgan_settings(fast: bool) -> Settings:
    """With R1 and a rate ten times the usual one: without a bound on D's slope, a network as narrow
    as this soon draws one digit only."""
    usual = gan_settings(fast)
    return dataclasses.replace(
        usual,
        recipe="dcgan",
        steps=40 if fast else 1500,
        batch_size=32,
        lr=3e-3,
        model=dataclasses.asdict(DCGANConfig(width=4 if fast else 16, dropout=0.0)),
        options={
            **usual.options,
            "betas": [0.0, 0.99],
            **dataclasses.asdict(Rules(r1=1.0, average=0.99)),
        },
    )


def wgan_gp_settings(fast: bool) -> Settings:
    config = GANConfig(dropout=0.0)  # the penalty is of one function, not of a drawn one
    rules = Rules(loss="wasserstein", critic_steps=5, penalty=10.0)
    usual = gan_settings(fast)
    return dataclasses.replace(
        usual,
        recipe="wgan_gp",
        steps=10 if fast else 500,
        batch_size=5 * 64,
        lr=1e-4,
        log_every=2 if fast else 10,
        save_every=5 if fast else 100,
        model=dataclasses.asdict(config),
        options={**usual.options, "betas": [0.0, 0.9], **dataclasses.asdict(rules)},
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
        figures=(frechet_figure(torch=32.2),),
        curve=CURVE,
    ),
    "wgan_gp": Recipe(
        build=wgan_gp,
        settings=wgan_gp_settings,
        title="Wasserstein generative adversarial network with gradient penalty",
        lead=LEAD,
        figures=(frechet_figure(torch=401.1),),
        curve=CURVE,
    ),
}
