"""Matmul on a GPU: every rung beside cuBLAS, right first and then timed.

    python benchmarks/gpu/matmul_variants.py matmul.json             # tiles as the rungs choose
    python benchmarks/gpu/matmul_variants.py matmul.json --variants  # others, too: to tune

Needs CuPy and torch (for cuBLAS, with TF32 off). Prints a line a measurement: teraflops, times
cuBLAS of the same dtype in the same run, relative error against float64. Times are medians of what
CUDA events say of graphs of calls on the device, for both sides, so that no time on the CPU counts:
a call through Python takes a tenth of a millisecond, and that is a third of some products.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cupy
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

import kernels
from kernels.matmul.cuda import tilings as t
from kernels.matmul.cuda.multiply import multiply
from kernels.matmul.cuda.rounded import round_bf16

kernels.on_compile = lambda _: None  # a hundred lines otherwise

GRAPH = 4e-3  # seconds that a graph of calls should take
REPEATS = 20  # calls in it, at most
BUDGET = 0.025  # seconds of measuring a figure
GENEROUS = 2e-4  # a relative error above this is a bug, not rounding

FLOAT32 = {
    "register_tile": t.REGISTER_TILE[0],
    "float4": t.FLOAT4[0],
    "warp_tile": t.WARP_TILE,
    "tf32x3": t.TF32X3,
    "wgmma_tf32x3": t.WGMMA_TF32X3,
}
BF16 = {
    "bf16_mma": t.BF16_MMA,
    "wgmma": t.WGMMA,
    "wgmma persistent": tuple(replace(tiling, persistent=True) for tiling in t.WGMMA),
}

NUMBA = {  # the rungs to read first
    name: kernels.get("matmul", name)
    for name in ("cuda_naive", "cuda_coalesced", "cuda_shared", "cuda_registers")
}

FLOAT32_VARIANTS = {
    "warp_tile 256x128/64x64 s3 b1": t.WARP_TILE[0],
    "warp_tile 128x128/32x64 s2 b2": t.WARP_TILE[1],
    "warp_tile 64x64/32x32 s3 b4": t.WARP_TILE[2],
    "warp_tile 128x128/64x32 s2 b2": t.warp_tile((128, 128), (64, 32), 2, 2),
    "warp_tile 128x128/64x32 s3 b2": t.warp_tile((128, 128), (64, 32), 3, 2),
    "warp_tile 128x128/64x64 s3 b2": t.warp_tile((128, 128), (64, 64), 3, 2),
    "warp_tile 128x256/64x64 s3 b1": t.warp_tile((128, 256), (64, 64), 3, 1),
    "warp_tile 256x128/64x64 s4 b1": t.warp_tile((256, 128), (64, 64), 4, 1),
    "tf32x3 128x128/64x64 s2 b2": t.TF32X3[0],
    "tf32x3 128x128/64x64 s3 b2": t.tf32x3((128, 128), (64, 64), 3, 2),
    "tf32x3 128x128/64x64 s2 b2 no rn": t.tf32x3((128, 128), (64, 64), 2, 2, ROUND_TO_NEAREST=0),
    "tf32x3 128x256/64x64 s2 b1": t.tf32x3((128, 256), (64, 64), 2, 1),
    "tf32x3 256x128/64x64 s3 b1": t.tf32x3((256, 128), (64, 64), 3, 1),
    "tf32x3 128x128/64x32 s3 b1": t.tf32x3((128, 128), (64, 32), 3, 1),
    "tf32x3 128x128/64x32 s3 b1 u2": t.tf32x3((128, 128), (64, 32), 3, 1, UNROLL=2),
    "tf32x3 128x128/64x32 s3 b2": t.tf32x3((128, 128), (64, 32), 3, 2),
    "tf32x3 128x64/64x32 s3 b3": t.tf32x3((128, 64), (64, 32), 3, 3),
    "tf32x3 128x64/64x32 s3 b2 u2": t.tf32x3((128, 64), (64, 32), 3, 2, UNROLL=2),
    "tf32x3 64x64/32x32 s3 b4": t.TF32X3[1],
    "tf32x3 64x64/32x32 s2 b3 u2": t.tf32x3((64, 64), (32, 32), 2, 3, UNROLL=2),
    "wgmma_tf32x3 128x128 s4": t.WGMMA_TF32X3[0],
    "wgmma_tf32x3 128x128 s3": t.wgmma_tf32x3(2, 3),
    "wgmma_tf32x3 64x128 s3": t.wgmma_tf32x3(1, 3),
    "wgmma_tf32x3 64x128 s4": t.wgmma_tf32x3(1, 4),
}
BF16_VARIANTS = {
    "bf16 128x256/64x64 d64 s3 p2": t.bf16_mma((128, 256), (64, 64), 64, 3, 1, COPY_PARTS=2),
    "bf16 128x256/64x64 d64 s4": t.bf16_mma((128, 256), (64, 64), 64, 4, 1),
    "bf16 128x256/64x64 d64 s4 p2": t.bf16_mma((128, 256), (64, 64), 64, 4, 1, COPY_PARTS=2),
    "bf16 256x128/64x64 d64 s4 p2": t.bf16_mma((256, 128), (64, 64), 64, 4, 1, COPY_PARTS=2),
    "bf16 128x256/64x64 d32 s4": t.bf16_mma((128, 256), (64, 64), 32, 4, 1),
    "bf16 128x128/64x64 d64 s3 b2": t.BF16_MMA[0],
    "bf16 128x128/64x64 d64 s3 b2 p2": t.bf16_mma((128, 128), (64, 64), 64, 3, 2, COPY_PARTS=2),
    "bf16 128x128/64x64 d32 s4 b2": t.bf16_mma((128, 128), (64, 64), 32, 4, 2),
    "bf16 128x128/64x64 d32 s3 b2": t.bf16_mma((128, 128), (64, 64), 32, 3, 2),
    "bf16 128x64/64x32 d64 s3 b3": t.bf16_mma((128, 64), (64, 32), 64, 3, 3),
    "bf16 128x64/64x32 d32 s4 b3": t.bf16_mma((128, 64), (64, 32), 32, 4, 3),
    "bf16 64x64/32x32 d64 s3 b4": t.BF16_MMA[1],
    "wgmma 128x256 s4": t.WGMMA[0],
    "wgmma 128x256 s4 no overlap": t.wgmma(2, 256, 4, 1, overlap=0),
    "wgmma 128x128 s3 b2": t.wgmma(2, 128, 3, 2),
    "wgmma 256x128 s4": t.wgmma(4, 128, 4, 1),
    "wgmma 64x256 s2 b2": t.wgmma(1, 256, 2, 2, overlap=0),
    "wgmma 128x192 s5": t.WGMMA[1],
    "wgmma 64x128 s4 b2": t.WGMMA[2],
    "wgmma 64x128 s3 b3": t.wgmma(1, 128, 3, 3),
}
# The shipped tilings one by one, with so many parts of k: is the plan's choice the best?
BY_TILE = {
    dtype: {
        f"{tiling.file[:-3]} {tiling.block[0]}x{tiling.block[1]} in {parts}": (tiling, parts)
        for tilings in of_dtype
        for tiling in tilings
        for parts in (1, 2, 4)
    }
    for dtype, of_dtype in {
        "f32": (t.WARP_TILE, t.TF32X3, t.WGMMA_TF32X3),
        "bf16": (t.BF16_MMA, t.WGMMA),
    }.items()
}
# m, n, k of layers of small models, and of GPT-2's
TRAINING = [(64, 400, 784), (4096, 512, 128), (4096, 128, 512), (8192, 768, 768), (8192, 3072, 768)]


@functools.cache
def stream() -> Any:
    """The stream on which everything is timed."""
    return cupy.cuda.Stream(non_blocking=True)


def compiled_ahead(variants: bool) -> None:
    """Every kernel that will be launched, by processes that know nothing of a GPU yet."""
    wanted = [tiling.kernel(*layout) for tiling in t.LADDER for layout in t.LAYOUTS]
    if variants:
        wanted += [v.kernel(True, False) for v in (FLOAT32_VARIANTS | BF16_VARIANTS).values()]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork")) as pool:
        list(pool.map(_compile, [*wanted, t.SUM_PARTS, t.ROUND_BF16]))


def _compile(kernel: Any) -> None:
    kernel.compile("sm_90")


def seconds(call: Callable[[], Any]) -> float:
    """Median time on the device of a call that launches on `stream`."""
    with stream():
        for _ in range(2):
            call()
        stream().synchronize()
        repeats = max(2, min(REPEATS, int(GRAPH / _between(call))))
        run = _repeated(call, repeats)
        once = _between(run)
        count = max(3, min(15, int(BUDGET / once)))
        return statistics.median(_between(run) for _ in range(count)) / repeats


def _repeated(call: Callable[[], Any], repeats: int) -> Callable[[], Any]:
    """So many calls as one graph; one after the other if they cannot be captured."""
    stream().begin_capture()
    try:
        for _ in range(repeats):
            call()
        graph = stream().end_capture()
    except Exception as problem:
        print(f"no graph: {problem}")
        if stream().is_capturing():
            stream().end_capture()
        return lambda: [call() for _ in range(repeats)]
    return lambda: graph.launch(stream())


def _between(run: Callable[[], Any]) -> float:
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    begin.record(stream())
    run()
    end.record(stream())
    end.synchronize()
    return cupy.cuda.get_elapsed_time(begin, end) * 1e-3


def on_torch(x: Any) -> Any:
    """The same memory as a tensor; uint16 is bfloat16."""
    if x.dtype == cupy.uint16:
        return torch.as_tensor(x.view(cupy.int16), device="cuda").view(torch.bfloat16)
    return torch.as_tensor(x, device="cuda")


def cublas(a: Any, b: Any) -> Callable[[], Any]:
    """torch's product of the same memory, on our stream, into an array that is there already."""
    left, right = on_torch(a), on_torch(b)
    out = torch.empty((left.shape[0], right.shape[1]), dtype=left.dtype, device="cuda")
    outside = torch.cuda.ExternalStream(stream().ptr)

    def call() -> Any:
        with torch.cuda.stream(outside):
            return torch.matmul(left, right, out=out)

    return call


def operands(m: int, n: int, k: int, layout: str, bf16: bool) -> tuple[Any, Any]:
    """Random operands on the device, stored as the layout says."""
    generator = torch.Generator("cuda").manual_seed(m + n + k)
    shapes = [(m, k) if layout[0] == "N" else (k, m), (k, n) if layout[1] == "N" else (n, k)]
    made = [cupy.asarray(torch.randn(s, generator=generator, device="cuda")) for s in shapes]
    made = [round_bf16(x) if bf16 else x for x in made]
    cupy.cuda.Device().synchronize()
    return tuple(x if layout[i] == "N" else x.T for i, x in enumerate(made))  # type: ignore[return-value]


def _product(contender: Any) -> Callable[[Any, Any], Any]:
    """A function of two arrays: itself, or `multiply` with that tiling, in so many parts of k; of
    several tilings the plan chooses."""
    if isinstance(contender, Callable):
        return contender
    tilings, parts = contender, None
    if isinstance(contender, t.Tiling):
        tilings, parts = (contender,), 1
    elif isinstance(contender[-1], int):
        tilings, parts = contender[:1], contender[-1]
    return lambda a, b: multiply(tilings, a, b, parts=parts)


class Table:
    """Prints and keeps a line a measurement."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def case(
        self, size: tuple[int, int, int], layout: str, dtype: str, contenders: dict[str, Any]
    ) -> None:
        """cuBLAS, then each contender on the same operands (see `_product`)."""
        m, n, k = size
        a, b = operands(m, n, k, layout, dtype == "bf16")
        exact = on_torch(a).double() @ on_torch(b).double()
        norm = exact.norm()
        reference = cublas(a, b)
        base = seconds(reference)
        found = reference()
        stream().synchronize()
        error = float((found - exact).norm() / norm)
        self.add(size, layout, dtype, "cuBLAS", base, base, error)
        for name, contender in contenders.items():
            product = _product(contender)
            try:
                c = product(a, b)
                error = float((on_torch(c).double() - exact).norm() / norm)
                del c
                if not error < GENEROUS:
                    raise ArithmeticError(f"WRONG: relative error {error:.1e}")
                spent = seconds(lambda product=product: product(a, b))
                self.add(size, layout, dtype, name, spent, base, error)
            except Exception as problem:  # one that fails must not hide the others
                print(f"{size} {layout} {dtype} {name}: {problem}", flush=True)
                self.lines.append(
                    {"name": name, "size": size, "layout": layout, "problem": str(problem)}
                )

    def add(
        self, size: tuple[int, int, int], layout: str, dtype: str, name: str, spent: float,
        base: float, error: float,
    ) -> None:  # fmt: skip
        m, n, k = size
        teraflops = 2e-12 * m * n * k / spent
        shape = str(m) if m == n == k else f"{m}x{n}x{k}"
        print(
            f"{shape:>14} {layout} {dtype:5} {name:32} {teraflops:7.1f} TF/s  "
            f"x{base / spent:5.2f}  error {error:.1e}",
            flush=True,
        )
        self.lines.append(
            {"name": name, "size": size, "layout": layout, "dtype": dtype, "seconds": spent,
             "teraflops": teraflops, "of_cublas": base / spent, "error": error}
        )  # fmt: skip


def main() -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    began, variants = time.time(), "--variants" in sys.argv
    compiled_ahead(variants)

    def with_variants(shipped: dict, others: dict) -> dict:
        return shipped | others if variants else shipped

    print(f"compiled in {time.time() - began:.0f} s", flush=True)
    table = Table()
    for size in (1024, 2048, 4096):
        others = FLOAT32_VARIANTS if size >= 2048 else BY_TILE["f32"]
        table.case((size,) * 3, "NN", "f32", with_variants(FLOAT32, others) | NUMBA)
    for size in (1024, 2048, 4096, 8192):
        others = BF16_VARIANTS if size >= 2048 else BY_TILE["bf16"]
        table.case((size,) * 3, "NN", "bf16", with_variants(BF16, others))
    for layout in ("NT", "TN"):
        table.case((4096,) * 3, layout, "f32", FLOAT32)
        table.case((4096,) * 3, layout, "bf16", BF16)
    by_shape = {"warp_tile": t.WARP_TILE, "tf32x3": t.TF32X3, "wgmma_tf32x3": t.WGMMA_TF32X3}
    for shape in TRAINING:
        table.case(shape, "NT", "f32", with_variants(by_shape, BY_TILE["f32"]))
        table.case(shape, "NT", "bf16", with_variants(BF16, BY_TILE["bf16"]))
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    facts = {
        "gpu": name,
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "cupy": cupy.__version__,
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
        "lines": table.lines,
    }
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(facts, indent=1), encoding="utf-8")
    print(f"{name}: {len(table.lines)} lines in {time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
