// A specimen for the tests of the emulator: the softmax of each row, a block a row.
//
// x and y (rows, n) float32, n a multiple of 4. Maximum and sum go through shuffles inside a warp
// and through shared memory between warps.
#include "primitives.cuh"

constexpr int THREADS = 128, WARPS = THREADS / WARP;

DEVICE float larger(float a, float b) { return a > b ? a : b; }

// The maximum, or the sum, over all threads of the block.
DEVICE float over_block(float value, bool maximum, float* of_warps) {
  for (int step = WARP / 2; step > 0; step /= 2) {
    float other = __shfl_xor_sync(ALL_LANES, value, step);
    value = maximum ? larger(value, other) : value + other;
  }
  if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP] = value;
  __syncthreads();  // all warps have written
  float result = of_warps[0];
  for (int w = 1; w < WARPS; w++)
    result = maximum ? larger(result, of_warps[w]) : result + of_warps[w];
  return result;
}

extern "C" __global__ void __launch_bounds__(THREADS) softmax(const float* __restrict__ x,
                                                              float* __restrict__ y, int n) {
  DYNAMIC_SHARED(memory);  // the row, then two numbers a warp
  float* row = (float*)memory;
  float* of_warps = row + n;
  const long long begin = (long long)blockIdx.x * n;
  float most = -3e38f;
  for (int i = threadIdx.x * 4; i < n; i += THREADS * 4) {
    float4 four = *(const float4*)&x[begin + i];
    *(float4*)&row[i] = four;
    most = larger(most, larger(larger(four.x, four.y), larger(four.z, four.w)));
  }
  most = over_block(most, true, of_warps);
  float sum = 0;
  for (int i = threadIdx.x; i < n; i += THREADS) {
    row[i] = fast_exp2((row[i] - most) * LOG2_E);
    sum += row[i];
  }
  sum = over_block(sum, false, of_warps + WARPS);
  for (int i = threadIdx.x; i < n; i += THREADS) y[begin + i] = row[i] / sum;
}
