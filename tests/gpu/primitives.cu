// Each primitive of primitives.cuh alone in a kernel of one block, so that a GPU and the emulator
// can be compared on the same random numbers. Every lane brings its own registers and gives them
// back.
#include "primitives.cuh"

// 32 rows of 8 elements of 16 bits, row i of matrix j at x[order[8 j + i]]: (32, 4) registers
extern "C" __global__ void matrices(const bf16* __restrict__ x, const int* __restrict__ order,
                                    u32* __restrict__ plain, u32* __restrict__ transposed) {
  __shared__ bf16 rows[32][8];
  const int lane = threadIdx.x;
  for (int e = 0; e < 8; e++) rows[lane][e] = x[lane * 8 + e];
  __syncthreads();
  u32 r[4], t[4];
  load_matrix_x4(r, rows[order[lane]]);
  load_matrix_x4_transposed(t, rows[order[lane]]);
  for (int i = 0; i < 4; i++) {
    plain[lane * 4 + i] = r[i];
    transposed[lane * 4 + i] = t[i];
  }
}

// a (32, 4), b (32, 2), d (32, 4): d += A B for bfloat16, or for TF32 numbers
extern "C" __global__ void tensor_core(const u32* __restrict__ a, const u32* __restrict__ b,
                                       float* __restrict__ d, int tf32) {
  const int lane = threadIdx.x;
  u32 left[4];
  float sums[4];
  for (int i = 0; i < 4; i++) {
    left[i] = a[lane * 4 + i];
    sums[i] = d[lane * 4 + i];
  }
  if (tf32) mma_tf32(sums, left, b[lane * 2], b[lane * 2 + 1]);
  else mma_bf16(sums, left, b[lane * 2], b[lane * 2 + 1]);
  for (int i = 0; i < 4; i++) d[lane * 4 + i] = sums[i];
}

// 32 pieces of 16 bytes, then 32 of 4 bytes, of which those with valid[lane] != 0 are copied
extern "C" __global__ void copies(const u32* __restrict__ x, const int* __restrict__ valid,
                                  u32* __restrict__ y) {
  __shared__ __align__(16) u32 memory[32 * 5];
  const int lane = threadIdx.x;
  for (int i = 0; i < 5; i++) memory[lane * 5 + i] = 0xdeadbeef;
  __syncthreads();
  copy_async_16(&memory[lane * 4], &x[lane * 4], valid[lane] != 0);
  copy_async_commit();
  copy_async_4(&memory[128 + lane], &x[128 + lane], valid[lane] != 0);
  copy_async_commit();
  copy_async_wait<1>();
  for (int i = 0; i < 4; i++) y[lane * 4 + i] = memory[lane * 4 + i];
  copy_async_wait<0>();
  y[128 + lane] = memory[128 + lane];
}

// what becomes of n pairs of numbers
extern "C" __global__ void numbers(const float* __restrict__ x, u32* __restrict__ packed,
                                   u32* __restrict__ tf32, float* __restrict__ powers, int n) {
  for (int i = threadIdx.x; i < n; i += 32) {
    packed[i] = pack_bf16(x[i], x[n - 1 - i]);
    tf32[i] = round_tf32(x[i]);
    powers[i] = fast_exp2(x[i]);
  }
}

// (6, 32): by xor 5, down 3, up 2, from lane 7, from a lane of each one's own, and as bits and back
extern "C" __global__ void shuffles(const float* __restrict__ x, const int* __restrict__ from,
                                    float* __restrict__ y) {
  const int lane = threadIdx.x;
  const float value = x[lane];
  y[lane] = __shfl_xor_sync(ALL_LANES, value, 5);
  y[32 + lane] = __shfl_down_sync(ALL_LANES, value, 3);
  y[64 + lane] = __shfl_up_sync(ALL_LANES, value, 2);
  y[96 + lane] = __shfl_sync(ALL_LANES, value, 7);
  y[128 + lane] = __shfl_sync(ALL_LANES, value, from[lane]);
  y[160 + lane] = as_float(as_bits(value));
}
