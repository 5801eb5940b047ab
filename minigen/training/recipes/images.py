"""What the recipes for images share: the digits, and how real generated ones look."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor
from minigen.data import Normalisation, load_mnist5k
from minigen.training.job import Settings
from minigen.training.recipe import Figure
from minigen.training.recipes.loading import EVALUATION_SEED

Images = Callable[[int, Generator], NDArray[np.float32]]  # a Job's `images`


def digits(split: str) -> Tensor:
    """MNIST-5k as float32 (N, 784) in [0, 1]."""
    images, _ = load_mnist5k(split)
    return minigen.from_numpy(images.reshape(len(images), -1).astype(np.float32) / 255)


# A generator's last layer is tanh: its images lie between -1 and 1, those of `digits` from 0 to 1.
TO_TANH = Normalisation.from_range(0.0, 1.0, to=(-1.0, 1.0))


def normalisation(settings: Settings) -> Normalisation:
    """What the run's settings say was done to the data; its inverse gives samples their units."""
    return Normalisation.from_dict(settings.options.get("normalisation", TO_TANH.to_dict()))


def frechet_figure(torch: float | None = None) -> Figure:
    """How a report tells the Fréchet distance; `torch` is what PyTorch's model reached."""
    return Figure(
        "frechet",
        "Fréchet distance of samples",
        "To the training digits, in the features of minigen's digit classifier; other networks "
        "give other figures. Lower is closer.",
        beside="frechet_floor",
        against="held-out real digits",
        torch=torch,
        count="frechet_n",
    )


def realism(
    images: Images,
    settings: Settings,
    with_floor: bool = True,
) -> dict[str, float]:
    """The Fréchet distance between samples and the training digits in the features of minigen's
    digit classifier, and, to compare with, that of as many held-out real digits."""
    from minigen.metrics import digit_features, frechet_distance

    count = settings.options["test_images"]
    real = real_features("train")
    made = digit_features(images(count, Generator().manual_seed(EVALUATION_SEED)))
    metrics = {"frechet": float(frechet_distance(made, real)), "frechet_n": count}
    if with_floor:
        metrics["frechet_floor"] = float(frechet_distance(real_features("test")[:count], real))
    return metrics


@functools.cache
def real_features(split: str) -> Any:
    from minigen.metrics import digit_features

    return digit_features(digits(split).numpy().reshape(-1, 28, 28))


def image_scores(
    images: Images,
    settings: Settings,
    reconstruct: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
) -> Callable[[Mapping[str, float]], dict[str, list[Any]]]:
    """What `minigen evaluate` says of a model of digits besides its figures: reconstructions if it
    makes any, then generated digits, each score against that of held-out real digits."""

    def scores(metrics: Mapping[str, float]) -> dict[str, list[Any]]:
        from minigen.metrics import (
            Score,
            bits_per_dimension,
            digit_distance_by_size,
            digit_scores,
            reconstruction_scores,
        )

        n = settings.options["test_images"]
        train, test = (digits(split).numpy().reshape(-1, 28, 28) for split in ("train", "test"))
        found: dict[str, list[Any]] = {}
        if reconstruct is not None:
            bits = bits_per_dimension(metrics["test_loss"], 28 * 28)
            found["test digits, coded and decoded"] = [
                *reconstruction_scores(test[:n], reconstruct(test[:n])),
                Score("bits a pixel, at most", bits, min(n, len(test)), digits=3),
            ]
        made = images(n, Generator().manual_seed(EVALUATION_SEED))
        found["generated digits; floor or ceiling: the same of as many held-out real digits"] = (
            digit_scores(made, train, test)
        )
        by_size = digit_distance_by_size(made, train)
        found["the Fréchet distance depends on how many are made; compare equal numbers only"] = [
            by_size
        ]
        return found

    return scores
