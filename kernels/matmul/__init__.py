"""C = A B: `matmul(a, b) -> c`, (…, m, k) @ (…, k, n) -> (…, m, n).

| rung      | file           | idea                                                           |
|-----------|----------------|----------------------------------------------------------------|
| reference | `reference.py` | Σₖ aᵢₖ bₖⱼ in float64, no BLAS                                 |
| numpy     | `blas.py`      | BLAS, one large product if possible; `cublas.py` on a GPU      |
| naive     | `naive.py`     | the textbook's three loops                                     |
| reordered | `reordered.py` | another order of the loops, whose inner one becomes vectors    |
| blocked   | `blocked.py`   | blocks of B stay in the cache; two rows, four steps at a time  |
| tile      | `tile.py`      | 4x3 dot products in registers: the fastest without vector code |
| panels    | `panels.py`    | packed panels and a tile of 6 rows by two vectors, as BLAS has |
| parallel  | `parallel.py`  | panels on several cores, batches too                           |
| bf16      | `bf16.py`      | BLAS on operands rounded to bfloat16, to emulate tensor cores  |

On a GPU, in CUDA C++ (`cuda/`), float32 in and out:

| rung               | file                    | idea                                              |
|--------------------|-------------------------|---------------------------------------------------|
| cuda_register_tile | `cuda/register_tile.cu` | 8 x 8 sums a thread                               |
| cuda_float4        | `cuda/float4.cu`        | four numbers a load                               |
| cuda_warp_tile     | `cuda/warp_tile.cu`     | a compact tile a warp, copies ahead by cp.async   |
| cuda_tf32x3        | `cuda/tf32x3.cu`        | tensor cores, float32's accuracy, three products  |
| cuda_wgmma_tf32x3  | `cuda/wgmma_tf32x3.cu`  | the same on Hopper, where B is split once         |
| cuda_bf16          | `cuda/bf16_mma.cu`      | bfloat16: mma.sync, ldmatrix, swizzled tiles      |
| cuda_wgmma         | `cuda/wgmma.cu`         | bfloat16 on Hopper: warpgroups read shared memory |

[measured]
Speed over NumPy's, float32, one thread:

| matmul    | 512x512x512 | 1024x1024x1024 | 64x784x400, x @ w.T | 64 x 64x64x64 |
|-----------|-------------|----------------|---------------------|---------------|
| numpy     | 1.00        | 1.00           | 1.00                | 1.00          |
| naive     | 0.011       | 0.004          | 0.024               | 0.039         |
| reordered | 0.29        | 0.29           | 0.27                | 0.33          |
| blocked   | 0.40        | 0.24           | 0.42                | 0.34          |
| tile      | 0.80        | 0.77           | 0.99                | 0.52          |
| panels    | 1.03        | 0.97           | 1.11                | 1.18          |
| parallel  | 1.00        | 0.82           | 1.01                | 1.02          |
| torch     | 0.91        | 0.95           | 1.00                | 0.98          |
[end of measured]

The rungs from naive to parallel are Numba's, for float32 and float64. `operands.py` says what they
work on, `packing.py` how parts of A and B are copied. Leading dimensions broadcast and 1-D operands
are vectors, as in `np.matmul`. The error is bounded element by element: |C - AB| <= (k + 1) u
|A||B|, u = 2⁻²⁴ in float32 and 2⁻⁵³ in float64 (Higham, Accuracy and Stability of Numerical
Algorithms, 2002, section 3.5).
"""

from .blas import matmul_blas
from .reference import matmul_reference
from .rungs import MATMUL

__all__ = ["MATMUL", "matmul_blas", "matmul_reference"]
