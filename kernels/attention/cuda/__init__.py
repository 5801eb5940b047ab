"""FlashAttention in CUDA C++: forward, and a backward pass that gives the same bits in every run.

| file                       | idea                                                                |
|----------------------------|---------------------------------------------------------------------|
| `flash_fp32.cu`            | tiles in registers, softmax while walking over the keys, float32    |
| `flash_fp32_backward.cu`   | P rebuilt from logsumexp; a kernel for dK and dV, one for dQ        |
| `flash_tf32x3.cu`          | the same on tensor cores, float32 split in two TF32, three products |
| `flash_tf32x3_backward.cu` | likewise the backward pass                                          |
| `flash_bf16.cu`            | in bfloat16, a single product: mma.sync, cp.async, swizzled tiles   |
| `flash_bf16_backward.cu`   | likewise the backward pass                                          |
| `narrow.cu`                | float32 to bfloat16, once for both passes; δ beside the cotangent   |

`fp32_tiles.cuh`, `tf32x3_tiles.cuh` and `bf16_tiles.cuh` hold the two products that all of them are
made of, `fp32_rows.cuh` how rows of float32 reach shared memory, `accumulators.cuh` the softmax in
tensor cores' registers, `configurations.py` the tile sizes, `heads.py` how arrays become what a
kernel takes, `heads.cuh` where a kernel finds the matrix of a head in them, and `flash_fp32.py` and
`flash_bf16.py` the functions that the ladder offers.
"""

from .configurations import KERNELS

__all__ = ["KERNELS"]
