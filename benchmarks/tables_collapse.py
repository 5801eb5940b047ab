"""The table of which GANs find all modes, from results/collapse_*.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tables_gpu import table

TITLES = {"ring": "a ring of 8 Gaussians", "grid": "a grid of 25 Gaussians"}


def load(folder: Path) -> dict[str, Any]:
    """Recorded results by mixture; those that nobody measured are left out."""
    paths = {name: folder / f"collapse_{name}.json" for name in TITLES}
    return {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if path.exists()
    }


def section(results: dict[str, Any]) -> str:
    """Every case, minigen's and torch's, with the generator as it is and with averaged weights."""
    if not results:
        return ""
    parts = []
    for name, result in results.items():
        settings = result["settings"]
        rows = [
            (case if engine == "minigen" else f"{case}, by torch", *_cells(runs, found, engine))
            for case, found in result["cases"].items()
            for engine, runs in found["runs"].items()
        ]
        header = ("", "modes by seed", "near a mode", "of averaged weights", "near a mode")
        parts.append(
            f"### {TITLES[name][0].upper()}{TITLES[name][1:]}\n\n"
            f"`python benchmarks/collapse.py {name}`\n\n"
            f"{settings['steps']:,} steps of {settings['batch_size']}, learning rate "
            f"{settings['lr']:g}; the weights of the generator averaged with decay "
            f"{settings['average']:g}.\n\n{table(header, rows)}"
        )
    tables = "\n\n".join(parts)
    return f"""
## Which GANs find all modes

A mode counts if it holds 1 % of 10,000 samples; near a mode are those within three standard
deviations of one, the mean over the seeds. What else is said of a case in `collapse.py` is all that
was changed.

{tables}
"""


def _cells(runs: list[dict[str, Any]], found: dict[str, Any], engine: str) -> list[str]:
    cells = []
    for weights in ("last", "average"):
        cells.append(", ".join(f"{run[weights]['modes']:.0f}" for run in runs))
        cells.append(f"{found['mean'][engine][weights]['high_quality']:.3f}")
    return cells
