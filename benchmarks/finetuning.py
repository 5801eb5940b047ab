"""Full, frozen or LoRA: what each learns, and forgets.  `python benchmarks/finetuning.py`

    --base RUN        a run of gpt to go on from; without one, it is trained first
    --steps 400       of fine-tuning, each
    --every 50        steps between measurements
    --seed 0
    --threads 1

One GPT that learned the plays is fine-tuned on Python's manual in three ways, on the same batches,
each at a learning rate of its own (RATES: fewer numbers need larger steps).  Every so many steps
the loss on unseen text of both kinds is measured.  results/finetuning.json holds the two curves of
each way, what each changed, and what a 5-gram that only knows the new text achieves on it;
results/finetuning.png draws loss on old text against loss on new text: left is learned, up is
forgotten.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import harness

RATES = {"full": 1e-3, "frozen": 2e-3, "lora": 4e-3}
EVERY = 50  # steps between measurements, unless --every says otherwise


def pretrained(folder: Path, fast: bool, seed: int) -> Path:
    """A run of the recipe gpt."""
    from minigen.training import Run, train
    from minigen.training.recipes import RECIPES, default_settings

    run = Run.create(folder / "gpt", default_settings("gpt", fast, seed=seed))
    train(run, RECIPES["gpt"])
    return run.path


def fine_tuned(
    folder: Path, base: Path, adapt: str, steps: int, every: int, seed: int
) -> dict[str, Any]:
    """The two curves of one way of adapting, from before the first step on."""
    from minigen.training import Run, train
    from minigen.training.recipes import RECIPES, default_settings

    own = {"base": str(base), "adapt": adapt}
    settings = default_settings("finetune", False, own, steps=steps, seed=seed, lr=RATES[adapt])
    run = Run.create(folder / adapt, dataclasses.replace(settings, save_every=every))
    train(run, RECIPES["finetune"])
    records = run.records()
    measured = [(r["step"], r["metrics"]) for r in records if "metrics" in r]
    final = measured[-1][1]
    return {
        "lr": RATES[adapt],
        "trained": final["trained"],
        "steps": [0, *(step for step, _ in measured)],
        "old_loss": [final["old_before"], *(m["old_loss"] for _, m in measured)],
        "new_loss": [final["new_before"], *(m["new_loss"] for _, m in measured)],
        "seconds": records[-1]["seconds"],
    }


def base_steps(base: Path) -> int:
    """How many steps the base has learned."""
    from minigen.training import Run

    return Run.open(base).load("last").step


def counted(base: Path) -> float:
    """Nats a character of a 5-gram (order 4) that counted the new text, on the rest of it."""
    from minigen.data import NGram
    from minigen.training.recipes import default_settings
    from minigen.training.recipes.manuals import new_text

    options = default_settings("finetune", False, {"base": str(base)}).options
    training, unseen = new_text(options, options["tokenizer"]["symbols"])
    symbols = "".join(sorted(set(training + unseen)))
    return NGram.fit(training, 4, symbols).nats_per_character(unseen)


def draw(ways: dict[str, Any], path: Path) -> None:
    """The way of each through old and new loss: one line, from the common beginning."""
    from minigen.viz.curves import Curve, curves

    lines = [
        Curve(name, way["new_loss"], way["old_loss"], marker=True) for name, way in ways.items()
    ]
    path.write_bytes(
        curves(lines, xlabel="nats a character, new text", ylabel="nats a character, old text")
    )


def run(
    base: Path | None, steps: int, seed: int, out: Path, *, every: int = EVERY, fast: bool = False
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = base or pretrained(folder, fast, seed)
        content: dict[str, Any] = {"steps": steps, "seed": seed, "ngram_new": counted(base)}
        content["base_steps"] = base_steps(base)
        content["ways"] = {}
        for adapt in RATES:
            way = content["ways"][adapt] = fine_tuned(folder, base, adapt, steps, every, seed)
            harness.record("finetuning", content, out)
            old, new = way["old_loss"], way["new_loss"]
            print(
                f"{adapt:7} {way['trained']:8,.0f} numbers  new {new[0]:.3f} -> {new[-1]:.3f}  "
                f"old {old[0]:.3f} -> {old[-1]:.3f}  ({way['seconds']:.0f} s)",
                flush=True,
            )
    draw(content["ways"], out / "finetuning.png")
    return content


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--base", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--every", type=int, default=EVERY, help="steps between measurements")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fast", action="store_true", help="a small base, to see that it works")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    harness.pin(options.threads)
    run(
        options.base,
        options.steps,
        options.seed,
        options.out,
        every=options.every,
        fast=options.fast,
    )


if __name__ == "__main__":
    main()
