// C = A B in float32, 8 x 8 numbers of C a thread.
//
// Idea: a block of 256 threads computes 128 x 128 numbers of C. It goes along k in steps of 8: the
// threads together copy the 128 x 8 numbers of A and 8 x 128 of B that a step needs into shared
// memory, then each multiplies 8 numbers of A by 8 of B, which it holds in registers, 8 times over.
//
// What moves: a number of A that a block brings in from global memory serves 128 columns, one of B
// 128 rows. Out of shared memory come 16 numbers for 64 multiply-adds: each is used 8 times, where
// the plain shared tile uses it once. Thread (x, y) has rows y, y + 16, ... and columns x, x + 16,
// ...: neighbours read neighbouring banks, and write neighbouring numbers of C.
//
// Arithmetic intensity: 128 * 128 * 8 multiply-adds for 2 * 128 * 8 numbers from global memory, 64
// each; 4 for a number from shared memory. That is the limit here: 16 loads of one number stand
// beside 64 multiply-adds, and an SM's shared memory serves one warp a cycle, its arithmetic four.
//
// Improves on: the shared tile. Next: float4.cu, which loads four numbers at a time.
#include "tiles.cuh"

constexpr int BLOCK = 128;         // rows and columns of C a block
constexpr int DEPTH = 8;           // of k a step
constexpr int SIDE = 16;           // threads along either side of the block
constexpr int THREADS = SIDE * SIDE;
constexpr int TILE = BLOCK / SIDE;  // rows and columns a thread
constexpr int PITCH = BLOCK + 4;   // 8 numbers of k by 4 lines are then in 32 different banks

// DEPTH x BLOCK numbers of an operand into shared memory, k by line; zeros where it has none.
// Whichever of the two runs along memory runs along the threads. A thread has every ROUND-th of the
// stored rows, at one column.
template <bool ALONG_K>
DEVICE void load(float (&tile)[DEPTH][PITCH], const float* matrix, int pitch, int first_line,
                 int lines, int first_k, int k_end) {
  constexpr int COLUMNS = ALONG_K ? DEPTH : BLOCK, ROWS = ALONG_K ? BLOCK : DEPTH;
  constexpr int ROUND = THREADS / COLUMNS;
  const int row = threadIdx.x / COLUMNS, column = threadIdx.x % COLUMNS;
  const int row0 = (ALONG_K ? first_line : first_k) + row, row_end = ALONG_K ? lines : k_end;
  const int column0 = (ALONG_K ? first_k : first_line) + column;
  const bool column_inside = column0 < (ALONG_K ? k_end : lines);
  const float* from = matrix + (long long)row0 * pitch + column0;
#pragma unroll
  for (int i = 0; i < ROWS; i += ROUND, from += (long long)ROUND * pitch) {
    float number = column_inside && row0 + i < row_end ? *from : 0.0f;
    if (ALONG_K) tile[column][row + i] = number;
    else tile[row + i][column] = number;
  }
}

extern "C" __global__ void __launch_bounds__(256, 2) multiply(
    const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int m, int n,
    int k, int a_pitch, int b_pitch, long long a_size, long long b_size, int parts, int depth) {
  __shared__ float a_tile[DEPTH][PITCH];
  __shared__ float b_tile[DEPTH][PITCH];
  const Place place = my_place<BLOCK, BLOCK>(m, n, k, parts, depth);
  a += place.product * a_size;
  b += place.product * b_size;
  c += place.result * m * n;
  const int x = threadIdx.x % SIDE, y = threadIdx.x / SIDE;

  float sums[TILE][TILE] = {};
  for (int k0 = place.k_begin; k0 < place.k_end; k0 += DEPTH) {
    load<A_ALONG_K>(a_tile, a, a_pitch, place.row, m, k0, place.k_end);
    load<B_ALONG_K>(b_tile, b, b_pitch, place.column, n, k0, place.k_end);
    __syncthreads();
#pragma unroll 2
    for (int step = 0; step < DEPTH; step++) {
      float a_numbers[TILE], b_numbers[TILE];
#pragma unroll
      for (int i = 0; i < TILE; i++) {
        a_numbers[i] = a_tile[step][y + i * SIDE];
        b_numbers[i] = b_tile[step][x + i * SIDE];
      }
#pragma unroll
      for (int i = 0; i < TILE; i++)
#pragma unroll
        for (int j = 0; j < TILE; j++) sums[i][j] += a_numbers[i] * b_numbers[j];
    }
    __syncthreads();  // nobody overwrites what another still reads
  }

#pragma unroll
  for (int i = 0; i < TILE; i++)
#pragma unroll
    for (int j = 0; j < TILE; j++) {
      int row = place.row + y + i * SIDE, column = place.column + x + j * SIDE;
      if (row < m && column < n) c[(long long)row * n + column] = sums[i][j];
    }
}
