"""Recipes: how each model is trained. Data, optimizer, the update of one step, what is measured.

A recipe is a function of `Settings` that returns a `Job` for `minigen.training.train`. Nothing else
about a model is hidden in the training loop: what a step does stands here in a few lines.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor, nn, optim
from minigen.data import (
    CharTokenizer,
    DataLoader,
    NGram,
    TensorDataset,
    load_mnist5k,
    load_shakespeare,
)
from minigen.models.gan import (
    Discriminator,
    GANConfig,
    GeneratorNetwork,
    discriminator_loss,
    generator_loss,
)
from minigen.models.transformer import GPT, GPTConfig, next_token_loss
from minigen.models.vae import VAE, VAEConfig, elbo, kl_divergence
from minigen.training import Job, Settings

EVALUATION_SEED = 54321  # noise of evaluations: apart from training's, so that they change nothing

# ------------------------------------------------------------------------------------ the VAE


def vae(settings: Settings) -> Job:
    """Maximise the ELBO of grey MNIST digits with Adam."""
    model = VAE(VAEConfig(**settings.model))
    optimizer = optim.Adam(model.parameters(), lr=settings.lr)
    test = digits("test")[: settings.options["test_images"]]

    def step(batch: Any) -> dict[str, Tensor]:
        (x,) = batch  # (N, 784)
        logits, mu, logvar = model(x)
        loss = -elbo(logits, x, mu, logvar).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    @minigen.no_grad()
    def evaluate(thorough: bool) -> dict[str, float]:
        noise = Generator().manual_seed(EVALUATION_SEED)
        mu, _ = model.encode(test)
        draws = 10 if thorough else 1  # of z for each image
        losses, kls = [], []
        for _ in range(draws):
            epsilon = minigen.randn(*mu.shape, generator=noise, dtype=mu.dtype)
            logits, mu, logvar = model(test, epsilon)
            losses.append(-float(elbo(logits, test, mu, logvar).mean()))
            kls.append(float(kl_divergence(mu, logvar).mean()))
        metrics = {"test_loss": float(np.mean(losses)), "test_kl": float(np.mean(kls))}
        if thorough:
            metrics |= realism(images, settings)
        return metrics

    def images(count: int, generator: Generator) -> NDArray[np.float32]:
        return model.sample(count, generator).numpy().reshape(count, 28, 28)

    def reconstructions() -> NDArray[np.float32]:
        originals = digits("test")[:10]
        rows = [originals.numpy(), model.reconstruct(originals).numpy()]
        return np.stack(rows).reshape(2, 10, 28, 28)

    return Job(
        settings,
        modules={"vae": model},
        optimizers={"adam": optimizer},
        loader=batches(settings, TensorDataset(digits("train"))),
        step=step,
        evaluate=evaluate,
        best="test_loss",
        images=images,
        pictures={"reconstructions": reconstructions},
    )


# ------------------------------------------------------------------------------------ the GAN


def gan(settings: Settings) -> Job:
    """Algorithm 1 of Goodfellow et al., one update of D for one of G, with two Adams."""
    config = GANConfig(**settings.model)
    G, D = GeneratorNetwork(config), Discriminator(config)
    betas = tuple(settings.options["betas"])
    optimizer_g = optim.Adam(G.parameters(), lr=settings.lr, betas=betas)
    optimizer_d = optim.Adam(D.parameters(), lr=settings.lr, betas=betas)

    def step(batch: Any) -> dict[str, Tensor]:
        (real,) = batch  # (N, 784)
        n = len(real)
        fake = G(G.noise(n))
        # Real and generated images go through D together: one product of twice the size.
        logits = D(minigen.cat([real, fake.detach()]))  # (2N, 784) -> (2N, 1)
        loss_d = discriminator_loss(logits[:n], logits[n:])
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()
        with D.frozen():
            loss_g = generator_loss(D(fake))
            optimizer_g.zero_grad()
            loss_g.backward()
        optimizer_g.step()
        return {"discriminator": loss_d, "generator": loss_g}

    def images(count: int, generator: Generator) -> NDArray[np.float32]:
        return G.sample(count, generator).numpy().reshape(count, 28, 28)

    return Job(
        settings,
        modules={"generator": G, "discriminator": D},
        optimizers={"generator": optimizer_g, "discriminator": optimizer_d},
        loader=batches(settings, TensorDataset(digits("train") * 2 - 1)),  # tanh: -1 to 1
        step=step,
        evaluate=lambda thorough: realism(images, settings, with_floor=thorough),
        best="frechet",
        images=images,
    )


# ------------------------------------------------------------------------------------ the GPT


def gpt(settings: Settings) -> Job:
    """Predict the next character of Shakespeare, with AdamW, warm-up and a cosine."""
    options = settings.options
    model = GPT(GPTConfig(**settings.model))
    optimizer = optim.AdamW(
        model.parameter_groups(options["weight_decay"]),
        lr=settings.lr,
        betas=tuple(options["betas"]),
    )
    schedule = optim.lr_scheduler.cosine_with_warmup(
        optimizer,
        warmup_steps=options["warmup"],
        total_steps=options["horizon"],
        min_ratio=options["lowest_lr"],
    )
    tokenizer = CharTokenizer.from_dict(options["tokenizer"])
    training, validation = plays(options["characters"])
    context = model.config.context
    windows = minigen.from_numpy(cut(tokenizer.encode(validation), context))  # (M, T + 1)

    def step(batch: Tensor) -> dict[str, Tensor]:
        loss = next_token_loss(model(batch[:, :-1]), batch[:, 1:])  # (N, T + 1) -> 2 x (N, T)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), options["clip"])
        optimizer.step()
        schedule.step()
        return {"loss": loss}

    @minigen.no_grad()
    def evaluate(thorough: bool) -> dict[str, float]:
        some = windows if thorough else windows[:: max(1, len(windows) // 256)]
        model.eval()
        losses = [
            float(next_token_loss(model(part[:, :-1]), part[:, 1:])) * len(part)
            for part in some.split(64)
        ]
        model.train()
        metrics = {"validation_loss": sum(losses) / len(some)}
        if thorough:
            metrics |= count_ngrams(options["characters"])
        return metrics

    def write(
        prompt: str, count: int, temperature: float, top_k: int | None, generator: Generator
    ) -> str:
        ids = minigen.from_numpy(tokenizer.encode(prompt)[None])  # (1, T)
        written = model.generate(
            ids, count, temperature=temperature, top_k=top_k, generator=generator
        )
        return tokenizer.decode(written[0].numpy())

    ids = tokenizer.encode(training)
    return Job(
        settings,
        modules={"gpt": model},
        optimizers={"adamw": optimizer},
        schedules={"cosine": schedule},
        loader=batches(settings, Windows(ids, context + 1), gather),
        step=step,
        evaluate=evaluate,
        best="validation_loss",
        write=write,
    )


# ------------------------------------------------------------------------------------ data


def digits(split: str) -> Tensor:
    """MNIST-5k as float32 (N, 784) in [0, 1]."""
    images, _ = load_mnist5k(split)
    return minigen.from_numpy(images.reshape(len(images), -1).astype(np.float32) / 255)


def plays(characters: int | None) -> tuple[str, str]:
    """The first 90 % of the plays to train on, the last 10 % to validate with."""
    text = load_shakespeare()[:characters]
    cut_at = len(text) * 9 // 10
    return text[:cut_at], text[cut_at:]


def cut(ids: NDArray[np.int64], context: int) -> NDArray[np.int64]:
    """Windows (M, context + 1) such that every token but the first is predicted exactly once.

    The last ones are left out if they do not fill a window. Raises ValueError if none is filled.
    """
    count = (len(ids) - 1) // context
    if count == 0:
        raise ValueError(f"a text of {len(ids)} tokens does not fill a context of {context}")
    starts = np.arange(count)[:, None] * context
    return ids[starts + np.arange(context + 1)]


class Windows:
    """Every stretch of `length` tokens of a text, by where it begins: a dataset."""

    def __init__(self, ids: NDArray[np.int64], length: int) -> None:
        self.ids, self.length = ids, length

    def __len__(self) -> int:
        return len(self.ids) - self.length + 1

    def __getitem__(self, start: int) -> NDArray[np.int64]:
        return self.ids[start : start + self.length]


def gather(windows: list[NDArray[np.int64]]) -> Tensor:
    """N windows of T + 1 tokens -> (N, T + 1)."""
    return minigen.from_numpy(np.stack(windows))


def batches(
    settings: Settings, dataset: Any, collate_fn: Callable[[list], Any] | None = None
) -> DataLoader:
    """Full batches in an order that follows from the run's seed.

    Raises ValueError if the data does not fill one batch.
    """
    if settings.batch_size > len(dataset):
        raise ValueError(
            f"a batch of {settings.batch_size} is more than all {len(dataset)} examples"
        )
    return DataLoader(
        dataset,
        batch_size=settings.batch_size,
        shuffle=True,
        drop_last=True,
        collate_fn=collate_fn,
        generator=Generator().manual_seed(settings.seed),
    )


# ------------------------------------------------------------------------------------ metrics


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
    metrics = {"frechet": float(frechet_distance(made, real))}
    if with_floor:
        metrics["frechet_floor"] = float(frechet_distance(real_features("test")[:count], real))
    return metrics


@functools.cache
def real_features(split: str) -> Any:
    from minigen.metrics import digit_features

    return digit_features(digits(split).numpy().reshape(-1, 28, 28))


@functools.cache
def count_ngrams(characters: int | None) -> dict[str, float]:
    """What counting achieves on the same split: the best of the n-grams up to order 4."""
    training, validation = plays(characters)
    symbols = "".join(sorted(set(training + validation)))
    losses = {
        order: NGram.fit(training, order, symbols).nats_per_character(validation)
        for order in (2, 3, 4)
    }
    best = min(losses, key=losses.__getitem__)
    return {"ngram_loss": losses[best], "ngram_order": best}


# ------------------------------------------------------------------------------------ settings

RECIPES: dict[str, Callable[[Settings], Job]] = {"vae": vae, "gan": gan, "gpt": gpt}


def default_settings(recipe: str, fast: bool = False, **changes: Any) -> Settings:
    """The recipe's own settings, with what is not None of `changes` in their place.

    `fast` makes a run of seconds out of it, to see that everything works; it learns little.
    Raises ValueError for an unknown recipe or a setting out of range.
    """
    if recipe not in RECIPES:
        raise ValueError(f"there is no recipe {recipe!r}; choose one of {', '.join(RECIPES)}")
    given = {name: value for name, value in changes.items() if value is not None}
    settings = {"vae": _vae, "gan": _gan, "gpt": _gpt}[recipe](fast)
    settings = dataclasses.replace(settings, **given)
    if recipe == "gpt":
        schedule = {"warmup": min(100, settings.steps // 10), "horizon": settings.steps}
        settings = dataclasses.replace(settings, options={**settings.options, **schedule})
    return settings


def _vae(fast: bool) -> Settings:
    return Settings(
        recipe="vae",
        steps=60 if fast else 2000,
        batch_size=128,
        lr=1e-3,
        log_every=10 if fast else 50,
        save_every=30 if fast else 500,
        model=dataclasses.asdict(VAEConfig()),
        options={"test_images": 200 if fast else 1000},
    )


def _gan(fast: bool) -> Settings:
    return Settings(
        recipe="gan",
        steps=40 if fast else 2500,
        batch_size=64,
        lr=2e-4,
        log_every=10 if fast else 50,
        save_every=20 if fast else 500,
        model=dataclasses.asdict(GANConfig()),
        options={"betas": [0.5, 0.999], "test_images": 200 if fast else 1000},
    )


def _gpt(fast: bool) -> Settings:
    characters = 60_000 if fast else None
    training, validation = plays(characters)
    tokenizer = CharTokenizer(training + validation)
    size: dict[str, Any] = {"context": 32, "layers": 2, "heads": 2, "width": 32} if fast else {}
    return Settings(
        recipe="gpt",
        steps=60 if fast else 1400,
        batch_size=16,
        lr=4e-3,
        log_every=10 if fast else 50,
        save_every=30 if fast else 350,
        model=dataclasses.asdict(GPTConfig(vocabulary=len(tokenizer), **size)),
        options={
            "betas": [0.9, 0.99],
            "weight_decay": 0.1,
            "clip": 1.0,
            "lowest_lr": 0.1,
            "characters": characters,
            "tokenizer": tokenizer.to_dict(),
        },
    )
