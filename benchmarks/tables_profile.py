"""Where the time of a training step goes, as tables for benchmarks/README.md."""

from __future__ import annotations

from typing import Any

from steps import MODELS
from tables_gpu import table

SHOWN = 3  # the percentage of a step from which on an operation has a row


def section(result: dict[str, Any]) -> str:
    recipes = list(result["recipes"].values())
    overview = [
        (found["title"], *map(_percent, found["phases"].values()), _percent(found["kernels"]))
        for found in recipes
    ]
    rows = [row for name in MODELS for row in _rows(result["recipes"][name])]
    phases = table(("", *recipes[0]["phases"], "of all, in kernels"), overview)
    operations = table(("", "operation", "calls", "forward", "backward", "of it, in kernels"), rows)
    return f"""
## Where the time of a step goes

`python benchmarks/profile_steps.py`

Shares of minigen's own time for a step of each recipe, on one thread: in the forward functions of
its operations, in their gradient rules, in the optimizers' updates, and between them: recording and
walking back, random numbers, the recipe's own lines of Python.

{phases}

The operations that take {_percent(SHOWN)} and more of a step that is timed beside torch above, and
the kernels that compute them (`minigen kernels` explains the choice); those of all others are in
`results/profile.json`.

{operations}
"""


def _rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for name, parts in found["operations"].items():
        if parts["forward"] + parts["backward"] >= SHOWN:
            costliest = sorted(parts["kernels"].items(), key=lambda item: -item[1])
            kernels = ", ".join(f"{kernel} {_percent(share)}" for kernel, share in costliest)
            times = _percent(parts["forward"]), _percent(parts["backward"])
            rows.append((found["title"], f"`{name}`", f"{parts['calls']:.0f}", *times, kernels))
    return rows


def _percent(share: float) -> str:
    return f"{share:.0f} %"
