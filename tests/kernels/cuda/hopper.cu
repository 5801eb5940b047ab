// A specimen for the tests of the emulator: C = A Bᵀ by a warpgroup's tensor cores (sm_90a).
//
// A (m, k) and B (n, k) bfloat16, C (m, n) float32, k a multiple of 8. A block of one warpgroup
// makes a 64x128 tile of C. The operands lie in shared memory as wgmma wants them: rows of 64
// elements along k, which are 128 bytes, with the chunks of 16 bytes swizzled over 8 rows.
#include "primitives.cuh"

constexpr int TILE_M = 64, TILE_N = 128, TILE_K = 64, THREADS = 128, STAGES = 2;
constexpr int ROW_BYTES = 128, ROWS = TILE_M + TILE_N;  // of A, then of B

// The descriptor of 16 columns of a tile: address, rows of 8 every 1024 bytes, swizzle of 128
// bytes.
DEVICE u64 descriptor(const unsigned char* tile, int step) {
  u64 address = shared_address(tile) + step * 32;
  return (address >> 4 & 0x3fff) | 1ull << 16 | (u64)(8 * ROW_BYTES >> 4) << 32 | 1ull << 62;
}

extern "C" __global__ void __launch_bounds__(THREADS) hopper(const bf16* __restrict__ a,
                                                             const bf16* __restrict__ b,
                                                             float* __restrict__ c, int m, int n,
                                                             int k) {
  DYNAMIC_SHARED(memory);
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  const int first_row = blockIdx.y * TILE_M, first_column = blockIdx.x * TILE_N;
  const int tiles = (k + TILE_K - 1) / TILE_K;
  auto fetch = [&](int tile) {
    for (int e = threadIdx.x; e < ROWS * 8; e += THREADS) {
      int row = e / 8, chunk = e % 8, p = tile * TILE_K + chunk * 8;
      bool left = row < TILE_M;
      int i = left ? first_row + row : first_column + row - TILE_M;
      bool inside = i < (left ? m : n) && p < k;
      const bf16* from = left ? a : b;
      unsigned char* to = memory + (tile % STAGES * ROWS + row) * ROW_BYTES;
      copy_async_16(to + (chunk ^ row % 8) * 16, inside ? from + i * k + p : from, inside);
    }
    copy_async_commit();
  };
  float sums[64] = {};
  fetch(0);
  for (int tile = 0; tile < tiles; tile++) {
    copy_async_wait<0>();
    fence_async_proxy();  // what this thread copied is there for wgmma
    __syncthreads();
    if (tile + 1 < tiles) fetch(tile + 1);
    unsigned char* stage = memory + tile % STAGES * ROWS * ROW_BYTES;
    wgmma_fence();
    for (int step = 0; step < TILE_K / 16; step++)
      wgmma_m64n128k16(sums, descriptor(stage, step),
                       descriptor(stage + TILE_M * ROW_BYTES, step));
    wgmma_commit();
    wgmma_wait<0>();
  }
  for (int j = 0; j < TILE_N / 8; j++)
    for (int half = 0; half < 2; half++) {
      int row = first_row + warp * 16 + lane / 4 + half * 8;
      int column = first_column + j * 8 + lane % 4 * 2;
      for (int e = 0; e < 2; e++)
        if (row < m && column + e < n) c[row * n + column + e] = sums[j * 4 + half * 2 + e];
    }
}
