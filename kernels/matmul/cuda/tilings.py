"""The tile sizes that each kernel is compiled for, and which of them a product takes.

A large tile needs fewer numbers from memory for as many multiply-adds; a small one makes enough
blocks for all multiprocessors of a GPU where C is small. Where even small tiles are too few, k is
cut into parts, and the parts are added up.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...cuda import CudaKernel

MULTIPROCESSORS = 132  # of an H100 or H200; on another GPU the choice is a little off
PART = 128  # of k, the least that is worth a part
PARTS = 32  # the most
SUMMING = 2**20  # float32 multiply-adds a multiprocessor could do while the parts are added up
STARTING = 64  # of k that could be multiplied while a block's first tiles come and its C goes

# (A_ALONG_K, B_ALONG_K): A as it is or transposed by B as it is or transposed. With both transposed
# A is copied: no gradient asks for that.
LAYOUTS = ((True, False), (True, True), (False, False))


@dataclass(frozen=True)
class Tiling:
    """One kernel file in one size, for every layout.

    Args:
        file: the source, in this folder.
        block: rows and columns of C a block.
        depth: of k a step; parts of k are multiples of it.
        threads: of a block.
        along, across: the numbers that the pitch of an operand must be a multiple of, where it lies
            along k and where across.
        defines: the macros of the source.
        shared: bytes of shared memory for each of A and B, along k and across.
        blocks_per_sm: how many a multiprocessor runs at a time.
        effort: time for a multiply-add, the largest tiling's being 1.
        rate: multiply-adds in the time of one by the float32 units, roughly.
        transposed_a: takes this one's place where A is transposed, if that needs more registers
            than there are. Its block and depth are the same.
        hopper: whether it needs a Hopper GPU.
        persistent: whether no more blocks are launched than run at a time, each going from tile to
            tile of C.
    """

    file: str
    block: tuple[int, int]
    depth: int
    threads: int
    along: int
    across: int
    defines: tuple[tuple[str, int], ...] = ()
    shared: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    blocks_per_sm: int = 1
    effort: float = 1.0
    rate: float = 1.0
    transposed_a: Tiling | None = None
    hopper: bool = False
    persistent: bool = False
    _kernels: dict[tuple[bool, bool], CudaKernel] = field(
        default_factory=dict, compare=False, repr=False
    )

    def kernel(self, a_along_k: bool, b_along_k: bool) -> CudaKernel:
        """The kernel for operands that lie so."""
        if self.transposed_a and not a_along_k:
            return self.transposed_a.kernel(a_along_k, b_along_k)
        layout = (a_along_k, b_along_k)
        if layout not in self._kernels:
            (a_along, a_across), (b_along, b_across) = self.shared
            self._kernels[layout] = CudaKernel(
                f"matmul/cuda/{self.file}",
                "multiply",
                self.threads,
                {"A_ALONG_K": int(a_along_k), "B_ALONG_K": int(b_along_k), **dict(self.defines)},
                (a_along if a_along_k else a_across) + (b_along if b_along_k else b_across),
                self.hopper,
            )
        return self._kernels[layout]

    def tiles(self, m: int, n: int) -> int:
        """How many blocks cover C."""
        return -(-m // self.block[0]) * -(-n // self.block[1])

    def grid(self, blocks: int) -> int:
        """How many blocks are launched for so many of C.

        >>> import dataclasses
        >>> WGMMA[0].grid(1000), dataclasses.replace(WGMMA[0], persistent=True).grid(1000)
        (1000, 132)
        """
        return min(blocks, MULTIPROCESSORS * self.blocks_per_sm) if self.persistent else blocks


def warp_tile(
    block: tuple[int, int],
    warp: tuple[int, int],
    stages: int,
    blocks_per_sm: int,
    effort: float = 1,
) -> Tiling:
    """`warp_tile.cu` for blocks and warp tiles of these sizes (rows, columns)."""
    depth = 16
    shared = [stages * depth * (lines + 4) * 4 for lines in block]
    return Tiling(
        "warp_tile.cu", block, depth, _threads(block, warp), along=1, across=4,
        defines=_defines(block, warp, STAGES=stages, BLOCKS_PER_SM=blocks_per_sm),
        shared=((shared[0],) * 2, (shared[1],) * 2), blocks_per_sm=blocks_per_sm, effort=effort,
    )  # fmt: skip


def tf32x3(
    block: tuple[int, int], warp: tuple[int, int], stages: int, blocks_per_sm: int,
    effort: float = 1, transposed_a: Tiling | None = None, **macros: int,
) -> Tiling:  # fmt: skip
    """`tf32x3.cu` for blocks and warp tiles of these sizes."""
    depth = 32
    a, b = (
        (stages * lines * depth * 4, stages * depth * (lines + 8) * 4) for lines in block
    )  # along, across
    return Tiling(
        "tf32x3.cu", block, depth, _threads(block, warp), along=4, across=4,
        defines=_defines(block, warp, STAGES=stages, BLOCKS_PER_SM=blocks_per_sm, **macros),
        shared=(a, b), blocks_per_sm=blocks_per_sm, effort=effort, rate=1.5,
        transposed_a=transposed_a,
    )  # fmt: skip


def bf16_mma(
    block: tuple[int, int], warp: tuple[int, int], depth: int, stages: int, blocks_per_sm: int,
    effort: float = 1, **macros: int,
) -> Tiling:  # fmt: skip
    """`bf16_mma.cu` for blocks and warp tiles of these sizes."""
    a, b = (stages * lines * depth * 2 for lines in block)
    return Tiling(
        "bf16_mma.cu", block, depth, _threads(block, warp), along=8, across=8,
        defines=_defines(
            block, warp, DEPTH=depth, STAGES=stages, BLOCKS_PER_SM=blocks_per_sm, **macros
        ),
        shared=((a, a), (b, b)), blocks_per_sm=blocks_per_sm, effort=effort, rate=7,
    )  # fmt: skip


def wgmma(
    groups: int, columns: int, stages: int, blocks_per_sm: int, effort: float = 1, overlap: int = 1
) -> Tiling:
    """`wgmma.cu` for so many warpgroups, of 64 rows each, by so many columns."""
    block, depth = (groups * 64, columns), 64
    a, b = (stages * lines * depth * 2 for lines in block)
    return Tiling(
        "wgmma.cu", block, depth, groups * 128, along=8, across=8,
        defines=(
            ("GROUPS", groups), ("BLOCK_N", columns), ("STAGES", stages), ("OVERLAP", overlap)
        ),
        shared=((a, a), (b, b)), blocks_per_sm=blocks_per_sm, effort=effort, rate=12, hopper=True,
    )  # fmt: skip


def wgmma_tf32x3(groups: int, stages: int) -> Tiling:
    """`wgmma_tf32x3.cu` for so many warpgroups, of 64 rows each, by 128 columns."""
    block, depth = (groups * 64, 128), 32
    a, b = (
        (stages * lines * depth * 4, stages * depth * (lines + 8) * 4) for lines in block
    )  # along, across
    part = block[1] * depth * 4  # of B, low or high
    return Tiling(
        "wgmma_tf32x3.cu", block, depth, groups * 128, along=4, across=4,
        defines=(("GROUPS", groups), ("STAGES", stages)),
        shared=(a, (b[0] + 2 * part, b[1] + 4 * part)), rate=2, hopper=True,
    )  # fmt: skip


def _threads(block: tuple[int, int], warp: tuple[int, int]) -> int:
    return block[0] // warp[0] * (block[1] // warp[1]) * 32


def _defines(
    block: tuple[int, int], warp: tuple[int, int], **others: int
) -> tuple[tuple[str, int], ...]:
    sizes = {"BLOCK_M": block[0], "BLOCK_N": block[1], "WARP_M": warp[0], "WARP_N": warp[1]}
    return tuple((sizes | others).items())


REGISTER_TILE = (Tiling("register_tile.cu", (128, 128), 8, 256, along=1, across=1),)
FLOAT4 = (Tiling("float4.cu", (128, 128), 8, 256, along=4, across=4, blocks_per_sm=2),)
WARP_TILE = (
    warp_tile((256, 128), (64, 64), stages=3, blocks_per_sm=1),
    warp_tile((128, 128), (32, 64), stages=2, blocks_per_sm=2, effort=1.04),
    warp_tile((64, 64), (32, 32), stages=3, blocks_per_sm=4, effort=1.1),
)
TF32X3 = (
    tf32x3(
        (128, 128), (64, 64), stages=2, blocks_per_sm=2,
        transposed_a=tf32x3((128, 128), (64, 32), stages=3, blocks_per_sm=1),
    ),
    tf32x3((64, 64), (32, 32), stages=3, blocks_per_sm=4, effort=1.2),
)  # fmt: skip
BF16_MMA = (
    bf16_mma((128, 128), (64, 64), depth=64, stages=3, blocks_per_sm=2),
    bf16_mma((64, 64), (32, 32), depth=64, stages=3, blocks_per_sm=4, effort=1.35),
)
WGMMA = (
    wgmma(groups=2, columns=256, stages=4, blocks_per_sm=1),
    wgmma(groups=2, columns=192, stages=5, blocks_per_sm=1, effort=1.05),
    wgmma(groups=1, columns=128, stages=4, blocks_per_sm=2, effort=1.3),
)
WGMMA_TF32X3 = (wgmma_tf32x3(groups=2, stages=4),)
LADDER = (
    *REGISTER_TILE, *FLOAT4, *WARP_TILE, *TF32X3, *WGMMA_TF32X3, *BF16_MMA, *WGMMA,
)  # fmt: skip

SUM_PARTS = CudaKernel("matmul/cuda/sum_parts.cu", "sum_parts", 256)
ROUND_BF16 = CudaKernel("matmul/cuda/round_bf16.cu", "round_bf16", 256)
ROUND_AND_SUM = CudaKernel("matmul/cuda/round_bf16.cu", "round_and_sum", (32, 8))

# Every kernel that is ever launched from this folder.
KERNELS = (
    *(tiling.kernel(*layout) for tiling in LADDER for layout in LAYOUTS),
    SUM_PARTS,
    ROUND_BF16,
    ROUND_AND_SUM,
)


@functools.lru_cache(maxsize=1024)
def plan(
    tilings: Sequence[Tiling], products: int, m: int, n: int, k: int, parts: int | None = None
) -> tuple[Tiling, int]:
    """The tiling that should be fastest for so many products, and the number of parts of k.

    The time is that of the multiprocessor with the most blocks. Of a C with few tiles the parts
    give every multiprocessor a block, or two where it runs two, if that pays for adding them up.

    >>> plan(WARP_TILE, 1, 4096, 4096, 4096)[1]
    1
    >>> tiling, parts = plan(WARP_TILE, 1, 64, 400, 784)
    >>> tiling.block, parts
    ((64, 64), 6)
    """
    found = []
    for tiling in tilings:
        blocks = products * tiling.tiles(m, n)
        most = min(PARTS, k // PART, MULTIPROCESSORS * tiling.blocks_per_sm // blocks)
        for wanted in {1, max(1, most)} if parts is None else {parts}:
            depth = _depth(tiling, k, wanted)
            count = -(-k // depth)
            rounds = -(-blocks * count // MULTIPROCESSORS)  # blocks of the busiest multiprocessor
            size = tiling.block[0] * tiling.block[1]
            time = rounds * size * (depth + STARTING) * tiling.effort
            time += (count > 1) * SUMMING * tiling.rate
            found.append((time, tiling, count))
    return min(found, key=lambda f: f[0])[1:]


def _depth(tiling: Tiling, k: int, parts: int) -> int:
    return -(-k // (parts * tiling.depth)) * tiling.depth


def part_depth(tiling: Tiling, k: int, parts: int) -> int:
    """Of k in each part but the last, a multiple of the kernel's steps.

    >>> part_depth(WARP_TILE[0], 100, 3)
    48
    """
    return _depth(tiling, k, parts)
