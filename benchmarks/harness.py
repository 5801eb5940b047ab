"""How minigen is timed: contenders interleaved in one process, threads pinned alike, medians.

* `pin(threads)` must run before NumPy and torch are imported: it sets every library's thread count.
* `compare` warms every contender up (so compilation is never timed), then runs them in turns, every
  other round in reverse order, and repeats a block in which the kernel reports that our process had
  to wait for a core (Linux's /proc/self/task/*/schedstat): on a shared machine this filter decides
  whether a figure means anything.
* A ratio is the median of the ratios within each round; nobody's absolute time is quoted.
* `parser` and `in_subprocess` give benchmarks the same options and a process for each number of
  threads.
* `record` writes a JSON file with the facts of the machine into benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
DISTURBED = 0.02  # the share of a block that may be spent waiting for a core
# Seconds until threads that slept are spread over the cores again: so long the system may leave two
# on one. (64 products of 64 x 64 x 64 on two threads: 0.8 ms for 30 ms, then 0.42.)
AWAKE = 0.06
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def pin(threads: int) -> None:
    """Give every library the same number of threads; call before importing any of them."""
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(threads)


def parser(description: str | None, rounds: int) -> argparse.ArgumentParser:
    """The options that benchmarks have in common."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    made.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--out", type=Path, default=RESULTS)
    made.add_argument("--part", type=Path, help=argparse.SUPPRESS)  # set by `in_subprocess`
    return made


def in_subprocess(script: str, threads: int, *arguments: object) -> dict[str, Any]:
    """What `script` measures on so many threads: it is run again, with a file for its part, so that
    threads can be pinned before anything is imported. Empty if it wrote nothing."""
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part.json"
        command = [sys.executable, *(f"-W{w}" for w in sys.warnoptions), script]
        command += ["--threads", str(threads), "--part", str(part), *map(str, arguments)]
        subprocess.run(command, check=True)
        return json.loads(part.read_text(encoding="utf-8")) if part.exists() else {}


def torch_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _stalled() -> float:
    """Seconds that this process's threads have waited for a core so far, though they were ready to
    run; where the kernel does not count them, those of all processes; 0 where it counts none."""
    try:
        tasks = os.listdir("/proc/self/task")
        waited = [Path(f"/proc/self/task/{t}/schedstat").read_text().split()[1] for t in tasks]
        return sum(map(int, waited)) * 1e-9
    except (OSError, IndexError, ValueError):
        pass
    try:
        with open("/proc/pressure/cpu") as pressure:
            return int(pressure.readline().rsplit("total=", 1)[1]) * 1e-6
    except (OSError, IndexError, ValueError):
        return 0.0


def _block(function: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def seconds(function: Callable[[], Any]) -> float:
    """What one call takes."""
    return _block(function, 1)


def compare(
    contenders: dict[str, Callable[[], Any]],
    rounds: int = 21,
    block_seconds: float = 0.05,
    settle_seconds: float = 0.0,
    retries: int = 6,
) -> dict[str, Any]:
    """Time the contenders against the first of them.

    settle_seconds: pause before each block, for thread pools of the others to fall asleep; the
    contender then runs unmeasured for AWAKE seconds, as a training does that goes on.  A block
    disturbed `retries` times counts as it was when it was least so.  Returns, by name, the median
    seconds a call, the quartiles and `ratio`: its time over the first one's, the median over the
    rounds.
    """
    calls, waking = {}, {}
    for name, function in contenders.items():
        for _ in range(3):
            function()
        once = max(_block(function, 1), 1e-7)
        calls[name], waking[name] = (max(1, round(s / once)) for s in (block_seconds, AWAKE))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    disturbed = total = 0
    for index in range(rounds):
        for name in list(contenders)[:: 1 if index % 2 == 0 else -1]:
            attempts = []  # (share of the block spent waiting for a core, seconds a call)
            for attempt in range(retries):
                if settle_seconds:
                    time.sleep(settle_seconds)
                    _block(contenders[name], waking[name])
                before = _stalled()
                seconds = _block(contenders[name], calls[name])
                attempts.append(((_stalled() - before) / (seconds * calls[name]), seconds))
                total += 1
                if attempts[-1][0] < DISTURBED:
                    break
                disturbed += 1
                time.sleep(0.02 * (attempt + 1))
            times[name].append(min(attempts)[1])
    first = next(iter(contenders))
    return {
        "disturbed_blocks": f"{disturbed} of {total}",
        **{
            name: {
                "seconds": statistics.median(values),
                "quartiles": statistics.quantiles(values, n=4)[::2],
                "ratio": statistics.median(v / b for v, b in zip(values, times[first])),
            }
            for name, values in times.items()
        },
    }


def machine(
    packages: Iterable[str] = ("numpy", "numba", "torch", "autograd", "dezero", "tinygrad"),
) -> dict:
    """What one has to know to read a figure."""
    model = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        pass
    versions = {}
    for package in ("minigen", *packages):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
        "date": time.strftime("%Y-%m-%d"),
    }


def known(path: Path, part: str = "threads") -> dict[str, Any]:
    """What a file holds already, by number of threads or whatever `part` names, so that some of it
    can be measured anew."""
    return json.loads(path.read_text(encoding="utf-8"))[part] if path.exists() else {}


def record(name: str, content: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write `content` and the machine's facts to folder/name.json."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    text = json.dumps({"machine": machine(), **content}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path
