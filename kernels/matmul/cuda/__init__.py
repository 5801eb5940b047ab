"""C = A B in CUDA C++, a file a rung.

| file               | what it adds                                                             |
|--------------------|--------------------------------------------------------------------------|
| `register_tile.cu` | 8 x 8 numbers of C a thread                                              |
| `float4.cu`        | four numbers a load                                                      |
| `warp_tile.cu`     | a compact tile a warp, copies ahead (cp.async)                           |
| `tf32x3.cu`        | tensor cores at the accuracy of float32: three products of TF32          |
| `wgmma_tf32x3.cu`  | the same on Hopper: warpgroups that read B out of shared memory          |
| `bf16_mma.cu`      | bfloat16: mma.sync, ldmatrix, swizzled tiles                             |
| `wgmma.cu`         | Hopper: warpgroups that multiply out of shared memory                    |
| `tiles.cuh`        | what they share: layouts, which block computes which tile                |
| `tf32_tiles.cuh`   | tiles of float32 for tensor cores                                        |
| `tilings.py`       | the sizes each is compiled for, and which of them a product takes        |
| `stored.py`        | how an operand lies in memory: transposed views are used as they are     |
| `rounded.py`       | bfloat16 operands, which several products may share                      |
| `multiply.py`      | the functions of arrays                                                  |
| `sum_parts.cu`, `round_bf16.cu` | the sum of a product cut along k; float32 to bfloat16       |
"""

from .multiply import (
    matmul_bf16,
    matmul_float4,
    matmul_register_tile,
    matmul_tf32x3,
    matmul_warp_tile,
    matmul_wgmma,
    matmul_wgmma_tf32x3,
    multiply_bf16,
)
from .rounded import round_bf16
from .tilings import KERNELS

__all__ = [
    "KERNELS",
    "matmul_bf16",
    "matmul_float4",
    "matmul_register_tile",
    "matmul_tf32x3",
    "matmul_warp_tile",
    "matmul_wgmma",
    "matmul_wgmma_tf32x3",
    "multiply_bf16",
    "round_bf16",
]
