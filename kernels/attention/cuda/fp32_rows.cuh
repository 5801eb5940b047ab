// Rows of float32 on their way from global to shared memory, where all float32 kernels keep them.
//
// A row lies PITCH numbers from the next, 16 bytes more than it is long: the same 16 bytes of eight
// rows, which a load takes at a time, are then in all 32 banks, whatever the width.
#pragma once
#include "heads.cuh"

#ifndef HEAD
#define HEAD 64  // numbers of a row: a multiple of 16, up to 128
#endif
#ifndef WARPS
#define WARPS 4
#endif

constexpr int THREADS = WARPS * WARP;
constexpr int PITCH = HEAD + 4;  // from row to row

// Start to copy `rows` rows of a matrix (count, HEAD), `stride` numbers apart, into a tile, from
// row `first` on; rows beyond the matrix become zeros, and nothing is read there. A thread copies
// the same 16 bytes of every (THREADS / CHUNKS)-th row.
template <int rows>
DEVICE void load_tile(float* tile, const float* matrix, int stride, int first, int count) {
  constexpr int CHUNKS = HEAD / 4, EVERY = THREADS / CHUNKS;
  int row = threadIdx.x / CHUNKS, at = threadIdx.x % CHUNKS * 4;
  if (THREADS % CHUNKS != 0 && row >= EVERY) return;
  const float* from = matrix + (long long)(first + row) * stride + at;
  tile += row * PITCH + at;
#pragma unroll
  for (int i = 0; i < rows; i += EVERY)
    if (rows % EVERY == 0 || row + i < rows)
      copy_async_16(tile + i * PITCH, from + (long long)i * stride, first + row + i < count);
}
