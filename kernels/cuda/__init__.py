"""CUDA C++ kernels: written once, run on a GPU through CuPy, or on the CPU in an emulator.

| file             | what it does                                                                |
|------------------|-----------------------------------------------------------------------------|
| `primitives.cuh` | thin names for the PTX instructions that kernels use                        |
| `emulator.h`     | the same names on the CPU, and three .cpp files that play a block of a GPU  |
| `source.py`      | what a source file declares and includes                                    |
| `compiler.py`    | machine code and the compiler's report, by NVRTC; needs no GPU              |
| `launch.py`      | `CudaKernel`: arguments checked, then a GPU (`gpu.py`) or `emulator.py`     |
| `cache.py`       | where compiled code is kept                                                 |
| `budget.py`      | what the shipped kernels may use of a GPU, and whether they do              |
| `check.py`       | every rung in the emulator beside the formula: `minigen kernels check`      |
"""

from .launch import CudaKernel, emulated

__all__ = ["CudaKernel", "emulated"]
