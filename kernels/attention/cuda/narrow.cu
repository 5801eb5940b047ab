// float32 to bfloat16, rows filled up with zeros to the width that a kernel works with.
//
// One pass over memory, 4 bytes read and 2 written a number: nothing but bandwidth. Since all is
// read and written here anyway, it also puts the rows of a head side by side (heads.cuh).
#include "heads.cuh"

constexpr int EIGHT = 8;  // numbers of a thread: 16 bytes to write

// x (batch, heads, rows, width) by its strides -> y (`all` = batch heads rows, head_width),
// head_width a multiple of 8. Blocks of 256 threads.
extern "C" __global__ void __launch_bounds__(256) to_bf16(
    const float* __restrict__ x, bf16* __restrict__ y, int all, int rows, int heads, int width,
    int head_width, int x_batch, int x_head, int x_row) {
  u64 at = ((u64)blockIdx.x * 256 + threadIdx.x) * EIGHT;
  u64 row = at / head_width;
  int column = at % head_width;
  if (row >= all) return;
  const float* from = head_of(x, {x_batch, x_head, x_row}, (int)row / rows, heads);
  from += (long long)((int)row % rows) * x_row;
  float numbers[EIGHT];
#pragma unroll
  for (int i = 0; i < EIGHT; i++) numbers[i] = column + i < width ? from[column + i] : 0.0f;
  *(uint4*)(y + at) = make_uint4(
      pack_bf16(numbers[0], numbers[1]), pack_bf16(numbers[2], numbers[3]),
      pack_bf16(numbers[4], numbers[5]), pack_bf16(numbers[6], numbers[7]));
}
