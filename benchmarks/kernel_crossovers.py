"""Measure from which size on which CPU rung is fastest, and write `kernels/crossovers.py`.

    python benchmarks/kernel_crossovers.py            print the table
    python benchmarks/kernel_crossovers.py --write    and rewrite kernels/crossovers.py
    ... softmax adam                                  these operations only

On one thread; `minigen.kernels.tuning` says how. `minigen kernels tune` does the same for a user's
machine.
"""

from __future__ import annotations

import harness

harness.pin(1)

import argparse  # noqa: E402
import sys  # noqa: E402
from itertools import groupby  # noqa: E402
from pathlib import Path  # noqa: E402

from minigen.kernels import tuning  # noqa: E402
from minigen.kernels.crossovers import MEASURED  # noqa: E402
from minigen.kernels.registry import operation  # noqa: E402

from minigen import kernels  # noqa: E402

TARGET = Path(__file__).parents[1] / "kernels" / "crossovers.py"
HEAD = '''"""Which rung is the default, by number of elements of the deciding array.

    operation: {dtype and class: ((largest size, default, speed of the top rung over numpy), ...)}

Measured and written by benchmarks/kernel_crossovers.py, which says how; one thread.
"""

import sys

MEASURED: dict[str, dict[str, tuple[tuple[int, str, float], ...]]] = {
'''


def measured(name: str) -> dict[str, tuple[tuple[int, str, float], ...]]:
    record = operation(name)
    compared = tuning.candidates(record)
    if compared is None:
        return {}
    plain, top = compared
    found = {}
    for key, group in groupby(tuning.measure(record), lambda point: point.key):
        points = []
        for point in group:
            took = f"{point.seconds * 1e6:9.1f} us"
            print(f"{name:24} {key:16} {point.size:8,}  {plain.name} {took}  x{point.speed:5.2f}")
            points.append(point)
        found[key] = tuning.classes(points, plain.name, top.name)
    return found


def written(table: dict) -> str:
    lines = [HEAD.rstrip()]
    for name, by_key in table.items():
        lines.append(f'    "{name}": {{')
        for key, rows in by_key.items():
            cells = ", ".join(
                f'({"sys.maxsize" if end == sys.maxsize else end}, "{rung}", {speed})'
                for end, rung, speed in rows
            )
            lines.append(f'        "{key}": ({cells},),')
        lines.append("    },")
    return "\n".join([*lines, "}"]) + "\n"


def main() -> None:
    """Measure operations in both precisions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("operations", nargs="*", help="all if left out")
    parser.add_argument("--write", action="store_true", help="rewrite kernels/crossovers.py")
    options = parser.parse_args()
    chosen = options.operations or kernels.operations()
    fresh = {name: measured(name) for name in chosen}
    table = {name: fresh.get(name, MEASURED.get(name, {})) for name in kernels.operations()}
    if options.write:
        TARGET.write_text(written({n: rows for n, rows in table.items() if rows}), "utf-8")


if __name__ == "__main__":
    main()
