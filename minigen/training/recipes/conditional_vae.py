"""The recipe of the conditional variational autoencoder."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor, optim
from minigen.data import TensorDataset, load_mnist5k
from minigen.metrics import digit_probabilities
from minigen.models.conditional_vae import ConditionalVAE, ConditionalVAEConfig, require_classes
from minigen.models.vae import elbo, kl_divergence
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.images import digits, frechet_figure, image_scores, realism
from minigen.training.recipes.loading import EVALUATION_SEED, batches

HANDS = 10  # codes in the picture of all digits


def labels(split: str) -> Tensor:
    """What the images of `digits` show: int64 (N,), 0 to 9."""
    return minigen.from_numpy(load_mnist5k(split).labels)


def conditional_vae(settings: Settings) -> Job:
    """Maximise the bound of ln p(x|y) of grey digits x and their classes y with Adam.

    The divergence weighs `beta`. At 1 the code still says much of the class, and a code drawn at
    random contradicts the class asked for in about half of the samples.
    """
    model = ConditionalVAE(ConditionalVAEConfig(**settings.model))
    model.to(settings.device)
    classes = model.config.classes
    optimizer = optim.Adam(model.parameters(), lr=settings.lr)
    require_classes(labels("train"), classes)
    count = settings.options["test_images"]
    test, truth = (a("test")[:count].to(settings.device) for a in (digits, labels))

    def step(batch: Any) -> dict[str, Tensor]:
        x, y = batch  # (N, 784), (N,)
        logits, mu, logvar = model(x, y)
        loss = -elbo(logits, x, mu, logvar, settings.options["beta"]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    @minigen.no_grad()
    def evaluate(thorough: bool) -> dict[str, float]:
        noise = Generator().manual_seed(EVALUATION_SEED)
        losses, kls = [], []
        for _ in range(10 if thorough else 1):  # draws of z for each image
            epsilon = minigen.randn(len(test), model.config.latent, generator=noise)
            logits, mu, logvar = model(test, truth, epsilon.to(test.device))
            losses.append(-float(elbo(logits, test, mu, logvar).mean()))
            kls.append(float(kl_divergence(mu, logvar).mean()))
        metrics = {"test_loss": float(np.mean(losses)), "test_kl": float(np.mean(kls))}
        if thorough:
            made = images(count, Generator().manual_seed(EVALUATION_SEED))
            metrics |= {
                "agreement": agreement(made, asked_for(count, classes)),
                "agreement_real": agreement(test.cpu().numpy(), truth.cpu().numpy()),
                "agreement_n": count,
            }
            metrics |= realism(images, settings)
        return metrics

    def images(count: int, generator: Generator) -> NDArray[np.float32]:
        y = minigen.from_numpy(asked_for(count, classes)).to(settings.device)
        return model.sample(y, generator).cpu().numpy().reshape(count, 28, 28)

    def reconstruct(originals: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of the first test digits, whose classes are known."""
        there = minigen.from_numpy(originals).to(settings.device)
        y = labels("test")[: len(originals)].to(settings.device)
        return model.reconstruct(there, y).cpu().numpy().reshape(originals.shape)

    def hands() -> NDArray[np.float32]:
        noise = Generator().manual_seed(EVALUATION_SEED)
        z = minigen.randn(HANDS, model.config.latent, generator=noise).to(settings.device)
        return model.in_all_classes(z).cpu().numpy().reshape(classes, HANDS, 28, 28)

    return Job(
        settings,
        modules={"conditional_vae": model},
        optimizers={"adam": optimizer},
        loader=batches(settings, TensorDataset(digits("train"), labels("train"))),
        step=step,
        evaluate=evaluate,
        best="test_loss",
        images=images,
        shown=8 * classes,  # eight of each: a row
        pictures={"hands": hands},
        scores=image_scores(images, settings, reconstruct),
    )


def asked_for(count: int, classes: int) -> NDArray[np.int64]:
    """Classes in order, each as often as any other or once more: int64 (count,).

    >>> asked_for(5, 3).tolist()
    [0, 0, 1, 1, 2]
    """
    return np.arange(count) * classes // max(count, 1)


def agreement(images: Any, classes: NDArray[np.int64]) -> float:
    """The share of images (N, ...) that minigen's classifier takes for what they should be."""
    return float((digit_probabilities(images).argmax(axis=1) == classes).mean())


def conditional_vae_settings(fast: bool) -> Settings:
    return Settings(
        recipe="conditional_vae",
        steps=60 if fast else 2000,
        batch_size=128,
        lr=1e-3,
        log_every=10 if fast else 50,
        save_every=30 if fast else 500,
        model=dataclasses.asdict(ConditionalVAEConfig()),
        options={
            "beta": 4.0,  # of the divergence: a code that is dear leaves to the class what it says
            "test_images": 200 if fast else 1000,
        },
    )


RECIPES = {
    "conditional_vae": Recipe(
        build=conditional_vae,
        settings=conditional_vae_settings,
        title="Conditional variational autoencoder",
        lead="It is told which digit it sees and which to draw, so that the 20 numbers are left "
        "with how it is written: any digit can be had, in any hand.",
        figures=(
            Figure(
                "agreement",
                "samples that show the digit asked for",
                "Minigen's digit classifier judges. Higher is better.",
                beside="agreement_real",
                against="real test digits",
                higher=True,
                count="agreement_n",
                digits=3,
            ),
            Figure(
                "test_loss",
                "negative ELBO on test digits, given their classes",
                "How many nats it takes at most to describe an unseen image of a known digit. "
                "Lower is better.",
                unit="nats",
            ),
            frechet_figure(),
        ),
        curve=LossCurve(
            "negative ELBO (nats)",
            "Negative ELBO over the steps",
            losses=(("loss", "training"),),
            measured=(("test_loss", "test"),),
        ),
        captions={
            "samples": "A row for each digit asked for; not selected",
            "hands": "Ten random codes, a column each, with every digit asked for: ten hands",
        },
    )
}
