// C = A B in float32, a tile a warp, and tiles on their way while others are multiplied.
//
// Idea 1, copies ahead: shared memory is a ring of STAGES tiles of A and B. While the warps multiply
// tile t, cp.async brings in tile t + STAGES - 1, from global to shared memory without passing
// through registers. A wait and one barrier a step say that tile t has landed, and that the place
// of tile t - 1, which everybody has left, may be overwritten.
// Idea 2, warp tiles: the 32 threads of a warp work on one compact tile, WARP_M x WARP_N, as 4 x 8
// threads. They need the fewest different numbers of shared memory: with 32 x 64, 32 + 64 a step,
// where a warp of float4.cu, two rows of 16 threads, needs 16 + 128.
//
// What moves: a number of A that a block brings in serves BLOCK_N columns, one of B BLOCK_M rows. An
// operand that lies along k is turned on the way, 4 bytes a copy: 8 numbers of k by 4 lines a warp,
// which are whole 32-byte sectors of global memory and 32 different banks of shared memory. The
// other goes 16 bytes a copy.
//
// Arithmetic intensity: with 8 x 8 numbers a thread, 64 multiply-adds for 4 loads of 16 bytes, half
// of which the threads of a warp share. The copies are 10 instructions for 1024 multiply-adds.
//
// Improves on: float4.cu. The fastest of the ladder without tensor cores.
// Needs: the pitch of an operand that lies across k a multiple of 4.
#include "tiles.cuh"

#ifndef BLOCK_M
#define BLOCK_M 128
#define BLOCK_N 128
#define WARP_M 32
#define WARP_N 64
#define STAGES 2
#define BLOCKS_PER_SM 2
#endif
constexpr int DEPTH = 16;  // of k a step
constexpr int WARPS_N = BLOCK_N / WARP_N;
constexpr int THREADS = BLOCK_M / WARP_M * WARPS_N * WARP;
constexpr int VECTOR = 4;
constexpr int LANES_M = 4, LANES_N = 8;  // a warp's threads
constexpr int TILE_M = WARP_M / LANES_M, TILE_N = WARP_N / LANES_N;  // numbers of C a thread
constexpr int A_PITCH = BLOCK_M + VECTOR, B_PITCH = BLOCK_N + VECTOR;
constexpr int STAGE = DEPTH * (A_PITCH + B_PITCH);  // numbers

// DEPTH x LINES numbers of an operand on their way into shared memory, k by line; zeros where it has
// none (nothing is read there). A thread copies every ROUND-th of the stored rows, at one column.
template <bool ALONG_K, int LINES>
DEVICE void copy(float* tile, const float* matrix, int pitch, int first_line, int lines,
                 int first_k, int k_end) {
  constexpr int TILE_PITCH = LINES + VECTOR;
  if (ALONG_K) {  // a warp: 8 numbers of k, 4 lines
    constexpr int EIGHTS = DEPTH / 8, ROUND = THREADS / WARP / EIGHTS * 4;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int step = warp % EIGHTS * 8 + lane % 8, line = warp / EIGHTS * 4 + lane / 8;
    const float* from = matrix + (long long)(first_line + line) * pitch + first_k + step;
#pragma unroll
    for (int i = 0; i < LINES; i += ROUND, from += (long long)ROUND * pitch)
      copy_async_4(&tile[step * TILE_PITCH + line + i], from,
                   first_line + line + i < lines && first_k + step < k_end);
  } else {
    constexpr int VECTORS = LINES / VECTOR, ROUND = THREADS / VECTORS;
    const int step = threadIdx.x / VECTORS, line = threadIdx.x % VECTORS * VECTOR;
    const float* from = matrix + (long long)(first_k + step) * pitch + first_line + line;
#pragma unroll
    for (int i = 0; i < DEPTH; i += ROUND, from += (long long)ROUND * pitch)
      copy_async_16(&tile[(step + i) * TILE_PITCH + line], from,
                    first_line + line < lines && first_k + step + i < k_end);
  }
}

// sums += a tile of A times a tile of B; a_tile and b_tile begin at the thread's first numbers.
DEVICE void multiply_add(float (&sums)[TILE_M][TILE_N], const float* a_tile, const float* b_tile) {
#pragma unroll
  for (int step = 0; step < DEPTH; step++) {
    __align__(16) float a_numbers[TILE_M];
    __align__(16) float b_numbers[TILE_N];
#pragma unroll
    for (int i = 0; i < TILE_M; i += VECTOR)
      *(float4*)&a_numbers[i] = *(const float4*)&a_tile[step * A_PITCH + i * LANES_M];
#pragma unroll
    for (int j = 0; j < TILE_N; j += VECTOR)
      *(float4*)&b_numbers[j] = *(const float4*)&b_tile[step * B_PITCH + j * LANES_N];
#pragma unroll
    for (int i = 0; i < TILE_M; i++)
#pragma unroll
      for (int j = 0; j < TILE_N; j++) sums[i][j] += a_numbers[i] * b_numbers[j];
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_SM) multiply(
    const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int m, int n,
    int k, int a_pitch, int b_pitch, long long a_size, long long b_size, int parts, int depth) {
  DYNAMIC_SHARED(shared);
  float* ring = (float*)shared;
  const Place place = my_place<BLOCK_M, BLOCK_N>(m, n, k, parts, depth);
  a += place.product * a_size;
  b += place.product * b_size;
  c += place.result * m * n;

  auto copy_tiles = [&](int tile) {
    float* stage = ring + tile % STAGES * STAGE;
    int k0 = place.k_begin + tile * DEPTH;
    copy<A_ALONG_K, BLOCK_M>(stage, a, a_pitch, place.row, m, k0, place.k_end);
    copy<B_ALONG_K, BLOCK_N>(stage + DEPTH * A_PITCH, b, b_pitch, place.column, n, k0, place.k_end);
  };

  // Lanes 0 and 1 side by side, then four rows, then the next pair of columns: the 8 threads that
  // the hardware serves together need 4 vectors of A and 2 of B.
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
  const int row = warp / WARPS_N * WARP_M + lane / 2 % LANES_M * VECTOR;
  const int column = warp % WARPS_N * WARP_N + (lane / 8 * 2 + lane % 2) * VECTOR;

  float sums[TILE_M][TILE_N] = {};
  const int tiles = (place.k_end - place.k_begin + DEPTH - 1) / DEPTH;
  for (int tile = 0; tile < STAGES - 1; tile++) {
    if (tile < tiles) copy_tiles(tile);
    copy_async_commit();
  }
  for (int tile = 0; tile < tiles; tile++) {
    copy_async_wait<STAGES - 2>();
    __syncthreads();
    if (tile + STAGES - 1 < tiles) copy_tiles(tile + STAGES - 1);
    copy_async_commit();
    const float* stage = ring + tile % STAGES * STAGE;
    multiply_add(sums, stage + row, stage + DEPTH * A_PITCH + column);
  }

#pragma unroll
  for (int i = 0; i < TILE_M; i++)
#pragma unroll
    for (int j = 0; j < TILE_N; j += VECTOR)
      store_four(c, m, n, place.row + row + i / VECTOR * VECTOR * LANES_M + i % VECTOR,
                 place.column + column + j * LANES_N, &sums[i][j]);
}
