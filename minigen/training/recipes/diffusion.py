"""Recipes of denoising diffusion and of flow matching, of digits by class."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor, optim
from minigen.data import TensorDataset, load_mnist5k
from minigen.models.denoiser import Denoiser, DenoiserConfig, UNet
from minigen.models.diffusion import Diffusion
from minigen.models.flow_matching import flow, flow_matching_loss
from minigen.models.guidance import guided, hide_classes
from minigen.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.images import (
    TO_TANH,
    digits,
    frechet_figure,
    image_scores,
    normalisation,
    realism,
)
from minigen.training.recipes.language import scheduled
from minigen.training.recipes.loading import EVALUATION_SEED, batches

AT_ONCE = 128  # images that are made together: more need more memory, and are no faster


@dataclass(frozen=True)
class Method:
    """What distinguishes diffusion from flow matching.

    loss:   (model, images, classes, noise, times) -> a scalar to minimise.
    times:  U(0, 1) numbers (N,) -> the times that the loss takes.
    states: (denoiser, noise, classes, generator) -> the way from noise to images, step by step.
    """

    loss: Callable[..., Tensor]
    times: Callable[[Tensor], Tensor]
    states: Callable[[Denoiser, Tensor, Tensor, Generator], Iterator[Tensor]]


def ddpm(settings: Settings) -> Job:
    """Learn to tell the noise from a noisy digit (algorithm 1 of Ho et al.)."""
    options = settings.options
    diffusion = Diffusion(options["noise_schedule"], options["diffusion_steps"])

    def states(model: Denoiser, noise: Tensor, y: Tensor, generator: Generator) -> Iterator[Tensor]:
        return diffusion.ddim(model, noise, y, options["sampling_steps"], options["eta"], generator)

    def times(u: Tensor) -> Tensor:
        return (u * diffusion.steps).long() + 1  # 1 to T, all equally often

    return _job(Method(diffusion.loss, times, states), settings)


def flow_matching(settings: Settings) -> Job:
    """Learn the velocity of digits that noise becomes on straight lines (Lipman et al.)."""
    options = settings.options

    def states(model: Denoiser, noise: Tensor, y: Tensor, generator: Generator) -> Iterator[Tensor]:
        return flow(model, noise, y, options["sampling_steps"], options["solver"])

    return _job(Method(flow_matching_loss, lambda u: u, states), settings)


def _job(method: Method, settings: Settings) -> Job:
    options, config = settings.options, DenoiserConfig(**settings.model)
    model = UNet(config)
    model.to(settings.device)
    # Samples are made with a running mean of the weights, which the noise in the gradients of
    # single steps hardly moves (Ho et al., appendix B).
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(options["ema"]))
    optimizer = optim.Adam(model.parameters(), lr=settings.lr, betas=tuple(options["betas"]))
    schedule = optim.lr_scheduler.cosine_with_warmup(
        optimizer,
        warmup_steps=options["warmup"],
        total_steps=options["horizon"],
        min_ratio=options["lowest_lr"],
    )
    sampler = Sampler(method, guided(average, options["guidance"], config.classes), settings)
    count = options["test_images"]
    test = [part[:count].to(settings.device) for part in examples(settings, "test")]

    def step(batch: Any) -> dict[str, Tensor]:
        x, y = batch  # (N, 1, 28, 28), (N,)
        noise = minigen.randn(*x.shape, dtype=x.dtype, device=x.device)
        t = method.times(minigen.rand(len(x), dtype=x.dtype, device=x.device))
        y = hide_classes(y, options["hide_class"], config.classes)
        loss = method.loss(model, x, y, noise, t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        return {"loss": loss}

    def evaluate(thorough: bool) -> dict[str, float]:
        metrics = {"test_loss": held_out_loss(method, average, *test)}
        if thorough:
            made = sampler.images(count, Generator().manual_seed(EVALUATION_SEED))
            metrics |= realism(lambda *_: made, settings) | agreement(made)
        return metrics

    return Job(
        settings,
        modules={"model": model, "average": average},
        optimizers={"adam": optimizer},
        schedules={"cosine": schedule},
        loader=batches(settings, TensorDataset(*examples(settings, "train"))),
        step=step,
        evaluate=evaluate,
        best="test_loss",
        images=sampler.images,
        shown=40,
        pictures={"classes": sampler.classes, "path": sampler.path},
        scores=image_scores(sampler.images, settings),
    )


class Sampler:
    """Digits of given classes from noise, and pictures of them."""

    def __init__(self, method: Method, denoiser: Denoiser, settings: Settings) -> None:
        self.method, self.denoiser, self.device = method, denoiser, settings.device
        self.scaling = normalisation(settings)

    def states(self, y: Tensor, generator: Generator) -> Iterator[NDArray[np.float32]]:
        """All that lies between noise and images of classes y (N,), (N, 28, 28) in [0, 1] each."""
        noise = minigen.randn(len(y), 1, 28, 28, generator=generator).to(self.device)
        for x in self.method.states(self.denoiser, noise, y.to(self.device), generator):
            yield self.scaling.inverse(x.cpu().numpy().reshape(-1, 28, 28)).clip(0, 1)

    def of_classes(self, y: Tensor, generator: Generator) -> NDArray[np.float32]:
        """Images of classes y (N,): (N, 28, 28)."""
        made = []
        for part in y.split(AT_ONCE):
            for state in self.states(part, generator):
                last = state
            made.append(last)
        return np.concatenate(made)

    def images(self, count: int, generator: Generator) -> NDArray[np.float32]:
        """The ten digits in turn."""
        return self.of_classes(minigen.arange(count) % 10, generator)

    def classes(self) -> NDArray[np.float32]:
        """A row for each digit: (10, 10, 28, 28)."""
        y = minigen.arange(10).repeat_interleave(10)
        made = self.of_classes(y, Generator().manual_seed(EVALUATION_SEED))
        return made.reshape(10, 10, 28, 28)  # (100, 28, 28) -> ...

    def path(self) -> NDArray[np.float32]:
        """A row for each digit, from noise to image: (10, 8, 28, 28)."""
        states = list(self.states(minigen.arange(10), Generator().manual_seed(EVALUATION_SEED)))
        shown = np.linspace(0, len(states) - 1, 8).round().astype(int)
        return np.stack([states[i] for i in shown], axis=1)  # 8 x (10, 28, 28) -> (10, 8, 28, 28)


def examples(settings: Settings, split: str) -> tuple[Tensor, Tensor]:
    """Digits (N, 1, 28, 28) from -1 to 1, and their classes (N,)."""
    scaled = normalisation(settings)(digits(split))
    labels = minigen.from_numpy(load_mnist5k(split).labels)
    return scaled.reshape(-1, 1, 28, 28), labels  # (N, 784) -> (N, 1, 28, 28)


@minigen.no_grad()
def held_out_loss(method: Method, model: Denoiser, x: Tensor, y: Tensor) -> float:
    """The loss of images that nobody trained on, with noise that is always the same, at times that
    are spread evenly over each class."""
    n, noise = len(x), Generator().manual_seed(EVALUATION_SEED)
    epsilon = minigen.randn(*x.shape, generator=noise, dtype=x.dtype).to(x.device)
    # The classes take turns; n times are dealt to them in another order: steps of a golden ratio.
    t = method.times((minigen.arange(n).to(x.device, x.dtype) * 0.6180339887).remainder(1.0))
    parts = zip(*(whole.split(AT_ONCE) for whole in (x, y, epsilon, t)))
    return sum(float(method.loss(model, *part)) * len(part[0]) for part in parts) / n


def agreement(made: NDArray[np.float32]) -> dict[str, float]:
    """How often the classifier sees the digit that was asked for, in digits of all classes in turn,
    and in held-out real ones."""
    from minigen.metrics import digit_probabilities

    real, labels = load_mnist5k("test")
    asked = np.arange(len(made)) % 10
    return {
        "label_agreement": float((digit_probabilities(made).argmax(1) == asked).mean()),
        "label_ceiling": float((digit_probabilities(real).argmax(1) == labels).mean()),
    }


def flow_settings(fast: bool) -> Settings:
    return Settings(
        recipe="flow",
        steps=30 if fast else 900,
        batch_size=32 if fast else 64,
        lr=2e-3,
        log_every=10 if fast else 50,
        save_every=15 if fast else 300,
        model=dataclasses.asdict(DenoiserConfig(widths=(8, 16) if fast else (32, 64))),
        options={
            "betas": [0.9, 0.99],
            "lowest_lr": 0.1,
            "ema": 0.9 if fast else 0.995,
            "hide_class": 0.1,  # how often an image is shown without its class
            "guidance": 0.5,  # w
            "sampling_steps": 4 if fast else 6,
            "solver": "heun",
            "normalisation": TO_TANH.to_dict(),
            "test_images": 100 if fast else 1000,
        },
    )


def ddpm_settings(fast: bool) -> Settings:
    settings = flow_settings(fast)
    options = {name: v for name, v in settings.options.items() if name != "solver"}
    own = {
        "noise_schedule": "cosine",
        "diffusion_steps": 1000,  # T
        "sampling_steps": 8 if fast else 20,  # of them, by DDIM
        "eta": 1.0,  # noise anew in each step, with all T the sampling of DDPM; 0: none, DDIM
        "guidance": 1.0,
    }
    return dataclasses.replace(
        settings,
        recipe="ddpm",
        steps=settings.steps if fast else 1000,
        lr=6e-3,
        options={**options, **own},
    )


FIGURES = (
    frechet_figure(),
    Figure(
        "label_agreement",
        "digits that are what was asked for",
        "The share that minigen's digit classifier takes for the class they were made for.",
        beside="label_ceiling",
        against="held-out real digits",
        higher=True,
        digits=3,
    ),
)
CURVE = LossCurve(
    "mean squared error",
    "Loss over the steps; most of it is noise that nobody can foresee",
    losses=(("loss", "training"),),
    measured=(("test_loss", "test"),),
)
CAPTIONS = {
    "classes": "Ten of each digit, not selected",
    "path": "From noise to digits, in eight of the steps",
}
RECIPES = {
    "ddpm": Recipe(
        build=ddpm,
        settings=ddpm_settings,
        title="Denoising diffusion",
        lead="It learns to see the noise in a noisy digit. Starting from nothing but noise and "
        "taking a little of it away, again and again, makes new digits of the class asked for.",
        figures=FIGURES,
        curve=CURVE,
        captions=CAPTIONS,
        follow=scheduled,
    ),
    "flow": Recipe(
        build=flow_matching,
        settings=flow_settings,
        title="Flow matching",
        lead="It learns in which direction to move each point of space so that a cloud of noise "
        "becomes the cloud of digits. Following that stream makes new digits of the class asked "
        "for.",
        figures=FIGURES,
        curve=CURVE,
        captions=CAPTIONS,
        follow=scheduled,
    ),
}
