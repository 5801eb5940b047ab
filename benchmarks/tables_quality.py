"""The tables of what models learn, from results/quality_*.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tables_gpu import table

from minigen.training.recipes import RECIPES


@dataclass(frozen=True)
class Claim:
    """An idea, and the simpler way that its paper says it is better than.

    idea, simple: names of result files, without quality_. metric: of the recipe of the idea.
    """

    title: str
    idea: str
    simple: str
    instead: str
    metric: str


CLAIMS = (
    Claim(
        "a penalty on the critic's gradient (WGAN-GP)",
        "wgan_gp", "wgan_gp-penalty-0.0-clip-0.01", "clipped weights", "frechet",
    ),
    Claim("importance weights, k = 5 (IWAE)", "iwae", "iwae-k-1", "k = 1, the ELBO", "nll"),
    Claim(
        "a codebook and a learned prior (VQ-VAE)", "vq_vae", "conv_vae",
        "the convolutional VAE", "frechet",
    ),
    Claim(
        "styles (StyleGAN): realism", "style_gan", "style_gan-generator-traditional",
        "noise at the bottom, as many parameters", "frechet",
    ),
    Claim(
        "styles: smooth ways from digit to digit", "style_gan", "style_gan-generator-traditional",
        "noise at the bottom, as many parameters", "path_detour",
    ),
    Claim(
        "the mode-seeking loss", "conditional_gan-mode_seeking-0.2", "conditional_gan",
        "without it", "diversity",
    ),
)  # fmt: skip


def sections(results: dict[str, Any]) -> tuple[str, ...]:
    """Of the page, in order."""
    return (
        vae(results["quality_vae"]),
        gan(results["quality_gan"]),
        gpt(results["quality_gpt"]),
        others(results["others"]),
        claims(results["others"]),
    )


def compared(
    result: dict[str, Any], metrics: dict[str, tuple[str, int]], yardsticks: dict[str, str]
) -> str:
    """A row for each engine: every seed and the mean of each metric, `{name: (title, digits)}`.
    `yardsticks` says under which metric to show which reference value."""
    header = [""]
    for title, _ in metrics.values():
        header += [title, "mean"]
    rows = []
    for engine, label in (("minigen", "**minigen**"), ("torch", "torch")):
        row = [label]
        for metric, (_, digits) in metrics.items():
            values = [f"{run[metric]:.{digits}f}" for run in result["runs"][engine]]
            row += [", ".join(values), f"{result['mean'][engine][metric]:.{digits}f}"]
        rows.append(row)
    row = ["minigen - torch, ± standard error"]
    for metric, (_, digits) in metrics.items():
        gap, error = result["difference"][metric], result["standard_error"][metric]
        row += ["", f"{gap:+.{digits}f} ± {error:.{digits}f}"]
    rows.append(row)
    if yardsticks:
        row = [next(iter(yardsticks.values()))]
        for metric, (_, digits) in metrics.items():
            key = next((k for k in yardsticks if k.startswith(metric)), None)
            row += ["", f"{result['yardsticks'][key]:.{digits}f}" if key else ""]
        rows.append(row)
    return table(header, rows)


def trained(result: dict[str, Any]) -> str:
    """What was run: the command, and its settings in words."""
    settings, seeds = result["settings"], [run["seed"] for run in result["runs"]["minigen"]]
    return (
        f"`python benchmarks/quality.py {result['model']}`\n\n"
        f"{settings['steps']:,} steps of {settings['batch_size']}, learning rate "
        f"{settings['lr']:g}, seeds {', '.join(map(str, seeds))}; both engines train on the same "
        "batches, and the same code judges both."
    )


def vae(result: dict[str, Any]) -> str:
    metrics = {"test_loss": ("test loss by seed", 2)}
    return f"""
## What the VAE learns

{trained(result)}  The test loss is the negative ELBO in nats of held-out grey digits: less is
better.

{compared(result, metrics, {})}
"""


def gan(result: dict[str, Any]) -> str:
    metrics = {
        "frechet": ("Fréchet distance by seed", 1),
        "inception": ("Inception score by seed", 2),
    }
    yardsticks = {"frechet_floor": "held-out real digits", "inception_floor": ""}
    return f"""
## What the GAN learns

{trained(result)}  The Fréchet distance (less is better) is taken between 1,000 generated and the
4,000 training digits in the features of minigen's own small classifier, the Inception score (more
is better) of 5,000 with its classes.

{compared(result, metrics, yardsticks)}
"""


def gpt(result: dict[str, Any]) -> str:
    metrics = {"validation_loss": ("validation loss by seed", 3)}
    ngram = f"n-gram of order {result['yardsticks']['ngram_order']:.0f}"
    text = table(("", "validation loss"), [(ngram, f"{result['yardsticks']['ngram_loss']:.3f}")])
    return f"""
## What the GPT learns

{trained(result)}  The validation loss is in nats a character on the last tenth of the plays: less
is better.

{compared(result, metrics, {})}

Counting alone reaches, on the same split:

{text}
"""


def others(results: dict[str, Any]) -> str:
    """A row for each figure of each further model that was trained by both engines."""
    if not results:
        return ""
    rows = []
    for result in results.values():
        known = RECIPES[result["model"]]
        changed = ", ".join(f"{name}={value}" for name, value in result["changed"].items())
        model = " ".join(filter(None, [f"`{result['model']}`", changed]))
        for figure in known.figures:
            means = [result["mean"].get(e, {}).get(figure.key) for e in ("minigen", "torch")]
            cells = ["" if mean is None else f"{mean:.{figure.digits}f}" for mean in means]
            gap = ""
            if "standard_error" in result:
                found = (result[part][figure.key] for part in ("difference", "standard_error"))
                parts = [round(value, figure.digits) + 0.0 for value in found]  # no -0
                gap = "{:+.{d}f} ± {:.{d}f}".format(*parts, d=figure.digits)
            beside = result["yardsticks"].get(figure.beside)
            told = "" if beside is None else f"{beside:.{figure.digits}f} ({figure.against})"
            rows.append((model, figure.label, *cells, gap, told))
            model = ""
    seeds = {tuple(run["seed"] for run in r["runs"]["minigen"]) for r in results.values()}
    fewest, most = (chosen(len(each) for each in seeds) for chosen in (min, max))
    count = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"""
## What the other models learn

`python benchmarks/quality.py MODEL`, with `--set` where a setting stands beside the model

Means of {count} seeds; both engines train on the same batches, and the same
code judges both.  What is measured, and on how many samples, `minigen evaluate` says.

{table(("", "", "**minigen**", "torch", "minigen - torch, ± standard error", "beside"), rows)}
"""


def claims(results: dict[str, Any]) -> str:
    """A row for each idea that was measured with and without."""
    rows = []
    for claim in CLAIMS:
        pair = [results.get(f"quality_{name}") for name in (claim.idea, claim.simple)]
        if not all(pair):
            continue
        figures = RECIPES[pair[0]["model"]].figures
        figure = next(figure for figure in figures if figure.key == claim.metric)
        cells = [
            f"{result['mean']['minigen'][claim.metric]:.{figure.digits}f} "
            f"({', '.join(_by_seed(result, claim.metric, figure.digits))})"
            for result in pair
        ]
        more = "more" if figure.higher else "less"
        rows.append((claim.title, claim.instead, f"{figure.label}, {more} is better", *cells))
    if not rows:
        return ""
    header = ("", "instead of", "measured", "with: mean (by seed)", "without")
    return f"""
## What an idea gains

`python benchmarks/quality.py`, once with the recipe as it is and once with the simpler way

Papers claim that an idea is better than what was there before. Trained here with minigen, the same
steps and batches, and the same code judges both.

{table(header, rows)}
"""


def _by_seed(result: dict[str, Any], metric: str, digits: int) -> list[str]:
    return [f"{run[metric]:.{digits}f}" for run in result["runs"]["minigen"]]
