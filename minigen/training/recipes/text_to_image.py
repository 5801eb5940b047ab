"""The recipe of text to image: digits that are drawn as a caption says.

Of each digit one combination of thickness and slant is left out of training: no thick tilted three,
say, though there are thick threes, tilted threes, and other digits that are both. Whether the model
draws it all the same shows if it has understood the words one by one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor, nn, optim
from minigen.data import TensorDataset, load_mnist5k
from minigen.data.captions import MIDDLE, Caption, levels, parse
from minigen.models.sampling import evaluating
from minigen.models.text_to_image import (
    TextToImage,
    TextToImageConfig,
    caption_tokens,
    leave_words_out,
)
from minigen.models.vae import bernoulli_log_likelihood
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.images import digits
from minigen.training.recipes.loading import EVALUATION_SEED, batches

CORNERS = ((0, 0), (0, 2), (2, 2), (2, 0))  # thickness and slant: thin upright to thick upright
ASPECTS = ("digit", "thickness", "slant", "all")  # of a caption, that a picture agrees with or not
AT_ONCE = 250


def caption(digit: int, corner: tuple[int, int]) -> Caption:
    return Caption(digit, (*corner, MIDDLE))


# Thin upright zeros, thin tilted ones, thick tilted twos, thick upright threes, and so on.
HELD_OUT = tuple(caption(digit, CORNERS[digit % 4]) for digit in range(10))
SEEN = tuple(
    found
    for digit in range(10)
    for corner in CORNERS
    if (found := caption(digit, corner)) not in HELD_OUT
)


def text_to_image(settings: Settings) -> Job:
    """The autoencoder for the first part of the steps; then its symbols are what they are, and the
    Transformer learns to write them after a caption, some of whose words are left out."""
    options = settings.options
    model = TextToImage(TextToImageConfig(**settings.model))
    model.to(settings.device)
    adam = optim.Adam(model.vq_vae.parameters(), lr=settings.lr)
    adamw = optim.AdamW(
        model.gpt.parameter_groups(options["weight_decay"]),
        lr=options["writer_lr"],
        betas=(0.9, 0.99),
    )
    first, cosine = options["autoencoder_steps"], optim.lr_scheduler.cosine_with_warmup
    schedules = {
        "autoencoder": cosine(adam, 0, first, min_ratio=0.1),
        "writer": cosine(adamw, options["warmup"], options["writer_steps"], min_ratio=0.1),
    }
    worth = model.config.side**2 * float(np.log(model.config.codes))  # if all are equally likely

    def improve_autoencoder(x: Tensor) -> dict[str, Tensor]:
        logits, quantized = model.vq_vae(x)
        pixels = -bernoulli_log_likelihood(logits.flatten(1), x.flatten(1)).mean()
        adam.zero_grad()
        (pixels / x[0].numel() + quantized.loss).backward()
        adam.step()
        done = schedules["autoencoder"].last_epoch
        if done % options["revive_every"] == 0 and done < first // 2:
            model.vq_vae.codebook.revive(model.vq_vae.encoder(x))
        schedules["autoencoder"].step()
        return {"pixels": pixels, "symbols": minigen.full_like(pixels, worth)}

    def improve_writer(x: Tensor, y: Tensor, said: Tensor) -> dict[str, Tensor]:
        with minigen.no_grad():
            logits, quantized = model.vq_vae(x)
            pixels = -bernoulli_log_likelihood(logits.flatten(1), x.flatten(1)).mean()
        said = leave_words_out(said, options["words_left_out"])
        cost = -model(caption_tokens(y, said), quantized.symbols).mean()
        adamw.zero_grad()
        cost.backward()
        nn.utils.clip_grad_norm_(model.gpt.parameters(), 1.0)
        adamw.step()
        schedules["writer"].step()
        return {"pixels": pixels, "symbols": cost}

    def step(batch: Any) -> dict[str, Tensor]:
        x, y, said = batch  # (N, 1, 28, 28), (N,), (N, 3)
        if schedules["autoencoder"].last_epoch < first:
            return improve_autoencoder(x)
        return improve_writer(x, y, said)

    test = [part[: options["test_images"]] for part in examples("test")]
    studio = Studio(model, settings)

    def evaluate(thorough: bool) -> dict[str, float]:
        metrics = cost_of_images(model, [part.to(settings.device) for part in test])
        return metrics | studio.agreements(*test) if thorough else metrics

    return Job(
        settings,
        modules={"model": model},
        optimizers={"adam": adam, "adamw": adamw},
        schedules=schedules,
        loader=batches(settings, TensorDataset(*without(HELD_OUT, examples("train")))),
        step=step,
        evaluate=evaluate,
        best="test_loss",
        images=studio.images,
        illustrate=studio.illustrate,
        pictures={"captions": studio.captions},
    )


class Studio:
    """Pictures of captions, and whether they are as asked for."""

    def __init__(self, model: TextToImage, settings: Settings) -> None:
        self.model, self.options = model, settings.options

    def draw(self, asked: Sequence[Caption], generator: Generator) -> NDArray[np.float32]:
        """(N, 28, 28) in [0, 1]."""
        with evaluating(self.model):
            parts = [
                self.model.draw(asked[start : start + AT_ONCE], generator).cpu().numpy()[:, 0]
                for start in range(0, len(asked), AT_ONCE)
            ]
        return np.concatenate(parts)

    def images(self, count: int, generator: Generator) -> NDArray[np.float32]:
        """Of captions that training has seen, in turn."""
        return self.draw([SEEN[i % len(SEEN)] for i in range(count)], generator)

    def illustrate(self, prompt: str, count: int, generator: Generator) -> NDArray[np.float32]:
        """Of one caption. Raises ValueError for words that no caption has."""
        return self.draw([parse(prompt)] * count, generator)

    def captions(self) -> bytes:
        """Some captions, seen in training and not, with ten pictures each: a PNG file's bytes."""
        from minigen.viz.captioned import captioned

        shown = [*SEEN[10:13], *SEEN[27:30], *HELD_OUT[2:5], *HELD_OUT[7:10]]
        generator = Generator().manual_seed(EVALUATION_SEED)
        made = self.draw([c for c in shown for _ in range(10)], generator)
        labels = [f"{c}\n(never seen)" if c in HELD_OUT else str(c) for c in shown]
        return captioned(made.reshape(len(shown), 10, *made.shape[1:]), labels)

    def agreements(self, x: Tensor, y: Tensor, said: Tensor) -> dict[str, float]:
        """Shares of pictures that are as their caption says: of combinations of words that training
        has seen, of those it has not, and, as the most that the symbols can hold, of real test
        digits that were coded and decoded."""
        generator = Generator().manual_seed(EVALUATION_SEED)
        found: dict[str, float] = {}
        for name, asked in (("seen", SEEN), ("unseen", HELD_OUT)):
            each = -(-self.options["pictures"] // len(asked))
            wanted = [c for c in asked for _ in range(each)]
            found |= agreement(name, self.draw(wanted, generator), wanted)
        extreme = (said[:, :2] != MIDDLE).all(dim=1).numpy()  # a word for thickness and for slant
        there = x[extreme].to(self.model.gpt.wte.weight.device)
        copies = self.model.vq_vae.decode(self.model.vq_vae.encode(there)).cpu().numpy()[:, 0]
        real = zip(y.numpy()[extreme].tolist(), said.numpy()[extreme].tolist())
        return found | agreement("real", copies, [Caption(d, tuple(words)) for d, words in real])


def agreement(name: str, made: NDArray[np.float32], asked: Sequence[Caption]) -> dict[str, float]:
    """Shares of pictures (N, 28, 28) with the digit, the thickness and the slant of their captions,
    and with all three: the digit as the shipped classifier sees it, the rest by geometry."""
    from minigen.metrics import digit_probabilities

    wanted = np.array([c.digit for c in asked])
    said = np.array([c.levels for c in asked])
    right = np.stack(
        [
            digit_probabilities(made).argmax(1) == wanted,
            *(levels(made, wanted) == said).T[:2],  # thickness and slant
        ]
    )  # (3, N)
    shares = [*right.mean(1), right.all(0).mean()]
    return {f"{name}_{aspect}": float(share) for aspect, share in zip(ASPECTS, shares)}


def examples(split: str) -> tuple[Tensor, Tensor, Tensor]:
    """Digits (N, 1, 28, 28) in [0, 1], which they are (N,), the levels of attributes (N, 3)."""
    labels = load_mnist5k(split).labels
    x = digits(split).reshape(-1, 1, 28, 28)  # (N, 784) -> (N, 1, 28, 28)
    said = levels(x[:, 0].numpy(), labels)
    return x, minigen.from_numpy(labels), minigen.from_numpy(said)


def without(
    held_out: Sequence[Caption], data: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """The examples but those with a combination of digit, thickness and slant that is held out."""
    x, y, said = data
    out = {(c.digit, *c.levels[:2]) for c in held_out}
    rows = zip(y.tolist(), said.tolist())
    keep = minigen.tensor([(digit, *words[:2]) not in out for digit, words in rows])
    return x[keep], y[keep], said[keep]


@minigen.no_grad()
def cost_of_images(model: TextToImage, test: Sequence[Tensor]) -> dict[str, float]:
    """What test images cost in nats: their pixels given the symbols, the symbols given the caption,
    and both together, which bounds -ln p(x|c)."""
    pixels = symbols = 0.0
    with evaluating(model):
        for x, y, said in zip(*(part.split(AT_ONCE) for part in test)):
            logits, quantized = model.vq_vae(x)
            pixels -= float(bernoulli_log_likelihood(logits.flatten(1), x.flatten(1)).sum())
            symbols -= float(model(caption_tokens(y, said), quantized.symbols).sum())
    n = len(test[0])
    return {
        "test_loss": (pixels + symbols) / n,
        "test_pixels": pixels / n,
        "test_symbols": symbols / n,
    }


def text_to_image_settings(fast: bool) -> Settings:
    small: dict[str, Any] = {"widths": (4, 8), "layers": 1, "heads": 2, "channels": 16}
    return Settings(
        recipe="text_to_image",
        steps=40 if fast else 1800,
        batch_size=32,
        lr=2e-3,
        log_every=10 if fast else 50,
        save_every=20 if fast else 600,
        model=dataclasses.asdict(TextToImageConfig(**(small if fast else {}))),
        options={
            "autoencoder_share": 1 / 3,  # of the steps; the Transformer has the rest
            "revive_every": 20,  # steps between new lives for symbols that are never used
            "writer_lr": 2e-3,
            "weight_decay": 0.1,
            "words_left_out": 0.15,
            "pictures": 40 if fast else 300,  # about as many for each agreement
            "test_images": 200 if fast else 1000,
        },
    )


def shared_out(settings: Settings) -> Settings:
    """With the steps divided between the two. Raises ValueError for a share of none or all."""
    share = settings.options["autoencoder_share"]
    if not 0 < share < 1:
        raise ValueError(f"autoencoder_share must lie between 0 and 1, got {share}")
    first = max(1, round(share * settings.steps))
    rest = max(2, settings.steps - first)
    parts = {"autoencoder_steps": first, "writer_steps": rest, "warmup": min(100, rest // 10)}
    return dataclasses.replace(settings, options={**settings.options, **parts})


def _figures() -> tuple[Figure, ...]:
    """For each aspect, of combinations that training has seen, and of those it has not."""
    told = {
        "digit": ("the digit", "As the digit classifier sees it; by chance 0.100."),
        "thickness": ("the thickness", "By geometry, thin or thick; by chance 0.333."),
        "slant": ("the slant", "By geometry, upright or tilted; by chance 0.333."),
        "all": ("all three", "Digit, thickness and slant; by chance 0.011."),
    }
    return tuple(
        Figure(
            f"{name}_{aspect}",
            f"{which}: {label} as asked for",
            note,
            beside=f"real_{aspect}",
            against="real digits, coded and decoded",
            higher=True,
            digits=3,
        )
        for name, which in (("seen", "captions seen"), ("unseen", "captions never seen"))
        for aspect, (label, note) in told.items()
    )


RECIPES = {
    "text_to_image": Recipe(
        build=text_to_image,
        settings=text_to_image_settings,
        title="Text to image",
        lead="An autoencoder learns to write digits as maps of 49 symbols; a Transformer learns to "
        "write such maps after captions like “a thick tilted three”. Some combinations of words it "
        "never saw: those tell whether it understands the words or remembers the captions.",
        figures=_figures(),
        curve=LossCurve(
            "nats an image",
            "Cost of the pixels and of the symbols over the steps; the Transformer begins when the "
            "symbols are learned",
            losses=(("pixels", "pixels, given the symbols"), ("symbols", "symbols")),
        ),
        captions={
            "samples": "Pictures of captions that training has seen, not selected",
            "captions": "Ten pictures of each caption, not selected",
        },
        follow=shared_out,
    )
}
