"""`minigen kernels`: what there is, why a kernel is chosen, compile ahead, measure anew."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from minigen.cli.explained import UsageError, explained, new_app

app = new_app(help="The kernels: ladders, choices and their reasons, compiling, measuring.")

Operations = Annotated[
    list[str] | None, typer.Argument(help="These operations.", show_default="all")
]


@explained(app.command, name="list")
def show() -> None:
    """Every operation with its ladder of rungs, from the formula up, and the one in use."""
    import minigen.kernels as kernels
    from minigen.kernels import registry

    for name in kernels.operations():
        print(kernels.why(name))
        ladder = registry.operation(name).rungs
        if any(rung.device == "cuda" for rung in ladder):
            print(f"on a GPU: {kernels.why(name, device='cuda')}")
        for rung in ladder:
            print(f"    {rung.name:18} {_device(rung):9} {_precision(rung):11} {rung.about}")


def _device(rung: Any) -> str:
    return "cpu, cuda" if rung.portable else rung.device


def _precision(rung: Any) -> str:
    """What it computes in: for most rungs on the CPU, the dtype that it is given."""
    if rung.name == "reference":
        return "float64"
    return "its input's" if len(rung.dtypes) > 1 or "any" in rung.dtypes else rung.precision


@explained(app.command)
def why(
    operation: Annotated[str, typer.Argument(help="As `minigen kernels list` names it.")],
    shape: Annotated[
        str,
        typer.Argument(
            help="Of the array that decides, as in 1024x512; of a matmul MxKxN, or BxMxKxN."
        ),
    ],
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    device: Annotated[
        str, typer.Option(help="cpu, or cuda: what would be used on a GPU; none is needed to ask.")
    ] = "cpu",
    precision: Annotated[
        str, typer.Option(help="Of float32 products: highest, high or medium.")
    ] = "highest",
) -> None:
    """Which kernel computes an operation at a size, and for what reason.

    [cyan]minigen kernels why matmul 64x784x400[/cyan]
    """
    import minigen.kernels as kernels

    try:
        if device not in ("cpu", "cuda"):
            raise ValueError(f"device must be cpu or cuda, got {device!r}")
        kernels.set_float32_matmul_precision(precision)
        print(kernels.why(operation, *_arrays(operation, shape, dtype), device=device))
    except (ValueError, kernels.KernelError) as error:
        raise UsageError(str(error)) from error
    finally:
        kernels.set_float32_matmul_precision("highest")


def _arrays(operation: str, text: str, dtype: str) -> list[Any]:
    """Arrays of that shape, which nobody fills."""
    import numpy as np

    from minigen.kernels import registry

    sizes = [int(part) if part.isdigit() else -1 for part in text.lower().split("x")]
    if min(sizes) < 0:
        raise ValueError(f"{text!r} is no shape: give whole numbers, as in 64x784x400")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be float32 or float64, got {dtype!r}")
    if operation == "matmul":
        if len(sizes) not in (3, 4):
            raise ValueError(f"the shape of a matmul is MxKxN or BxMxKxN, got {text!r}")
        *batch, m, k, n = sizes
        return [np.empty((*batch, m, k), dtype), np.empty((*batch, k, n), dtype)]
    return [np.empty(sizes, dtype)] * (registry.operation(operation).sized_by + 1)


@explained(app.command)
def warmup(
    operations: Operations = None,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
) -> None:
    """Compile ahead what the defaults use, so that nothing has to be waited for later."""
    import minigen.kernels as kernels
    from minigen.kernels import jit

    began = time.perf_counter()
    if reason := jit.problem():
        raise UsageError(f"nothing can be compiled: {reason}")
    count = 0
    for name in _known(operations):
        for kernel in jit.kernels_of(kernels.rungs(name)[-1].function):
            if not kernel.ready(dtype):
                started = time.perf_counter()
                kernel.compile(dtype)
                count += 1
                print(f"{kernel.name} ({dtype})  {time.perf_counter() - started:.1f} s", flush=True)
    print(f"{count} kernels are ready; it took {time.perf_counter() - began:.1f} s")


@explained(app.command)
def bench() -> None:
    """Race the ladders, rung by rung: on a GPU if there is one, else on this processor.

    Needs a source checkout; minutes, in which nothing else should run.
    """
    from minigen import cuda
    from minigen.cli.bench import run

    raise typer.Exit(run("gpu" if cuda.is_available() else "ladders"))


@explained(app.command)
def tune(
    operations: Operations = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds.")] = False,
) -> None:
    """Measure on this machine from which size on which kernel is fastest, and choose accordingly
    from now on.

    Takes a few minutes, in which nothing else should run. The result goes into the user's cache;
    delete the file to go back to the defaults that came with minigen.
    """
    from itertools import groupby

    from minigen.kernels import measured, parallel, registry, tuning

    table = {}
    for name in _known(operations):
        record = registry.operation(name)
        compared = tuning.candidates(record)
        if compared is None:
            print(f"{name}: nothing to compare")
            continue
        plain, top = compared
        table[name] = {
            key: tuning.classes(points, plain.name, top.name)
            for key, points in groupby(tuning.measure(record, quick=quick), lambda p: p.key)
        }
        for key, rows in table[name].items():
            print(f"{name} {key}: {'; '.join(_row(row, plain.name) for row in rows)}", flush=True)
    if not table:
        raise UsageError("nothing was measured")
    print(f"written to {measured.save(table, parallel.threads())}")
    registry.forget_plans()


def _row(row: tuple[int, str, float], plain: str) -> str:
    largest, rung, speed = row
    sizes = "above" if largest == sys.maxsize else f"up to {largest:,} elements"
    return f"{sizes} {rung} ({speed:.2g} times {plain})"


@explained(app.command)
def check(operations: Operations = None) -> None:
    """Compile the CUDA C++ kernels and run them in an emulator beside the formula; needs no GPU.

    First what each uses of a GPU and whether it keeps to its budget, then each rung's error on an
    example, and the bank conflicts of shared memory. Ends with 1 if something is wrong.
    """
    from minigen.kernels import registry
    from minigen.kernels.cuda import budget
    from minigen.kernels.cuda import check as checking

    chosen = [registry.operation(name) for name in _known(operations)]
    chosen = [operation for operation in chosen if checking.cuda_rungs(operation)]
    if not chosen:
        raise UsageError("none of these operations has a kernel in CUDA C++")
    for reason in checking.missing():
        raise UsageError(reason)
    right = True
    for line, good in budget.lines(checking.folders(chosen)):
        right &= good
        print(line, flush=True)
    for operation in chosen:
        for outcome in checking.outcomes(operation):
            right &= outcome.right
            print(outcome.line(operation.name), flush=True)
    if not right:
        raise typer.Exit(1)


def _known(operations: list[str] | None) -> list[str]:
    """The operations asked for, or all; a UsageError for one that there is not."""
    import minigen.kernels as kernels

    known = kernels.operations()
    for name in operations or ():
        if name not in known:
            raise UsageError(f"there is no operation {name!r}; there are {', '.join(known)}")
    return list(operations or known)
