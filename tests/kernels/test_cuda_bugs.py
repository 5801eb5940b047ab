"""Bugs planted in CUDA C++ kernels: the emulator must find every one, or its silence means nothing.

Each bug is a change of a kernel's text, and what must be said about it: `says` with everything on,
and `shows` without the watch over shared memory, where most must be seen in the numbers alone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from minigen.kernels.cuda.emulator import changed

from .cuda_specimens import SPECIMENS, examine

NAN, WRONG, DIFFER, BANKS = "not a number", "wrong", "the schedules differ", "bank conflicts"
NOT_WAITED, NO_BARRIER = "has not been waited for", "with no barrier between"


class Bug(NamedTuple):
    name: str
    specimen: str
    old: str
    new: str
    says: str  # a pattern in what `examine` finds
    shows: tuple[str, ...] | None = ()  # the same without the watch; () if the same is said then


BUGS = [
    Bug(
        "a barrier is missing",
        "product",
        "    __syncthreads();  // this tile is there",
        "    // this tile is there",
        f"{NOT_WAITED}|{NO_BARRIER}",
        (NAN,),
    ),
    Bug(
        "a wait comes a group too early",
        "product",
        "copy_async_wait<STAGES - 2>()",
        "copy_async_wait<STAGES - 1>()",
        NOT_WAITED,
        (NAN,),
    ),
    Bug(
        "a tile goes into the wrong slot of the ring",
        "product",
        "const int stage = tile % STAGES;\n  for (int e",
        "const int stage = (tile + 1) % STAGES;\n  for (int e",
        NOT_WAITED,
        (NAN,),
    ),
    Bug(
        "a slot of the ring is filled while it is read",
        "product",
        """    copy_async_wait<STAGES - 2>();
    __syncthreads();  // this tile is there for all, and nobody uses the one before any more
    if (tile + STAGES - 1 < tiles) fetch(a, b, m, n, k, tile + STAGES - 1);
    copy_async_commit();
""",
        """    if (tile + STAGES - 1 < tiles) fetch(a, b, m, n, k, tile + STAGES - 1);
    copy_async_commit();
    copy_async_wait<STAGES - 1>();
    __syncthreads();
""",
        NO_BARRIER,
        (WRONG, DIFFER),
    ),
    Bug(
        "a lane loads the wrong row of a fragment",
        "product",
        "warp_row + lane % 16, step",
        "warp_row + lane % 8, step",
        WRONG,
        (WRONG,),
    ),
    Bug(
        "B's fragments are not transposed",
        "product",
        "load_matrix_x4_transposed(",
        "load_matrix_x4(",
        WRONG,
        (WRONG,),
    ),
    Bug(
        "the halves of B's fragments are swapped",
        "product",
        "right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]",
        "right[j / 2][j % 2 * 2 + 1], right[j / 2][j % 2 * 2]",
        WRONG,
        (WRONG,),
    ),
    Bug(
        "the swizzle of A is missing",
        "product",
        "[(chunk ^ (row / 2 % 4)) * CHUNK]",
        "[chunk * CHUNK]",
        BANKS,
        (BANKS,),
    ),
    Bug(
        "the swizzle of B repeats after 4 rows instead of 8",
        "product",
        "[(chunk ^ (row % 8)) * CHUNK]",
        "[(chunk ^ (row % 4)) * CHUNK]",
        BANKS,
        (BANKS,),
    ),
    Bug(
        "a store goes past the last row",
        "product",
        "if (row < m && column < n)",
        "if (column < n)",
        r"writes 8 bytes at byte \d+ of c, which has 11520 \(product.cu:73\)",
    ),
    Bug(
        "a load goes past the last row",
        "product",
        "bool inside = p < k && j < n;",
        "bool inside = j < n;",
        r"reads 16 bytes at byte \d+ of b, which has 19584 \(line 36\)",
    ),
    Bug(
        "the last columns are not written",
        "product",
        "if (row < m && column < n)",
        "if (row < m && column < n / 16 * 16)",
        NAN,
        (NAN,),
    ),
    Bug(
        "a copy starts at half of its chunk",
        "product",
        "inside ? a + i * k + p : a, inside",
        "inside ? a + i * k + p + 4 : a, inside",
        "no multiple",
    ),
    Bug(
        "wgmma may see shared memory before the copies",
        "hopper",
        "    fence_async_proxy();  // what",
        "    // what",
        "no fence_async_proxy",
        None,
    ),
    Bug(
        "sums are used before wgmma has them",
        "hopper",
        "    wgmma_wait<0>();\n",
        "",
        "which a wgmma that has not been waited for reads",
        (WRONG,),
    ),
    Bug(
        "operands are overwritten while wgmma reads",
        "hopper",
        "    wgmma_wait<0>();\n",
        "    if (tile + 1 == tiles) wgmma_wait<0>();\n",
        "which a wgmma that has not been waited for reads",
        (WRONG,),
    ),
    Bug(
        "wgmma starts at the wrong columns",
        "hopper",
        "shared_address(tile) + step * 32",
        "shared_address(tile) + step * 16",
        WRONG,
        (WRONG,),
    ),
    Bug(
        "a barrier of a reduction is missing",
        "softmax",
        "  __syncthreads();  // all warps",
        "  // all warps",
        NO_BARRIER,
        (NAN,),
    ),
    Bug(
        "a reduction writes over one that is still read",
        "softmax",
        "over_block(sum, false, of_warps + WARPS)",
        "over_block(sum, false, of_warps)",
        NO_BARRIER,
        (WRONG, DIFFER),
    ),
    Bug(
        "a step of a reduction is missing",
        "softmax",
        "step > 0; step /= 2",
        "step > 1; step /= 2",
        WRONG,
        (WRONG,),
    ),
    Bug(
        "more shared memory is used than asked for",
        "softmax",
        "float* of_warps = row + n;",
        "float* of_warps = row + n + 4;",
        "the launch asked for 1056 dynamic bytes",
    ),
    Bug(
        "a vector is loaded from where none can start",
        "softmax",
        "&x[begin + i];",
        "&x[begin + i - 1 + (i == 0)];",
        "no multiple",
    ),
    Bug(
        "not all lanes come to a shuffle",
        "softmax",
        "float other = __shfl_xor_sync(ALL_LANES, value, step);",
        "float other = threadIdx.x % 32 < 30 ? __shfl_xor_sync(ALL_LANES, value, step) : value;",
        r"waits in __shfl_xor_sync \(line 14\) for lanes of its warp that never come: 30 of 32 do$",
    ),
    Bug(
        "not all threads come to a barrier",
        "softmax",
        "  __syncthreads();  // all warps",
        "  if (threadIdx.x < 96) __syncthreads();  // all warps",
        NO_BARRIER,
        (r"__syncthreads \(line 18\) was reached by 96 of 128 threads, the others have returned",),
    ),
    Bug(
        "an input is written to",
        "softmax",
        "    sum += row[i];",
        "    sum += ((float*)x)[begin + i] = row[i];",
        "writes to x, which is constant",
    ),
    Bug(
        "threads read neighbours of one bank",
        "softmax",
        "for (int i = threadIdx.x; i < n; i += THREADS) y[begin + i] = row[i] / sum;",
        """for (int i = threadIdx.x * 2; i < threadIdx.x * 2 + 2; i++)
    y[begin + i] = row[i] / sum;""",
        BANKS,
        (BANKS,),
    ),
    Bug(
        "a query does not see its own key",
        "attention",
        "if (key > query || key >= n)",
        "if (key >= query || key >= n)",
        NAN,
        (NAN,),
    ),
    Bug(
        "a query sees the next key",
        "attention",
        "if (key > query || key >= n)",
        "if (key > query + 1 || key >= n)",
        WRONG,
        (WRONG,),
    ),
    Bug(
        "sums are not rescaled to a new maximum",
        "attention",
        "sums[d] = sums[d] * rescale + weight",
        "sums[d] = sums[d] + weight",
        WRONG,
        (WRONG,),
    ),
    Bug(
        "the last tile is left out",
        "attention",
        "first < n && first < last;",
        "first < n - TILE && first < last;",
        WRONG,
        (WRONG,),
    ),
    Bug(
        "a tile is overwritten while it is read",
        "attention",
        "    __syncthreads();  // nobody reads",
        "    // nobody reads",
        NO_BARRIER,
        (WRONG, DIFFER),
    ),
]


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_sound_kernel_raises_no_alarm(name: str) -> None:
    assert examine(SPECIMENS[name]) == []


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_planted_bug_is_found(bug: Bug) -> None:
    specimen = SPECIMENS[bug.specimen]
    with changed(specimen.file, (bug.old, bug.new)):
        found = examine(specimen)
        assert any(re.search(bug.says, each) for each in found), found
        if bug.shows is None:  # what no number tells on a CPU
            return
        shown = examine(specimen, races=False)
        for sign in bug.shows or (bug.says,):
            assert any(re.search(sign, each) for each in shown), (sign, shown)


def test_there_are_enough_bugs_and_each_kind_of_sign_is_needed() -> None:
    assert len(BUGS) >= 12
    signs = {sign for bug in BUGS for sign in bug.shows or ()}
    assert signs >= {NAN, WRONG, DIFFER, BANKS}


def test_a_change_must_be_one() -> None:
    with (
        pytest.raises(ValueError, match=re.escape("has 'no such text' 0 times")),
        changed(SPECIMENS["product"].file, ("no such text", "")),
    ):
        pass
