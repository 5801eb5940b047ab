// A specimen for the tests of the emulator: causal attention with the online softmax, in float32.
//
// q, k, v and o (heads, n, SIZE) float32. A block of one warp takes 32 queries of a head, a lane
// one query; keys and values pass through shared memory in tiles of 16.
#include "primitives.cuh"

constexpr int SIZE = 16, TILE = 16, THREADS = 32;

extern "C" __global__ void __launch_bounds__(THREADS) attention(
    const float* __restrict__ q, const float* __restrict__ k, const float* __restrict__ v,
    float* __restrict__ o, int n, float scale) {
  __shared__ float keys[TILE][SIZE];
  __shared__ float values[TILE][SIZE];
  const long long head = (long long)blockIdx.y * n * SIZE;
  const int query = blockIdx.x * THREADS + threadIdx.x;
  float mine[SIZE], sums[SIZE] = {}, most = -1e30f, total = 0;
  for (int d = 0; d < SIZE; d++) mine[d] = query < n ? q[head + query * SIZE + d] * scale : 0;
  const int last = (blockIdx.x + 1) * THREADS;  // no query of this block sees a key from here on
  for (int first = 0; first < n && first < last; first += TILE) {
    for (int e = threadIdx.x; e < TILE * SIZE / 4; e += THREADS) {
      int row = e / (SIZE / 4), column = e % (SIZE / 4) * 4;
      bool inside = first + row < n;
      const float4 zeros = make_float4(0, 0, 0, 0);
      const long long from = head + (first + row) * SIZE + column;
      *(float4*)&keys[row][column] = inside ? *(const float4*)&k[from] : zeros;
      *(float4*)&values[row][column] = inside ? *(const float4*)&v[from] : zeros;
    }
    __syncthreads();  // the tile is complete
    for (int row = 0; row < TILE; row++) {
      const int key = first + row;
      if (key > query || key >= n) continue;  // the future, or beyond the end
      float score = 0;
      for (int d = 0; d < SIZE; d++) score += mine[d] * keys[row][d];
      const float above = score > most ? score : most;
      const float rescale = fast_exp2((most - above) * LOG2_E);
      const float weight = fast_exp2((score - above) * LOG2_E);
      total = total * rescale + weight;
      for (int d = 0; d < SIZE; d++) sums[d] = sums[d] * rescale + weight * values[row][d];
      most = above;
    }
    __syncthreads();  // nobody reads the tile any more
  }
  if (query < n)
    for (int d = 0; d < SIZE; d++) o[head + query * SIZE + d] = sums[d] / total;
}
