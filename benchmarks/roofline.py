"""What this machine can do at most, and how near the kernels come: `python benchmarks/roofline.py`.

A kernel is bound either by arithmetic or by memory (S. Williams, A. Waterman and D. Patterson,
"Roofline", 2009): with I additions and multiplications per byte that has to move, it reaches at
most min(peak, I x bandwidth).  Both are measured here, on one and on two threads:

    peak        12 independent chains of fused multiply-adds on vectors, which no memory feeds
    bandwidth   a = b + s c over arrays of 64 MB, three numbers an element

The rates of the kernels are those that ladders.py has recorded.  Goes to results/roofline.json and,
as a picture, to results/roofline.png.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness

STEPS, CHAINS = 2_000_000, 12
ELEMENTS = 16_000_000


def measure(threads: int) -> dict[str, float]:
    """Peak in GFLOP/s and bandwidth in GB/s, the best of 15 runs each: limits, not averages."""
    import numpy as np
    from minigen.kernels import parallel
    from roofline_kernels import chains, triad

    parallel.set_threads(threads)
    parallel.take_over()
    scratch = np.ones(64, np.float32)
    lanes = 8
    a, b, c = (np.ones(ELEMENTS, np.float32) for _ in range(3))
    cuts = [slice(i * ELEMENTS // threads, (i + 1) * ELEMENTS // threads) for i in range(threads)]
    work = 2.0 * STEPS * CHAINS * lanes * threads
    peak = best(lambda: parallel.each(lambda _: chains(scratch.copy(), STEPS), range(threads)))
    moved = 3.0 * 4 * ELEMENTS
    copy = best(lambda: parallel.each(lambda s: triad(a[s], b[s], c[s], 1.5), cuts))
    return {"peak": work / peak * 1e-9, "bandwidth": moved / copy * 1e-9}


def best(call: Callable[[], Any], runs: int = 15) -> float:
    call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.quantiles(times, n=10)[0]


def points(limits: dict[str, float], ladders: dict[str, Any]) -> list[dict[str, Any]]:
    """The best rung of each case that has a rate: intensity, rate, and its share of the roof
    in percent."""
    found = []
    for operation, cases in ladders.items():
        for label, timed in cases.items():
            moved = bytes_moved(operation, label)
            if not timed["work"] or not moved:
                continue
            rungs = {n: f for n, f in timed.items() if isinstance(f, dict) and n != "torch"}
            name, figures = min(rungs.items(), key=lambda item: item[1]["seconds"])
            intensity = timed["work"] / moved
            roof = min(limits["peak"], intensity * limits["bandwidth"])
            rate = timed["work"] / figures["seconds"] * 1e-9
            found.append(
                {
                    "operation": operation, "case": label, "rung": name,
                    "intensity": intensity, "rate": rate, "share": 100 * rate / roof,
                }
            )  # fmt: skip
    return found


def bytes_moved(operation: str, label: str) -> float:
    """What has to be read and written once, in float32."""
    import kernel_cases
    import numpy as np

    case = next(c for c in kernel_cases.CASES if (c.operation, c.label) == (operation, label))
    rng = np.random.default_rng(0)
    arguments = case.make(lambda *shape: rng.standard_normal(shape).astype(np.float32))
    from minigen.kernels import registry

    results = registry.operation(operation).expected(*arguments)
    written = sum(4 * int(np.prod(shape)) for shape, _ in results)
    return written + sum(a.nbytes for a in arguments if isinstance(a, np.ndarray))


def picture(content: dict[str, Any], path: Path) -> None:
    """The roofs of one and two threads, and the kernels under them."""
    import matplotlib.pyplot as plt
    import numpy as np

    figure, axes = plt.subplots(1, len(content), figsize=(6 * len(content), 4.5), squeeze=False)
    for axis, (threads, part) in zip(axes[0], content.items()):
        peak, bandwidth = part["limits"]["peak"], part["limits"]["bandwidth"]
        x = np.geomspace(0.5, 500, 200)
        axis.loglog(x, np.minimum(peak, x * bandwidth), color="black", linewidth=1)
        for operation in dict.fromkeys(p["operation"] for p in part["points"]):
            chosen = [p for p in part["points"] if p["operation"] == operation]
            axis.loglog(
                [p["intensity"] for p in chosen], [p["rate"] for p in chosen], "o", label=operation
            )
        axis.set_xlabel("operations per byte that has to move")
        axis.set_ylabel("GFLOP/s")
        plural = "s" * (threads != "1")
        axis.set_title(f"{threads} thread{plural}: {peak:.0f} GFLOP/s, {bandwidth:.0f} GB/s")
        axis.set_ylim(5, 2 * peak)
        axis.grid(True, which="both", alpha=0.2)
        axis.legend(frameon=False, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def in_subprocess(threads: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part.json"
        command = [sys.executable, __file__, "--threads", str(threads), "--part", str(part)]
        subprocess.run(command, check=True)
        return json.loads(part.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    parser.add_argument("--part", type=Path, help=argparse.SUPPRESS)  # set for the subprocess
    options = parser.parse_args()
    if options.part is not None:
        harness.pin(options.threads[0])
        options.part.write_text(json.dumps(measure(options.threads[0])), encoding="utf-8")
        return
    ladders = harness.known(options.out / "ladders.json")
    content = {}
    for threads in map(str, options.threads):
        limits = in_subprocess(int(threads))
        content[threads] = {
            "limits": limits,
            "points": points(limits, ladders.get(threads, {})),
        }
        print(f"{threads}: {limits['peak']:.0f} GFLOP/s, {limits['bandwidth']:.1f} GB/s")
    picture(content, options.out / "roofline.png")
    print(f"written to {harness.record('roofline', {'threads': content}, options.out)}")


if __name__ == "__main__":
    main()
