"""What was measured on a GPU, as tables for benchmarks/README.md; `tables.py` puts them there.

Everything comes from results/gpu/*.json, which benchmarks/gpu/run.sh writes. Where there is no such
file, the page says that nothing was measured yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import harness

FOLDER = harness.RESULTS / "gpu"
NAMES = ("matmul", "attention", "steps", "precision", "crossovers")
SQUARES = (1024, 2048, 4096, 8192)
NUMBA = ("cuda_naive", "cuda_coalesced", "cuda_shared", "cuda_registers")
FLOAT32 = ("register_tile", "float4", "warp_tile", "tf32x3", "wgmma_tf32x3")
BF16 = ("bf16_mma", "wgmma")
LAYOUTS = {"NN": "A B", "NT": "A Bᵀ", "TN": "Aᵀ B"}

Results = dict[str, dict[str, Any]]


def load(folder: Path = FOLDER) -> Results:
    """The results that there are, by name."""
    files = {name: folder / f"{name}.json" for name in NAMES}
    return {
        name: json.loads(file.read_text(encoding="utf-8"))
        for name, file in files.items()
        if file.exists()
    }


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(header), *map(tuple, rows)]
    lines.insert(1, ("---",) * len(lines[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def section(results: Results) -> str:
    parts = [
        f"""
## On a GPU

`benchmarks/gpu/run.sh`

Speed over the reference of the same dtype in the same run, on random data, by the GPU's own clock:
more is better. {_machine(results)}
""",
        matmul(results.get("matmul")),
        attention(results.get("attention")),
        steps(results.get("steps")),
        precision(results.get("precision")),
        crossovers(results.get("crossovers")),
    ]
    return "\n\n".join(part.strip() for part in parts)


def _machine(results: Results) -> str:
    """Which GPU, and when; of what was measured on another one, that says so itself."""
    if not results:
        return "Not yet measured."
    return f"Measured on one {_where(next(iter(results.values())))}."


def _where(result: dict[str, Any]) -> str:
    machine = result.get("machine", result)
    return f"{machine['gpu']}, {machine['date']}"


def matmul(result: dict[str, Any] | None) -> str:
    title = "### Products\n\n"
    if result is None:
        return title + "Not yet measured."
    lines = [line for line in result["lines"] if "problem" not in line]
    measured = {line["name"] for line in lines}
    figures = {
        (line["dtype"], line["layout"], tuple(line["size"]), line["name"]): line["of_cublas"]
        for line in lines
    }

    def row(dtype: str, layout: str, rung: str, sizes: Iterable[tuple[int, ...]]) -> list[str]:
        found = [figures.get((dtype, layout, size, rung)) for size in sizes]
        missing = "" if rung in measured else "not yet measured"
        return [missing if ratio is None else f"{ratio:.2f}" for ratio in found]

    squares = [(n, n, n) for n in SQUARES]
    header = ["", *(f"{n}³" for n in SQUARES)]
    rows = [
        (f"`{rung}`, {label}", *row(dtype, "NN", rung, squares))
        for dtype, rungs, label in (
            ("f32", NUMBA, "float32, Numba"),
            ("f32", FLOAT32, "float32"),
            ("bf16", BF16, "bfloat16"),
        )
        for rung in rungs
    ]
    layouts = [
        (
            f"`{rung}`",
            *(row(dtype, layout, rung, [(4096,) * 3])[0] for layout in LAYOUTS),
        )
        for dtype, rungs in (("f32", FLOAT32), ("bf16", BF16))
        for rung in rungs
    ]
    shapes = sorted({size for _, layout, size, _ in figures if len(set(size)) > 1})
    contenders = [("f32", rung) for rung in ("warp_tile", "tf32x3", "wgmma_tf32x3")]
    contenders += [("bf16", rung) for rung in BF16]
    training = [
        ("x".join(map(str, size)), *(
            row(dtype, "NT", rung, [size])[0]
            for dtype, rung in contenders
        ))
        for size in shapes
    ]  # fmt: skip
    return f"""{title}Over cuBLAS, square matrices:

{table(header, rows)}

Layouts that gradients need, 4096³:

{table(("", *LAYOUTS.values()), layouts)}

Shapes of training, x Wᵀ, rows x columns x depth:

{table(("", *(rung for _, rung in contenders)), training)}
"""


def attention(result: dict[str, Any] | None) -> str:
    title = "### Attention\n\n"
    if result is None:
        return title + "Not yet measured."
    rows = []
    for line in result["bf16"]:
        kind = "causal" if line["causal"] else "full"
        ahead, back = line["times_flash"]
        cudnn = [f"{ratio:.2f}" for ratio in line.get("times_cudnn", ())] or ["", ""]
        rows.append(
            (f"{line['length']}", f"{line['head']}", kind, f"{ahead:.2f}", f"{back:.2f}", *cudnn)
        )
    same = all(check["same"] for check in result["checks"])
    header = (
        "length", "head", "", "forward, flash", "backward, flash", "forward, cuDNN",
        "backward, cuDNN",
    )  # fmt: skip
    bits = "the same bits in every run" if same else "NOT the same bits in every run"
    return f"""{title}bfloat16, over torch's `scaled_dot_product_attention` with its FLASH_ATTENTION
and its CUDNN_ATTENTION backend; gradients without atomics, {bits}.

{table(header, rows)}

{_attention_in_float32(result["float32"])}
"""


def _attention_in_float32(lines: list[dict[str, Any]]) -> str:
    title = """float32, over the same with its EFFICIENT_ATTENTION backend, also 3xTF32:
`flash_fp32` on the float32 units, `flash_tf32x3` on tensor cores."""
    if not all("efficient" in line for line in lines):
        return f"{title} Not yet measured."
    rows = [
        (
            f"{line['length']}",
            f"{line['head']}",
            "causal" if line["causal"] else "full",
            *(
                f"{theirs / ours:.2f}"
                for family in ("fp32", "tf32x3")
                for theirs, ours in zip(line["efficient"], line[family])
            ),
        )
        for line in lines
    ]
    header = [
        f"{kernel}, {way}" for kernel in ("fp32", "tf32x3") for way in ("forward", "backward")
    ]
    return f"{title}\n\n{table(('length', 'head', '', *header), rows)}"


CONTENDERS = ("minigen", "minigen eager", "torch graph", "torch compiled")


def steps(result: dict[str, Any] | None) -> str:
    title = "### Training steps\n\n"
    if result is None:
        return title + "Not yet measured."
    rows = []
    for model, by_precision in result["steps"].items():
        for precision, timed in by_precision.items():
            if "failed" in timed:
                continue
            speeds = [timed[who]["speed"] if who in timed else None for who in CONTENDERS]
            rate = f"{timed['minigen']['rate']:,.0f} {timed['unit']}/s"
            rows.append((model, precision, rate, *(f"{s:.2f}" if s else "" for s in speeds)))
    return f"""{title}Speed over torch's eager mode with its fused optimizer. minigen replays each
step as a CUDA graph; "eager" launches its kernels one by one from Python, and beside it stand torch
with the same step captured by hand and `torch.compile`. fp32 is float32 everywhere, with TF32 off;
3xTF32 is minigen's kernel of that name (`set_float32_matmul_precision("high")`), as exact as
float32, beside torch's float32; bf16 is `--precision bf16` here, autocast there.

{table(("", "", "minigen", "over torch", "eager", "torch, graph", "torch.compile"), rows)}
"""


def precision(result: dict[str, Any] | None) -> str:
    title = "### What bfloat16 costs\n\n"
    if result is None:
        return title + "Not yet measured."
    runs = result["gpt"]
    seeds = list(runs["fp32"])
    rows = [
        (name, *(f"{by_seed[seed]['validation_loss']:.4f}" for seed in seeds))
        for name, by_seed in runs.items()
    ]
    header = ("", *(f"seed {seed}" for seed in seeds))
    return f"""{title}The GPT of `minigen train gpt` after {result["steps"]} steps on the GPU, every
product in that precision: nats a character of held-out text.

{table(header, rows)}
"""


def crossovers(result: dict[str, Any] | None) -> str:
    title = "### Defaults\n\n"
    if result is None:
        return title + "Not yet measured."
    rows = []
    for operation, by_key in result["measured"].items():
        for key, classes in by_key.items():
            for largest, rung, speed in classes:
                sizes = "above" if largest >= 2**62 else f"to {largest:,}"
                rows.append((operation, key, sizes, f"`{rung}`", f"{speed:.2f}"))
    how = "Python's time for a launch included"
    if result.get("replayed"):
        how = "both replayed from CUDA graphs"
    return f"""{title}The rung that is used on a GPU, by elements of the array that decides, and how
fast the kernel in CUDA C++ is over the plain rung (cuBLAS and CuPy's ufuncs), {how};
`kernels/crossovers_cuda.py` holds them.

{table(("", "", "elements", "rung", "kernel over plain"), rows)}
"""
