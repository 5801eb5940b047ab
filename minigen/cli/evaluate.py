"""`minigen evaluate`: what a trained model is worth, in figures beside others."""

from __future__ import annotations

import math
from pathlib import Path

from minigen import Generator
from minigen.cli.report import FAMILIES, FRECHET, FRECHET_TORCH, metric_rows
from minigen.cli.sample import load_job
from minigen.metrics import (
    Score,
    bits_per_dimension,
    digit_distance_by_size,
    digit_scores,
    reconstruction_scores,
)
from minigen.training import Job, Run
from minigen.training.recipes.images import digits
from minigen.training.recipes.loading import EVALUATION_SEED
from minigen.training.recipes.text import plays


def evaluate_run(path: Path, checkpoint: str, device: str | None = None) -> None:
    """Print the metrics of a run's model on held-out data."""
    run, job, step = load_job(path, checkpoint, device)
    metrics = job.evaluate(True)
    print(f"{path}: {run.settings.recipe}, checkpoint '{checkpoint}' of step {step}")
    for row in metric_rows(run.settings.recipe, metrics):
        if row.metric == FRECHET:
            continue  # among the scores of samples, below
        against = f"  (to compare: {row.reference})" if row.reference else ""
        print(f"  {row.metric}: {row.value}{against}")
        print(f"      {row.note}")
    if job.images is not None:
        _print_images(run, job, metrics)
    elif FAMILIES[run.settings.recipe] == "language":
        _print_text(run, metrics["validation_loss"])


def _print_images(run: Run, job: Job, metrics: dict[str, float]) -> None:
    """Reconstructions if the model makes any, then generated digits against real ones."""
    n = run.settings.options["test_images"]
    train, test = (digits(split).numpy().reshape(-1, 28, 28) for split in ("train", "test"))
    if job.reconstruct is not None:
        print("  test digits, coded and decoded:")
        bits = bits_per_dimension(metrics["test_loss"], 28 * 28)
        scores = reconstruction_scores(test[:n], job.reconstruct(test[:n]))
        _list([*scores, Score("bits a pixel, at most", bits, min(n, len(test)), digits=3)])
    assert job.images is not None
    made = job.images(n, Generator().manual_seed(EVALUATION_SEED))
    print("  generated digits; floor or ceiling: the same of as many held-out real digits:")
    _list(digit_scores(made, train, test))
    if run.settings.recipe in FRECHET_TORCH:
        torch = FRECHET_TORCH[run.settings.recipe]
        print(f"    (Fréchet distance of PyTorch's, same model and steps, n = 1,000: {torch})")
    print("  the Fréchet distance depends on how many are made; compare equal numbers only:")
    print(f"    {digit_distance_by_size(made, train)}")


def _print_text(run: Run, nats: float) -> None:
    """The loss in other units: n is the number of characters predicted."""
    context = run.settings.model["context"]
    _, validation = plays(run.settings.options["characters"])
    n = (len(validation) - 1) // context * context
    _list(
        [
            Score("bits a character", bits_per_dimension(nats, 1), n, digits=3),
            Score("perplexity", math.exp(nats), n, digits=2),
        ]
    )


def _list(scores: list[Score]) -> None:
    for score in scores:
        print(f"    {score}")
