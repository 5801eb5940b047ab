"""The kernels of this folder in the configurations that are used, one a width of a head.

A configuration says how many rows a block owns, how many rows of the other side it takes at a time,
and whether its own rows stay in registers. It is bounded by 255 registers a thread (the compiler
must not spill any) and 227 kB of shared memory an SM, of which BLOCKS blocks want their part.
"""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass

from ...cuda import CudaKernel

WARP, ROWS = 32, 8
FLOAT, HALF = 4, 2  # bytes

HEADS_FP32 = (16, 32, 64, 96, 128)
HEADS_BF16 = (32, 64, 96, 128)


@dataclass(frozen=True)
class MmaTiling:
    """How a block of a kernel on tensor cores divides its work; see the macros in the sources."""

    warps: int = 4
    row_tiles: int = 1
    step: int = 64
    blocks: int = 2

    @property
    def owned(self) -> int:
        """Rows of a block."""
        return self.warps * self.row_tiles * 16

    def defines(self, head: int) -> dict[str, int]:
        """The macros.

        >>> Tiling(step=32).defines(64)["STEP"]
        32
        """
        return {"HEAD": head, **{name.upper(): int(x) for name, x in asdict(self).items()}}


@dataclass(frozen=True)
class Tiling(MmaTiling):
    """The same for a kernel in bfloat16, which may keep its own rows in registers."""

    rows_kept: bool = True


def _on_tensor_cores(
    file: str, name: str, own_tiles: int, numbers: int, head: int, tiling: Tiling
) -> CudaKernel:
    """`own_tiles` tiles of the block's rows, a ring of 2 x 2 tiles, `numbers` float32 a step."""
    rows = own_tiles * tiling.owned + 4 * tiling.step
    return CudaKernel(
        f"attention/cuda/{file}",
        name,
        block=tiling.warps * WARP,
        defines=tiling.defines(head),
        shared=rows * head * HALF + numbers * tiling.step * FLOAT,
    )


@functools.cache
def forward_bf16(head: int, tiling: Tiling | None = None) -> CudaKernel:
    """`flash_forward`; a block owns 128 queries."""
    if tiling is None:
        tiling = Tiling(row_tiles=2, step=64 if head <= 96 else 32, rows_kept=head <= 64)
    return _on_tensor_cores("flash_bf16.cu", "flash_forward", 1, 0, head, tiling)


def _backward_tiling(head: int) -> Tiling:
    return Tiling(step=64 if head <= 96 else 32, rows_kept=head <= 64)


@functools.cache
def keys_backward_bf16(head: int, tiling: Tiling | None = None) -> CudaKernel:
    """`flash_keys_backward`; a block owns 64 keys, of narrow heads 128."""
    if tiling is None:
        narrow = Tiling(row_tiles=2, step=32, rows_kept=False)
        tiling = narrow if head <= 64 else _backward_tiling(head)
    name = "flash_keys_backward"
    return _on_tensor_cores("flash_bf16_backward.cu", name, 2, 4, head, tiling)


@functools.cache
def queries_backward_bf16(head: int, tiling: Tiling | None = None) -> CudaKernel:
    """`flash_queries_backward`; a block owns 64 queries."""
    if tiling is None:
        wide = _backward_tiling(head) if head == 96 else Tiling(step=32)
        tiling = Tiling(step=128) if head <= 64 else wide
    name = "flash_queries_backward"
    return _on_tensor_cores("flash_bf16_backward.cu", name, 2, 0, head, tiling)


@functools.cache
def delta_bf16(head: int) -> CudaKernel:
    """`flash_delta`; a block has four rows."""
    defines = _backward_tiling(head).defines(head)
    return CudaKernel("attention/cuda/flash_bf16_backward.cu", "flash_delta", 128, defines)


TO_BF16 = CudaKernel("attention/cuda/narrow.cu", "to_bf16", 256)
GRADIENT_TO_BF16 = CudaKernel("attention/cuda/narrow.cu", "gradient_to_bf16", 128)


@dataclass(frozen=True)
class RegisterTiling:
    """The same for a kernel in float32."""

    warps: int = 4
    step: int = 32
    blocks: int = 2

    @property
    def owned(self) -> int:
        """Rows of a block."""
        return self.warps * 2 * ROWS

    def defines(self, head: int) -> dict[str, int]:
        """The macros."""
        return {"HEAD": head, **{name.upper(): x for name, x in asdict(self).items()}}


def _in_float32(
    file: str, name: str, own_tiles: int, numbers: int, head: int, tiling: RegisterTiling
) -> CudaKernel:
    rows = own_tiles * tiling.owned + 4 * tiling.step
    weights = tiling.owned * (tiling.step + 4)
    return CudaKernel(
        f"attention/cuda/{file}",
        name,
        block=tiling.warps * WARP,
        defines=tiling.defines(head),
        shared=FLOAT * (rows * (head + 4) + weights + numbers * tiling.step),
    )


@functools.cache
def forward_fp32(head: int, tiling: RegisterTiling | None = None) -> CudaKernel:
    """`flash_forward_fp32`; a block owns 64 queries."""
    tiling = tiling or RegisterTiling(step=64 if head <= 64 else 32)
    return _in_float32("flash_fp32.cu", "flash_forward_fp32", 1, 0, head, tiling)


def _backward_tiling_fp32(head: int) -> RegisterTiling:
    return RegisterTiling(step=32 if head <= 64 else 16)


@functools.cache
def keys_backward_fp32(head: int, tiling: RegisterTiling | None = None) -> CudaKernel:
    """`flash_keys_backward_fp32`; a block owns 64 keys."""
    tiling = tiling or _backward_tiling_fp32(head)
    return _in_float32("flash_fp32_backward.cu", "flash_keys_backward_fp32", 2, 4, head, tiling)


@functools.cache
def queries_backward_fp32(head: int, tiling: RegisterTiling | None = None) -> CudaKernel:
    """`flash_queries_backward_fp32`; a block owns 64 queries."""
    tiling = tiling or _backward_tiling_fp32(head)
    return _in_float32("flash_fp32_backward.cu", "flash_queries_backward_fp32", 2, 0, head, tiling)


@functools.cache
def delta_fp32(head: int) -> CudaKernel:
    """`flash_delta_fp32`; a block has four rows."""
    defines = _backward_tiling_fp32(head).defines(head)
    return CudaKernel("attention/cuda/flash_fp32_backward.cu", "flash_delta_fp32", 128, defines)


@dataclass(frozen=True)
class SplitTiling(MmaTiling):
    """The same for a kernel on tensor cores that splits float32 in two."""

    step: int = 32
    chain: int = 2
    at_once: int = 8


def _split_in_two(
    file: str, name: str, own_tiles: int, numbers: int, head: int, tiling: SplitTiling
) -> CudaKernel:
    rows = own_tiles * tiling.owned + 4 * tiling.step
    return CudaKernel(
        f"attention/cuda/{file}",
        name,
        block=tiling.warps * WARP,
        defines=tiling.defines(head),
        shared=FLOAT * (rows * (head + 4) + numbers * tiling.step),
    )


@functools.cache
def forward_tf32x3(head: int, tiling: SplitTiling | None = None) -> CudaKernel:
    """`flash_forward_tf32x3`; a block owns 128 queries, of wide heads 64."""
    if tiling is None:
        tiling = SplitTiling(row_tiles=2 if head <= 64 else 1, at_once=4 if head == 64 else 8)
    return _split_in_two("flash_tf32x3.cu", "flash_forward_tf32x3", 1, 0, head, tiling)


@functools.cache
def keys_backward_tf32x3(head: int, tiling: SplitTiling | None = None) -> CudaKernel:
    """`flash_keys_backward_tf32x3`; a block owns 128 keys, of wide heads 64."""
    if tiling is None:
        step = 16 if head in (64, 128) else 32
        tiling = SplitTiling(row_tiles=2 if head <= 64 else 1, step=step)
    name = "flash_keys_backward_tf32x3"
    return _split_in_two("flash_tf32x3_backward.cu", name, 2, 4, head, tiling)


@functools.cache
def queries_backward_tf32x3(head: int, tiling: SplitTiling | None = None) -> CudaKernel:
    """`flash_queries_backward_tf32x3`; a block owns 128 queries, of wide heads 64."""
    if tiling is None:
        tiling = SplitTiling(row_tiles=2 if head <= 64 else 1, step=32 if head <= 96 else 16)
    name = "flash_queries_backward_tf32x3"
    return _split_in_two("flash_tf32x3_backward.cu", name, 2, 0, head, tiling)


def owned(kernel: CudaKernel) -> int:
    """How many rows a block of a kernel owns.

    >>> owned(forward_bf16(64)), owned(forward_tf32x3(64)), owned(forward_fp32(64))
    (128, 128, 64)
    """
    warps = kernel.defines["WARPS"]
    return warps * (16 * kernel.defines.get("ROW_TILES", 0) or 2 * ROWS)


KERNELS: tuple[CudaKernel, ...] = (
    TO_BF16,
    GRADIENT_TO_BF16,
    *(
        make(head)
        for make in (forward_fp32, delta_fp32, keys_backward_fp32, queries_backward_fp32)
        for head in HEADS_FP32
    ),
    *(
        make(head)
        for make in (forward_tf32x3, keys_backward_tf32x3, queries_backward_tf32x3)
        for head in HEADS_FP32
    ),
    *(
        make(head)
        for make in (forward_bf16, delta_bf16, keys_backward_bf16, queries_backward_bf16)
        for head in HEADS_BF16
    ),
)
