"""Of benchmarks/README.md, the sections that a single result file each makes: writing with a cache,
fine-tuning, reasoning, long trainings, grading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tables_gpu import table

RECORDED = ("generation", "finetuning", "reasoning", "long_run", "grading")


def load(folder: Path) -> dict[str, Any]:
    """What is recorded, by name: any of them."""
    files = {name: folder / f"{name}.json" for name in RECORDED}
    return {
        name: json.loads(file.read_text(encoding="utf-8"))
        for name, file in files.items()
        if file.exists()
    }


def section(results: dict[str, Any]) -> str:
    parts = (generation, finetuning, reasoning, long_run, grading)
    return "\n\n".join(
        part(results[name]).strip() for name, part in zip(RECORDED, parts) if name in results
    )


def generation(result: dict[str, Any]) -> str:
    rows = []
    for model in result["models"]:
        size = model["size"]
        for length, found in model["lengths"].items():
            name = f"{size['layers']} layers of {size['width']}"
            rows.append((name, length, f"{found['whole']:.1f}", f"{found['last']:.1f}"))
    heads = ("GPT", "length", "the whole text", "its last sixteenth")
    return f"""
## What the key-value cache is worth

`python benchmarks/generation.py`

How many times as long a text takes if everything is read again for every token, on one thread. Both
ways write the same.

{table(heads, rows)}
"""


def finetuning(result: dict[str, Any]) -> str:
    rows = []
    for name, way in result["ways"].items():
        (new, old) = (f"{way[key][0]:.3f} → {way[key][-1]:.3f}" for key in ("new_loss", "old_loss"))
        rows.append((f"`{name}`", f"{way['trained']:,.0f}", f"{way['lr']:g}", new, old))
    heads = ("", "numbers trained", "learning rate", "unseen new text", "unseen old text")
    return f"""
## Fine-tuning, and what is forgotten

`python benchmarks/finetuning.py`

A character GPT that learned eight plays in {result["base_steps"]:,} steps learns Python's manual in
{result["steps"]:,} more (seed {result["seed"]}): nats a character before and after. By counting the
new text alone, a 5-gram reaches {result["ngram_new"]:.3f} on it.

{table(heads, rows)}

![Loss on old text against loss on new text](results/finetuning.png)
"""


def reasoning(result: dict[str, Any]) -> str:
    text = """
## What written steps are worth

`python benchmarks/reasoning.py`

Right answers in a hundred unseen questions, of two GPTs that learned from the same ones: one writes
the steps first, the other answers at once."""
    for task, found in result["tasks"].items():
        settings, (shortest, longest) = found["settings"], found["settings"]["lengths"]
        seeds = ", ".join(str(run["seed"]) for run in found["runs"])
        rows = []
        for length, written in found["written"].items():
            gap = found["gap"][length]
            beyond = " (longer than any in training)" * (int(length) > longest)
            span = f"{gap['mean']:+.1f} ({gap['lowest']:+.1f} to {gap['highest']:+.1f})"
            rows.append(
                (f"{length}{beyond}", f"{written:.1f}", f"{found['none'][length]:.1f}", span)
            )
        text += f"""

`{task}`, {settings["steps"]:,} steps of {settings["batch_size"]}, lengths {shortest} to {longest},
seeds {seeds}; always the commonest answer: {found["runs"][0]["guess"]:.1f}.

{table(("length", "written out", "at once", "gap: mean (by seed)"), rows)}

![Right answers by length](results/reasoning-{task}.png)"""
    return text + "\n"


def long_run(result: dict[str, Any]) -> str:
    growth, losses = result["growth"], f"{result['finite_losses']:,}"
    return f"""
## A long training

`python benchmarks/long_run.py`

{result["steps"]:,} steps of `{result["model"]}`, as `minigen train` makes them: {losses} losses,
each a finite number. After the first tenth of them memory grew by {growth["megabytes"]:.1f} MB,
along the best straight line by {growth["megabytes_per_1000_steps"]:.2f} MB in 1,000 steps.
"""


def grading(result: dict[str, Any]) -> str:
    return f"""
## What grading takes

`python benchmarks/grading.py`

{result["submissions"]} submissions of assignment A1, {result["tests"]} tests each: the solution,
the blank stub, planted wrong solutions, and all that tries to end, block or deceive the grader.
Each takes {result["median seconds"]:.2f} s (the median), one after another;
{result["stopped by a limit"]} ran into a time limit, {result["lost"]} were lost.
"""
