"""Recipes of GANs in a plane: a ring of 8 Gaussians and a grid of 25, where collapse can be seen.

Half of what a GAN can do wrong does not show in a picture of digits: to draw eight of ten of them,
or one of each. Here every sample can be assigned to its mode, and every mode can be counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator
from minigen.data import TensorDataset
from minigen.models.point_gan import PointDiscriminator, PointGANConfig, PointGenerator
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.contest import Contest, Rules
from minigen.training.recipes.loading import EVALUATION_SEED, batches

DATA_SEED = 2014  # of the points to learn from: the same in every run
HELD_OUT_SEED = 2015  # of those to compare with
AT_LEAST = 0.01  # of all samples, for a mode to count as held
SAMPLES = 10_000  # in an evaluation


@dataclass(frozen=True)
class Mixture:
    """Gaussians of one standard deviation around `centres` (modes, 2), all equally likely."""

    centres: NDArray[np.float64]
    std: float

    def draw(self, count: int, generator: Generator) -> NDArray[np.float32]:
        """Points (count, 2).

        >>> mixture("ring").draw(3, Generator().manual_seed(0)).shape
        (3, 2)
        """
        modes = minigen.randint(len(self.centres), (count,), generator=generator).numpy()
        noise = minigen.randn(count, 2, generator=generator).numpy()
        return (self.centres[modes] + self.std * noise).astype(np.float32)


def mixture(name: str) -> Mixture:
    """8 modes on a circle of radius 2, or 25 at a distance of 2: those of most papers."""
    from minigen.metrics.modes import grid_centres, ring_centres

    return Mixture(ring_centres(), 0.02) if name == "ring" else Mixture(grid_centres(), 0.05)


def point_gan(settings: Settings) -> Job:
    """A GAN of points of the mixture that the recipe is named after."""
    target, options = mixture(settings.recipe), settings.options
    config = PointGANConfig(**settings.model)
    contest = Contest(PointGenerator(config), PointDiscriminator(config), settings)
    data = target.draw(options["points"], Generator().manual_seed(DATA_SEED))

    def draw(count: int, generator: Generator) -> NDArray[np.float32]:
        return contest.artist.draw(count, generator).cpu().numpy()

    def plot(points: NDArray[np.float32]) -> bytes:
        from minigen.viz.density import density_maps

        real = target.draw(len(points), Generator().manual_seed(HELD_OUT_SEED))
        edge = 1.25 * float(np.abs(target.centres).max())
        panels = [("generated", points), ("real", real)]
        return density_maps(panels, (-edge, edge), centres=target.centres)

    return Job(
        settings,
        modules=contest.modules,
        optimizers=contest.optimizers,
        loader=batches(settings, TensorDataset(minigen.from_numpy(data))),
        step=contest.step,
        evaluate=lambda thorough: coverage(
            draw(SAMPLES, Generator().manual_seed(EVALUATION_SEED)), target
        ),
        best="mode_distance",
        draw=draw,
        plot=plot,
        shown=SAMPLES,
    )


def coverage(samples: NDArray[np.float32], target: Mixture) -> dict[str, float]:
    """What the modes say of samples, and of as many true points.

    modes: those that hold 1 % of the samples or more; modes_touched: those with at least one, as
    the papers count them; high_quality: the share of samples within three standard deviations of a
    centre; mode_distance: see there. *_floor, *_ceiling: the same of true points.
    """
    from minigen.metrics.modes import mode_coverage, mode_distance

    centres, std = target.centres, target.std
    true = mode_coverage(
        target.draw(len(samples), Generator().manual_seed(HELD_OUT_SEED)), centres, std
    )
    found = mode_coverage(samples, centres, std)
    held = mode_coverage(samples, centres, std, at_least=AT_LEAST)
    return {
        "modes": float(held.captured),
        "modes_touched": float(found.captured),
        "modes_all": float(found.modes),
        "high_quality": found.high_quality,
        "high_quality_ceiling": true.high_quality,
        "mode_distance": mode_distance(found),
        "mode_distance_floor": mode_distance(true),
        "samples": len(samples),
    }


def ring_settings(fast: bool) -> Settings:
    return Settings(
        recipe="ring",
        steps=200 if fast else 6000,
        batch_size=256,
        lr=1e-3,
        log_every=20 if fast else 100,
        save_every=100 if fast else 2000,
        model=dataclasses.asdict(PointGANConfig(pack=2)),
        options={
            "betas": [0.5, 0.999],
            **dataclasses.asdict(Rules(average=0.998)),
            "points": 100_000,
        },
    )


def grid_settings(fast: bool) -> Settings:
    """Packs are not enough for 25 modes; a bound on D's slope at the data is."""
    settings = ring_settings(fast)
    return dataclasses.replace(
        settings,
        recipe="grid",
        steps=200 if fast else 15_000,
        model=dataclasses.asdict(PointGANConfig()),
        options={**settings.options, **dataclasses.asdict(Rules(average=0.998, r1=1.0))},
    )


LEAD = (
    "A generator turns two random numbers into a point in the plane; a discriminator learns to "
    "tell its points from real ones, which lie around {count} centres. Does it find all of them?"
)
FIGURES = (
    Figure(
        "modes",
        "modes found",
        "How many of the centres have at least one in a hundred samples within three standard "
        "deviations.",
        beside="modes_all",
        against="there are",
        goal="beside",
        higher=True,
        count="samples",
        digits=0,
    ),
    Figure(
        "high_quality",
        "samples near a mode",
        "The share within three standard deviations of a centre; the others lie in between.",
        beside="high_quality_ceiling",
        against="true points",
        higher=True,
        count="samples",
        digits=3,
    ),
    Figure(
        "mode_distance",
        "distance of the modes' shares",
        "How much of the samples would have to be put elsewhere for each mode to have its share: "
        "0 to 1, lower is better.",
        beside="mode_distance_floor",
        against="as many true points",
        count="samples",
        digits=3,
    ),
)
CURVE = LossCurve("loss", "Losses over the steps: they say nothing of the modes")


def _recipe(name: str, count: int, settings: Callable[[bool], Settings]) -> Recipe:
    return Recipe(
        build=point_gan,
        settings=settings,
        title=f"Generative adversarial network on a {name} of {count} Gaussians",
        lead=LEAD.format(count=count),
        figures=FIGURES,
        curve=CURVE,
        captions={"samples": "Where 10,000 generated points lie, and where as many real ones do"},
    )


RECIPES = {"ring": _recipe("ring", 8, ring_settings), "grid": _recipe("grid", 25, grid_settings)}
