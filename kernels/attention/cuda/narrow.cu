// float32 to bfloat16, rows filled up with zeros to the width that a kernel works with.
//
// One pass over memory, 4 bytes read and 2 written a number: nothing but bandwidth.
#include "primitives.cuh"

constexpr int EIGHT = 8;  // numbers of a thread: 16 bytes to write

// x (rows, width) -> y (rows, head), head a multiple of 8. Blocks of 256 threads.
extern "C" __global__ void __launch_bounds__(256) to_bf16(
    const float* __restrict__ x, bf16* __restrict__ y, int rows, int width, int head) {
  u64 at = ((u64)blockIdx.x * 256 + threadIdx.x) * EIGHT;
  u64 row = at / head;
  int column = at % head;
  if (row >= rows) return;
  const float* from = x + row * width;
  float numbers[EIGHT];
#pragma unroll
  for (int i = 0; i < EIGHT; i++) numbers[i] = column + i < width ? from[column + i] : 0.0f;
  *(uint4*)(y + at) = make_uint4(
      pack_bf16(numbers[0], numbers[1]), pack_bf16(numbers[2], numbers[3]),
      pack_bf16(numbers[4], numbers[5]), pack_bf16(numbers[6], numbers[7]));
}
