"""Launching on a GPU: compiled once a device and configuration, loaded through CuPy."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cupy

from ..checking import KernelError
from . import compiler

if TYPE_CHECKING:
    from .launch import CudaKernel

STATIC_SHARED = 48 << 10  # bytes of shared memory that a block may have without being asked


@functools.cache
def capability(device: int) -> str:
    """Compute capability, as in "90"."""
    return cupy.cuda.Device(device).compute_capability


@functools.cache
def _function(file: str, name: str, defines: tuple, shared: int, hopper: bool, device: int) -> Any:
    number = capability(device)
    if hopper and number != "90":
        raise KernelError(f"kernel {name} needs a Hopper GPU (sm_90), this one is sm_{number}")
    arch = f"sm_{number}{'a' if hopper else ''}"
    compiled = compiler.compile_cubin(file, arch, dict(defines))
    function = cupy.RawModule(path=str(compiled.cubin)).get_function(name)
    if shared > STATIC_SHARED:
        function.max_dynamic_shared_size_bytes = shared
    return function


def launch(kernel: CudaKernel, grid: Sequence[int], arguments: list[Any]) -> None:
    """Put the kernel on CuPy's current stream; returns before it has run."""
    function = _function(
        kernel.file,
        kernel.name,
        tuple(sorted(kernel.defines.items())),
        kernel.shared,
        kernel.hopper,
        cupy.cuda.runtime.getDevice(),
    )
    block = kernel.block if isinstance(kernel.block, tuple) else (kernel.block,)
    passed = tuple(0 if a is None else a for a in arguments)
    function(tuple(grid), block, passed, shared_mem=kernel.shared)
