"""The recipe of restoration: the convolutional VAE, shown damaged digits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor, optim
from minigen.data import TensorDataset
from minigen.metrics import (
    mean_squared_error,
    peak_signal_noise_ratio,
    structural_similarity,
)
from minigen.models.restoration import TASKS, Damage, Damaged
from minigen.models.vae import ConvVAE, ConvVAEConfig, elbo
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.images import digits
from minigen.training.recipes.loading import EVALUATION_SEED, batches

SHOWN = 10  # digits in the picture


def restoration(settings: Settings) -> Job:
    """Maximise the denoising bound with Adam: the encoder sees what is left, the decoder has to
    explain what was there."""
    options = settings.options
    if options["task"] not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, got {options['task']!r}")
    task = TASKS[options["task"]]
    model = ConvVAE(ConvVAEConfig(**settings.model))
    model.to(settings.device)
    optimizer = optim.Adam(model.parameters(), lr=settings.lr)
    test = digits("test")[: options["test_images"]].to(settings.device)
    left = task.damage(as_maps(test), Generator().manual_seed(EVALUATION_SEED))

    def step(batch: Any) -> dict[str, Tensor]:
        (x,) = batch  # (N, 784)
        seen = task.damage(as_maps(x)).seen.flatten(1)  # (N, 784)
        output, mu, logvar = model(seen)
        loss = -elbo(output, x, mu, logvar, options["beta"], model.log_likelihood).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    def restored(left: Damaged) -> Tensor:
        return task.agree(as_maps(model.reconstruct(left.seen)), left)

    def evaluate(thorough: bool) -> dict[str, float]:
        metrics = {f"{name}_restored": v for name, v in quality(test, restored(left)).items()}
        if thorough:
            for name, value in quality(test, left.seen).items():
                metrics[f"{name}_damaged"] = value
            for name, value in quality(test, task.classical(left)).items():
                metrics[f"{name}_classical"] = value
        return metrics

    def images(count: int, generator: Generator) -> NDArray[np.float32]:
        """Restored test digits, of damage drawn from the generator; from the first again after the
        last."""
        x = digits("test")
        x = x[minigen.arange(count) % len(x)].to(settings.device)
        made = restored(task.damage(as_maps(x), generator))
        return made.cpu().numpy().reshape(count, 28, 28)

    return Job(
        settings,
        modules={"vae": model},
        optimizers={"adam": optimizer},
        loader=batches(settings, TensorDataset(digits("train"))),
        step=step,
        evaluate=evaluate,
        best="mse_restored",
        images=images,
        pictures={"restored": lambda: comparison(test, left, task, restored)},
    )


def as_maps(x: Tensor) -> Tensor:
    """(N, 784) -> (N, 1, 28, 28)"""
    return x.reshape(-1, 1, 28, 28)


def quality(originals: Tensor, copies: Tensor) -> dict[str, float]:
    """Mean squared error, PSNR in decibels of all pixels together, SSIM as Wang et al. have it."""
    real, made = (a.detach().cpu().numpy().reshape(-1, 28, 28) for a in (originals, copies))
    ssim = structural_similarity(
        real, made, data_range=1, channel_axis=0, gaussian_weights=True,
        use_sample_covariance=False,
    )  # fmt: skip
    return {
        "mse": mean_squared_error(real, made),
        "psnr": peak_signal_noise_ratio(real, made, data_range=1),
        "ssim": ssim,
    }


def comparison(
    test: Tensor, left: Damaged, task: Damage, restored: Callable[[Damaged], Tensor]
) -> NDArray[np.float32]:
    """What is left of ten digits, the classical remedy, the model's, and the truth: (4, 10, ...)"""
    rows = [left.seen, task.classical(left), restored(left), as_maps(test)]
    return np.stack([row[:SHOWN].detach().cpu().numpy()[:, 0] for row in rows])


def restoration_settings(fast: bool) -> Settings:
    size: dict[str, Any] = {"widths": (4, 8), "hidden": 32} if fast else {"latent": 64}
    return Settings(
        recipe="restoration",
        steps=40 if fast else 800,
        batch_size=128,
        lr=1e-3,
        log_every=10 if fast else 50,
        save_every=20 if fast else 200,
        model=dataclasses.asdict(ConvVAEConfig(**size)),
        options={
            "task": "inpaint",  # or "denoise", or "super_resolution"
            "beta": 0.1,  # one good guess is wanted, not all that could have been
            "test_images": 200 if fast else 1000,
        },
    )


def _figure(key: str, label: str, note: str, **more: Any) -> Figure:
    return Figure(
        f"{key}_restored", label, note, beside=f"{key}_classical",
        against="without learning: median filter, smooth filling, or bicubic interpolation",
        goal="beside", higher=True, **more,
    )  # fmt: skip


RECIPES = {
    "restoration": Recipe(
        build=restoration,
        settings=restoration_settings,
        title="Restoration of damaged digits",
        lead="The convolutional VAE again, shown digits with a hole, with noise or of half the "
        "resolution (`--set task=inpaint`, `denoise` or `super_resolution`), and asked for the "
        "digits as they were.",
        figures=(
            _figure(
                "psnr", "PSNR of restored test digits",
                "How far the error lies below the brightest value. Higher is better.", unit="dB",
            ),
            _figure(
                "ssim", "SSIM of restored test digits",
                "1 for the digits themselves, 0 for something unrelated. Higher is better.",
                digits=3,
            ),
        ),
        curve=LossCurve(
            "negative bound (nats)",
            "The loss over the steps",
            losses=(("loss", "training"),),
        ),
        captions={
            "samples": "Restored digits of the test set, not selected",
            "restored": "From above: what is left, what is made of it without learning, what the "
            "model makes of it, and the digits as they were",
        },
    )
}  # fmt: skip
