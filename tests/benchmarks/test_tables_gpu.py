"""Tables of what was measured on a GPU, from results that somebody made up."""

from __future__ import annotations

import tables_gpu


def line(name: str, size: tuple[int, int, int], ratio: float, dtype: str = "f32") -> dict:
    return {"name": name, "dtype": dtype, "layout": "NT" if len(set(size)) > 1 else "NN",
            "size": list(size), "of_cublas": ratio}  # fmt: skip


def test_a_kernel_that_was_never_measured_says_so() -> None:
    lines = [line("tf32x3", (1024,) * 3, 1.301), line("warp_tile", (64, 400, 784), 0.917)]
    lines.append({"name": "float4", "size": [1024] * 3, "layout": "NN", "problem": "it failed"})
    text = tables_gpu.matmul({"lines": lines})
    rows = {
        row.split("|")[1].strip(): row.split("|")[2:-1] for row in text.splitlines() if "|" in row
    }
    assert rows["`tf32x3`, float32"][0].strip() == "1.30"
    assert rows["`tf32x3`, float32"][1].strip() == ""
    for name in ("`wgmma_tf32x3`, float32", "`float4`, float32"):
        assert {cell.strip() for cell in rows[name]} == {"not yet measured"}
    assert [cell.strip() for cell in rows["64x400x784"]] == ["0.92", "", *["not yet measured"] * 3]


def test_attention_in_float32_beside_torch() -> None:
    result = {"bf16": [], "checks": [], "float32": [{"length": 512, "head": 64, "causal": True}]}
    assert "on tensor cores. Not yet measured." in tables_gpu.attention(result)
    result["float32"][0] |= {"fp32": [2.0, 4.0], "tf32x3": [1.0, 1.6], "efficient": [1.5, 2.0]}
    assert "| 512 | 64 | causal | 0.75 | 0.50 | 1.50 | 1.25 |" in tables_gpu.attention(result)
