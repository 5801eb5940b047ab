// C (float32) = A B for bfloat16 on Hopper: warpgroups multiply straight out of shared memory.
//
// Idea: wgmma is one instruction of four warps: 64 x 16 by 16 x 256 numbers, both operands read from
// shared memory by the tensor cores themselves. No fragments pass through registers, no warp spends
// instructions on them; only the sums are in registers, 128 a thread. And it is asynchronous: the
// warps order products and, while these are computed, order the copies of a later tile.
//
// Two warpgroups, one above the other, share a block of 128 x 256. A step of 64 of k:
//   1. wait until the tile has landed (cp.async), tell the tensor cores' side of memory (fence), meet
//   2. order four products of 16 of k
//   3. order the copies for the tile AHEAD, into the place whose products all have waited for
//   4. wait for the products of the step before: those of this one may go on while 1 and 2 follow
//
// A tile in shared memory is made of rows of 128 bytes, whose 16-byte chunks c are stored at
// c ^ (row % 8), the swizzle that the tensor cores expect. A descriptor tells them where it begins and
// how it goes on. Where an operand lies along k a row is 64 numbers of k of a line; 8 lines make 1024
// bytes, and 16 of k further on is 32 bytes to the right. Where it lies across k a row is 64 lines at
// one k; 16 of k further on is 16 rows down, and the next 64 lines are another piece of 64 rows.
//
// Of `blocks` blocks of C a launch may have fewer, as many as run at a time: each then goes from one
// to the next, whose first tiles are on their way while the sums of this one are written.
//
// What moves: as in bf16_mma.cu; a number of A serves 256 columns, one of B 128 rows. From shared
// memory a warpgroup reads 64 + 256 numbers for 64 * 256 multiply-adds: 51 a number.
//
// Improves on: bf16_mma.cu. What would come next is copies by the tensor memory accelerator (TMA),
// ordered by a warp of their own, so that warpgroups wait for products only.
// Needs: sm_90a; both pitches multiples of 8, and zeros in what padding that takes.
#include "tiles.cuh"

#ifndef BLOCK_N
#define BLOCK_N 256  // or 192, or 128
#define GROUPS 2     // warpgroups of a block
#define STAGES 4
#define OVERLAP 1    // steps whose products may still be computed when the next are ordered
#endif
constexpr int GROUP = 128;          // threads of a warpgroup
constexpr int GROUP_M = 64;         // rows of C of a warpgroup
constexpr int AHEAD = STAGES - 1 - OVERLAP;  // tiles on their way
constexpr int BLOCK_M = GROUPS * GROUP_M;
constexpr int THREADS = GROUPS * GROUP;
constexpr int DEPTH = 64;           // of k a step: rows of 128 bytes
constexpr int MMA_K = 16;           // of k an instruction
constexpr int CHUNK = 8;            // numbers in 16 bytes
constexpr int CHUNKS = 8;           // in a row of 128 bytes
constexpr int PIECE = 64;           // lines and steps of a square piece of a tile
constexpr int SUMS = BLOCK_N / 2;   // a thread: 64 rows by BLOCK_N over 128 threads

template <bool ALONG_K, int LINES>
struct Tile {
  static constexpr int BYTES = LINES * DEPTH * 2;

  // The tile on its way from global memory; zeros where the operand ends (nothing is read there).
  // A thread copies one chunk of every ROUND-th row.
  static DEVICE void copy(u8* tile, const bf16* matrix, int pitch, int first_line, int lines,
                          int first_k, int k_end) {
    constexpr int ROUND = THREADS / CHUNKS;
    const int row = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
    u8* to = tile + row * 128 + (chunk ^ row % 8) * 16;
    if (ALONG_K) {
      const bool column_inside = first_k + chunk * CHUNK < k_end;
      const bf16* from = matrix + (long long)(first_line + row) * pitch + first_k + chunk * CHUNK;
#pragma unroll
      for (int i = 0; i < LINES; i += ROUND, from += (long long)ROUND * pitch)
        copy_async_16(to + i * 128, from, column_inside && first_line + row + i < lines);
    } else {
      const bf16* from = matrix + (long long)(first_k + row) * pitch + first_line + chunk * CHUNK;
#pragma unroll
      for (int i = 0; i < DEPTH; i += ROUND, from += (long long)ROUND * pitch)
#pragma unroll
        for (int piece = 0; piece < LINES / PIECE; piece++)
          copy_async_16(to + (piece * PIECE + i) * 128, from + piece * PIECE,
                        first_k + row + i < k_end &&
                            first_line + piece * PIECE + chunk * CHUNK < lines);
    }
  }

  // The descriptor of 16 of k, from line `line` (a multiple of 64) on. Addresses are in units of 16
  // bytes: bits 0-13 the start, 16-29 from one piece of 64 lines to the next (used across k only),
  // 32-45 from 8 stored rows to the next 8; bits 62-63 name the swizzle of 128 bytes.
  static DEVICE u64 descriptor(const u8* tile, int line, int k) {
    u32 start = shared_address(tile) + line * 128 + (ALONG_K ? k * 2 : k * 128);
    return (u64)(start >> 4 & 0x3fff) | (u64)(PIECE * 128 >> 4) << 16 | (u64)(8 * 128 >> 4) << 32 |
           1ull << 62;
  }
};

using ATile = Tile<A_ALONG_K, BLOCK_M>;
using BTile = Tile<B_ALONG_K, BLOCK_N>;

DEVICE void multiply_add(float (&sums)[SUMS], u64 a, u64 b) {
#if BLOCK_N == 256
  wgmma_m64n256k16<!A_ALONG_K, !B_ALONG_K>(sums, a, b);
#elif BLOCK_N == 192
  wgmma_m64n192k16<!A_ALONG_K, !B_ALONG_K>(sums, a, b);
#else
  wgmma_m64n128k16<!A_ALONG_K, !B_ALONG_K>(sums, a, b);
#endif
}

extern "C" __global__ void __launch_bounds__(THREADS) multiply(
    const bf16* __restrict__ a, const bf16* __restrict__ b, float* __restrict__ c, int m, int n,
    int k, int a_pitch, int b_pitch, long long a_size, long long b_size, int parts, int depth,
    const float* __restrict__ bias, int blocks) {
  DYNAMIC_SHARED(shared);
  u8* a_ring = shared;
  u8* b_ring = shared + STAGES * ATile::BYTES;
  Place place = {};
  int tiles = 0;
  auto copy_tiles = [&](int tile) {
    int k0 = place.k_begin + tile * DEPTH, slot = tile % STAGES;
    ATile::copy(a_ring + slot * ATile::BYTES, a + place.product * a_size, a_pitch, place.row, m, k0,
                place.k_end);
    BTile::copy(b_ring + slot * BTile::BYTES, b + place.product * b_size, b_pitch, place.column, n,
                k0, place.k_end);
  };
  auto go_to = [&](int block) {
    place = my_place<BLOCK_M, BLOCK_N>(m, n, k, parts, depth, block);
    tiles = (place.k_end - place.k_begin + DEPTH - 1) / DEPTH;
    for (int tile = 0; tile < AHEAD; tile++) {
      if (tile < tiles) copy_tiles(tile);
      copy_async_commit();
    }
  };
  // Warp w has rows 16w to 16w + 15; lane and sums as in mma.m16n8.
  const int warp_row = threadIdx.x / WARP * 16, lane = threadIdx.x % WARP;
  const int group = threadIdx.x / GROUP;

  go_to(blockIdx.x);
  for (int block = blockIdx.x; block < blocks; block += gridDim.x) {
    float sums[SUMS] = {};
    for (int tile = 0; tile < tiles; tile++) {
      copy_async_wait<AHEAD - 1>();
      fence_async_proxy();
      __syncthreads();
      const u8* a_tile = a_ring + tile % STAGES * ATile::BYTES;
      const u8* b_tile = b_ring + tile % STAGES * BTile::BYTES;
      wgmma_fence();
#pragma unroll
      for (int k0 = 0; k0 < DEPTH; k0 += MMA_K)
        multiply_add(sums, ATile::descriptor(a_tile, group * GROUP_M, k0),
                     BTile::descriptor(b_tile, 0, k0));
      wgmma_commit();
      if (tile + AHEAD < tiles) copy_tiles(tile + AHEAD);
      copy_async_commit();
      wgmma_wait<OVERLAP>();
    }
    wgmma_wait<0>();

    float* to = c + place.result * m * n;
    const float* added = place.k_begin > 0 ? nullptr : bias;  // by the first part of k
    const int row = place.row + warp_row + lane / 4, column = place.column + lane % 4 * 2;
    if (block + gridDim.x < blocks) {  // its first tiles come while this one's C goes
      __syncthreads();                 // all have multiplied what is in the ring
      go_to(block + gridDim.x);
    }
#pragma unroll
    for (int j = 0; j < BLOCK_N / 8; j++)
#pragma unroll
      for (int half = 0; half < 2; half++)
        store_pair(to, m, n, row + half * 8, column + j * 8, sums[j * 4 + half * 2],
                   sums[j * 4 + half * 2 + 1], added);
  }
}
