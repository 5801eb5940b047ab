// float32 to bfloat16, rows filled up with zeros to the width that a kernel works with.
//
// One pass over memory, 4 bytes read and 2 written a number: nothing but bandwidth. Since all is
// read and written here anyway, it also puts the rows of a head side by side (heads.cuh).
#include "heads.cuh"

constexpr int EIGHT = 8;  // numbers of a thread: 16 bytes to write

// x (batch, heads, rows, width) by its strides -> y (`all` = batch heads rows, head_width),
// head_width a multiple of 8. Of q, k and v that lie alike all in one launch: y (gridDim.y, all,
// head_width). Blocks of 256 threads.
extern "C" __global__ void __launch_bounds__(256) to_bf16(
    const float* __restrict__ x, const float* __restrict__ second,
    const float* __restrict__ third, bf16* __restrict__ y, int all, int rows, int heads, int width,
    int head_width, int x_batch, int x_head, int x_row) {
  u64 at = ((u64)blockIdx.x * 256 + threadIdx.x) * EIGHT;
  u64 row = at / head_width;
  int column = at % head_width;
  if (row >= all) return;
  const float* from = blockIdx.y == 0 ? x : blockIdx.y == 1 ? second : third;
  from = head_of(from, {x_batch, x_head, x_row}, (int)row / rows, heads);
  from += (long long)((int)row % rows) * x_row;
  y += (u64)blockIdx.y * all * head_width;
  float numbers[EIGHT];
#pragma unroll
  for (int i = 0; i < EIGHT; i++) numbers[i] = column + i < width ? from[column + i] : 0.0f;
  *(uint4*)(y + at) = make_uint4(
      pack_bf16(numbers[0], numbers[1]), pack_bf16(numbers[2], numbers[3]),
      pack_bf16(numbers[4], numbers[5]), pack_bf16(numbers[6], numbers[7]));
}

// The same for the gradient of the result, a warp a row, and (1) of flash_bf16_backward.cu for it,
// as all of that gradient is read here anyway: out and grad (batch, heads, rows, width), each by
// its strides -> y (`all`, head_width), δ (all,), and logsumexp in units of log 2. δ is made of the
// numbers in float32. Blocks of 128 threads.
extern "C" __global__ void __launch_bounds__(128) gradient_to_bf16(
    const float* __restrict__ out, const float* __restrict__ grad,
    const float* __restrict__ logsumexp, bf16* __restrict__ y, float* __restrict__ delta,
    float* __restrict__ shift, int all, int rows, int heads, int width, int head_width,
    int out_batch, int out_head, int out_row, int grad_batch, int grad_head, int grad_row) {
  int row = blockIdx.x * 4 + threadIdx.x / WARP, lane = threadIdx.x % WARP;
  if (row >= all) return;
  const float* x = head_of(out, {out_batch, out_head, out_row}, row / rows, heads);
  const float* g = head_of(grad, {grad_batch, grad_head, grad_row}, row / rows, heads);
  x += (long long)(row % rows) * out_row;
  g += (long long)(row % rows) * grad_row;
  y += (u64)row * head_width;
  float sum = 0;
  for (int d = lane; d < head_width; d += WARP) {
    float number = d < width ? g[d] : 0.0f;
    if (d < width) sum += x[d] * number;
    y[d] = (bf16)pack_bf16(number, 0.0f);
  }
  for (int mask = WARP / 2; mask; mask /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, mask);
  if (lane == 0) {
    delta[row] = sum;
    shift[row] = logsumexp[row] * LOG2_E;
  }
}
