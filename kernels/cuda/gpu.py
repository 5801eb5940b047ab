"""Launching on a GPU: compiled once a device and configuration, loaded through CuPy."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cupy

from ..checking import KernelError

if TYPE_CHECKING:
    from .launch import CudaKernel

STATIC_SHARED = 48 << 10  # bytes of shared memory that a block may have without being asked


@functools.cache
def capability(device: int) -> str:
    """Compute capability, as in "90"."""
    return cupy.cuda.Device(device).compute_capability


def load(kernel: CudaKernel, device: int) -> Any:
    """The kernel's machine code on that GPU, ready to be launched.

    Raises:
        KernelError: it needs another chip.
    """
    number = capability(device)
    if kernel.hopper and number != "90":
        raise KernelError(
            f"kernel {kernel.name} needs a Hopper GPU (sm_90), this one is sm_{number}"
        )
    compiled = kernel.compile(f"sm_{number}")
    function = cupy.RawModule(path=str(compiled.cubin)).get_function(kernel.name)
    if kernel.shared > STATIC_SHARED:
        function.max_dynamic_shared_size_bytes = kernel.shared
    return function


def launch(kernel: CudaKernel, grid: Sequence[int], arguments: list[Any]) -> None:
    """Put the kernel on CuPy's current stream; returns before it has run."""
    device = cupy.cuda.runtime.getDevice()
    function = kernel.loaded.get(device)
    if function is None:
        function = kernel.loaded[device] = load(kernel, device)
    block = kernel.block if isinstance(kernel.block, tuple) else (kernel.block,)
    passed = tuple(0 if a is None else a for a in arguments)
    function(grid, block, passed, shared_mem=kernel.shared)
