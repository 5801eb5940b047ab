"""Measure which rung is fastest from which size on.

The plain rung and the top of the ladder run in turns in one process; a ratio is the median of
paired rounds, and a round in which the system reports that a process had to wait for a core
(/proc/pressure/cpu) is repeated. The top rung is preferred where it is 1.1 times as fast and saves
at least 20 microseconds a call, but never under 1,024 elements: nobody who types a line of a
tutorial should wait for a compiler. What is chosen depends on shapes and dtypes alone, so that
results repeat bit by bit.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from . import jit
from .examples import EXAMPLES, Draw
from .ladder import Operation, Rung
from .measured import FASTER

SAVED, FLOOR = 20e-6, 1024
SIZES = tuple(4**n for n in range(3, 10))  # 64 to 262,144 elements


class Point(NamedTuple):
    """One comparison: `speed` is that of the top rung over the plain one's."""

    operation: str
    key: str  # dtype, and class if the operation has some
    size: int
    seconds: float  # a call of the plain rung
    speed: float
    wins: bool


def candidates(operation: Operation) -> tuple[Rung, Rung] | None:
    """The plain rung and the top of the ladder; None where there is nothing to compare."""
    plain = next((r for r in reversed(operation.ladder("cpu")) if _is_plain(r)), None)
    top = operation.ladder("cpu")[-1]
    if plain is None or not top.needs_numba or jit.problem() or operation.name not in EXAMPLES:
        return None
    return plain, top


def _is_plain(rung: Rung) -> bool:
    return rung.name != "reference" and not rung.needs_numba


def measure(
    operation: Operation, dtypes: Iterable[str] = ("float32", "float64"), quick: bool = False
) -> Iterator[Point]:
    """Compare the two candidates at rising sizes, for each dtype and class of shapes."""
    compared = candidates(operation)
    if compared is None:
        return
    plain, top = compared
    for dtype in dtypes:
        for kind, example in EXAMPLES[operation.name].items():
            rng = np.random.default_rng(0)
            draw: Draw = lambda *shape, d=dtype, r=rng: r.standard_normal(shape).astype(d)  # noqa: E731
            for size in SIZES:
                arguments = example(size, draw)
                seconds, ratio = compare(
                    partial(plain.function, *arguments),
                    partial(top.function, *arguments),
                    rounds=5 if quick else 9,
                )
                wins = size >= FLOOR and ratio * FASTER <= 1 and seconds * (1 - ratio) >= SAVED
                key = f"{dtype} {kind}".strip()
                yield Point(operation.name, key, size, seconds, 1 / ratio, wins)


def classes(points: Iterable[Point], plain: str, top: str) -> tuple[tuple[int, str, float], ...]:
    """Neighbours with the same winner become one class; its ratio is their geometric mean.

    A class ends halfway, by ratio, between its last measured size and the next one, which is four
    times as large.
    """
    merged: list[tuple[int, str, list[float]]] = []
    for point in points:
        rung = top if point.wins else plain
        if merged and merged[-1][1] == rung:
            merged[-1] = (point.size, rung, [*merged[-1][2], point.speed])
        else:
            merged.append((point.size, rung, [point.speed]))
    ends = [2 * size for size, _, _ in merged[:-1]] + [sys.maxsize]
    return tuple(
        (end, rung, round(statistics.geometric_mean(speeds), 2))
        for end, (_, rung, speeds) in zip(ends, merged)
    )


def _stalled() -> float:
    """Seconds that some process has waited for a processor since boot; 0 where Linux cannot say."""
    try:
        with open("/proc/pressure/cpu", encoding="ascii") as pressure:
            return int(pressure.readline().rpartition("total=")[2]) * 1e-6
    except (OSError, ValueError):
        return 0.0


def _timed(call: Callable[[], Any], repeats: int) -> float:
    """Seconds a call, in a run of `repeats` without contention (or the tenth try)."""
    for _ in range(10):
        before, start = _stalled(), time.perf_counter()
        for _ in range(repeats):
            call()
        elapsed = time.perf_counter() - start
        if _stalled() - before < 0.02 * elapsed:
            break
        time.sleep(0.02)
    return elapsed / repeats


def compare(
    first: Callable[[], Any], second: Callable[[], Any], rounds: int = 9, block: float = 2e-3
) -> tuple[float, float]:
    """Median seconds of the first, and median of the paired ratios second / first."""
    first(), second()
    repeats = [max(1, int(block / max(_timed(f, 1), 1e-7))) for f in (first, second)]
    pairs = [(_timed(first, repeats[0]), _timed(second, repeats[1])) for _ in range(rounds)]
    return statistics.median(a for a, _ in pairs), statistics.median(b / a for a, b in pairs)
