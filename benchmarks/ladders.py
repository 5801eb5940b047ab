"""The kernels' ladders, rung by rung: `python benchmarks/ladders.py`.

    --operations matmul attention ...   which; all if left out
    --threads 1 2                       on how many threads; each in a process of its own
    --rounds 9

Every rung of an operation computes the same case in turns with the others and with torch, in
float32.  Beside each time stands the rung's largest error, against the reference in float64, in
units of roundoff of the largest result; an error over 1,000 such units for a sum of n terms is
refused.  Ratios go to results/ladders.json and from there, by tables.py, to the page of results and
into the kernels' own documentation.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import harness

OPERATIONS = (
    "matmul", "attention", "attention_backward", "layer_norm", "gelu", "cross_entropy", "adam",
)  # fmt: skip
UNIT = 2.0**-24
REFUSED = 1000.0  # units of roundoff
PATIENT = 0.25  # seconds: a rung that takes longer is timed twice, the better counts


def measure(operations: list[str], threads: int, rounds: int) -> dict[str, Any]:
    """In a process whose threads are pinned: check, then time."""
    import kernel_cases

    harness.torch_threads(threads)
    found: dict[str, Any] = {}
    for case in kernel_cases.CASES:
        if case.operation in operations:
            timed = measure_case(case, rounds, threads)
            found.setdefault(case.operation, {})[case.label] = timed
            show(case, threads, timed)
    return found


def measure_case(case: Any, rounds: int, threads: int) -> dict[str, Any]:
    import numpy as np

    from minigen import kernels

    rng = np.random.default_rng(0)
    arguments = case.make(lambda *shape: rng.standard_normal(shape).astype(np.float32))
    contenders: dict[str, Callable[[], Any]] = {}
    errors, slow = {}, {}
    exact = results(kernels.get(case.operation, "reference"), arguments)
    ladder = kernels.rungs(case.operation)
    for rung in ladder:  # before anything is timed: some work in place
        errors[rung.name] = error(results(rung.function, arguments), exact)
        assert errors[rung.name] < REFUSED, (case.label, rung.name, errors[rung.name])
    for rung in ladder[:0:-1]:  # the reference defines what is right; nobody races it
        call = bound(rung, arguments)
        call()
        start = time.perf_counter()
        call()
        patient = time.perf_counter() - start > PATIENT and rung.name != "numpy"
        (slow if patient else contenders)[rung.name] = call
    contenders = {"numpy": contenders.pop("numpy"), **contenders}
    if case.torch is not None:
        contenders["torch"] = case.torch(*map(to_torch, arguments))
    settle = 0.12 if threads > 1 else 0.0
    timed = harness.compare(contenders, rounds, 0.03, settle, retries=3)
    for name, call in slow.items():
        times = [harness.seconds(call) for _ in range(2)]
        ratio = min(times) / timed["numpy"]["seconds"]
        timed[name] = {"seconds": min(times), "quartiles": times, "ratio": ratio}
    for name, figures in timed.items():
        if name != "disturbed_blocks":
            figures["speed"] = 1 / figures["ratio"]
    for name, worst in errors.items():
        if name in timed:
            timed[name]["error"] = worst
    return {"work": case.work, **timed}


def bound(rung: Any, arguments: tuple) -> Callable[[], Any]:
    """A call, with the threads given to kernels or to BLAS, as it needs (kernels/parallel.py)."""
    from minigen.kernels import parallel

    def call() -> Any:
        parallel.take_over(rung.name == "parallel")
        return rung.function(*arguments)

    return call


def results(function: Callable[..., Any], arguments: tuple) -> list[Any]:
    """What it returns; what it has changed, where it works in place. On copies."""
    import numpy as np

    given = [np.copy(a, order="A") if isinstance(a, np.ndarray) else a for a in arguments]
    value = function(*given)
    if value is None:
        return [a for a in given[:4] if isinstance(a, np.ndarray)]
    return list(value) if isinstance(value, tuple) else [value]


def error(found: list[Any], exact: list[Any]) -> float:
    """The largest distance over all results, in units of roundoff of each one's largest number."""
    import numpy as np

    return max(
        float(np.abs(a.astype(np.float64) - b).max() / (np.abs(b).max() * UNIT))
        for a, b in zip(found, exact)
    )


def to_torch(value: Any) -> Any:
    import numpy as np
    import torch

    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def show(case: Any, threads: int, timed: dict[str, Any]) -> None:
    print(f"{case.operation} {case.label}, {threads} thread{'s' * (threads > 1)}:")
    for name, figures in timed.items():
        if isinstance(figures, dict):
            rate = f"{case.work / figures['seconds'] * 1e-9:8.2f} GFLOP/s" if case.work else ""
            worst = f"error {figures['error']:.1f} u" if "error" in figures else ""
            print(f"  {name:14} {1 / figures['ratio']:8.3f} times numpy {rate} {worst}", flush=True)


def main() -> None:
    parser = harness.parser(__doc__, rounds=9)
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=list(OPERATIONS))
    options = parser.parse_args()
    if options.part is not None:
        (threads,) = options.threads
        harness.pin(threads)
        measured = measure(options.operations, threads, options.rounds)
        options.part.write_text(json.dumps(measured), encoding="utf-8")
        return
    content = harness.known(options.out / "ladders.json")
    for threads in options.threads:
        measured = harness.in_subprocess(
            __file__, threads, "--rounds", options.rounds, "--operations", *options.operations
        )
        content.setdefault(str(threads), {}).update(measured)
    print(f"written to {harness.record('ladders', {'threads': content}, options.out)}")


if __name__ == "__main__":
    main()
