"""The fused operations in CUDA C++, float32: one pass over a GPU's memory, a launch or two each.

| file               | operations                                            | bytes an element    |
|--------------------|-------------------------------------------------------|---------------------|
| `rows.cuh`         | who works on which row, sums over it, online softmax  |                     |
| `softmax.cu`       | softmax, log_softmax, their gradients                 | 8, gradients 12     |
| `cross_entropy.cu` | cross_entropy, its gradient                           | 4, gradient 8       |
| `layer_norm.cu`    | layer_norm, rms_norm, their gradients                 | 8, gradients 12     |
| `columns.cu`       | sums over rows: dweight and dbias, add_rows           | 4 and a write a row |
| `elementwise.cu`   | gelu, its gradient, dropout                           | 8, gradient 12      |
| `updates.cu`       | adam, sgd, for all parameters in one launch           | 28; sgd 12 or 20    |
|                    | clip_norm, for all gradients in three                 | 4 or 12             |

The plain rung runs the NumPy formula, a launch and a pass over memory for every symbol of it. A
kernel here reads what it needs once. All are bound by memory, so these bytes are what decides.

The functions beside the sources (`rows.py`, `elementwise.py`, `updates.py`, `scatter.py`) check and
allocate. They take CuPy arrays, and NumPy arrays inside `minigen.kernels.cuda.emulated()`. No sum
is made with atomics: results repeat bit for bit. Nothing here waits for the GPU, so a class or a
row that does not exist cannot raise as it does on the CPU: it turns what it concerns to NaN.
"""

from .launching import KERNELS

__all__ = ["KERNELS"]
