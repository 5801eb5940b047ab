// float32 to bfloat16, rounded to nearest even: y (rows, pitch) from x (rows, columns).
//
// The pitch is a multiple of 8 and the padding zero, which is what the kernels for bfloat16 need to
// copy 16 bytes at a time. A thread makes 8 numbers: 32 bytes in, 16 out, and no number twice; the
// speed is that of memory.
//
//   round_bf16      a thread 8 numbers
//   round_and_sum   a block goes down a band of rows and keeps the sums of its columns: of a layer's
//                   cotangent, which is read here anyway, the gradient of the bias
#include "primitives.cuh"

constexpr int THREADS = 256;
constexpr int CHUNK = 8;                // numbers a thread
constexpr int SLICES = THREADS / WARP;  // rows of a block at a time, by WARP * CHUNK columns

struct Eight {
  float at[CHUNK];
};

// Eight numbers of a row, from `column` on, zeros behind its end.
DEVICE Eight load(const float* row, int column, int columns) {
  __align__(16) Eight numbers;
#pragma unroll
  for (int i = 0; i < CHUNK; i += 4) {
    if (columns % 4 == 0 && column + i < columns) {
      *(float4*)&numbers.at[i] = *(const float4*)&row[column + i];
    } else {
#pragma unroll
      for (int j = i; j < i + 4; j++) numbers.at[j] = column + j < columns ? row[column + j] : 0.0f;
    }
  }
  return numbers;
}

DEVICE void store(bf16* to, const Eight& x) {
  *(uint4*)to = make_uint4(pack_bf16(x.at[0], x.at[1]), pack_bf16(x.at[2], x.at[3]),
                           pack_bf16(x.at[4], x.at[5]), pack_bf16(x.at[6], x.at[7]));
}

extern "C" __global__ void __launch_bounds__(THREADS) round_bf16(
    const float* __restrict__ x, bf16* __restrict__ y, long long rows, int columns, int pitch) {
  const long long chunk = (long long)blockIdx.x * THREADS + threadIdx.x;
  const long long row = chunk / (pitch / CHUNK);
  const int column = chunk % (pitch / CHUNK) * CHUNK;
  if (row < rows) store(y + row * pitch + column, load(x + row * columns, column, columns));
}

// The same, and partial (bands, columns): the sums over the rows of each band. Blocks (strips of
// WARP * CHUNK columns, bands) of WARP x SLICES threads. Every sum has one order.
extern "C" __global__ void __launch_bounds__(THREADS) round_and_sum(
    const float* __restrict__ x, bf16* __restrict__ y, float* __restrict__ partial, int rows,
    int columns, int pitch) {
  __shared__ float of_slices[SLICES][CHUNK][WARP];
  const int lane = threadIdx.x, slice = threadIdx.y;
  const int band = (rows + gridDim.y - 1) / gridDim.y;
  const int end = min(rows, (int)(blockIdx.y + 1) * band);
  const int first_column = (blockIdx.x * WARP + lane) * CHUNK;
  float sums[CHUNK] = {};
  if (first_column < pitch) {
#pragma unroll 4
    for (int row = blockIdx.y * band + slice; row < end; row += SLICES) {
      Eight numbers = load(x + (long long)row * columns, first_column, columns);
      store(y + (long long)row * pitch + first_column, numbers);
#pragma unroll
      for (int i = 0; i < CHUNK; i++) sums[i] += numbers.at[i];
    }
  }
#pragma unroll
  for (int i = 0; i < CHUNK; i++) of_slices[slice][i][lane] = sums[i];
  __syncthreads();
  float total = 0.0f;  // of column first_column + slice: there are as many slices as columns
  for (int s = 0; s < SLICES; s++) total += of_slices[s][slice][lane];
  const int column = first_column + slice;
  if (column < columns) partial[(long long)blockIdx.y * columns + column] = total;
}
