"""CUDA C++ rungs of an operation beside its formula, with no GPU: the emulator against float64."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..checking import KernelError
from ..examples import EXAMPLES
from ..ladder import Operation, Rung
from . import compiler, emulator
from .emulator import Run
from .launch import emulated

SIZE = 3000  # elements of the array that decides
FLOAT32_ERROR, BF16_ERROR = 1e-5, 2e-2  # norm of the error over norm of the result


class Outcome(NamedTuple):
    """A rung on one kind of arguments: `error` is a norm over a norm, `limit` what is allowed."""

    rung: str
    kind: str
    error: float
    limit: float
    run: Run
    problem: str  # what the emulator refused, or ""

    @property
    def right(self) -> bool:
        return not self.problem and self.error <= self.limit

    def line(self, operation: str) -> str:
        """For a table: operation, rung and kind, error, conflicts of ldmatrix and other accesses.

        >>> Outcome("warp_tile", "matrix", 2e-7, 1e-5, Run(), "").line("matmul")
        'matmul warp_tile (matrix)                    error 2.0e-07  conflicts 1.00, 1.00  ok'
        """
        name = f"{operation} {self.rung}" + (f" ({self.kind})" if self.kind else "")
        if self.problem:
            return f"{name:44} WRONG: {self.problem}"
        run, verdict = self.run, "ok" if self.right else f"WRONG: at most {self.limit:.0e} is right"
        conflicts = f"{run.conflicts:.2f}, {run.shared_conflicts:.2f}"
        return f"{name:44} error {self.error:.1e}  conflicts {conflicts}  {verdict}"


def missing() -> list[str]:
    """What the checks need and is not installed here."""
    return [reason for reason in (compiler.problem(), emulator.problem()) if reason]


def folders(operations: Sequence[Operation]) -> list[str]:
    """The folders of kernels/ that hold the CUDA C++ rungs of these operations."""
    return sorted(
        {
            getattr(rung.function, "module", "").split(".")[1]
            for each in operations
            for rung in cuda_rungs(each)
        }
    )


def cuda_rungs(operation: Operation) -> list[Rung]:
    """The rungs that are written in CUDA C++: those of a folder named cuda/."""
    return [rung for rung in operation.rungs if ".cuda." in getattr(rung.function, "module", "")]


def outcomes(operation: Operation, seed: int = 0) -> Iterator[Outcome]:
    """Every CUDA C++ rung of an operation on an example of each of its kinds of arguments."""
    for rung in cuda_rungs(operation):
        for kind, example in EXAMPLES[operation.name].items():
            rng = np.random.default_rng(seed)
            arguments = example(SIZE, lambda *shape: rng.standard_normal(shape, np.float32))  # noqa: B023
            yield _outcome(operation, rung, kind, arguments)


def _outcome(operation: Operation, rung: Rung, kind: str, arguments: tuple[Any, ...]) -> Outcome:
    narrow = re.search("bf16|bfloat16", f"{rung.name} {rung.about} {rung.error}")
    limit = BF16_ERROR if narrow else FLOAT32_ERROR
    got_arguments, want_arguments = [_copies(arguments, dtype) for dtype in ("float32", "float64")]
    want = operation.rung("reference").function(*want_arguments)
    problem, error = "", float("nan")
    with emulated() as run:
        try:
            got = rung.function(*got_arguments)
            error = _distance((got, got_arguments), (want, want_arguments))  # it may work in place
        except KernelError as failure:
            problem = str(failure)
    return Outcome(rung.name, kind, error, limit, run, problem)


def _copies(arguments: Any, dtype: str) -> Any:
    """The same arguments with every array of floats in another dtype."""
    if isinstance(arguments, tuple | list):
        return type(arguments)(_copies(each, dtype) for each in arguments)
    if isinstance(arguments, np.ndarray):
        return arguments.astype(dtype) if arguments.dtype.kind == "f" else arguments.copy()
    return arguments


def _distance(got: Any, want: Any) -> float:
    """The largest relative distance between arrays of two (nested) results."""
    if isinstance(got, tuple | list):
        return max((_distance(g, w) for g, w in zip(got, want)), default=0.0)
    if not isinstance(got, np.ndarray):
        return 0.0
    size = float(np.linalg.norm(np.asarray(want, np.float64)))
    distance = float(np.linalg.norm(np.asarray(got, np.float64) - want))
    return distance / size if size else distance
