"""A simulator of CUDA blocks: Numba CUDA kernels run, counted and checked on any machine.

    report = simulate(kernel)[blocks, threads](a, b, c)     the arrays are NumPy's, c is filled
    print(report)                                           traffic by array, then what is wrong
    report.check()                                          raises SimulationError if anything is

How it works. A GPU lets 32 threads, a warp, take every step together; threads that a branch leaves
out are masked. The simulator does the same with all threads of a block: a variable of the kernel
becomes a vector with a number for each thread, and `if`, `while`, `return` become masks. So NumPy
computes a step of 256 threads at once, and each step shows what a warp asks of memory together.

| file          | what                                                                          |
|---------------|-------------------------------------------------------------------------------|
| `launch.py`   | `simulate`: blocks one after the other, warps in the order of a schedule       |
| `rewrite.py`  | the kernel's source, with masks instead of branches                           |
| `lanes.py`    | the threads that step together, and the masks                                 |
| `standins.py` | what the kernel sees as `cuda`, `math`, `max` ...                              |
| `memory.py`   | arrays in global, shared and local memory, indices checked                    |
| `traffic.py`  | sectors of global memory and wavefronts of shared memory that a warp needs    |
| `races.py`    | accesses between two barriers, compared                                       |
| `report.py`   | what was counted and what was found                                           |

Limits: no timing, no caches, no fusing of a * b + c, one barrier for the whole block
(`cuda.syncthreads()` as a statement), no dynamic shared memory. float64 that sneaks into a float32
kernel is found where a float literal brings it, not where an integer does: `minigen.kernels.ptx`
sees both.
"""

from .launch import simulate
from .report import Finding, Report, SimulationError

__all__ = ["Finding", "Report", "SimulationError", "simulate"]
