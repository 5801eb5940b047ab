"""Write benchmarks/README.md from what is recorded in results/: `python benchmarks/tables.py`.

No number is typed: change a JSON file, run this, and the page follows.  A test compares.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import harness
import tables_collapse
import tables_gpu
import tables_kernels
import tables_profile
import tables_quality
import tables_text
from tables_gpu import table

README = Path(__file__).parent / "README.md"
FRONT = README.parents[1] / "README.md"
MARKS = (
    "<!-- numbers: written by benchmarks/tables.py from benchmarks/results -->",
    "<!-- end of numbers -->",
)
RECORDED = (
    "overhead", "operations", "steps", "profile", "peers", "ladders", "roofline", "quality_vae",
    "quality_gan", "quality_gpt", "tokenization", "statement",
)  # fmt: skip
NAMES = {
    "vae": "VAE",
    "gan": "GAN",
    "gpt": "GPT",
    "lstm": "LSTM",
    "conv_vae": "convolutional VAE",
    "dcgan": "DCGAN of full width",
    "wgan_gp": "WGAN-GP",
    "nanogpt": "GPT of nanoGPT's size",
}
FRONT_MODELS = ("vae", "gan", "gpt")

Results = dict[str, dict[str, Any]]


def load(folder: Path = harness.RESULTS) -> Results:
    """Every recorded result by name. Raises FileNotFoundError, with the name, if one is missing."""
    found = {
        name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in RECORDED
    }
    others = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("quality_*.json"))
        if path.stem not in RECORDED
    }
    return {
        **found,
        "others": others,
        "collapse": tables_collapse.load(folder),
        "texts": tables_text.load(folder),
        "gpu": tables_gpu.load(folder / "gpu"),
    }


def page(results: Results) -> str:
    parts = [
        INTRODUCTION,
        engine(results["overhead"]),
        operations(results["operations"]),
        steps(results["steps"]),
        tables_profile.section(results["profile"]),
        peers(results["peers"]),
        ladders(results["ladders"]),
        roofline(results["roofline"]),
        *tables_quality.sections(results),
        tables_collapse.section(results["collapse"]),
        tables_text.section(results["texts"]),
        tokenization(results["tokenization"]),
        tables_gpu.section(results["gpu"]),
        statement(results["statement"]),
        machines(results),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


INTRODUCTION = """
# Benchmarks

Written by `python benchmarks/tables.py` from the files in `results/`; do not edit.

Times are given as ratios only, measured in one process with the contenders taking turns: a ratio of
0.5 means half of torch's time.  `harness.py` says how.  To repeat a measurement, run the command
above its table in an environment with the `test` extra, then `tables.py`.
"""


def engine(result: dict[str, Any]) -> str:
    names = {
        "torch": "torch", "minigen": "**minigen**", "hips": "HIPS autograd", "dezero": "DeZero",
        "numpy": "the arithmetic alone, in NumPy",
    }  # fmt: skip
    chain = result["chain"]
    rows = [(name, f"{chain[key]['ratio']:.2f}") for key, name in names.items() if key in chain]
    return f"""
## The engine's overhead

`python benchmarks/overhead.py`

A chain of {result["operations"]} multiplications of {result["size"]} numbers, forward and backward,
on one thread: time over torch's.

{table(("", "of torch's time"), rows)}
"""


def steps(result: dict[str, Any]) -> str:
    threads = sorted(result["threads"], key=int)
    labels = {
        "minigen": "**minigen**",
        "torch fused": "torch, fused Adam",
        "torch usual": "torch, as the well-known script has it",
    }
    rows = []
    for model, title in NAMES.items():
        for contender, label in labels.items():
            cells = [result["threads"][t].get(model, {}).get(contender) for t in threads]
            if any(cells):
                ratios = [f"{cell['ratio']:.2f}" if cell else "" for cell in cells]
                rows.append((title, label, *ratios))
    header = ("", "", *(f"{t} thread{'s' * (t != '1')}" for t in threads))
    return f"""
## A training step

`python benchmarks/steps.py`

The recipes of `minigen train`, one step with everything in it, over the time of the same step in
torch with its default Adam.

{table(header, rows)}
"""


def operations(result: dict[str, Any]) -> str:
    rows = []
    for expression, sizes in result["threads"]["1"].items():
        cells = [sizes[size][part] for size in ("small", "large") for part in sizes[size]]
        rows.append((f"`{expression}`", *(f"{cell['minigen']['ratio']:.2f}" for cell in cells)))
    header = ("", "(4, 4), forward", "and backward", "large, forward", "and backward")
    return f"""
## Single operations

`python benchmarks/operations.py`

Time over torch's with the graph on, in float32 on one thread. The large sizes, those of the models,
stand in the script.

{table(header, rows)}
"""


def peers(result: dict[str, Any]) -> str:
    labels = {"torch": "torch", "hips": "HIPS autograd", "dezero": "DeZero", "tinygrad": "tinygrad"}
    threads = sorted(result["threads"], key=int)
    rows = []
    for name, label in labels.items():
        cells = [result["threads"][t].get(name) for t in threads]
        if any(cells):
            rows.append((label, *(f"{cell['ratio']:.2f}" if cell else "" for cell in cells)))
    header = ("", *(f"{t} thread{'s' * (t != '1')}" for t in threads))
    return f"""
## What a learner would pick instead

`python benchmarks/peers.py`

A training step of the VAE, on the same weights, batches and noise: time over minigen's.

{table(header, rows)}
"""


def ladders(result: dict[str, Any]) -> str:
    parts = []
    for threads, found in sorted(result["threads"].items()):
        for operation, cases in found.items():
            title = f"### {operation}, {threads} thread{'s' * (threads != '1')}"
            parts.append(f"{title}\n\n{table(*tables_kernels.ladder(operation, cases))}")
    errors = [
        figures["error"]
        for cases in result["threads"]["1"].values()
        for timed in cases.values()
        for name, figures in timed.items()
        if isinstance(figures, dict) and "error" in figures and name != "reference"
    ]
    tables_ = "\n\n".join(parts)
    return f"""
## The kernels' ladders

`python benchmarks/ladders.py`

Speed over NumPy's, in float32: how many times as fast. Every rung's results were compared with the
reference in float64 first: the largest error of all is {max(errors):.1f} units of roundoff of the
largest number in the result.

{tables_}
"""


def roofline(result: dict[str, Any]) -> str:
    rows = []
    for threads, part in sorted(result["threads"].items()):
        limits = part["limits"]
        rows.append((threads, f"{limits['peak']:.0f}", f"{limits['bandwidth']:.1f}"))
    best = result["threads"]["1"]["points"]
    shares = [
        (p["operation"], p["case"], p["rung"], f"{p['rate']:.1f}", f"{p['share']:.0f} %")
        for p in best
    ]
    limits = table(("threads", "arithmetic, GFLOP/s", "memory, GB/s"), rows)
    reached = table(("", "", "fastest rung", "GFLOP/s", "of the roof"), shares)
    return f"""
## The machine's limits

`python benchmarks/roofline.py`, after `ladders.py`

Measured by twelve chains of multiply-adds that no memory feeds, and by a = b + s c on arrays that
no cache holds.

{limits}

![The kernels under the roof that arithmetic and memory set](results/roofline.png)

What the fastest rung reaches on one thread of the lower of the two limits, arithmetic and memory:

{reached}
"""


def tokenization(result: dict[str, Any]) -> str:
    trained, encoded, sizes = result["training"], result["encoding"], result["vocabularies"]
    training = [
        ("algorithm 1 of the paper, in Python", f"{trained['naive']['ratio']:.2f}"),
        ("**minigen**", f"{trained['minigen']['ratio']:.2f}"),
        ("`tokenizers`, in Rust", f"{trained['tokenizers']['ratio']:.2f}"),
    ]
    names = {
        "first": "**minigen**, new to all words",
        "again": "**minigen**, again",
        "tokenizers": "`tokenizers`, in Rust",
    }
    encoding = [
        (name, f"{encoded[key]['megabytes_per_second']:.1f}") for key, name in names.items()
    ]
    return f"""
## Byte-pair encoding

`python benchmarks/tokenization.py`

The eight plays, {result["characters"]:,} characters, in processor time. Learning a vocabulary of
{sizes["training"]}, over the time of the algorithm as the paper has it; all three learn the same
merges.

{table(("", "of the paper's algorithm"), training)}

Encoding with a vocabulary of {sizes["encoding"]:,}; the ids are the same.

{table(("", "MB a second"), encoding)}
"""


def statement(result: dict[str, Any]) -> str:
    rows = [(what.replace("  ", "&nbsp; "), number) for what, number in result["table"]]
    return f"""
## What the tests check

`python tests/statement.py --record`

The suite's own account: each operation with a gradient rule is compared with torch on random
inputs, by values, first and second derivatives with random cotangents, and by forward mode. The
gradient checker of `minigen.testing` is held against three sets of planted mistakes.

{table(("", ""), rows)}
"""


def headline(results: Results) -> str:
    """The table on the project's front page."""

    def row(title: str, name: str, metric: str, digits: int) -> tuple[str, str, str]:
        mean = results[name]["mean"]
        ours, theirs = (f"{mean[engine][metric]:.{digits}f}" for engine in ("minigen", "torch"))
        return title, ours, theirs

    threads = results["steps"]["threads"]
    times = []
    for model in FRONT_MODELS:
        title = NAMES[model]
        ratios = [f"{threads[t][model]['minigen']['ratio']:.2f}" for t in ("1", "2")]
        times.append(
            (f"time of a training step, {title}: 1 thread, 2 threads", ", ".join(ratios), "1")
        )
    overhead = results["overhead"]["chain"]["minigen"]["ratio"]
    counting = results["quality_gpt"]["yardsticks"]["ngram_loss"]
    rows = [
        row("VAE: negative ELBO of held-out digits, nats", "quality_vae", "test_loss", 2),
        row("GAN: Fréchet distance, minigen's digit features", "quality_gan", "frechet", 1),
        row(
            f"GPT: nats a character (the best n-gram: {counting:.3f})",
            "quality_gpt", "validation_loss", 3,
        ),
        *times,
        ("time to record a small operation, forward and backward", f"{overhead:.2f}", "1"),
    ]  # fmt: skip
    return table(("less is better", "minigen", "PyTorch"), rows)


def front_page(text: str, results: Results) -> str:
    """The front page with its table made anew between the two marks."""
    before, rest = text.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    return f"{before}{MARKS[0]}\n{headline(results)}\n{MARKS[1]}{after}"


def machines(results: Results) -> str:
    rows = []
    for name in RECORDED:
        facts = results[name]["machine"]
        versions = ", ".join(f"{k} {v}" for k, v in facts["versions"].items())
        rows.append((name, facts["date"], facts["processor"], str(facts["cores"]), versions))
    header = ("result", "date", "processor", "cores", "versions")
    return f"## Where this was measured\n\n{table(header, rows)}"


def main() -> None:
    results = load()
    README.write_text(page(results), encoding="utf-8")
    FRONT.write_text(front_page(FRONT.read_text(encoding="utf-8"), results), encoding="utf-8")
    for path, text in tables_kernels.documents(results["ladders"]["threads"]):
        path.write_text(text, encoding="utf-8")
    print(f"written to {README}, {FRONT} and the kernels' files")


if __name__ == "__main__":
    main()
