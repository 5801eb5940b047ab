// float32 to bfloat16, rounded to nearest even: y (rows, pitch) from x (rows, columns).
//
// The pitch is a multiple of 8 and the padding zero, which is what the kernels for bfloat16 need to
// copy 16 bytes at a time. A thread makes 8 numbers: 32 bytes in, 16 out, and no number twice; the
// speed is that of memory.
#include "primitives.cuh"

constexpr int THREADS = 256;
constexpr int CHUNK = 8;  // numbers a thread

extern "C" __global__ void __launch_bounds__(THREADS) round_bf16(
    const float* __restrict__ x, bf16* __restrict__ y, long long rows, int columns, int pitch) {
  const long long chunk = (long long)blockIdx.x * THREADS + threadIdx.x;
  const long long row = chunk / (pitch / CHUNK);
  const int column = chunk % (pitch / CHUNK) * CHUNK;
  if (row >= rows) return;
  const float* from = x + row * columns + column;
  __align__(16) float numbers[CHUNK];
#pragma unroll
  for (int i = 0; i < CHUNK; i += 4) {
    if (columns % 4 == 0 && column + i < columns) {
      *(float4*)&numbers[i] = *(const float4*)&from[i];
    } else {
#pragma unroll
      for (int j = i; j < i + 4; j++) numbers[j] = column + j < columns ? from[j] : 0.0f;
    }
  }
  uint4 rounded = make_uint4(pack_bf16(numbers[0], numbers[1]), pack_bf16(numbers[2], numbers[3]),
                             pack_bf16(numbers[4], numbers[5]), pack_bf16(numbers[6], numbers[7]));
  *(uint4*)(y + row * pitch + column) = rounded;
}
