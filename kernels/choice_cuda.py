"""The default on a GPU: by dtype, precision, class of shapes and size; `registry` asks here.

    rows(record, dtype, kind, level)   what `crossovers_cuda.py` says: (largest size, rung, speed)
    problem(rung)                      why a rung cannot run here
    reasons(record, ...)               all of it as a sentence

`level` is that of `set_float32_matmul_precision`; it says in which precisions a float32 product may
be computed, the first for which there is a rung being taken.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from . import crossovers_cuda
from .crossovers_cuda import PLAIN
from .ladder import Operation, Rung

Array = Any

# float32 products at each level of precision, the fastest way first
PRECISIONS = {
    "highest": ("float32",),
    "high": ("tf32x3", "float32"),
    "medium": ("bfloat16", "tf32x3", "float32"),
}
Rows = Sequence[tuple[int, Rung | None, float | None]]  # None: the plain rung; an unmeasured speed


def rows(record: Operation, dtype: Any, kind: str, level: str) -> Rows:
    """(largest size, rung, its speed over the plain one) by rising size, for arrays of that dtype.

    The last size is `sys.maxsize`. Only rungs that the ladder has are named.
    """
    if str(dtype) == "float32":
        for precision in PRECISIONS[level]:
            found = _of_precision(record, kind, precision)
            if found:
                return found
    return ((sys.maxsize, None, None),)


def _of_precision(record: Operation, kind: str, precision: str) -> Rows:
    ladder = {rung.name: rung for rung in record.rungs if rung.device == "cuda"}
    otherwise = ("cuda",) if precision == "float32" else ()
    named = crossovers_cuda.UNMEASURED[precision].get(record.name, otherwise)
    runs = [ladder[n] for n in named if n in ladder and not problem(ladder[n])]
    table = crossovers_cuda.MEASURED.get(record.name, {})
    measured = table.get(f"{precision} {kind}".strip()) or table.get(precision) or ()
    if measured and all(name == PLAIN or name in ladder for _, name, _ in measured):
        return [(size, _here(ladder.get(name), runs), speed) for size, name, speed in measured]
    found = runs or [ladder[name] for name in named if name in ladder]
    return ((sys.maxsize, found[-1] if not runs else found[0], None),) if found else ()


def _here(measured: Rung | None, runs: Sequence[Rung]) -> Rung | None:
    """What was measured to be fastest, or what takes its place on a GPU that does not run it."""
    if measured is None or not problem(measured):
        return measured
    return runs[0] if runs else measured


_broken: dict[bool, str] = {}  # whether rungs need Numba -> why those cannot be loaded


def note_broken(rung: Rung, reason: str) -> None:
    """Remember that rungs like this one cannot be loaded, though all seemed to be there."""
    _broken[rung.needs_numba] = reason


def problem(rung: Rung) -> str:
    """Why this rung cannot run on any GPU of this machine, or "" if nothing is known against it."""
    if rung.plain:
        return ""
    if reason := _broken.get(rung.needs_numba, ""):
        return reason
    if rung.needs_numba:
        return rung.problem()
    from .cuda import compiler

    return compiler.problem() or _loads_no_kernels() or _other_chip(rung)


def _other_chip(rung: Rung) -> str:
    """Where there is no GPU to ask, as `why` may be, nothing is held against a rung."""
    if not rung.chip or "cupy" not in sys.modules:
        return ""
    import cupy

    try:
        number = cupy.cuda.Device().compute_capability
    except RuntimeError:
        return ""
    return "" if number == rung.chip else f"it needs a GPU of sm_{rung.chip}, this is sm_{number}"


def _loads_no_kernels() -> str:
    """A module may stand in CuPy's place that computes on the CPU, and can do no such thing."""
    cupy = sys.modules.get("cupy")
    device = getattr(getattr(cupy, "cuda", None), "Device", None)
    if cupy is not None and not hasattr(device, "compute_capability"):
        return "what stands in CuPy's place here loads no kernels"
    return ""


def reasons(record: Operation, plain: Rung, dtype: Any, arrays: Sequence[Array], level: str) -> str:
    """What is used on a GPU for these arrays and why; without arrays, at every size."""
    found = rows(record, dtype, record.kind(*arrays) if arrays else "", level)
    if arrays:
        size = arrays[record.sized_by].size
        found = [row for row in found if size <= row[0]][:1]
    return "; ".join(_reason(record, plain, dtype, arrays, *row) for row in found)


def _reason(
    record: Operation, plain: Rung, dtype: Any, arrays: Sequence[Array], largest: int,
    rung: Rung | None, speed: float | None,
) -> str:  # fmt: skip
    sizes = f" up to {largest:,} elements" if largest < sys.maxsize else ""
    if rung is None:
        if speed is not None:
            return f"{plain.name}{sizes}, measured to be the fastest"
        others = [r for r in record.rungs if r.device == "cuda" and r.takes("cuda", dtype)]
        if all(r.plain for r in others):
            return f"{plain.name}{sizes}, the only rung for {dtype} on a GPU"
        return f"{plain.name}{sizes}, until another rung is measured to be faster on a GPU"
    refused = rung.refuses(*arrays) if rung.refuses is not None and arrays else ""
    if obstacle := problem(rung) or refused:
        return f"{plain.name}{sizes}, because {obstacle} (else {rung.name})"
    rounded = "" if rung.precision == "float32" else f" in {rung.precision}"
    if speed is not None:
        return f"{rung.name}{rounded}{sizes}, measured {speed:.2g} times as fast as {plain.name}"
    return f"{rung.name}{rounded}{sizes}, though nothing is measured on a GPU yet"
