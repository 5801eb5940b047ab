"""The recipes of the style-based GAN, of the DCGAN in colour and of style transfer: equal sizes of
what is compared, and tables and figures of what they say they are of."""

from __future__ import annotations

import numpy as np
import pytest

import minigen
from minigen import Generator
from minigen.data import load_mnist5k
from minigen.data.textures import PAGES
from minigen.models.style_gan import StyleGANConfig, StyleGenerator, mix_styles
from minigen.training.recipes import RECIPES, default_settings
from minigen.training.recipes.colour import colour_digits, real
from minigen.training.recipes.style_gan import (
    GENERATORS,
    PICTURE_SEED,
    generator,
    mixing_table,
    noise_table,
    truncation_table,
)
from minigen.training.recipes.style_transfer import pairs

SMALL = StyleGANConfig(size=12, latent=6, width=2, mapping=2)


def learned(module: minigen.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def noisy_artist() -> StyleGenerator:
    minigen.manual_seed(2)
    artist = StyleGenerator(SMALL)
    with minigen.no_grad():
        for layer in artist.layers:
            layer.noise.strength += 0.5
    return artist


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("kind", ["traditional", "dcgan"])
def test_another_generator_has_as_many_parameters(kind: str, fast: bool) -> None:
    settings = default_settings("style_gan", fast=fast)
    config = StyleGANConfig(**settings.model)
    style, other = (learned(generator(config, kind)) for kind in ("style", kind))
    assert style <= other < (1.5 if fast else 1.2) * style  # a width more or less counts for more
    with pytest.raises(ValueError, match="generator must be one of style, traditional, dcgan"):
        generator(config, "deep")


def test_parameters_are_counted_right() -> None:
    for config in (SMALL, StyleGANConfig(channels=3, size=16, latent=5, width=3, mapping=1)):
        for make, count in GENERATORS.values():
            assert count(config) == learned(make(config))


def test_the_table_of_mixtures_stands_between_its_sources() -> None:
    artist = noisy_artist()
    table = mixing_table(artist).numpy()
    assert table.shape == (6, 8, 1, 12, 12)
    drawn = Generator().manual_seed(PICTURE_SEED)
    with minigen.no_grad():
        coarse = artist.styles(artist.noise(5, drawn))
        fine = artist.styles(artist.noise(7, drawn))
        noise = artist.noise_images(1, drawn)
        mean = artist.mean_style()[None, None].expand(1, 6, -1)

        def alone(style: minigen.Tensor) -> np.ndarray:
            return artist.synthesize(style, noise).numpy()[0]

        expected = {
            (0, 0): alone(mean),
            (0, 3): alone(fine[2:3]),
            (4, 0): alone(coarse[3:4]),
            (4, 3): alone(mix_styles(coarse[3:4], fine[2:3], 2)[0]),
        }
    for place, picture in expected.items():
        np.testing.assert_allclose(table[place], picture, atol=1e-4, err_msg=str(place))


def test_rows_come_nearer_to_the_mean() -> None:
    rows = truncation_table(noisy_artist()).numpy()
    assert rows.shape == (4, 8, 1, 12, 12)
    apart = [np.abs(row - rows[3]).mean() for row in rows]
    assert apart[0] > apart[1] > apart[2] > apart[3] == 0
    silent = StyleGenerator(SMALL)
    average = truncation_table(silent).numpy()[3]
    np.testing.assert_allclose(average[1:], average[:-1], atol=1e-4)


def test_the_table_of_noise_shows_what_noise_changes() -> None:
    def grey(x: minigen.Tensor) -> np.ndarray:
        return x.numpy()[..., 0, :, :]

    table = noise_table(grey, noisy_artist())
    assert table.shape == (4, 8, 12, 12)
    assert (table[:, 0] != table[:, 1]).any()
    assert table[:, 7].max() > 0.1
    assert np.abs(noise_table(grey, StyleGenerator(SMALL))[:, 7]).max() < 1e-4


def test_the_recipe_differs_in_the_generator_only() -> None:
    jobs = {}
    for kind in ("style", "traditional", "dcgan"):
        minigen.manual_seed(1)
        settings = default_settings("style_gan", fast=True, own={"generator": kind})
        jobs[kind] = RECIPES["style_gan"](settings)
        made = jobs[kind].images(3, Generator().manual_seed(0))
        assert made.shape == (3, 28, 28)
    assert list(jobs["style"].pictures) == ["mixing", "truncation", "noise"]
    assert not jobs["traditional"].pictures
    assert not jobs["dcgan"].pictures
    shapes = [
        [tuple(p.shape) for p in job.modules["discriminator"].parameters()] for job in jobs.values()
    ]
    assert shapes[0] == shapes[1] == shapes[2]


def test_colours_of_samples_are_measured_against_real_ones() -> None:
    """A generator that draws the held-out digits reaches the floor of both figures."""
    settings = default_settings("colour_dcgan", fast=True, own={"average": 0.0})
    job = RECIPES["colour_dcgan"](settings)
    held_out = colour_digits("test").reshape(-1, 3, 32, 32) * 2 - 1
    job.modules["generator"].draw = lambda count, drawn: held_out[:count]
    np.testing.assert_allclose(job.images(5, None), real("test")[:5], atol=1e-6)
    metrics = job.evaluate(True)
    assert metrics["colours"] == pytest.approx(metrics["colours_floor"], rel=1e-4)
    assert metrics["frechet"] == pytest.approx(metrics["frechet_floor"], rel=0.02)
    job.modules["generator"].draw = lambda count, drawn: held_out[:count].clamp(-1, 0)
    darker = job.evaluate(True)
    assert darker["colours"] > 5 * metrics["colours_floor"]


def test_other_images_than_the_data_has_are_refused() -> None:
    for wrong in ({"channels": 1}, {"size": 28}):
        with pytest.raises(ValueError, match="3 channels and 32 pixels"):
            RECIPES["colour_dcgan"](default_settings("colour_dcgan", own=wrong))
    for wrong in ({"channels": 3}, {"size": 32}):
        with pytest.raises(ValueError, match="1 channel and 28 pixels"):
            RECIPES["style_gan"](default_settings("style_gan", own=wrong))


def test_every_digit_meets_every_style() -> None:
    contents, styles, labels = (np.asarray(a) for a in pairs([4, 7], ["sunspots", "ones"], 2))
    assert contents.shape == styles.shape == (4, 1, 56, 56)
    truth = load_mnist5k("test").labels
    np.testing.assert_array_equal(labels, truth[[4, 4, 7, 7]])
    np.testing.assert_array_equal(contents[0], contents[1])
    np.testing.assert_array_equal(styles[[0, 1], 0], styles[[2, 3], 0])
    np.testing.assert_array_equal(styles[0, 0], PAGES["sunspots"](56))
    for digits, names, message in (
        ([4], ["oil"], "no style 'oil'"),
        ([1000], ["ones"], "0 to 999"),
        ([], ["ones"], "at least one"),
    ):
        with pytest.raises(ValueError, match=message):
            pairs(digits, names, 2)


def test_pictures_approach_the_style_and_the_table_shows_all() -> None:
    own = {"digits": [3, 8], "styles": ["ones", "heartbeats", "sunspots"]}
    settings = default_settings("style_transfer", fast=True, own=own, batch_size=6)
    job = RECIPES["style_transfer"](settings)
    first = job.evaluate(True)
    assert first["legible"] == 100
    (batch,) = [b for b, _ in zip(job.loader, range(1))]
    for _ in range(12):
        job.step(batch)
    last = job.evaluate(True)
    assert last["style"] < 0.5 * first["style"]
    assert last["style"] < last["style_of_content"]
    assert last["content"] < last["content_of_style"]
    table = job.pictures["table"]()
    assert table.shape == (3, 4, 56, 56)
    assert (table[0, 0] == 0).all()
    np.testing.assert_array_equal(table[0, 3], PAGES["sunspots"](56))
    made = job.draw(6, None)
    np.testing.assert_array_equal(table[2, 1], made[3])  # the second digit in the first style
