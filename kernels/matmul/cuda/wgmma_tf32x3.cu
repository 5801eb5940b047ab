// C = A B at the accuracy of float32 on Hopper: three products of TF32 by warpgroups.
//
// Idea: as in tf32x3.cu each number is the sum of two TF32, x = high + low, and
//   a b = a_low b_high + a_high b_low + a_high b_high (+ a_low b_low, below 2^-21 |a b|: left out),
// but as in wgmma.cu the tensor cores fetch B out of shared memory themselves, 64 x 8 by 8 x 128
// numbers an instruction, while the warps prepare what comes next. With mma a warp splits every
// number of B that it meets, four or two warps the same ones; here a block splits each once.
//
// A tensor core reads 19 bits of a number, so B as it lies is already the high part; only the low
// one is made, b - (b without its last 13 bits), in a tile of its own. That is rounded, so that what
// is lost of b is below 2^-22 |b|. A comes through registers, where both parts are: a_high rounded
// to nearest, which keeps a_low below 2^-11 |a|.
//
// Two warpgroups, one above the other, share a block of 128 x 128. A step of 32 of k:
//   1. take A to registers and split it
//   2. order twelve products, the small ones first
//   3. while they are computed, prepare the next step: wait until its tile has landed (cp.async),
//      meet, order the copies of the tile AHEAD, split B (and turn it, where it lies across k:
//      tensor cores read TF32 along k only), meet
//   4. wait for the products; add what they left, `fresh`, to the sums
// Tensor cores round sums toward zero, so each step starts from zero in `fresh` and is added by the
// units that round to nearest (see tf32x3.cu; there it is every 8 of k).
//
// What moves: global memory as in tf32x3.cu. Of shared memory, a warpgroup reads 64 numbers of A and
// 3 * 128 of B for 3 * 64 * 128 multiply-adds on tensor cores; splitting reads and writes 128.
//
// Improves on: tf32x3.cu. What would come next is the same as for wgmma.cu: copies by the tensor
// memory accelerator, and warpgroups that do not wait for each other.
// Needs: sm_90a; both pitches multiples of 4, and zeros in what padding that takes. Inf may give NaN.
#include "tf32_tiles.cuh"

#ifndef GROUPS
#define GROUPS 2  // warpgroups of a block
#define STAGES 4
#endif
constexpr int GROUP = 128;           // threads of a warpgroup
constexpr int GROUP_M = 64;          // rows of C of a warpgroup
constexpr int AHEAD = STAGES - 2;    // tiles on their way
constexpr int BLOCK_M = GROUPS * GROUP_M, BLOCK_N = 128;
constexpr int THREADS = GROUPS * GROUP;
constexpr int STEPS = DEPTH / MMA_K;  // instructions along k
constexpr int SUMS = BLOCK_N / 2;     // a thread: 64 rows by BLOCK_N over 128 threads

using ATile = Tile<A_ALONG_K, BLOCK_M, THREADS>;
using BTile = Tile<B_ALONG_K, BLOCK_N, THREADS>;
using Part = Tile<true, BLOCK_N, THREADS>;  // of B, high or low, along k as wgmma wants it

DEVICE u32 top(u32 number) { return number & 0xffffe000u; }  // what a tensor core reads of it

// The bits of the low part, rounded to TF32 (half of the last bit is added, the rest never read).
DEVICE u32 low_of(u32 number) {
  return as_bits(as_float(number) - as_float(top(number))) + 0x1000u;
}

// A tile of B -> its low parts, and where it lies across k itself, along k.
DEVICE void split_b(u32* low, u32* high, const float* tile) {
  constexpr int CHUNKS = BLOCK_N * DEPTH / CHUNK;
#pragma unroll
  for (int i = 0; i < CHUNKS / THREADS; i++) {
    const int e = threadIdx.x + i * THREADS;
    if (B_ALONG_K) {
      uint4 x = *(const uint4*)(tile + e * CHUNK);
      *(uint4*)(low + e * CHUNK) = make_uint4(low_of(x.x), low_of(x.y), low_of(x.z), low_of(x.w));
    } else {
      int line = e % BLOCK_N, chunk = e / BLOCK_N, at = Part::at(line, chunk);
      const float* from = tile + chunk * CHUNK * BTile::PITCH + line;
      uint4 x = make_uint4(as_bits(from[0]), as_bits(from[BTile::PITCH]),
                           as_bits(from[2 * BTile::PITCH]), as_bits(from[3 * BTile::PITCH]));
      *(uint4*)(high + at) = x;
      *(uint4*)(low + at) = make_uint4(low_of(x.x), low_of(x.y), low_of(x.z), low_of(x.w));
    }
  }
}

// The descriptor of 8 of k of all lines: see wgmma.cu.
DEVICE u64 descriptor(const void* part, int k) {
  return (u64)(shared_address(part) + k * 4 >> 4 & 0x3fff) | (u64)(8 * 128 >> 4) << 32 | 1ull << 62;
}

extern "C" __global__ void __launch_bounds__(THREADS) multiply(
    const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int m, int n,
    int k, int a_pitch, int b_pitch, long long a_size, long long b_size, int parts, int depth,
    const float* __restrict__ bias) {
  DYNAMIC_SHARED(shared);
  float* a_ring = (float*)shared;
  float* b_ring = a_ring + STAGES * ATile::SIZE;
  u32* lows = (u32*)(b_ring + STAGES * BTile::SIZE);  // two, the one before being read
  u32* highs = lows + 2 * Part::SIZE;                 // the same, where B lies across k
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
  const int warp_row = threadIdx.x / WARP * 16, lane = threadIdx.x % WARP;

  // The tile has landed, the one AHEAD is ordered, and B is split.
  auto prepare = [&](int tile) {
    copy_async_wait<AHEAD - 1>();
    __syncthreads();  // for everybody; and all have waited for the products of tile - 2
    copy_tiles(tile + AHEAD);
    copy_async_commit();
    split_b(lows + tile % 2 * Part::SIZE, highs + tile % 2 * Part::SIZE,
            b_ring + tile % STAGES * BTile::SIZE);
    fence_async_proxy();
    __syncthreads();
  };

  float sums[SUMS] = {};
  u32 a_high[STEPS][4], a_low[STEPS][4];
  const int tiles = (place.k_end - place.k_begin + DEPTH - 1) / DEPTH;
  // Beyond the last tile copies bring zeros, so that no step needs to ask which tiles there are.
  for (int tile = 0; tile < AHEAD; tile++) {
    copy_tiles(tile);
    copy_async_commit();
  }
  prepare(0);
  for (int tile = 0; tile < tiles; tile++) {
    const float* a_tile = a_ring + tile % STAGES * ATile::SIZE;
    const u32* b_low = lows + tile % 2 * Part::SIZE;
    const u32* b_high = B_ALONG_K ? (const u32*)(b_ring + tile % STAGES * BTile::SIZE)
                                  : highs + tile % 2 * Part::SIZE;
    u32 numbers[STEPS][4];
#pragma unroll
    for (int step = 0; step < STEPS; step++)
      ATile::read(numbers[step], a_tile, warp_row, step * MMA_K);
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
      split(a_high[step], a_low[step], numbers[step]);
      hold(a_high[step]);
      hold(a_low[step]);
    }
    float fresh[SUMS];
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
      wgmma_m64n128k8_tf32(fresh, a_low[step], descriptor(b_high, step * MMA_K), step > 0);
      wgmma_m64n128k8_tf32(fresh, a_high[step], descriptor(b_low, step * MMA_K), true);
    }
#pragma unroll
    for (int step = 0; step < STEPS; step++)
      wgmma_m64n128k8_tf32(fresh, a_high[step], descriptor(b_high, step * MMA_K), true);
    wgmma_commit();
    prepare(tile + 1);
    wgmma_wait<0>();
    hold(fresh);
#pragma unroll
    for (int i = 0; i < SUMS; i++) sums[i] += fresh[i];
  }

  // Warp w has rows 16w to 16w + 15; lane and sums as in mma.m16n8.
  c += place.result * m * n;
  if (place.k_begin > 0) bias = nullptr;  // the first part of k adds it
  const int row = place.row + warp_row + lane / 4, column = place.column + lane % 4 * 2;
#pragma unroll
  for (int j = 0; j < BLOCK_N / 8; j++)
#pragma unroll
    for (int half = 0; half < 2; half++)
      store_pair(c, m, n, row + half * 8, column + j * 8,
                 sums[j * 4 + half * 2], sums[j * 4 + half * 2 + 1], bias);
}
