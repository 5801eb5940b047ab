// wgmma of TF32, A in registers: started (64, 128) = A Bᵀ, with nothing added, and d += A Bᵀ, for
// A (64, 8) and B (128, 8) whose rows in shared memory lie along k. Numbers have all their bits.
#include "primitives.cuh"

extern "C" __global__ void __launch_bounds__(128) warpgroup_tf32(const u32* __restrict__ a,
                                                                 const u32* __restrict__ b,
                                                                 float* __restrict__ d,
                                                                 float* __restrict__ started) {
  DYNAMIC_SHARED(memory);
  for (int e = threadIdx.x; e < 128 * 8; e += 128) {
    u32 offset = e / 8 * 128 + e % 8 * 4;  // rows are 128 bytes, of which 8 are swizzled together
    *(u32*)(memory + (offset ^ (offset >> 7 & 7) << 4)) = b[e];
  }
  fence_async_proxy();
  __syncthreads();
  const int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4, inside = threadIdx.x % 4;
  u32 fragment[4];
#pragma unroll
  for (int i = 0; i < 4; i++) fragment[i] = a[(row + i % 2 * 8) * 8 + inside + i / 2 * 4];
  float sums[64], fresh[64];
#pragma unroll
  for (int e = 0; e < 64; e++) {
    sums[e] = d[(row + e / 2 % 2 * 8) * 128 + e / 4 * 8 + inside * 2 + e % 2];
    fresh[e] = sums[e];
  }
  const u64 tile = (u64)(shared_address(memory) >> 4 & 0x3fff) | (u64)(8 * 128 >> 4) << 32 |
                   1ull << 62;
  hold(fragment);
  wgmma_fence();
  wgmma_m64n128k8_tf32(sums, fragment, tile, true);
  wgmma_m64n128k8_tf32(fresh, fragment, tile, false);
  wgmma_commit();
  wgmma_wait<0>();
  hold(sums);
  hold(fresh);
#pragma unroll
  for (int e = 0; e < 64; e++) {
    int at = (row + e / 2 % 2 * 8) * 128 + e / 4 * 8 + inside * 2 + e % 2;
    d[at] = sums[e];
    started[at] = fresh[e];
  }
}
