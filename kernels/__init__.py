"""Kernels: pure functions of arrays, each a ladder of rungs from the textbook formula up.

    operations()                 what there is
    rungs("matmul")              the ladder of one operation
    get("matmul", "panels")      one rung's function
    use(matmul=mine)             swap a rung or a function of yours in under everything
    select("matmul", a, b)       the function that is used for these arrays
    why("matmul", a, b)          and the reason, in a sentence
    set_float32_matmul_precision("medium")       products of operands rounded to bfloat16
    on_compile                   called before Numba compiles a kernel; assign your own

| folder         | operations                                                                |
|----------------|---------------------------------------------------------------------------|
| `matmul/`      | matmul                                                                    |
| `attention/`   | attention, attention_backward                                             |
| `convolution/` | convolution, transposed_convolution, weight_correlation                   |
| `fused/`       | exp, tanh, sigmoid, softplus, silu, erf, gelu; dropout; softmax, rms_norm, |
|                | layer_norm, batch_norm; cross-entropies; their gradients; add_rows; adam, |
|                | sgd, clip_norm                                                            |
| `recurrence/`  | lstm, lstm_backward, gru, gru_backward                                    |

Rungs for a GPU are named `cuda_…` and listed by `rungs("matmul", "cuda")`. `simulator/` runs a
Numba CUDA kernel without one, counts what it moves and finds its races; `ptx.py` compiles it.

Importing this package costs a few milliseconds; Numba is imported when one of its rungs first runs.
"""

from . import blas, parallel
from .checking import KernelError
from .convolution.windows import Windows
from .jit import Compilation, on_compile
from .ladder import Operation, Rung
from .registry import (
    get,
    get_float32_matmul_precision,
    operations,
    overriding,
    rungs,
    select,
    set_float32_matmul_precision,
    use,
    why,
)

__all__ = [
    "Compilation",
    "KernelError",
    "Operation",
    "Rung",
    "Windows",
    "blas",
    "get",
    "get_float32_matmul_precision",
    "on_compile",
    "operations",
    "overriding",
    "parallel",
    "rungs",
    "select",
    "set_float32_matmul_precision",
    "use",
    "why",
]
