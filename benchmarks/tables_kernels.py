"""The tables about kernels and operations, on the page of results and in the kernels' own files.

Where a kernel's file has a line that begins with "Measured:", that line is written here: how many
times as fast the rung is as the one before it on its ladder.  `__init__.py` of a folder of kernels
has a table between two such marks:  [measured] ... [end of measured].
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minigen import kernels

KERNELS = Path(kernels.__file__).parent
# Where the rungs of a ladder are compared one with the next: a size that every rung can bear.
STEPS = {
    "matmul": "512x512x512",
    "attention": "(8, 8, 128, 64), causal",
    "attention_backward": "(8, 8, 128, 64), causal",
}
# Which cases the table of a folder shows, if not all.
SHOWN = {
    "matmul": ["512x512x512", "1024x1024x1024", "64x784x400, x @ w.T", "64 x 64x64x64"],
    "attention": ["(8, 8, 128, 64), causal", "(2, 8, 1024, 64)", "(2, 8, 1024, 64), causal"],
}
SHOWN["attention_backward"] = SHOWN["attention"]
MARKS = re.compile(r"\[measured\]\n.*?\n\[end of measured\]", re.DOTALL)
Cases = dict[str, dict[str, Any]]  # label -> contender -> figures


def rungs(operation: str, cases: Cases) -> list[str]:
    """Those that were measured, in the order of the ladder."""
    known = [rung.name for rung in kernels.rungs(operation)]
    return [name for name in known if any(name in timed for timed in cases.values())]


def speed(figures: dict[str, Any] | None) -> str:
    """Over NumPy's, in two digits."""
    if figures is None:
        return ""
    value = figures["speed"]
    return f"{value:.4f}" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def ladder(operation: str, cases: Cases) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a case a row, a rung a column, then torch."""
    names = [
        *rungs(operation, cases),
        *(["torch"] if any("torch" in t for t in cases.values()) else []),
    ]
    rows = [[label, *(speed(timed.get(name)) for name in names)] for label, timed in cases.items()]
    return ["", *names], rows


def gains(operation: str, cases: Cases) -> dict[str, tuple[str, float]]:
    """By rung: the rung before it among those that need Numba, and how many times as fast it is."""
    timed = cases.get(STEPS.get(operation, ""), {})
    chain = [r.name for r in kernels.rungs(operation) if r.needs_numba and r.name in timed]
    return {
        name: (before, timed[name]["speed"] / timed[before]["speed"])
        for before, name in itertools.pairwise(chain)
    }


def sentence(operation: str, rung: str, cases: Cases) -> str:
    """What the line "Measured:" says of a rung."""
    found = gains(operation, cases).get(rung)
    size = STEPS.get(operation, "")
    if found:
        before, gain = found
        return f"Measured: {gain:.2g} times as fast as `{before}` ({size}, float32, one thread)."
    figures = cases.get(size, {}).get(rung)
    if figures is None:
        return "Measured: see benchmarks/README.md"
    return f"Measured: {speed(figures)} of NumPy's speed ({size}, float32, one thread)."


def documents(ladders: dict[str, dict[str, Cases]]) -> Iterator[tuple[Path, str]]:
    """Every file of the kernels that says what was measured, with what it has to say."""
    texts: dict[Path, str] = {}
    one = ladders["1"]
    for operation, cases in one.items():
        for rung in kernels.rungs(operation):
            module = getattr(rung.function, "module", "").strip(".").replace(".", "/")
            path = KERNELS / f"{module}.py"
            if module and path.exists():
                text = texts.get(path) or path.read_text(encoding="utf-8")
                line = sentence(operation, rung.name, cases)
                texts[path] = re.sub(r"^Measured: .*$", line, text, count=1, flags=re.MULTILINE)
    for path in sorted(KERNELS.glob("*/__init__.py")):
        text = path.read_text(encoding="utf-8")
        if MARKS.search(text):
            before, after = MARKS.split(text, 1)
            texts[path] = before + overview(path.parent.name, ladders) + after
    yield from texts.items()


def overview(folder: str, ladders: dict[str, dict[str, Cases]]) -> str:
    """The table of a folder's `__init__.py`: speeds in units of NumPy's, a rung a row."""
    parts = []
    for operation, cases in ladders["1"].items():
        if kernels.rungs(operation)[-1].function.module.split(".")[1] == folder:
            labels = SHOWN.get(operation, list(cases))
            names = [*rungs(operation, cases), "torch"]
            rows = [[name, *(speed(cases[label].get(name)) for label in labels)] for name in names]
            rows = [row for row in rows if any(row[1:])]
            parts.append(aligned([operation, *labels], rows))
    text = "\n\n".join(parts)
    return f"[measured]\nSpeed over NumPy's, float32, one thread:\n\n{text}\n[end of measured]"


def aligned(header: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths)) + " |"
        for line in [header, *rows]
    ]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)
