"""The recipe of the VQ-VAE: first the autoencoder, then a prior over its maps of symbols."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor, nn, optim
from minigen.data import TensorDataset
from minigen.metrics import mean_squared_error, structural_similarity
from minigen.models.sampling import evaluating
from minigen.models.symbol_prior import SymbolPrior, SymbolPriorConfig
from minigen.models.vae import bernoulli_log_likelihood
from minigen.models.vq_vae import VQVAE, VQVAEConfig, codebook_usage
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.images import digits, frechet_figure, image_scores, realism
from minigen.training.recipes.loading import batches

AT_ONCE = 250  # maps that the Transformer reads or writes together


def vq_vae(settings: Settings) -> Job:
    """Equation 3 with Adam for the first `autoencoder_steps`; after them the maps of symbols are
    what they are, and a Transformer learns which of them are likely."""
    config, options = VQVAEConfig(**settings.model), settings.options
    model, prior = VQVAE(config), SymbolPrior(_prior_config(config, options["prior"]))
    model.to(settings.device)
    prior.to(settings.device)
    adam = optim.Adam(model.parameters(), lr=settings.lr)
    adamw = optim.AdamW(
        prior.gpt.parameter_groups(options["weight_decay"]), lr=options["prior_lr"],
        betas=(0.9, 0.99),
    )  # fmt: skip
    first = options["autoencoder_steps"]
    schedules = {
        "autoencoder": optim.lr_scheduler.cosine_with_warmup(adam, 0, first, min_ratio=0.1),
        "prior": optim.lr_scheduler.cosine_with_warmup(
            adamw, options["warmup"], max(options["prior_steps"], options["warmup"] + 1), 0.1
        ),
    }
    uniform = prior.untrained_cost()
    test = digits("test")[: options["test_images"]].to(settings.device)

    def improve_autoencoder(x: Tensor) -> dict[str, Tensor]:
        logits, quantized = model(x)
        reconstruction = -bernoulli_log_likelihood(logits.flatten(1), x).mean()
        loss = reconstruction / config.pixels + quantized.loss  # equation 3, a mean over pixels
        adam.zero_grad()
        loss.backward()
        adam.step()
        every = options["revive_every"]
        done = schedules["autoencoder"].last_epoch
        if every and done % every == 0 and done < first // 2:
            model.codebook.revive(model.encoder(model.as_maps(x)))
        schedules["autoencoder"].step()
        return {"reconstruction": reconstruction, "prior": minigen.full_like(loss, uniform)}

    def improve_prior(x: Tensor) -> dict[str, Tensor]:
        with minigen.no_grad():
            logits, quantized = model(x)
            reconstruction = -bernoulli_log_likelihood(logits.flatten(1), x).mean()
        cost = -prior(quantized.symbols).mean()
        adamw.zero_grad()
        cost.backward()
        nn.utils.clip_grad_norm_(prior.parameters(), 1.0)
        adamw.step()
        schedules["prior"].step()
        return {"reconstruction": reconstruction, "prior": cost}

    def step(batch: Any) -> dict[str, Tensor]:
        (x,) = batch  # (N, 784)
        learned = schedules["autoencoder"].last_epoch >= first
        return improve_prior(x) if learned else improve_autoencoder(x)

    @minigen.no_grad()
    def evaluate(thorough: bool) -> dict[str, float]:
        logits, quantized = model(test)
        nats = -float(bernoulli_log_likelihood(logits.flatten(1), test).mean())
        with evaluating(prior):
            cost = -float(minigen.cat([prior(s) for s in quantized.symbols.split(AT_ONCE)]).mean())
        usage = codebook_usage(quantized.symbols, config.codes)
        real = test.cpu().numpy().reshape(-1, 28, 28)
        copies = minigen.sigmoid(logits).cpu().numpy().reshape(-1, 28, 28)
        metrics = {
            "test_loss": nats + cost,
            "reconstruction": nats,
            "prior": cost,
            "prior_untrained": uniform,
            "mse": mean_squared_error(real, copies),
            "codes_used": usage.used,
            "codes": config.codes,
            "perplexity": usage.perplexity,
        }
        if thorough:
            metrics["ssim"] = structural_similarity(
                real, copies, data_range=1, channel_axis=0, gaussian_weights=True,
                use_sample_covariance=False,
            )  # fmt: skip
            metrics |= realism(images, settings)
        return metrics

    def images(count: int, generator: Generator) -> NDArray[np.float32]:
        sizes = [min(AT_ONCE, count - done) for done in range(0, count, AT_ONCE)]
        maps = minigen.cat([prior.sample(size, generator) for size in sizes])
        return model.decode(maps).cpu().numpy().reshape(count, 28, 28)

    def reconstruct(originals: NDArray[np.float32]) -> NDArray[np.float32]:
        there = minigen.from_numpy(originals).to(settings.device)
        return model.decode(model.encode(there)).cpu().numpy().reshape(originals.shape)

    def reconstructions() -> NDArray[np.float32]:
        originals = digits("test")[:10].numpy().reshape(-1, 28, 28)
        return np.stack([originals, reconstruct(originals)])

    return Job(
        settings,
        modules={"vq_vae": model, "prior": prior},
        optimizers={"adam": adam, "adamw": adamw},
        schedules=schedules,
        loader=batches(settings, TensorDataset(digits("train"))),
        step=step,
        evaluate=evaluate,
        best="test_loss",
        images=images,
        pictures={"reconstructions": reconstructions},
        scores=image_scores(images, settings, reconstruct),
    )


def _prior_config(config: VQVAEConfig, size: dict[str, Any]) -> SymbolPriorConfig:
    """For maps of the autoencoder's size."""
    side = config.size // 4
    return SymbolPriorConfig(codes=config.codes, height=side, width=side, **size)


def vq_vae_settings(fast: bool) -> Settings:
    small = {"layers": 1, "heads": 2, "channels": 16} if fast else {}
    prior = {"layers": 3, "heads": 4, "channels": 96, "dropout": 0.1, **small}
    return Settings(
        recipe="vq_vae",
        steps=40 if fast else 3000,
        batch_size=32,
        lr=2e-3,
        log_every=10 if fast else 50,
        save_every=20 if fast else 500,
        model=dataclasses.asdict(VQVAEConfig(widths=(4, 8)) if fast else VQVAEConfig()),
        options={
            "autoencoder_share": 0.4,  # of the steps; the prior has the rest
            "revive_every": 20,
            "prior": prior,
            "prior_lr": 2e-3,
            "weight_decay": 0.1,
            "test_images": 200 if fast else 1000,
        },
    )


def shared_out(settings: Settings) -> Settings:
    """With the steps divided between the autoencoder and the prior."""
    share = settings.options["autoencoder_share"]
    if not 0 < share < 1:
        raise ValueError(f"autoencoder_share must lie between 0 and 1, got {share}")
    first = max(1, round(share * settings.steps))
    rest = settings.steps - first
    parts = {"autoencoder_steps": first, "prior_steps": rest, "warmup": min(100, rest // 10)}
    return dataclasses.replace(settings, options={**settings.options, **parts})


RECIPES = {
    "vq_vae": Recipe(
        build=vq_vae,
        settings=vq_vae_settings,
        title="Vector-quantised variational autoencoder",
        lead="It writes each digit as a map of 7 x 7 symbols of an alphabet of its own, and draws "
        "it again from them. A Transformer then learns to write such maps: new digits.",
        figures=(
            Figure(
                "mse",
                "squared error of copies of test digits",
                "Of pixels from 0 to 1, on average. Lower is better.",
                digits=4,
            ),
            Figure("ssim", "SSIM of the copies", "1 for the digits themselves.", digits=3),
            Figure(
                "codes_used",
                "symbols that occur in the maps of test digits",
                "Those that never do are wasted.",
                beside="codes",
                against="in the alphabet",
                digits=0,
            ),
            Figure(
                "perplexity",
                "how many symbols those are worth",
                "As many equally frequent ones would be as hard to guess.",
            ),
            Figure(
                "prior",
                "cost of a map of symbols",
                "What the Transformer needs to know to write it. Lower is better.",
                unit="nats",
                beside="prior_untrained",
                against="all symbols equally likely",
                goal="beside",
            ),
            Figure(
                "test_loss",
                "cost of a test digit: its map, and its pixels given the map",
                "How many nats it takes at most to describe an unseen image. Lower is better.",
                unit="nats",
            ),
            frechet_figure(torch=53.5),
        ),
        curve=LossCurve(
            "nats an image",
            "Cost of the pixels and of the map over the steps; the Transformer begins when the "
            "alphabet is learned",
            losses=(("reconstruction", "pixels, given the map"), ("prior", "map of symbols")),
        ),
        captions={
            "reconstructions": "Digits of the test set, and below each what its 49 symbols keep",
        },
        follow=shared_out,
    )
}
