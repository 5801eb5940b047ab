"""The recipe of a DCGAN that draws in colour."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor
from minigen.data import TensorDataset, ink, load_colour_digits
from minigen.data.colouring import colours
from minigen.models.dcgan import ConvDiscriminator, ConvGenerator, DCGANConfig
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, Recipe
from minigen.training.recipes.contest import Contest
from minigen.training.recipes.gan import CURVE, dcgan_settings
from minigen.training.recipes.images import (
    frechet_figure,
    image_scores,
    normalisation,
    realism,
)
from minigen.training.recipes.loading import EVALUATION_SEED, batches


def colour_dcgan(settings: Settings) -> Job:
    """The DCGAN on 32x32 digits, bright ink on dark ground, of colours drawn at random."""
    config = DCGANConfig(**settings.model)
    if (config.channels, config.size) != (3, 32):
        raise ValueError(
            "the colour digits have 3 channels and 32 pixels a side, got channels="
            f"{config.channels} and size={config.size}"
        )
    contest = Contest(ConvGenerator(config), ConvDiscriminator(config), settings)
    scaling = normalisation(settings)

    def images(count: int, generator: Generator) -> NDArray[np.float32]:
        made = contest.artist.draw(count, generator).cpu().numpy()  # (N, 3, 32, 32)
        return scaling.inverse(made.transpose(0, 2, 3, 1))  # -> (N, 32, 32, 3)

    def drawn_ink(count: int, generator: Generator) -> NDArray[np.float32]:
        return ink(images(count, generator)).astype(np.float32)

    def evaluate(thorough: bool) -> dict[str, float]:
        metrics = realism(drawn_ink, settings, with_floor=thorough)
        return metrics | (likeness_of_colours(images, settings) if thorough else {})

    return Job(
        settings,
        modules=contest.modules,
        optimizers=contest.optimizers,
        loader=batches(settings, TensorDataset(scaling(colour_digits("train")))),
        step=contest.step,
        evaluate=evaluate,
        best="frechet",
        images=images,
        scores=image_scores(drawn_ink, settings),
        pictures={"data": lambda: real("train")[None, :8]},
    )


@functools.cache
def real(split: str) -> NDArray[np.float32]:
    """The colour digits as pictures, (N, 32, 32, 3) in [0, 1]."""
    return load_colour_digits(split).images.astype(np.float32) / np.float32(255)


def colour_digits(split: str) -> Tensor:
    """The same as networks take them, (N, 3 32 32): red values first, then green, then blue."""
    planes = real(split).transpose(0, 3, 1, 2)  # (N, 32, 32, 3) -> (N, 3, 32, 32)
    return minigen.from_numpy(planes.reshape(len(planes), -1))  # -> (N, 3072)


@functools.cache
def real_colours(split: str) -> NDArray[np.float64]:
    return colours(real(split))


def likeness_of_colours(images: Any, settings: Settings) -> dict[str, float]:
    """The Fréchet distance between the colours of ground and ink, six numbers a picture, of samples
    and of the training digits; and that of as many held-out real ones. In hundredths."""
    from minigen.metrics import frechet_distance

    count = settings.options["test_images"]
    reference = real_colours("train")
    made = colours(images(count, Generator().manual_seed(EVALUATION_SEED)))
    return {
        "colours": 100 * frechet_distance(made, reference),
        "colours_floor": 100 * frechet_distance(real_colours("test")[:count], reference),
    }


def colour_dcgan_settings(fast: bool) -> Settings:
    grey = dcgan_settings(fast)
    return dataclasses.replace(
        grey,
        recipe="colour_dcgan",
        steps=40 if fast else 3000,
        model={**grey.model, "channels": 3, "size": 32},
    )


RECIPES = {
    "colour_dcgan": Recipe(
        build=colour_dcgan,
        settings=colour_dcgan_settings,
        title="Deep convolutional generative adversarial network in colour",
        lead="The same contest in red, green and blue. Its digits are the handwritten ones in two "
        "colours drawn at random for each, so what it has learned of shapes, and what of colours, "
        "can be measured apart.",
        figures=(
            dataclasses.replace(frechet_figure(), label="Fréchet distance of the ink of samples"),
            Figure(
                "colours",
                "Fréchet distance of the colours of samples",
                "Between the colours of ground and ink, six numbers a picture, in hundredths. "
                "Lower is closer.",
                beside="colours_floor",
                against="held-out real digits",
                count="frechet_n",
                digits=2,
            ),
        ),
        curve=CURVE,
        captions={"data": "What it learns from: handwritten digits in colours drawn at random"},
    ),
}
