"""Has minigen become slower? `python benchmarks/gate.py`: measures anew, on one thread and in few
rounds, and compares ratios with those recorded in results/, never times.

    overhead steps ...    which measurements; all if left out
    --tolerance 1.25      how much worse a ratio may be

What seems worse is measured a second time, and counts as worse only if it is so twice: on a shared
machine one measurement means little.  Exit code 1, and a list, if something is worse.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness

SCRIPTS = {
    "overhead": ["--rounds", "11"],
    "operations": ["--threads", "1", "--rounds", "5"],
    "steps": ["--threads", "1", "--rounds", "5"],
    "ladders": ["--threads", "1", "--rounds", "5"],
}
Ratios = dict[str, float]  # what was measured -> time over that of the first contender


def ratios(result: dict[str, Any]) -> Ratios:
    """The ratios of everything that is minigen's in one thread's part of a result."""
    part = result.get("threads", {}).get("1", result)
    return {" / ".join(path): ratio for path, ratio in _found(part, ()) if _ours(path[-1])}


def _found(part: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], float]]:
    if isinstance(part, dict):
        if "ratio" in part and path:
            yield path, part["ratio"]
        for name, value in part.items():
            yield from _found(value, (*path, name))


def _ours(contender: str) -> bool:
    """The rungs of a ladder but the first contender, which is 1 by definition; no other library."""
    others = ("torch", "hips", "dezero", "tinygrad", "numpy", "reference")
    return not contender.startswith(others)


def worse(recorded: Ratios, fresh: Ratios, tolerance: float) -> dict[str, tuple[float, float]]:
    """What is slower than recorded by more than the tolerance: (recorded, now)."""
    return {
        name: (recorded[name], now)
        for name, now in fresh.items()
        if name in recorded and now > tolerance * recorded[name]
    }


def measured(name: str) -> Ratios:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(__file__).with_name(f"{name}.py")
        command = [sys.executable, str(script), *SCRIPTS[name], "--out", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return ratios(json.loads((Path(folder) / f"{name}.json").read_text(encoding="utf-8")))


def compare(name: str, tolerance: float) -> dict[str, tuple[float, float]]:
    recorded = ratios(json.loads((harness.RESULTS / f"{name}.json").read_text(encoding="utf-8")))
    first = worse(recorded, measured(name), tolerance)
    if not first:
        return {}
    again = worse(recorded, measured(name), tolerance)
    return {what: figures for what, figures in again.items() if what in first}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("which", nargs="*", choices=[*SCRIPTS, []], default=list(SCRIPTS))
    parser.add_argument("--tolerance", type=float, default=1.25)
    options = parser.parse_args()
    failed = False
    for name in options.which:
        found = compare(name, options.tolerance)
        failed |= bool(found)
        print(f"{name}: {'worse' if found else 'no worse than recorded'}", flush=True)
        for what, (before, now) in sorted(found.items()):
            print(f"    {what}: {before:.2f} recorded, {now:.2f} now")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
