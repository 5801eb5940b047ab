"""What the recipes for images share: the digits, and how real generated ones look."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor
from minigen.data import Normalisation, load_mnist5k
from minigen.training.job import Settings
from minigen.training.recipes.loading import EVALUATION_SEED


def digits(split: str) -> Tensor:
    """MNIST-5k as float32 (N, 784) in [0, 1]."""
    images, _ = load_mnist5k(split)
    return minigen.from_numpy(images.reshape(len(images), -1).astype(np.float32) / 255)


# A generator's last layer is tanh: its images lie between -1 and 1, those of `digits` from 0 to 1.
TO_TANH = Normalisation.from_range(0.0, 1.0, to=(-1.0, 1.0))


def normalisation(settings: Settings) -> Normalisation:
    """What the run's settings say was done to the data; its inverse gives samples their units."""
    return Normalisation.from_dict(settings.options.get("normalisation", TO_TANH.to_dict()))


def realism(
    images: Callable[[int, Generator], NDArray[np.float32]],
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
