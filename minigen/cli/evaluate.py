"""`minigen evaluate`: what a trained model is worth, in figures beside others."""

from __future__ import annotations

from pathlib import Path

from minigen.cli.report import metric_rows
from minigen.cli.sample import load_job


def evaluate_run(path: Path, checkpoint: str, device: str | None = None) -> None:
    """Print the metrics of a run's model on held-out data."""
    run, job, step = load_job(path, checkpoint, device)
    metrics = job.evaluate(True)
    print(f"{path}: {run.settings.recipe}, checkpoint '{checkpoint}' of step {step}")
    for row in metric_rows(run.settings, metrics):
        against = f"  (to compare: {row.reference})" if row.reference else ""
        print(f"  {row.metric}: {row.value}{against}")
        print(f"      {row.note}")
    for heading, scores in (job.scores(metrics) if job.scores else {}).items():
        print(f"  {heading}:")
        for score in scores:
            print(f"    {score}")
