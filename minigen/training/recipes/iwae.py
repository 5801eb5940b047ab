"""The recipe of the importance-weighted autoencoder."""

from __future__ import annotations

import dataclasses

import minigen
from minigen import Generator, Tensor
from minigen.models.importance_weighting import importance_weighted_bound, log_importance_weights
from minigen.models.vae import VAE, VAEConfig
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.images import frechet_figure
from minigen.training.recipes.loading import EVALUATION_SEED
from minigen.training.recipes.vae import CAPTIONS, NLL, vae_job, vae_settings


def iwae(settings: Settings) -> Job:
    """Maximise L_k of black and white digits, drawn anew in every step; k = 1 is the VAE."""
    model, k = VAE(VAEConfig(**settings.model)), settings.options["k"]
    if k < 1:
        raise ValueError(f"k must be 1 or more draws, got {k}")

    def loss(x: Tensor) -> Tensor:
        return -importance_weighted_bound(log_importance_weights(model, x, k)).mean()

    def bounds(test: Tensor, draws: int) -> dict[str, float]:
        """L_k, from `draws` times k draws, and the ELBO of the same draws, as if each were one."""
        noise = Generator().manual_seed(EVALUATION_SEED)
        weights = []
        for _ in range(draws):
            shape = (len(test) * k, model.config.latent)
            epsilon = minigen.randn(*shape, generator=noise, dtype=test.dtype).to(test.device)
            weights.append(log_importance_weights(model, test, k, epsilon))  # (N, k)
        bound = minigen.stack([importance_weighted_bound(w) for w in weights])
        return {
            "test_loss": -float(bound.mean()),
            "test_elbo": -float(minigen.stack(weights).mean()),
        }

    return vae_job(model, settings, loss, bounds)


def iwae_settings(fast: bool) -> Settings:
    settings = vae_settings(fast)
    options = {name: value for name, value in settings.options.items() if name != "beta"}
    return dataclasses.replace(
        settings, recipe="iwae", options={**options, "k": 5, "binarize": "stochastic"}
    )


RECIPES = {
    "iwae": Recipe(
        build=iwae,
        settings=iwae_settings,
        title="Importance-weighted autoencoder",
        lead="The VAE, black and white, with five guesses at the code of a digit in place of one: "
        "it is enough if one of them is good.",
        figures=(
            dataclasses.replace(
                NLL,
                beside="test_elbo",
                against="from one draw: its negative ELBO",
                torch=102.9,
            ),
            Figure(
                "active",
                "numbers of the code in use",
                "Those that vary with the image; the rest are noise that the decoder ignores.",
                digits=0,
            ),
            frechet_figure(torch=222.6),
        ),
        curve=LossCurve(
            "negative bound (nats)",
            "The negative importance-weighted bound over the steps",
            losses=(("loss", "training"),),
            measured=(("test_loss", "test"),),
        ),
        captions=CAPTIONS,
    )
}
