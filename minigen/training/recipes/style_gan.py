"""The recipe of the style-based GAN, and of the plain one that it is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen.data import TensorDataset
from minigen.metrics import PathLength, digit_features, path_length, spherical
from minigen.models.dcgan import ConvDiscriminator, ConvGenerator, DCGANConfig
from minigen.models.gan import Generator
from minigen.models.style_gan import (
    StyleGANConfig,
    StyleGenerator,
    TraditionalGenerator,
    mix_styles,
)
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, Recipe
from minigen.training.recipes.contest import Contest, Rules
from minigen.training.recipes.gan import CURVE
from minigen.training.recipes.images import (
    TO_TANH,
    digits,
    frechet_figure,
    image_scores,
    normalisation,
    realism,
)
from minigen.training.recipes.loading import batches

PICTURE_SEED = 777
Seen = Callable[[minigen.Tensor], NDArray[np.float32]]  # images (..., 1, 28, 28) in [0, 1]


def style_gan(settings: Settings) -> Job:
    """A style-based generator against the discriminator of the DCGAN. With generator=traditional or
    dcgan another takes its place, of at least as many parameters, and nothing else differs."""
    options, config = settings.options, StyleGANConfig(**settings.model)
    if (config.channels, config.size) != (1, 28):
        raise ValueError(
            "the digits have 1 channel and 28 pixels a side, got "
            f"channels={config.channels} and size={config.size}"
        )
    D = ConvDiscriminator(DCGANConfig(width=options["width_d"], dropout=options["dropout"]))
    contest = Contest(generator(config, options["generator"]), D, settings)
    scaling = normalisation(settings)

    def seen(made: minigen.Tensor) -> NDArray[np.float32]:
        """Images (..., 1, 28, 28) of the generator in the units of the data, (..., 28, 28)."""
        return scaling.inverse(made.detach().cpu().numpy()[..., 0, :, :])

    def images(count: int, generator: minigen.Generator) -> NDArray[np.float32]:
        artist = contest.artist
        if isinstance(artist, StyleGenerator):
            return seen(artist.draw(count, generator, options["truncation"]))
        return seen(artist.draw(count, generator))

    artist = contest.artist

    def evaluate(thorough: bool) -> dict[str, float]:
        metrics = realism(images, settings, with_floor=thorough)
        if thorough:
            found = detours(artist, seen, options["test_images"])
            metrics |= {"path_detour": found.detour, "path_length": found.length}
        return metrics

    pictures = {}
    if isinstance(artist, StyleGenerator):
        pictures = {
            "mixing": lambda: seen(mixing_table(artist)),
            "truncation": lambda: seen(truncation_table(artist)),
            "noise": lambda: noise_table(seen, artist),
        }
    return Job(
        settings,
        modules=contest.modules,
        optimizers=contest.optimizers,
        loader=batches(settings, TensorDataset(scaling(digits("train")))),
        step=contest.step,
        evaluate=evaluate,
        best="frechet",
        images=images,
        scores=image_scores(images, settings),
        pictures=pictures,
    )


def generator(config: StyleGANConfig, kind: str) -> Generator:
    """The style-based one, or the narrowest of another kind that has no fewer parameters.

    Raises ValueError for a kind that there is not.
    """
    if kind not in GENERATORS:
        raise ValueError(f"generator must be one of {', '.join(GENERATORS)}, got {kind!r}")
    make, count = GENERATORS[kind]
    c = config if kind == "style" else dataclasses.replace(config, width=1)
    while count(c) < parameters_of_style(config):
        c = dataclasses.replace(c, width=c.width + 1)
    return make(c)


def dcgan_of(c: StyleGANConfig) -> DCGANConfig:
    return DCGANConfig(channels=c.channels, size=c.size, latent=c.latent, width=c.width)


def parameters_of_style(c: StyleGANConfig) -> int:
    """How many numbers a StyleGenerator learns."""
    w, j = c.width, c.latent
    mapping = c.mapping * (j * j + j)
    constant = 4 * w * (c.size // 4) ** 2
    sizes = (4 * w, 4 * w, 2 * w, 2 * w, w, w)
    styles = sum(n + (j + 1) * 2 * n for n in sizes)  # B and A of each layer
    return mapping + constant + styles + parameters_of_convolutions(c)


def parameters_of_traditional(c: StyleGANConfig) -> int:
    """How many numbers a TraditionalGenerator learns."""
    return (c.latent + 1) * 4 * c.width * (c.size // 4) ** 2 + parameters_of_convolutions(c)


def parameters_of_convolutions(c: StyleGANConfig) -> int:
    """Those that both of these have, and the last, 1 x 1."""
    w = c.width
    weights = 9 * (4 * w) ** 2 + 16 * 8 * w * w + 9 * (2 * w) ** 2 + 16 * 2 * w * w + 9 * w * w
    return weights + (4 + 2 + 2 + 1 + 1) * w + (w + 1) * c.channels


def parameters_of_dcgan(c: StyleGANConfig) -> int:
    """How many numbers a ConvGenerator learns."""
    w, first, kernel = c.width, 4 * c.width * (c.size // 4) ** 2, dcgan_of(c).kernel
    convs = kernel**2 * (8 * w * w + 2 * w * w + w * c.channels)
    return c.latent * first + 2 * first + convs + 2 * (2 * w + w)


GENERATORS: dict[str, tuple[Callable[[StyleGANConfig], Generator], Callable[..., int]]] = {
    "style": (StyleGenerator, parameters_of_style),
    "traditional": (TraditionalGenerator, parameters_of_traditional),
    "dcgan": (lambda c: ConvGenerator(dcgan_of(c)), parameters_of_dcgan),
}


@minigen.no_grad()
def detours(artist: Generator, seen: Seen, paths: int) -> PathLength:
    """How long the ways are between the images of two z: between their styles w, as the paper
    measures it, with one noise for all of a way; or, of another generator, on the sphere of z."""
    drawn = minigen.Generator().manual_seed(PICTURE_SEED)
    a, b = (artist.noise(paths, drawn) for _ in range(2))  # (N, J)
    training = artist.training
    artist.eval()
    if isinstance(artist, StyleGenerator):
        styles, noise = artist.styles, artist.noise_images(paths, drawn)
        first, last = styles(a), styles(b)  # (N, L, J)

        def images(t: NDArray[np.float64]) -> minigen.Tensor:
            way = minigen.tensor(t[:, None, None]).to(first)  # (N,) -> (N, 1, 1)
            return artist.synthesize(first + way * (last - first), noise)
    else:
        u, v = (z.cpu().numpy().astype(np.float64) for z in (a, b))

        def images(t: NDArray[np.float64]) -> minigen.Tensor:
            return artist(minigen.from_numpy(spherical(u, v, t)).to(a))

    found = path_length(lambda t: digit_features(seen(images(t))), paths)
    artist.train(training)
    return found


def mixing_table(artist: StyleGenerator, layer: int = 2) -> minigen.Tensor:
    """The table of figure 3, (1 + 5, 1 + 7, 1, 28, 28): each picture inside has the coarse styles
    of the one at the left and the fine styles of the one above; in the corner is that of the mean
    style. The noise is the same in all."""
    drawn = minigen.Generator().manual_seed(PICTURE_SEED)
    with minigen.no_grad():
        mean = artist.mean_style()[None, None].expand(1, len(artist.layers), -1)  # (1, L, J)
        coarse = minigen.cat([mean, artist.styles(artist.noise(5, drawn))])  # (1 + R, L, J)
        fine = minigen.cat([mean, artist.styles(artist.noise(7, drawn))])  # (1 + C, L, J)
        table = mix_styles(coarse, fine, layer)
        table[0], table[:, 0] = fine, coarse
        rows, columns, *style = table.shape
        noise = [n.expand(rows * columns, -1, -1, -1) for n in artist.noise_images(1, drawn)]
        made = artist.synthesize(table.reshape(rows * columns, *style), noise)
    return made.reshape(rows, columns, *made.shape[1:])  # (R C, ...) -> (R, C, ...)


def truncation_table(artist: StyleGenerator) -> minigen.Tensor:
    """Eight pictures, (4, 8, 1, 28, 28), drawn towards the mean from row to row: psi = 1, 0.7, 0.4
    and 0, where all are one. The noise is the same in all rows."""
    drawn = minigen.Generator().manual_seed(PICTURE_SEED)
    with minigen.no_grad():
        z, noise = artist.noise(8, drawn), artist.noise_images(8, drawn)
        rows = [artist.synthesize(artist.styles(z, psi), noise) for psi in (1.0, 0.7, 0.4, 0.0)]
    return minigen.stack(rows)


def noise_table(seen: Seen, artist: StyleGenerator) -> NDArray[np.float32]:
    """What the noise inputs alone change (figure 4), (4, 8, 28, 28): in a row the same style seven
    times with other noise, and at its end the standard deviation over 64, five times as bright."""
    drawn = minigen.Generator().manual_seed(PICTURE_SEED)
    rows = []
    with minigen.no_grad():
        for style in artist.styles(artist.noise(4, drawn)):
            same = style[None].expand(64, -1, -1)  # (L, J) -> (64, L, J)
            made = seen(artist.synthesize(same, generator=drawn))
            rows.append(np.concatenate([made[:7], 5 * made.std(axis=0)[None]]))
    return np.stack(rows)


def style_gan_settings(fast: bool) -> Settings:
    return Settings(
        recipe="style_gan",
        steps=20 if fast else 1500,
        batch_size=32,
        lr=3e-3,
        log_every=5 if fast else 50,
        save_every=10 if fast else 250,
        model=dataclasses.asdict(StyleGANConfig(width=4 if fast else 12, mixing=0.3)),
        options={
            "betas": [0.0, 0.99],
            **dataclasses.asdict(Rules(r1=1.0, average=0.99)),
            "generator": "style",
            "width_d": 8 if fast else 16,
            "dropout": 0.0,
            "truncation": 1.0,
            "normalisation": TO_TANH.to_dict(),
            "test_images": 200 if fast else 1000,
        },
    )


RECIPES = {
    "style_gan": Recipe(
        build=style_gan,
        settings=style_gan_settings,
        title="Style-based generative adversarial network",
        lead="A generator that does not stretch noise into a picture, but starts from one fixed "
        "picture and is told at every layer in which style to go on. The styles of coarse layers "
        "act on the shape, those of fine layers on the strokes, and they can be mixed.",
        figures=(
            frechet_figure(),
            Figure(
                "path_detour",
                "length of the way from one digit to another",
                "In the classifier's features, over that of the straight way (perceptual path "
                "length); 1 at best.",
                digits=2,
            ),
        ),
        curve=CURVE,
        captions={
            "mixing": "Styles mixed: each digit has the coarse styles of the one at the left and "
            "the fine styles of the one above; in the corner, the average digit",
            "truncation": "The same eight digits, from row to row nearer to the average one",
            "noise": "The same style with other noise seven times; at the end, where the noise "
            "matters (standard deviation, times five)",
        },
    ),
}
