"""From which size on which kernel is fastest on a GPU: `python benchmarks/gpu/crossovers.py`.

The typical calls of `kernels/examples.py`, with arrays on the GPU: the plain rung, which is cuBLAS
and CuPy's ufuncs, beside the kernels in CUDA C++, at rising sizes and in every precision. Calls are
replayed from CUDA graphs, as training does with its steps, so what Python takes for a launch does
not count; where one cannot be captured all are made one after the other. Attention's sequences are
as long as those that GPUs are trained on. Where two kernels could be the default, it is the one
that is faster over all sizes. Results go to FOLDER/crossovers.json; --write makes them the
defaults, in kernels/crossovers_cuda.py.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import device

TARGET = device.ROOT / "kernels" / "crossovers_cuda.py"
ALWAYS = ("adam", "sgd", "clip_norm")  # what a captured step needs: their speed decides nothing
SIZES = tuple(4**n for n in range(5, 12))  # 1,024 to 4.2 million elements
PRECISIONS = ("float32", "tf32x3", "bfloat16")
# What could take the place of the rung that UNMEASURED names.
RIVALS = {
    ("matmul", "tf32x3"): ("cuda_wgmma_tf32x3",),
    ("attention", "float32"): ("cuda_flash_tf32x3",),
    ("attention_backward", "float32"): ("cuda_flash_tf32x3",),
}
REPEATS = 8  # calls in a graph: to launch one takes as long as a small kernel
LONGEST, WIDTH = 1024, 64  # of a sequence and a head of attention
Row = tuple[int, str, float]


def contenders() -> Iterator[tuple[str, str, Any, list[Any]]]:
    """(operation, precision, plain rung, rungs) of every default that there could be."""
    from minigen.kernels import choice_cuda, crossovers_cuda, registry

    from minigen import kernels

    for name in kernels.operations():
        record = registry.operation(name)
        plain = registry._plain(record, "cuda", "float32")
        ladder = {rung.name: rung for rung in record.rungs if rung.device == "cuda"}
        for precision in PRECISIONS:
            named = crossovers_cuda.UNMEASURED[precision].get(name, ("cuda",))
            if name == "matmul" and precision == "float32":
                named = ("cuda_warp_tile",)
            runs = [ladder[n] for n in named if n in ladder and not choice_cuda.problem(ladder[n])]
            if runs and (precision == "float32" or runs[0].name != "cuda"):
                rivals = [ladder[n] for n in RIVALS.get((name, precision), ())]
                rivals = [rung for rung in rivals if not choice_cuda.problem(rung)]
                yield name, precision, plain, [runs[0], *rivals]


def examples(name: str) -> dict[str, Any]:
    """By class of shapes, what makes the arguments of a typical call."""
    from minigen.kernels.examples import EXAMPLES

    def attention(size: int, draw: Any) -> tuple[Any, ...]:
        tokens = min(LONGEST, max(2, size // WIDTH))
        shape = (max(1, size // (WIDTH * tokens)), tokens, WIDTH)
        return *(draw(*shape) for _ in range(3)), None, True

    def backward(size: int, draw: Any) -> tuple[Any, ...]:
        from minigen import kernels

        q, k, v, *options = attention(size, draw)
        results = kernels.get("attention", "numpy")(q, k, v, *options)
        return draw(*q.shape), q, k, v, *results, *options

    ours = {"attention": {"": attention}, "attention_backward": {"": backward}}
    return ours.get(name) or EXAMPLES[name]


def on_gpu(value: Any) -> Any:
    import cupy
    import numpy as np

    return cupy.asarray(value) if isinstance(value, np.ndarray) else value


def in_graphs(calls: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Functions that each make a call so often, and how often: in CUDA graphs, if all can be."""
    from minigen import cuda

    found = {}
    for name, call in calls.items():
        try:
            graph = cuda.CUDAGraph()
            call()  # what is compiled, loaded or tuned in the first call is no part of it
            with cuda.graph(graph):
                for _ in range(REPEATS):
                    call()
        except Exception as problem:  # whatever it is, there is another way to time it
            print(f"{name} is in no graph: {type(problem).__name__}: {problem}"[:200])
            return calls, 1
        found[name] = graph.replay
    return found, REPEATS


def measure(name: str, plain: Any, rungs: list[Any]) -> dict[str, dict[str, list[Any]]]:
    """Points of every class of shapes and rung, as `tuning.classes` takes them."""
    import numpy as np
    from minigen.kernels.measured import FASTER
    from minigen.kernels.tuning import Point

    found: dict[str, dict[str, list[Any]]] = {}
    for kind, example in examples(name).items():
        rng = np.random.default_rng(0)
        draw = lambda *shape, r=rng: r.standard_normal(shape, np.float32)  # noqa: E731
        points = found[kind] = {rung.name: [] for rung in rungs}
        for size in SIZES:
            arguments = tuple(map(on_gpu, example(size, draw)))
            calls = {r.name: partial(r.function, *arguments) for r in (plain, *rungs)}
            calls, times = in_graphs(calls)
            timed = device.compare(calls, rounds=5, block=0.004)
            seconds = timed[plain.name]["seconds"] / times
            for rung in rungs:
                speed = 1 / timed[rung.name]["ratio"]
                wins = speed > FASTER or name in ALWAYS
                points[rung.name].append(Point(name, kind, size, seconds, speed, wins))
    return found


def fastest(points: dict[str, list[Any]]) -> str:
    """The rung that is faster than the others over all sizes."""
    return max(points, key=lambda rung: statistics.geometric_mean(p.speed for p in points[rung]))


def table() -> dict[str, dict[str, list[Row]]]:
    from minigen.kernels.tuning import classes

    found: dict[str, dict[str, list[Row]]] = {}
    for name, precision, plain, rungs in contenders():
        began = time.perf_counter()
        try:
            by_kind = measure(name, plain, rungs)
        except Exception as error:  # the others are to be measured all the same
            names = ", ".join(rung.name for rung in rungs)
            print(f"{name} {precision} {names}: {type(error).__name__}: {error}"[:300])
            continue
        for kind, points in by_kind.items():
            key, best = f"{precision} {kind}".strip(), fastest(points)
            found.setdefault(name, {})[key] = list(classes(points[best], "plain", best))
            took = time.perf_counter() - began
            for rung, measured in points.items():
                speeds = " ".join(f"{point.speed:.2f}" for point in measured)
                print(f"{name:24} {key:18} {rung:18} {speeds}  [{took:.1f} s]", flush=True)
    return found


def written(measured: dict[str, dict[str, list[Row]]]) -> str:
    """crossovers_cuda.py with this table in the place of the one that it has."""
    text = TARGET.read_text(encoding="utf-8")
    if "import sys\n" not in text:
        text = text.replace("\nPLAIN = ", "\nimport sys\n\nPLAIN = ", 1)
    start = text.index("MEASURED: ")
    end = text.index("\n\n", start)
    lines = ["MEASURED: dict[str, dict[str, tuple[tuple[int, str, float], ...]]] = {"]
    for name, by_key in measured.items():
        lines.append(f'    "{name}": {{')
        for key, rows in by_key.items():
            cells = ", ".join(
                f'({"sys.maxsize" if largest == sys.maxsize else largest}, "{rung}", {speed})'
                for largest, rung, speed in rows
            )
            lines.append(f'        "{key}": ({cells},),')
        lines.append("    },")
    return text[:start] + "\n".join([*lines, "}"]) + text[end:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=device.RESULTS)
    parser.add_argument("--write", action="store_true", help="of FOLDER/crossovers.json")
    options = parser.parse_args()
    if options.write:
        saved = json.loads((options.out / "crossovers.json").read_text(encoding="utf-8"))
        TARGET.write_text(written(saved["measured"]), encoding="utf-8")
        return
    measured = table()
    assert all(math.isfinite(row[2]) for keys in measured.values() for rows in keys.values()
               for row in rows)  # fmt: skip
    content = {"measured": measured, "replayed": True}
    print(f"written to {device.record('crossovers', content, options.out)}")


if __name__ == "__main__":
    main()
