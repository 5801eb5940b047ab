"""A Numba CUDA kernel compiled without a GPU, and what the machine code tells about its speed.

    Numba -> NVVM: PTX, an assembly for a GPU that has registers without number
    nvJitLink:     PTX -> machine code of one kind of GPU; says what it takes

Three mistakes that no test of values finds show there:

* *float64 in a float32 kernel.* A literal such as 0.5, or an integer in a product, makes Numba
  compute in float64, at half the speed on a data centre's GPU and 1/64 on a player's one.
* *Spills.* A thread has at most 255 registers. What does not fit lies in "local" memory, which is
  global memory, hundreds of cycles away; so does an array of `cuda.local.array` with an index that
  the compiler does not know.
* *Low occupancy.* Registers and shared memory are those of a multiprocessor, and divided among the
  blocks on it. Too few warps on it, and there is none to run while the others wait for memory.

Both compilers come with pip (`numba-cuda[cu13]`); neither needs a driver.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .jit import numba_type

HOPPER = (9, 0)  # compute capability of H100 and H200

# A multiprocessor of compute capability 9.0: CUDA C++ Programming Guide, "Technical
# Specifications per Compute Capability".
WARP = 32
MOST_WARPS = 64
MOST_BLOCKS = 32
QUARTERS = 4  # its schedulers, each with a quarter of the registers and of the warps
REGISTERS = 65536 // QUARTERS
REGISTER_UNIT = 256  # a warp is given registers in steps of so many
SHARED = 228 * 1024  # bytes
RESERVED = 1024  # bytes of shared memory that the system takes for each block


@dataclass(frozen=True)
class Compiled:
    """What a kernel takes on a GPU, a thread or a block.

    registers: of a thread. spills: bytes of a thread that found no register. stack: bytes of local
    arrays in memory. shared: bytes of a block. doubles: PTX instructions on float64, in order.
    barriers: how many barrier instructions there are.
    """

    registers: int
    spills: int
    stack: int
    shared: int
    doubles: tuple[str, ...]
    barriers: int
    ptx: str

    def blocks(self, threads: int) -> int:
        """How many blocks of so many threads a multiprocessor of compute capability 9.0 holds.

        >>> found = Compiled(32, spills=0, stack=0, shared=65536, doubles=(), barriers=0, ptx="")
        >>> found.blocks(256), found.occupancy(256)
        (3, 0.375)
        """
        warps = -(-threads // WARP)
        each = -(-self.registers * WARP // REGISTER_UNIT) * REGISTER_UNIT
        by_registers = REGISTERS // each * QUARTERS // warps if each else MOST_BLOCKS
        by_shared = SHARED // (self.shared + RESERVED)
        return min(MOST_BLOCKS, MOST_WARPS // warps, by_registers, by_shared)

    def occupancy(self, threads: int) -> float:
        """The share of a multiprocessor's 64 warps that blocks of so many threads fill."""
        return self.blocks(threads) * -(-threads // WARP) / MOST_WARPS


def compiled(
    kernel: Any, *types: str, real: str = "float32", capability: tuple[int, int] = HOPPER
) -> Compiled:
    """Compile what `numba.cuda.jit` made, for arguments of these types.

    Args:
        kernel: the dispatcher, or a plain function.
        types: one for each argument, as `jit.numba_type` reads them: "T[:, ::1]", "T", "int64".
        real: what "T" stands for.
        capability: of the GPU.
    """
    from numba import cuda
    from numba import types as numba_types

    scalar = getattr(numba_types, real)
    signature = tuple(numba_type(text, scalar) for text in types)
    function = getattr(kernel, "py_func", kernel)
    ptx, _ = cuda.compile_ptx(function, signature, cc=capability)
    return read(ptx, assembled(ptx, capability))


def read(ptx: str, log: str) -> Compiled:
    """What PTX and the assembler's log say.

    >>> log = "0 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads\\n"
    >>> log += "used 40 registers, used 1 barriers, 0 stack, 5120 bytes smem"
    >>> ptx = "add.f64 %fd1, %fd2, %fd3;\\nadd.f32 %f64, %f1, %f2;\\nbar.sync 0;"
    >>> found = read(ptx, log)
    >>> found.registers, found.spills, found.shared, found.doubles, found.barriers
    (40, 8, 4096, ('add.f64 %fd1, %fd2, %fd3;',), 1)
    """
    lines = [line.strip() for line in ptx.splitlines()]
    doubles = [line for line in lines if re.search(r"\.f64\b", line) and not line.startswith(".")]
    shared = re.search(r"used \d+ registers.*?(\d+) bytes smem", log)
    return Compiled(
        registers=_number(r"used (\d+) registers", log),
        spills=_number(r"(\d+) bytes spill stores", log),
        stack=_number(r"(\d+) bytes stack frame", log),
        shared=max(int(shared[1]) - RESERVED, 0) if shared else 0,
        doubles=tuple(doubles),
        barriers=sum(bool(re.match(r"(bar|barrier)\b.*\bsync", line)) for line in lines),
        ptx=ptx,
    )


def _number(pattern: str, log: str) -> int:
    found = re.search(pattern, log, re.I)
    if found is None:
        raise RuntimeError(f"the assembler's log has no {pattern!r}: {log}")
    return int(found[1])


def assembled(ptx: str, capability: tuple[int, int] = HOPPER) -> str:
    """The log of nvJitLink, which turns PTX into machine code."""
    from cuda.bindings import nvjitlink

    options = [f"-arch=sm_{capability[0]}{capability[1]}", "-verbose"]
    link = nvjitlink.create(len(options), options)
    text = ptx.encode()
    try:
        nvjitlink.add_data(link, nvjitlink.InputType.PTX, text, len(text), "kernel")
        nvjitlink.complete(link)
        log = bytearray(nvjitlink.get_info_log_size(link))
        nvjitlink.get_info_log(link, log)
    finally:
        nvjitlink.destroy(link)
    return log.decode(errors="replace")
