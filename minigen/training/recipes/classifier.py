"""The recipe of a digit classifier, and of one that withstands attacks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor, nn, optim
from minigen.data import Augment, TensorDataset, load_mnist5k
from minigen.metrics.classifier import DigitClassifier
from minigen.models.adversarial import fgsm, pgd
from minigen.nn import functional as F
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.loading import EVALUATION_SEED, batches

TRAINED_AGAINST = ("nothing", "fgsm", "pgd")


def classifier(settings: Settings) -> Job:
    """Cross-entropy of digits that are shifted a little; with `against`, of digits attacked anew in
    every step (equation 2.1 of Madry et al.: the weights minimise what the attack maximises)."""
    options = settings.options
    against, eps = options["against"], options["eps"]
    if against not in TRAINED_AGAINST:
        raise ValueError(f"against must be one of {', '.join(TRAINED_AGAINST)}, got {against!r}")
    model = DigitClassifier()
    model.to(settings.device)
    optimizer = optim.Adam(model.parameters(), lr=settings.lr)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)

    def step(batch: Any) -> dict[str, Tensor]:
        x, y = batch  # (N, 1, 28, 28), (N,)
        if against == "fgsm":
            x = fgsm(model, x, y, eps)
        elif against == "pgd":
            x = pgd(model, x, y, eps, steps=options["attack_steps"])
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return {"loss": loss}

    def evaluate(thorough: bool) -> dict[str, float]:
        x, y = (part[: options["test_images"]].to(settings.device) for part in labelled("test"))
        metrics = {"error": 100 - accuracy(model, x, y), "n": len(x)}
        if thorough:
            metrics |= under_attack(model, x, y, settings)
            metrics |= neighbour_error(options["test_images"])
        return metrics

    def draw(count: int, generator: Generator) -> NDArray[np.float32]:
        x, y = labelled("test")
        chosen = minigen.randint(0, len(x), (count,), generator=generator)
        x, y = x[chosen].to(settings.device), y[chosen].to(settings.device)
        attacked = pgd(model, x, y, eps, steps=20, generator=generator)
        return minigen.cat([x, attacked], dim=1).cpu().numpy()  # 2 (N, 1, 28, 28) -> (N, 2, 28, 28)

    return Job(
        settings,
        modules={"classifier": model},
        optimizers={"adam": optimizer},
        schedules={"cosine": schedule},
        loader=batches(settings, TensorDataset(*labelled("train")), shifted()),
        step=step,
        evaluate=evaluate,
        best="error",
        draw=draw,
        plot=lambda pairs: told(model, pairs, settings.device),
        shown=8,
    )


@functools.cache
def labelled(split: str) -> tuple[Tensor, Tensor]:
    """MNIST-5k: float32 (N, 1, 28, 28) in [0, 1] and int64 (N,)."""
    images, labels = load_mnist5k(split)
    pixels = images[:, None].astype(np.float32) / 255  # (N, 28, 28) -> (N, 1, 28, 28)
    return minigen.from_numpy(pixels), minigen.from_numpy(labels)


def shifted() -> Callable[[list], Any]:
    """Batches whose digits lie up to two pixels elsewhere, as they might have been written."""
    augment = Augment(shift=2)

    def collate(items: list) -> Any:
        x, y = augment.collate(items)
        return [x.clamp(0, 1), y]  # interpolation may leave the range by a rounding error

    return collate


@minigen.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Per cent of the pictures that the model takes for what they are."""
    right = sum(
        int((model(a).argmax(dim=1) == b).sum()) for a, b in zip(x.split(250), y.split(250))
    )
    return 100 * right / len(x)


def under_attack(model: nn.Module, x: Tensor, y: Tensor, settings: Settings) -> dict[str, float]:
    """Errors, per cent, on attacked pictures: each attack knows the model, and no pixel changes by
    more than eps. As a yardstick, that on pictures whose every pixel went up or down by eps at
    random."""
    eps, drawn = settings.options["eps"], Generator().manual_seed(EVALUATION_SEED)
    noise = minigen.rand(*x.shape, generator=drawn).to(x.device)
    random = (x + eps * (noise - 0.5).sign()).clamp(0, 1)

    def attacked(attack: Callable[..., Tensor], **how: Any) -> Tensor:
        parts = [attack(model, a, b, eps, **how) for a, b in zip(x.split(250), y.split(250))]
        return minigen.cat(parts)

    pictures = {
        "noise_error": random,
        "fgsm_error": attacked(fgsm),
        "pgd_error": attacked(pgd, steps=20, generator=drawn),
    }
    return {name: 100 - accuracy(model, each, y) for name, each in pictures.items()}


@functools.cache
def neighbour_error(count: int) -> dict[str, float]:
    """What is reached without learning: each test digit taken for the training digit whose pixels
    are nearest."""
    (train, known), (test, y) = labelled("train"), labelled("test")
    a, b = train.flatten(1).numpy(), test.flatten(1).numpy()[:count]  # (N, 1, 28, 28) -> (N, 784)
    squares = (a**2).sum(1) - 2 * b @ a.T  # |a - b|² up to |b|²
    right = known.numpy()[squares.argmin(1)] == y.numpy()[:count]
    return {"neighbour_error": 100 * float(1 - right.mean())}


@minigen.no_grad()
def told(model: nn.Module, pairs: NDArray[np.float32], device: str) -> bytes:
    """Digits, what was done to them, and the result, (N, 2, 28, 28), with what the model says."""
    from minigen.viz.attacks import attacks

    rows = []
    for x in (pairs[:, :1], pairs[:, 1:]):
        certain = F.softmax(model(minigen.from_numpy(x.copy()).to(device)), dim=1).max(dim=1)
        rows.append((certain.indices.cpu().numpy(), certain.values.cpu().numpy()))
    return attacks(pairs[:, 0], pairs[:, 1], *rows)


def classifier_settings(fast: bool) -> Settings:
    return Settings(
        recipe="classifier",
        steps=30 if fast else 800,
        batch_size=50,
        lr=3e-3,
        log_every=5 if fast else 20,
        save_every=30 if fast else 200,
        options={
            "against": "nothing",
            "eps": 0.1,
            "attack_steps": 5,
            "test_images": 200 if fast else 1000,
        },
    )


_CHANGED = "No pixel changes by more than eps, 0.1 of the way from black to white unless set. "
RECIPES = {
    "classifier": Recipe(
        build=classifier,
        settings=classifier_settings,
        title="Digit classifier",
        lead="It learns to read handwritten digits. Then they are attacked: changed a little, in "
        "just the way that misleads it most. Trained against attacks (--set against=pgd) it learns "
        "to withstand them.",
        figures=(
            Figure(
                "error",
                "misread test digits",
                "Digits that it has never seen. Lower is better.",
                unit="%",
                beside="neighbour_error",
                against="the most similar training digit, without learning",
                goal="beside",
                count="n",
            ),
            Figure(
                "fgsm_error",
                "misread after one step of attack (FGSM)",
                _CHANGED + "The attacker knows the network. Lower is better for the network.",
                unit="%",
                beside="noise_error",
                against="the same change of every pixel, up or down at random",
                count="n",
            ),
            Figure(
                "pgd_error",
                "misread after twenty steps of attack (PGD)",
                _CHANGED + "Lower is better for the network.",
                unit="%",
                beside="noise_error",
                against="the same change of every pixel, up or down at random",
                count="n",
            ),
        ),
        curve=LossCurve(
            "cross-entropy (nats)",
            "Loss over the steps, of the digits it trains on",
            losses=(("loss", "training"),),
        ),
        captions={
            "samples": "Digits, what an attack changes in each (grey: nothing), and the attacked "
            "digits, with what the network takes them for"
        },
    ),
}
