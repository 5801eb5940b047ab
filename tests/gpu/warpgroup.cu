// One wgmma of a warpgroup, with operands laid out as its descriptors say: d (64, COLUMNS) += A Bᵀ
// for A (64, 16) and B (COLUMNS, 16) bfloat16, whose rows in shared memory lie along k, or across
// it.
#include "primitives.cuh"

constexpr int EIGHT_ROWS = 8 * 128;   // bytes: rows are 128 bytes, 8 of them are swizzled together
constexpr int SIXTY_FOUR_LINES = 2 * EIGHT_ROWS;  // bytes of 64 lines across k: 16 rows

// Where element (line, k) lies, from the start of its tile.
DEVICE u32 place(int line, int k, bool across_k) {
  u32 offset = across_k
      ? line / 64 * SIXTY_FOUR_LINES + line % 64 * 2 + k / 8 * EIGHT_ROWS + k % 8 * 128
      : line / 8 * EIGHT_ROWS + line % 8 * 128 + k * 2;
  return offset ^ (offset >> 7 & 7) << 4;
}

DEVICE u64 descriptor(const unsigned char* tile) {
  return (u64)(shared_address(tile) >> 4 & 0x3fff) | (u64)(SIXTY_FOUR_LINES >> 4) << 16 |
         (u64)(EIGHT_ROWS >> 4) << 32 | 1ull << 62;
}

extern "C" __global__ void __launch_bounds__(128) warpgroup(const bf16* __restrict__ a,
                                                            const bf16* __restrict__ b,
                                                            float* __restrict__ d) {
  DYNAMIC_SHARED(memory);
  unsigned char* left = memory;
  unsigned char* right = memory + 64 * 128;
  for (int e = threadIdx.x; e < 64 * 16; e += 128)
    *(bf16*)(left + place(e / 16, e % 16, A_ACROSS)) = a[e];
  for (int e = threadIdx.x; e < COLUMNS * 16; e += 128)
    *(bf16*)(right + place(e / 16, e % 16, B_ACROSS)) = b[e];
  fence_async_proxy();
  __syncthreads();
  float sums[COLUMNS / 2];
  const int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4, column = threadIdx.x % 4 * 2;
#pragma unroll
  for (int e = 0; e < COLUMNS / 2; e++)
    sums[e] = d[(row + e / 2 % 2 * 8) * COLUMNS + e / 4 * 8 + column + e % 2];
  wgmma_fence();
#if COLUMNS == 128
  wgmma_m64n128k16<A_ACROSS, B_ACROSS>(sums, descriptor(left), descriptor(right));
#elif COLUMNS == 192
  wgmma_m64n192k16<A_ACROSS, B_ACROSS>(sums, descriptor(left), descriptor(right));
#else
  wgmma_m64n256k16<A_ACROSS, B_ACROSS>(sums, descriptor(left), descriptor(right));
#endif
  wgmma_commit();
  wgmma_wait<0>();
#pragma unroll
  for (int e = 0; e < COLUMNS / 2; e++)
    d[(row + e / 2 % 2 * 8) * COLUMNS + e / 4 * 8 + column + e % 2] = sums[e];
}
