"""How things are timed on a GPU, and what one has to know of it to read a figure.

A launch returns before the work is done, so a block of calls lies between two events that the GPU
itself stamps. Contenders take turns, every other round in reverse order; medians count. CuPy and
torch both use the default stream, so one's events see the other's work.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT)]

PLACE = os.environ.get("MINIGEN_BENCHMARK_DEVICE", "cuda")  # "cpu" tries a script out
RESULTS = ROOT / "benchmarks" / "results" / "gpu"


def seconds(function: Callable[[], Any], calls: int) -> float:
    """What one call takes, by the GPU's clock, over a block of them."""
    import torch

    if not torch.cuda.is_available():  # to try a script out
        begin = time.perf_counter()
        for _ in range(calls):
            function()
        return (time.perf_counter() - begin) / calls
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(calls):
        function()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) * 1e-3 / calls


def compare(
    contenders: dict[str, Callable[[], Any]], rounds: int = 7, block: float = 0.02
) -> dict[str, dict[str, Any]]:
    """By name: median seconds, quartiles, and `ratio`, its time over the first contender's."""
    calls = {}
    for name, function in contenders.items():
        seconds(function, 2)  # compiled, loaded, tuned
        calls[name] = max(1, min(1000, round(block / max(seconds(function, 1), 1e-6))))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for index in range(rounds):
        for name in list(contenders)[:: 1 if index % 2 == 0 else -1]:
            times[name].append(seconds(contenders[name], calls[name]))
    first = times[next(iter(contenders))]
    return {
        name: {
            "seconds": statistics.median(values),
            "quartiles": statistics.quantiles(values, n=4)[::2],
            "ratio": statistics.median(v / b for v, b in zip(values, first)),
        }
        for name, values in times.items()
    }


def machine() -> dict[str, Any]:
    """The GPU, its driver, and the versions of what was compared."""
    if not shutil.which("nvidia-smi"):
        return {"gpu": "none", "date": time.strftime("%Y-%m-%d")}
    query = "--query-gpu=name,driver_version,memory.total,clocks.max.sm"
    fields = subprocess.run(
        ["nvidia-smi", query, "--format=csv,noheader"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[0]
    name, driver, memory, clock = (part.strip() for part in fields.split(","))
    versions = {}
    for package in ("minigen", "numpy", "numba", "numba-cuda", "cupy-cuda13x", "torch"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "gpu": name,
        "driver": driver,
        "memory": memory,
        "highest_clock": clock,
        "versions": versions,
        "date": time.strftime("%Y-%m-%d"),
    }


def record(name: str, content: dict[str, Any], folder: Path) -> Path:
    """Write `content` and the machine's facts to folder/name.json."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **content}, indent=2) + "\n")
    return path
