"""Recipes for pictures of one's own, in a folder; without one, for the colour digits."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor, optim
from minigen.data import ImageFolder, TensorDataset, load_colour_digits
from minigen.models.dcgan import ConvDiscriminator, ConvGenerator, DCGANConfig
from minigen.models.vae import ConvVAE, ConvVAEConfig, elbo
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.contest import Contest
from minigen.training.recipes.gan import CURVE, dcgan_settings
from minigen.training.recipes.images import normalisation
from minigen.training.recipes.loading import EVALUATION_SEED, batches

HELD_OUT = 10  # every tenth picture is kept to measure with
THUMBNAIL = 4  # pixels a side of what pictures are compared by


def folder_gan(settings: Settings) -> Job:
    """A DCGAN of the pictures in a folder."""
    config = DCGANConfig(**settings.model)
    training, held_out = pictures(settings, config.channels, config.size)
    contest = Contest(ConvGenerator(config), ConvDiscriminator(config), settings)
    scaling = normalisation(settings)

    def images(count: int, generator: Generator) -> NDArray[np.float32]:
        return shown(scaling.inverse(contest.artist.draw(count, generator).cpu().numpy()))

    return Job(
        settings,
        modules=contest.modules,
        optimizers=contest.optimizers,
        loader=batches(settings, TensorDataset(scaling(minigen.from_numpy(flat(training))))),
        step=contest.step,
        evaluate=lambda thorough: likeness(images, training, held_out),
        best="thumbnails",
        images=images,
        pictures={"data": lambda: shown(training)[None, :16]},
    )


def folder_vae(settings: Settings) -> Job:
    """A convolutional VAE of the pictures in a folder."""
    config = ConvVAEConfig(**settings.model)
    training, held_out = pictures(settings, config.channels, config.size)
    model = ConvVAE(config).to(settings.device)
    optimizer = optim.Adam(model.parameters(), lr=settings.lr)
    test = minigen.from_numpy(flat(held_out)).to(settings.device)

    def loss(x: Tensor, epsilon: Tensor | None = None) -> Tensor:
        output, mu, logvar = model(x, epsilon)  # (N, C S S)
        return -elbo(output, x, mu, logvar, 1.0, model.log_likelihood).mean()

    def step(batch: Any) -> dict[str, Tensor]:
        value = loss(batch[0])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return {"loss": value}

    @minigen.no_grad()
    def evaluate(thorough: bool) -> dict[str, float]:
        noise = Generator().manual_seed(EVALUATION_SEED)
        epsilon = minigen.randn(len(test), config.latent, generator=noise, device=test.device)
        bits = float(loss(test, epsilon)) / np.log(2) / test.shape[1]
        metrics = {"test_bits": bits}
        return metrics | (likeness(images, training, held_out) if thorough else {})

    def images(count: int, generator: Generator) -> NDArray[np.float32]:
        made = model.sample(count, generator).cpu().numpy()  # (N, C S S)
        return shown(made.reshape(count, config.channels, config.size, config.size))

    @minigen.no_grad()
    def reconstructions() -> NDArray[np.float32]:
        copies = model.reconstruct(test[:8]).cpu().numpy()
        return np.stack([shown(held_out[:8]), shown(copies.reshape(held_out[:8].shape))])

    return Job(
        settings,
        modules={"vae": model},
        optimizers={"adam": optimizer},
        loader=batches(settings, TensorDataset(minigen.from_numpy(flat(training)))),
        step=step,
        evaluate=evaluate,
        best="test_bits",
        images=images,
        pictures={"data": lambda: shown(training)[None, :16], "reconstructions": reconstructions},
    )


def pictures(
    settings: Settings, channels: int, size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Those to train on and those kept to measure with, float32 (N, C, S, S) in [0, 1].

    Raises FileNotFoundError and ValueError as `ImageFolder` does, and ValueError for too few.
    """
    found = _read(settings.options["data"], channels, size, settings.options["fit"])
    if len(found) < 2 * HELD_OUT:
        raise ValueError(
            f"{settings.options['data']} holds {len(found)} pictures; it takes {2 * HELD_OUT} or "
            "more to train and to measure"
        )
    kept = np.arange(len(found)) % HELD_OUT == HELD_OUT - 1
    return found[~kept], found[kept]


@functools.lru_cache(maxsize=2)
def _read(folder: str, channels: int, size: int, fit: str) -> NDArray[np.float32]:
    if folder:
        data = ImageFolder(folder, size, channels=channels, fit=fit, convert=True)
        return data.images.astype(np.float32) / np.float32(255)
    if (channels, size) != (3, 32):
        raise ValueError(
            f"the colour digits have 3 channels and 32 pixels a side, got channels={channels} and "
            f"size={size}; name a folder with data="
        )
    images = load_colour_digits("train").images.astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))  # (N, 32, 32, 3) -> (N, 3, 32, 32)


def flat(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, C, S, S) -> (N, C S S)."""
    return images.reshape(len(images), -1)


def shown(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """As pictures: (N, 3, S, S) -> (N, S, S, 3), (N, 1, S, S) -> (N, S, S)."""
    return images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)


def thumbnails(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Each picture's means over a 4 x 4 grid: (N, S, S[, 3]) -> (N, 16 or 48)."""
    n, size = images.shape[:2]
    edges = np.arange(THUMBNAIL) * size // THUMBNAIL
    widths = np.diff([*edges, size]).astype(np.float64)
    sums = np.add.reduceat(np.add.reduceat(images.astype(np.float64), edges, 1), edges, 2)
    area = np.outer(widths, widths).reshape(THUMBNAIL, THUMBNAIL, *[1] * (images.ndim - 3))
    return (sums / area).reshape(n, -1)


def likeness(
    images: Any, training: NDArray[np.float32], held_out: NDArray[np.float32]
) -> dict[str, float]:
    """The Fréchet distance between thumbnails of samples and of the pictures trained on, in
    hundredths, and that of as many held-out ones."""
    from minigen.metrics import frechet_distance

    count = len(held_out)
    reference = thumbnails(shown(training))
    made = thumbnails(images(count, Generator().manual_seed(EVALUATION_SEED)))
    return {
        "thumbnails": 100 * frechet_distance(made, reference),
        "thumbnails_floor": 100 * frechet_distance(thumbnails(shown(held_out)), reference),
        "thumbnails_n": count,
    }


def folder_gan_settings(fast: bool) -> Settings:
    grey = dcgan_settings(fast)
    return dataclasses.replace(
        grey,
        recipe="folder_gan",
        steps=40 if fast else 3000,
        model={**grey.model, "channels": 3, "size": 32},
        options={
            "data": "",
            "fit": "crop",
            **{name: value for name, value in grey.options.items() if name != "test_images"},
        },
    )


def folder_vae_settings(fast: bool) -> Settings:
    size: dict[str, Any] = {"widths": (4, 8), "hidden": 32} if fast else {"latent": 32}
    return Settings(
        recipe="folder_vae",
        steps=40 if fast else 1500,
        batch_size=64,
        lr=1e-3,
        log_every=10 if fast else 50,
        save_every=20 if fast else 500,
        model=dataclasses.asdict(ConvVAEConfig(channels=3, size=32, likelihood="gaussian", **size)),
        options={"data": "", "fit": "crop"},
    )


def found_from_anywhere(settings: Settings) -> Settings:
    """With the folder's whole path, so that the run can be used from any other."""
    data = settings.options["data"]
    whole = str(Path(data).resolve()) if data else ""
    return dataclasses.replace(settings, options={**settings.options, "data": whole})


THUMBNAILS = Figure(
    "thumbnails",
    "Fréchet distance of thumbnails",
    "Between the means over a 4 x 4 grid of samples and of the pictures it has seen, in "
    "hundredths: colours and coarse shapes count, details do not. Lower is closer.",
    beside="thumbnails_floor",
    against="held-out pictures",
    count="thumbnails_n",
    digits=2,
)
CAPTIONS = {
    "data": "What it learns from",
    "reconstructions": "Pictures it has not seen, and below each what its code keeps of it",
}
RECIPES = {
    "folder_gan": Recipe(
        build=folder_gan,
        settings=folder_gan_settings,
        title="Deep convolutional generative adversarial network of your own pictures",
        lead="The contest of generator and discriminator over the pictures in a folder: --set "
        "data=FOLDER, any sizes, grey (channels=1) or colour.",
        figures=(THUMBNAILS,),
        curve=CURVE,
        captions=CAPTIONS,
        follow=found_from_anywhere,
    ),
    "folder_vae": Recipe(
        build=folder_vae,
        settings=folder_vae_settings,
        title="Convolutional variational autoencoder of your own pictures",
        lead="It squeezes each picture of a folder into a few numbers and draws it again from "
        "them: --set data=FOLDER, any sizes, grey (channels=1) or colour.",
        figures=(
            Figure(
                "test_bits",
                "negative ELBO on held-out pictures",
                "How many bits it takes at most to describe a value of an unseen picture, up to a "
                "constant; its density is of real numbers, so it may be below 0. Lower is better.",
                unit="bits/value",
                digits=3,
            ),
            THUMBNAILS,
        ),
        curve=LossCurve(
            "negative ELBO (nats)", "Negative ELBO over the steps", losses=(("loss", "training"),)
        ),
        captions=CAPTIONS,
        follow=found_from_anywhere,
    ),
}
