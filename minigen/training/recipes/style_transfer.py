"""The recipe of style transfer: pixels are what is learned."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor, optim
from minigen.data import TensorDataset, load_mnist5k
from minigen.data.textures import PAGES
from minigen.metrics.classifier import DigitClassifier, digit_classifier
from minigen.models.style_transfer import StyleTransfer
from minigen.nn import functional as F
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.loading import batches
from minigen.viz.grid import png, tile


def style_transfer(settings: Settings) -> Job:
    """Every digit of `digits` in every style of `styles`, by Adam on the pixels (equation 7)."""
    options = settings.options
    contents, styles, labels = pairs(options["digits"], options["styles"], options["magnified"])
    contents, styles = contents.to(settings.device), styles.to(settings.device)
    fixed = copy.deepcopy(digit_classifier()).to(settings.device)
    model = StyleTransfer(contents, styles, scales=options["scales"], classifier=fixed)
    with minigen.no_grad():  # where all is black no feature has a slope: a little noise gives one
        model.pixels.add_(0.1 * minigen.randn(*contents.shape).to(settings.device))
    model.keep_in_range()
    optimizer = optim.Adam(model.parameters(), lr=settings.lr)

    def step(batch: Any) -> dict[str, Tensor]:
        (chosen,) = batch  # (K,), which pictures
        content, style = model.losses(chosen)
        loss = options["content_weight"] * content + options["style_weight"] * style
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.keep_in_range()
        return {"loss": loss, "content": content, "style": style}

    @minigen.no_grad()
    def evaluate(thorough: bool) -> dict[str, float]:
        content, style = model.losses()
        metrics = {"loss": total(content, style, options)}
        metrics |= {"content": 1000 * float(content), "style": 1e6 * float(style)}
        if thorough:
            metrics |= {
                "content_of_style": 1000 * float(model.losses(pictures=styles)[0]),
                "style_of_content": 1e6 * float(model.losses(pictures=contents)[1]),
                "legible": float(100 * (read(fixed, model.pixels) == labels).mean()),
                "n": len(labels),
            }
        return metrics

    def draw(count: int, generator: Generator) -> NDArray[np.float32]:
        made = model.pixels.detach().cpu().numpy()[:, 0]  # (N, 1, S, S) -> (N, S, S)
        return made[np.arange(count) % len(made)]

    def table() -> NDArray[np.float32]:
        rows, columns = len(options["digits"]), len(options["styles"])
        shown = [each.cpu().numpy()[:, 0] for each in (contents, styles, model.pixels.detach())]
        size = shown[0].shape[1:]
        content, style, made = (each.reshape(rows, columns, *size) for each in shown)  # N = D S
        empty = np.zeros((1, *size), np.float32)
        body = np.concatenate([content[:, :1], made], axis=1)  # (rows, 1 + columns, H, W)
        return np.concatenate([np.concatenate([empty, style[0]])[None], body])

    return Job(
        settings,
        modules={"pictures": model},
        optimizers={"adam": optimizer},
        loader=batches(settings, TensorDataset(minigen.arange(len(labels)))),
        step=step,
        evaluate=evaluate,
        best="loss",
        draw=draw,
        plot=lambda pictures: png(tile(pictures, columns=len(options["styles"]), gap=6)),
        shown=len(labels),
        pictures={"table": table},
    )


def total(content: Tensor, style: Tensor, options: Any) -> float:
    return options["content_weight"] * float(content) + options["style_weight"] * float(style)


def pairs(
    digits: list[int], styles: list[str], magnified: int
) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
    """Each test digit of these numbers with each page of strokes: contents and styles (N, 1, S, S),
    S = 28 magnified, and what the digits are, (N,).

    Raises ValueError for a page or a digit that does not exist, or none.
    """
    images, labels = load_mnist5k("test")
    if not digits or not styles:
        raise ValueError("style_transfer: needs at least one of digits and one of styles")
    for name in styles:
        if name not in PAGES:
            raise ValueError(f"there is no style {name!r}; choose from {', '.join(PAGES)}")
    for number in digits:
        if not isinstance(number, int) or not 0 <= number < len(images):
            raise ValueError(f"digits are numbers of test digits, 0 to 999, got {number!r}")
    small = minigen.from_numpy(images[digits][:, None].astype(np.float32) / 255)
    large = F.interpolate(small, scale_factor=magnified, mode="bilinear").clamp(0, 1).numpy()
    pages = np.stack([PAGES[name](large.shape[-1]) for name in styles])[:, None]
    return (
        minigen.from_numpy(np.repeat(large, len(styles), axis=0)),  # (D, 1, H, W) -> (D S, ...)
        minigen.from_numpy(np.tile(pages, (len(digits), 1, 1, 1))),
        np.repeat(labels[digits], len(styles)),
    )


@minigen.no_grad()
def read(classifier: DigitClassifier, pictures: Tensor) -> NDArray[np.int64]:
    """What the classifier takes pictures (N, 1, S, S) for, made small again: (N,)."""
    return classifier(F.avg_pool2d(pictures, pictures.shape[3] // 28)).argmax(dim=1).cpu().numpy()


def style_transfer_settings(fast: bool) -> Settings:
    return Settings(
        recipe="style_transfer",
        steps=10 if fast else 120,
        batch_size=9,
        lr=0.03,
        log_every=2 if fast else 5,
        save_every=5 if fast else 40,
        options={
            "digits": [2, 3, 8],  # numbers of test digits: a two, a three, an eight
            "styles": list(PAGES),
            "content_weight": 1.0,  # alpha
            "style_weight": 300.0,  # beta
            "scales": 3,
            "magnified": 2 if fast else 4,  # times; a digit of 28 pixels a side has 112 then
        },
    )


RECIPES = {
    "style_transfer": Recipe(
        build=style_transfer,
        settings=style_transfer_settings,
        title="Style transfer",
        lead="Digits are drawn again with the strokes of other pictures: handwritten ones, "
        "heartbeats, sunspots through the years. Nothing is trained but the pixels; a digit "
        "classifier says what a picture shows, and which strokes it has.",
        figures=(
            Figure(
                "style",
                "distance from the style",
                "Between the Gram matrices of the classifier's features, in millionths. Lower is "
                "closer.",
                beside="style_of_content",
                against="the digits as they were",
                goal="beside",
            ),
            Figure(
                "content",
                "distance from the content",
                "Between the features themselves, place by place, in thousandths. Lower is closer.",
                beside="content_of_style",
                against="the pages of strokes",
                goal="beside",
            ),
            Figure(
                "legible",
                "still read as the digit that they show",
                "By the classifier whose features are used, from pictures made small again.",
                unit="%",
                higher=True,
                count="n",
                digits=0,
            ),
        ),
        curve=LossCurve("loss", "Loss over the steps", losses=(("loss", "content and style"),)),
        captions={
            "samples": "What came of it: a row a digit, a column a style",
            "table": "The same beside what it was made from: digits on the left, styles above",
        },
    ),
}
