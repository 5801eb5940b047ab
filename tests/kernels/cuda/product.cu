// A specimen for the tests of the emulator: C = A B by tensor cores, fed by a ring of asynchronous
// copies. Small tiles, so that rings turn and edges occur at small sizes.
//
// A (m, k) and B (k, n) bfloat16, C (m, n) float32; k and n multiples of 8. A block of 4 warps
// makes a 32x64 tile of C, each warp 16x32 of it.
#include "primitives.cuh"

constexpr int TILE_M = 32, TILE_N = 64, TILE_K = 32, THREADS = 128;
constexpr int STAGES = 3;  // tiles on their way or in use
constexpr int CHUNK = 8;   // elements of 16 bytes: what one asynchronous copy moves

__shared__ bf16 tiles_a[STAGES][TILE_M][TILE_K];
__shared__ bf16 tiles_b[STAGES][TILE_K][TILE_N];

// Where a chunk of a row lies: swizzled, so that 8 rows read at once fall into different banks.
DEVICE bf16* chunk_a(int stage, int row, int chunk) {
  return &tiles_a[stage][row][(chunk ^ (row / 2 % 4)) * CHUNK];
}
DEVICE bf16* chunk_b(int stage, int row, int chunk) {
  return &tiles_b[stage][row][(chunk ^ (row % 8)) * CHUNK];
}

// Start the copies of one pair of tiles; what lies outside of the matrices becomes zero.
DEVICE void fetch(const bf16* a, const bf16* b, int m, int n, int k, int tile) {
  const int stage = tile % STAGES;
  for (int e = threadIdx.x; e < TILE_M * TILE_K / CHUNK; e += THREADS) {
    int row = e / (TILE_K / CHUNK), chunk = e % (TILE_K / CHUNK);
    int i = blockIdx.y * TILE_M + row, p = tile * TILE_K + chunk * CHUNK;
    bool inside = i < m && p < k;
    copy_async_16(chunk_a(stage, row, chunk), inside ? a + i * k + p : a, inside);
  }
  for (int e = threadIdx.x; e < TILE_K * TILE_N / CHUNK; e += THREADS) {
    int row = e / (TILE_N / CHUNK), chunk = e % (TILE_N / CHUNK);
    int p = tile * TILE_K + row, j = blockIdx.x * TILE_N + chunk * CHUNK;
    bool inside = p < k && j < n;
    copy_async_16(chunk_b(stage, row, chunk), inside ? b + p * n + j : b, inside);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) product(
    const bf16* __restrict__ a, const bf16* __restrict__ b, float* __restrict__ c, int m, int n,
    int k) {
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  const int warp_row = warp / 2 * 16, warp_column = warp % 2 * 32;
  const int tiles = (k + TILE_K - 1) / TILE_K;
  float sums[4][4] = {};
  for (int tile = 0; tile < STAGES - 1; tile++) {
    if (tile < tiles) fetch(a, b, m, n, k, tile);
    copy_async_commit();
  }
  for (int tile = 0; tile < tiles; tile++) {
    copy_async_wait<STAGES - 2>();
    __syncthreads();  // this tile is there for all, and nobody uses the one before any more
    if (tile + STAGES - 1 < tiles) fetch(a, b, m, n, k, tile + STAGES - 1);
    copy_async_commit();
    const int stage = tile % STAGES;
    for (int step = 0; step < TILE_K / 16; step++) {
      u32 left[4], right[2][4];
      load_matrix_x4(left, chunk_a(stage, warp_row + lane % 16, step * 2 + lane / 16));
      for (int half = 0; half < 2; half++)
        load_matrix_x4_transposed(
            right[half],
            chunk_b(stage, step * 16 + lane % 16, warp_column / CHUNK + half * 2 + lane / 16));
      for (int j = 0; j < 4; j++)
        mma_bf16(sums[j], left, right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]);
    }
  }
  for (int j = 0; j < 4; j++)
    for (int half = 0; half < 2; half++) {
      int row = blockIdx.y * TILE_M + warp_row + lane / 4 + half * 8;
      int column = blockIdx.x * TILE_N + warp_column + j * 8 + lane % 4 * 2;
      if (row < m && column < n)
        *(float2*)&c[row * n + column] = make_float2(sums[j][half * 2], sums[j][half * 2 + 1]);
    }
}
