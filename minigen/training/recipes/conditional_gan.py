"""The recipe of the conditional GAN: digits of the class that is asked for."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor
from minigen.data import TensorDataset, load_mnist5k
from minigen.models.conditional_gan import (
    ConditionalDiscriminator,
    ConditionalGANConfig,
    ConditionalGenerator,
)
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, Recipe
from minigen.training.recipes.contest import Contest
from minigen.training.recipes.gan import CURVE, gan_settings
from minigen.training.recipes.images import (
    digits,
    frechet_figure,
    image_scores,
    normalisation,
    real_features,
    realism,
)
from minigen.training.recipes.loading import EVALUATION_SEED, batches


def conditional_gan(settings: Settings) -> Job:
    """The step of the GAN, both networks being told the class; generated digits are of the classes
    of the real ones they are compared with."""
    config = ConditionalGANConfig(**settings.model)
    contest = Contest(ConditionalGenerator(config), ConditionalDiscriminator(config), settings)
    scaling = normalisation(settings)

    def images(count: int, generator: Generator) -> NDArray[np.float32]:
        """Of all classes in turn."""
        made = contest.artist.draw(count, generator).cpu().numpy()
        return scaling.inverse(made.reshape(count, 28, 28))

    def classes() -> NDArray[np.float32]:
        """A row for each class: (10, 10, 28, 28)."""
        y = minigen.arange(10).repeat_interleave(10)
        made = contest.artist.draw(100, Generator().manual_seed(EVALUATION_SEED), y)
        return scaling.inverse(made.cpu().numpy()).reshape(10, 10, 28, 28)

    def evaluate(thorough: bool) -> dict[str, float]:
        metrics = realism(images, settings, with_floor=thorough)
        made = images(settings.options["test_images"], Generator().manual_seed(EVALUATION_SEED))
        return metrics | by_class(made, thorough)

    return Job(
        settings,
        modules=contest.modules,
        optimizers=contest.optimizers,
        loader=batches(settings, TensorDataset(scaling(digits("train")), labels("train"))),
        step=contest.step,
        evaluate=evaluate,
        best="frechet",
        images=images,
        pictures={"classes": classes},
        scores=image_scores(images, settings),
    )


def labels(split: str) -> Tensor:
    """What the digits are, int64 (N,)."""
    return minigen.from_numpy(load_mnist5k(split).labels)


def by_class(made: NDArray[np.float32], thorough: bool) -> dict[str, float]:
    """Whether digits, of all classes in turn, are what was asked for, and how much those of one
    class differ, in parts of how much real ones do; for the first the ceiling of real digits."""
    from minigen.metrics import (
        digit_features,
        digit_probabilities,
        diversity_within_classes,
        label_agreement,
    )

    asked = np.arange(len(made)) % 10
    real = diversity_within_classes(real_features("train"), labels("train").numpy())
    metrics = {
        "label_agreement": label_agreement(digit_probabilities(made), asked),
        "diversity": diversity_within_classes(digit_features(made), asked) / real,
        "diversity_real": 1.0,
    }
    if thorough:
        images, right = load_mnist5k("test")
        metrics["label_ceiling"] = label_agreement(digit_probabilities(images), right)
    return metrics


def conditional_gan_settings(fast: bool) -> Settings:
    return dataclasses.replace(
        gan_settings(fast),
        recipe="conditional_gan",
        model=dataclasses.asdict(ConditionalGANConfig()),
    )


RECIPES = {
    "conditional_gan": Recipe(
        build=conditional_gan,
        settings=conditional_gan_settings,
        title="Conditional generative adversarial network",
        lead="A generator is told a digit and draws it from noise; a discriminator, told the same, "
        "learns to tell its drawings from real ones.",
        figures=(
            frechet_figure(torch=127.5),
            Figure(
                "label_agreement",
                "drawings that are the digit asked for",
                "The share that minigen's digit classifier takes for it.",
                beside="label_ceiling",
                against="held-out real digits",
                higher=True,
                count="frechet_n",
                digits=3,
            ),
            Figure(
                "diversity",
                "diversity within a digit",
                "The distance between two drawings of one digit, in the classifier's features, "
                "over that of two real ones. 0: always the same drawing.",
                beside="diversity_real",
                against="real digits",
                higher=True,
                count="frechet_n",
                digits=3,
            ),
        ),
        curve=CURVE,
        captions={"classes": "A row for each digit asked for, not selected"},
    )
}
