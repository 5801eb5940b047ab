"""Attention on a GPU: every kernel right first, then timed beside torch's attention.

    python benchmarks/gpu/attention_variants.py attention.json             # tilings in use
    python benchmarks/gpu/attention_variants.py attention.json --variants  # others, too: to tune

Needs CuPy and torch. 16 heads, 16384 tokens in all, sequences of 512 to 16384. Figures are
teraflops by the formula's count (forward 4 L² E a head, backward 10 L² E; half of that if causal)
and the ratio to torch's scaled_dot_product_attention in the same run, with its FLASH_ATTENTION and
CUDNN_ATTENTION backends named. Float32 has two kernels of ours, on the float32 units and on tensor
cores (3xTF32), beside the formula on cuBLAS and torch's EFFICIENT_ATTENTION. Times are medians of
what CUDA events say.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cupy
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

sys.path.insert(0, str(Path(__file__).parents[2]))

import kernels as library
from kernels.attention.cuda import configurations as c
from kernels.attention.cuda.configurations import SplitTiling, Tiling
from kernels.attention.cuda.heads import blocks
from kernels.cuda import CudaKernel

library.on_compile = lambda _: None  # a hundred lines otherwise

HEADS, TOKENS = 16, 16384
LENGTHS = (512, 2048, 4096, 8192, 16384)
TUNED_AT = 4096
BUDGET = 0.04  # seconds of measuring a figure

BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


class Family(NamedTuple):
    """Kernels that make attention and its gradient, by the width of a head."""

    dtype: Any
    forward: Callable[..., CudaKernel]
    delta: Callable[..., CudaKernel]
    keys: Callable[..., CudaKernel]
    queries: Callable[..., CudaKernel]
    bound: float  # of the error of every result, by norm


FAMILIES = {
    "bf16": Family(torch.bfloat16, c.forward_bf16, c.delta_bf16, c.keys_backward_bf16,
                   c.queries_backward_bf16, 1e-2),
    "fp32": Family(torch.float32, c.forward_fp32, c.delta_fp32, c.keys_backward_fp32,
                   c.queries_backward_fp32, 1e-5),
    "tf32x3": Family(torch.float32, c.forward_tf32x3, c.delta_fp32, c.keys_backward_tf32x3,
                     c.queries_backward_tf32x3, 2e-6),
}  # fmt: skip

# Tile sizes that could be better than those in use.
FORWARD = {
    64: (
        Tiling(row_tiles=2, step=32), Tiling(row_tiles=2, step=64, rows_kept=False),
        Tiling(row_tiles=1, step=64), Tiling(row_tiles=1, step=64, blocks=3),
        Tiling(row_tiles=1, step=128), Tiling(row_tiles=1, warps=8, step=64, blocks=1),
    ),
    128: (
        Tiling(row_tiles=2, step=64, rows_kept=False), Tiling(row_tiles=1, step=64),
        Tiling(row_tiles=1, step=64, rows_kept=False), Tiling(row_tiles=1, step=32, blocks=3),
        Tiling(row_tiles=1, warps=8, step=64, blocks=1), Tiling(row_tiles=1, step=128, blocks=1),
    ),
}  # fmt: skip
KEYS = {
    64: (
        Tiling(row_tiles=2, step=32, rows_kept=False), Tiling(warps=8, step=64, blocks=1),
        Tiling(step=32), Tiling(step=32, blocks=3, rows_kept=False), Tiling(rows_kept=False),
    ),
    128: (
        Tiling(warps=8, step=32, blocks=1, rows_kept=False),
        Tiling(warps=8, step=64, blocks=1, rows_kept=False),
        Tiling(step=64, rows_kept=False), Tiling(step=32),
    ),
}  # fmt: skip
QUERIES = {
    64: (
        Tiling(row_tiles=2, step=32), Tiling(step=32, blocks=3), Tiling(step=128),
        Tiling(warps=8, step=64, blocks=1), Tiling(rows_kept=False, blocks=3),
    ),
    128: (
        Tiling(step=32), Tiling(step=64), Tiling(warps=8, step=32, blocks=1),
        Tiling(step=64, rows_kept=False),
    ),
}  # fmt: skip


# The same of float32 on tensor cores.
FORWARD_TF32X3 = {
    64: (
        SplitTiling(), SplitTiling(blocks=3), SplitTiling(step=64),
        SplitTiling(row_tiles=2, step=16), SplitTiling(warps=8, step=64, blocks=1),
        SplitTiling(blocks=3, chain=1, at_once=4),
    ),
    128: (
        SplitTiling(at_once=4), SplitTiling(step=16), SplitTiling(warps=8, blocks=1),
        SplitTiling(step=16, chain=1),
    ),
}  # fmt: skip
KEYS_TF32X3 = {
    64: (
        SplitTiling(), SplitTiling(at_once=4), SplitTiling(step=16, blocks=3),
        SplitTiling(warps=8, blocks=1), SplitTiling(row_tiles=2, step=16, at_once=4),
        SplitTiling(chain=1),
    ),
    128: (
        SplitTiling(step=16, at_once=4), SplitTiling(warps=8, step=16, blocks=1),
    ),
}  # fmt: skip
QUERIES_TF32X3 = {
    64: (
        SplitTiling(), SplitTiling(blocks=3), SplitTiling(step=64),
        SplitTiling(row_tiles=2, step=16), SplitTiling(row_tiles=2, at_once=4),
        SplitTiling(chain=1),
    ),
    128: (
        SplitTiling(step=16, at_once=4), SplitTiling(warps=8, step=16, blocks=1),
        SplitTiling(warps=8, blocks=1), SplitTiling(step=16, chain=1),
    ),
}  # fmt: skip
TABLES = {"bf16": (FORWARD, KEYS, QUERIES),
          "tf32x3": (FORWARD_TF32X3, KEYS_TF32X3, QUERIES_TF32X3)}  # fmt: skip


def seconds(call: Callable[[], Any]) -> float:
    """Median seconds of a call on the device; queued in rounds, so that Python is ahead."""
    call()
    call()
    start, stop = cupy.cuda.Event(), cupy.cuda.Event()

    def round_of(calls: int) -> float:
        start.record()
        for _ in range(calls):
            call()
        stop.record()
        stop.synchronize()
        return cupy.cuda.get_elapsed_time(start, stop) / 1e3 / calls

    calls = max(1, min(20, int(BUDGET / 5 / round_of(1))))
    return statistics.median(round_of(calls) for _ in range(5))


def on_cupy(tensor: torch.Tensor) -> Any:
    """The same memory; bfloat16 as its bits."""
    if tensor.dtype == torch.bfloat16:
        return cupy.from_dlpack(tensor.view(torch.int16)).view(cupy.uint16)
    return cupy.from_dlpack(tensor)


class Case:
    """Random q, k, v and gradient of out, and the memory for every result."""

    def __init__(self, length: int, head: int, causal: bool, family: str = "bf16") -> None:
        self.length, self.head, self.causal = length, head, causal
        self.family, dtype = FAMILIES[family], FAMILIES[family].dtype
        self.heads = HEADS * TOKENS // length
        generator = torch.Generator("cuda").manual_seed(length + head)
        shape = (TOKENS // length, HEADS, length, head)
        self.tensors = [
            torch.randn(shape, device="cuda", generator=generator).to(dtype) for _ in range(4)
        ]
        flat = [on_cupy(x.reshape(-1, length, head)) for x in self.tensors]
        self.q, self.k, self.v, self.grad = flat
        self.out, self.dq, self.dk, self.dv = (cupy.empty_like(self.q) for _ in range(4))
        self.logsumexp, self.delta, self.shift = (
            cupy.empty((self.heads, length), cupy.float32) for _ in range(3)
        )
        # Each head of the kernels is a batch of its own, so rows lie side by side.
        self.steps = (length * head, 0, head)  # to the next batch, head and row
        self.sizes = (length, length, 1, 1)
        self.options = (causal, 1 / math.sqrt(head))

    def flops(self, products: int) -> float:
        """Of that many products of L x L x E."""
        return 2 * products * self.heads * self.length**2 * self.head / (2 if self.causal else 1)

    def forward(self, kernel: CudaKernel) -> None:
        grid = blocks(self.length, c.owned(kernel), self.heads)
        full = self.q.dtype == cupy.float32
        results = (self.out, self.logsumexp) if full else (self.out, None, self.logsumexp)
        steps = self.steps * 3 if full else ()
        kernel(grid, self.q, self.k, self.v, *results, *self.sizes, *steps, *self.options)

    def prepare(self, kernel: CudaKernel) -> None:
        rows = self.heads * self.length
        arrays = (self.out, self.grad, self.logsumexp, self.delta, self.shift)
        full = self.q.dtype == cupy.float32
        numbers = (rows, self.length, 1, *self.steps * 2) if full else (rows,)
        kernel(blocks(rows, 4, 1), *arrays, *numbers)

    def keys(self, kernel: CudaKernel) -> None:
        results = (self.dk, self.dv)
        if self.q.dtype != cupy.float32:
            results += (None, None)
        self._backward(kernel, *results)

    def queries(self, kernel: CudaKernel) -> None:
        self._backward(kernel, self.dq, *(() if self.q.dtype == cupy.float32 else (None,)))

    def _backward(self, kernel: CudaKernel, *results: Any) -> None:
        grid = blocks(self.length, c.owned(kernel), self.heads)
        arrays = (self.q, self.k, self.v, self.grad, self.delta, self.shift)
        steps = self.steps * 4 if self.q.dtype == cupy.float32 else ()
        kernel(grid, *arrays, *results, *self.sizes, self.head, *steps, *self.options)

    def ahead(self) -> None:
        """The forward pass in use."""
        self.forward(self.family.forward(self.head))

    def backward(self) -> None:
        """The backward pass in use."""
        self.prepare(self.family.delta(self.head))
        self.keys(self.family.keys(self.head))
        self.queries(self.family.queries(self.head))

    def of_torch(self, backend: Any) -> tuple[float, float]:
        """Seconds of torch's forward and backward pass."""
        q, k, v = (x.detach().requires_grad_() for x in self.tensors[:3])

        def forward() -> torch.Tensor:
            with sdpa_kernel(backend):
                return torch.nn.functional.scaled_dot_product_attention(
                    q, k, v, is_causal=self.causal
                )

        with torch.no_grad():
            ahead = seconds(forward)
        out = forward()
        back = seconds(
            lambda: torch.autograd.grad(out, (q, k, v), self.tensors[3], retain_graph=True)
        )
        return ahead, back


def errors(case: Case) -> dict[str, float]:
    """By norm, of two heads, against the formula in float64."""
    few = slice(0, 2)
    q, k, v, grad = (
        x.reshape(-1, case.length, case.head)[few].double().requires_grad_() for x in case.tensors
    )
    scores = q @ k.mT / math.sqrt(case.head)
    if case.causal:
        seen = torch.ones(case.length, case.length, device="cuda", dtype=torch.bool).tril()
        scores = scores.masked_fill(~seen, -math.inf)
    out = scores.softmax(-1) @ v
    wanted = (out, *torch.autograd.grad(out, (q, k, v), grad.detach()))
    found = {}
    for name, right in zip(("out", "dq", "dk", "dv"), (x.detach() for x in wanted)):
        mine = torch.from_dlpack(getattr(case, name)[few].view("int16" if case.q.itemsize == 2 else
                                                               "float32"))  # fmt: skip
        mine = (mine.view(torch.bfloat16) if case.q.itemsize == 2 else mine).double()
        found[name] = float((mine - right).norm() / right.norm())
    return found


def check(length: int, head: int, causal: bool, family: str) -> dict[str, Any]:
    """Errors, and whether twenty runs give the same bits."""
    case = Case(length, head, causal, family)
    names = ("out", "logsumexp", "dq", "dk", "dv")
    first: list[Any] = []
    same = True
    for _ in range(20):
        for name in names:
            getattr(case, name).view(cupy.uint8).fill(0xFF)
        case.ahead()
        case.backward()
        results = [getattr(case, name).view(cupy.uint8) for name in names]
        if first:
            same = same and all(bool((a == b).all()) for a, b in zip(first, results))
        else:
            first = [r.copy() for r in results]
            found = errors(case)
    if not same or not all(e < case.family.bound for e in found.values()):
        print(f"WRONG: {family} {length} {head} causal={causal} same={same} {found}")
    return {"length": length, "head": head, "causal": causal, "kernels": family,
            "dtype": str(case.family.dtype), "same": same, "errors": found}  # fmt: skip


def ladder(length: int, head: int, causal: bool) -> dict[str, Any]:
    """The kernels in use beside torch's."""
    case = Case(length, head, causal)
    ours = seconds(case.ahead), seconds(case.backward)
    row: dict[str, Any] = {
        "length": length, "head": head, "causal": causal, "forward": ours[0], "backward": ours[1],
        "forward_tflops": case.flops(2) / ours[0] / 1e12,
        "backward_tflops": case.flops(5) / ours[1] / 1e12,
    }  # fmt: skip
    line = f"{length:6} {head:4} {'causal' if causal else '':7}"
    line += f"{row['forward_tflops']:7.0f}{row['backward_tflops']:7.0f}"
    for name, backend in BACKENDS.items():
        try:
            theirs = case.of_torch(backend)
        except RuntimeError as error:  # this torch was built without it
            row[name] = str(error).splitlines()[0]
            continue
        row[name] = {"forward": theirs[0], "backward": theirs[1]}
        row[f"times_{name}"] = [t / o for t, o in zip(theirs, ours)]
        line += f"   {name} {theirs[0] / ours[0]:.2f} {theirs[1] / ours[1]:.2f}"
    print(line, flush=True)
    return row


def ladder_fp32(length: int, head: int, causal: bool) -> dict[str, Any]:
    """Float32, by both kinds of kernels, beside the unfused formula on cuBLAS, TF32 off, and beside
    torch's memory-efficient attention."""
    row: dict[str, Any] = {"length": length, "head": head, "causal": causal}
    line = f"{length:6} {head:4} {'causal' if causal else '':7}"
    for family in ("fp32", "tf32x3"):
        case = Case(length, head, causal, family)
        ours = row[family] = [seconds(case.ahead), seconds(case.backward)]
        figures = [case.flops(2) / ours[0] / 1e12, case.flops(5) / ours[1] / 1e12]
        line += f"   {family} {figures[0]:5.1f} {figures[1]:5.1f}"
    q, k, v = (x.detach().requires_grad_() for x in case.tensors[:3])
    future = torch.ones(length, length, device="cuda", dtype=torch.bool).triu(1)

    def unfused() -> torch.Tensor:
        scores = (q * case.options[-1]) @ k.mT
        return (scores.masked_fill_(future, -math.inf) if causal else scores).softmax(-1) @ v

    with torch.no_grad():
        ahead = seconds(unfused)
    out = unfused()
    back = seconds(lambda: torch.autograd.grad(out, (q, k, v), case.tensors[3], retain_graph=True))
    row["unfused"] = [ahead, back]
    row["efficient"] = list(case.of_torch(SDPBackend.EFFICIENT_ATTENTION))
    for name in ("unfused", "efficient"):  # how many times as fast the kernels on tensor cores are
        ratios = [theirs / mine for theirs, mine in zip(row[name], row["tf32x3"])]
        line += f"   {name} {ratios[0]:.2f} {ratios[1]:.2f}"
    print(f"{line}   float32", flush=True)
    return row


def variants(head: int, causal: bool, family: str) -> list[dict[str, Any]]:
    """Other tile sizes beside those in use."""
    case = Case(TUNED_AT, head, causal, family)
    forward, keys, queries = TABLES[family]
    case.ahead()
    case.prepare(case.family.delta(head))
    measured = []
    for run, make, tilings, products in (
        (case.forward, case.family.forward, forward[head], 2),
        (case.keys, case.family.keys, keys[head], 4),
        (case.queries, case.family.queries, queries[head], 3),
    ):
        for tiling in (None, *tilings):
            kernel = make(head, tiling)
            spills = kernel.compile("sm_90").kernels[kernel.name]["spills"]
            try:
                took = seconds(lambda kernel=kernel, run=run: run(kernel))  # type: ignore[misc]
            except Exception as error:  # more shared memory or registers than there are
                print(f"{kernel.name} {tiling}: {error}")
                continue
            speed = case.flops(products) / took / 1e12
            print(f"{kernel.name:29} {head:4} {'causal' if causal else '':7}{speed:6.1f} TF/s  "
                  f"{spills:4} B spilled  {tiling or 'in use'}", flush=True)  # fmt: skip
            measured.append({"kernel": kernel.name, "head": head, "causal": causal,
                             "tiling": str(tiling), "tflops": speed, "spills": spills})  # fmt: skip
    return measured


def compile_one(kernel: CudaKernel) -> None:
    """Into the cache, by a process of its own."""
    kernel.compile("sm_90")


def everything(tune: bool) -> list[CudaKernel]:
    """All kernels that are timed."""
    kernels = [k for k in c.KERNELS if k.defines.get("HEAD", 64) in (64, 128)]
    if not tune:
        return kernels
    for name, tables in TABLES.items():
        family = FAMILIES[name]
        for make, table in zip((family.forward, family.keys, family.queries), tables):
            kernels += [make(head, tiling) for head in table for tiling in table[head]]
    return kernels


def main(path: str, tune: bool) -> None:
    """Compile, check, time, write; with other tilings, too, to `tune`."""
    started = time.perf_counter()
    with ProcessPoolExecutor() as pool:
        list(pool.map(compile_one, everything(tune)))
    print(f"compiled, {time.perf_counter() - started:.0f} s")
    torch.backends.cuda.matmul.allow_tf32 = False
    facts = {"gpu": torch.cuda.get_device_name(),
             "driver": cupy.cuda.runtime.driverGetVersion(), "torch": torch.__version__,
             "cupy": cupy.__version__, "date": time.strftime("%Y-%m-%d")}  # fmt: skip
    both = (False, True)
    checks = [
        check(length, head, causal, family)
        for family in FAMILIES
        for length in (512, 1024)
        for head in (64, 128)
        for causal in both
    ]
    print("length head          forward, backward TF/s; times torch's (in float32 those of tf32x3)")
    ladders = [ladder(n, head, causal) for head in (64, 128) for causal in both for n in LENGTHS]
    fp32 = [ladder_fp32(n, head, causal) for head in (64, 128) for n in (1024, 4096)
            for causal in both]  # fmt: skip
    cases = [(head, causal) for head in (64, 128) for causal in both] if tune else []
    tuned = [row for family in TABLES for case in cases for row in variants(*case, family)]
    results = {**facts, "checks": checks, "bf16": ladders, "float32": fp32, "variants": tuned}
    Path(path).write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(f"{time.perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main(sys.argv[1], "--variants" in sys.argv)
