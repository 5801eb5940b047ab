// C = A B at the accuracy of float32, on tensor cores: three products of TF32.
//
// Idea: tensor cores multiply TF32, numbers with 11 significant bits, and add in float32. A float32
// has 24. So each is split into two TF32, x = high + low, and
//   a b = a_high b_high + a_high b_low + a_low b_high + (a_low b_low, below 2^-22 |a b|: left out).
// Three tensor-core products cost less than one on the float32 units, which are 8 times slower
// (Ootomo & Yokota, Recovering single precision accuracy from Tensor Cores while surpassing the FP32
// theoretical peak performance, 2022). From the same paper: tensor cores round sums toward zero,
// which adds up over a long k. So every 8 of k are summed there from zero, the small products first,
// and are then added to the sums in registers, by the units that round to nearest.
//
// What moves: a ring of STAGES tiles in shared memory that cp.async fills ahead, as in warp_tile.cu,
// but each operand stays as it lies in global memory (tf32_tiles.cuh).
//
// Arithmetic intensity: a warp reads WARP_M + WARP_N numbers for WARP_M WARP_N multiply-adds, three
// on tensor cores each. It splits every number that it reads, in three instructions.
//
// Improves on: warp_tile.cu. Next: wgmma_tf32x3.cu, where the tensor cores read B by themselves, and
// bf16_mma.cu, which takes numbers of half the size.
// Needs: both pitches multiples of 4, and zeros in what padding that takes. Inf gives NaN.
#include "tf32_tiles.cuh"

#ifndef BLOCK_M
#define BLOCK_M 128
#define BLOCK_N 128
#define WARP_M 64
#define WARP_N 32
#define STAGES 3
#define BLOCKS_PER_SM 1
#endif
#ifndef UNROLL
#define UNROLL 1
#endif
#ifndef ROUND_TO_NEAREST  // 0: all sums in the tensor cores
#define ROUND_TO_NEAREST 1
#endif
constexpr int WARPS_N = BLOCK_N / WARP_N;
constexpr int THREADS = BLOCK_M / WARP_M * WARPS_N * WARP;
constexpr int MMA_M = 16, MMA_N = 8;  // one instruction's tile, by MMA_K
constexpr int TILES_M = WARP_M / MMA_M, TILES_N = WARP_N / MMA_N;

using ATile = Tile<A_ALONG_K, BLOCK_M, THREADS>;
using BTile = Tile<B_ALONG_K, BLOCK_N, THREADS>;

// sums += A B for 8 of k.
DEVICE void multiply_add(float (&sums)[TILES_M][TILES_N][4], const float* a_tile,
                         const float* b_tile, int warp_row, int warp_column, int k) {
  u32 b_high[TILES_N / 2][4], b_low[TILES_N / 2][4];
#pragma unroll
  for (int j = 0; j < TILES_N / 2; j++) {
    u32 numbers[4];
    BTile::read(numbers, b_tile, warp_column + j * 2 * MMA_N, k);
    split(b_high[j], b_low[j], numbers);
  }
#pragma unroll
  for (int i = 0; i < TILES_M; i++) {
    u32 numbers[4], a_high[4], a_low[4];
    ATile::read(numbers, a_tile, warp_row + i * MMA_M, k);
    split(a_high, a_low, numbers);
#if ROUND_TO_NEAREST
    float fresh[TILES_N][4] = {};
#else
    float (&fresh)[TILES_N][4] = sums[i];
#endif
    // Product by product over all tiles: an mma that needs the sum of the one before would wait.
#pragma unroll
    for (int j = 0; j < TILES_N; j++)
      mma_tf32(fresh[j], a_low, b_high[j / 2][j % 2], b_high[j / 2][j % 2 + 2]);
#pragma unroll
    for (int j = 0; j < TILES_N; j++)
      mma_tf32(fresh[j], a_high, b_low[j / 2][j % 2], b_low[j / 2][j % 2 + 2]);
#pragma unroll
    for (int j = 0; j < TILES_N; j++)
      mma_tf32(fresh[j], a_high, b_high[j / 2][j % 2], b_high[j / 2][j % 2 + 2]);
#if ROUND_TO_NEAREST
#pragma unroll
    for (int j = 0; j < TILES_N; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) sums[i][j][e] += fresh[j][e];
#endif
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_SM) multiply(
    const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int m, int n,
    int k, int a_pitch, int b_pitch, long long a_size, long long b_size, int parts, int depth) {
  DYNAMIC_SHARED(shared);
  float* a_ring = (float*)shared;
  float* b_ring = a_ring + STAGES * ATile::SIZE;
  const Place place = my_place<BLOCK_M, BLOCK_N>(m, n, k, parts, depth);
  a += place.product * a_size;
  b += place.product * b_size;
  const float* a_from = ATile::first(a, a_pitch, place.row, place.k_begin);
  const float* b_from = BTile::first(b, b_pitch, place.column, place.k_begin);
  auto copy_tiles = [&](int tile) {
    int k0 = place.k_begin + tile * DEPTH, slot = tile % STAGES;
    ATile::copy(a_ring + slot * ATile::SIZE, a_from, a_pitch, place.row, m, k0, place.k_end);
    BTile::copy(b_ring + slot * BTile::SIZE, b_from, b_pitch, place.column, n, k0, place.k_end);
  };
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
  const int warp_row = warp / WARPS_N * WARP_M, warp_column = warp % WARPS_N * WARP_N;

  float sums[TILES_M][TILES_N][4] = {};
  const int tiles = (place.k_end - place.k_begin + DEPTH - 1) / DEPTH;
  // Beyond the last tile copies bring zeros, so that no step needs to ask which tiles there are.
  for (int tile = 0; tile < STAGES - 1; tile++) {
    copy_tiles(tile);
    copy_async_commit();
  }
  for (int tile = 0; tile < tiles; tile++) {
    copy_async_wait<STAGES - 2>();
    __syncthreads();
    copy_tiles(tile + STAGES - 1);
    copy_async_commit();
    const float* a_tile = a_ring + tile % STAGES * ATile::SIZE;
    const float* b_tile = b_ring + tile % STAGES * BTile::SIZE;
#pragma unroll UNROLL
    for (int k0 = 0; k0 < DEPTH; k0 += MMA_K)
      multiply_add(sums, a_tile, b_tile, warp_row, warp_column, k0);
  }

  c += place.result * m * n;
  const int row = place.row + warp_row + lane / 4, column = place.column + warp_column + lane % 4 * 2;
#pragma unroll
  for (int i = 0; i < TILES_M; i++)
#pragma unroll
    for (int j = 0; j < TILES_N; j++)
#pragma unroll
      for (int half = 0; half < 2; half++)
        store_pair(c, m, n, row + i * MMA_M + half * 8, column + j * MMA_N, sums[i][j][half * 2],
                   sums[i][j][half * 2 + 1]);
}
