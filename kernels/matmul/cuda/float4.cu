// C = A B in float32, four numbers a load.
//
// Idea: the same blocks and tiles as register_tile.cu, but memory is asked for 16 bytes at a time:
// one instruction instead of four, in global as in shared memory. For this the numbers that a thread
// multiplies must lie side by side in shared memory, k by line: an operand that lies along k is
// turned on the way, its four numbers going to four rows of the tile. A thread has rows 4y to 4y + 3
// and the same 64 further down, and columns likewise: neighbouring threads read neighbouring
// 16 bytes, where 8 columns in one piece would put every second thread into the same banks.
//
// What moves: as in register_tile.cu; the same numbers in a quarter of the instructions. A thread
// brings in one float4 of A and one of B a step: 256 threads, 1024 numbers each.
//
// Arithmetic intensity: 64 multiply-adds stand beside 4 loads from shared memory instead of 16.
// What is left to gain: while a tile is on its way from global memory, nobody computes.
//
// Improves on: register_tile.cu. Next: warp_tile.cu, which loads ahead.
// Needs: both pitches multiples of 4, and zeros in what padding that takes.
#include "tiles.cuh"

constexpr int BLOCK = 128;          // rows and columns of C a block
constexpr int DEPTH = 8;            // of k a step
constexpr int SIDE = 16;            // threads along either side of the block
constexpr int THREADS = SIDE * SIDE;
constexpr int VECTOR = 4;           // numbers a load
constexpr int QUADS = BLOCK / SIDE / VECTOR;  // groups of 4 rows, and of 4 columns, a thread
constexpr int TILE = QUADS * VECTOR;
constexpr int PITCH = BLOCK + VECTOR;  // a warp that turns its numbers writes 32 different banks

// DEPTH x BLOCK numbers of an operand into shared memory, k by line; zeros where it has none.
template <bool ALONG_K>
DEVICE void load(float (&tile)[DEPTH][PITCH], const float* matrix, int pitch, int first_line,
                 int lines, int first_k, int k_end) {
  constexpr int ACROSS = (ALONG_K ? DEPTH : BLOCK) / VECTOR;  // vectors in a stored row of the tile
  static_assert(BLOCK * DEPTH == THREADS * VECTOR, "a vector a thread");
  int line = ALONG_K ? threadIdx.x / ACROSS : threadIdx.x % ACROSS * VECTOR;
  int step = ALONG_K ? threadIdx.x % ACROSS * VECTOR : threadIdx.x / ACROSS;
  long long l = first_line + line, k = first_k + step;
  float4 numbers = make_float4(0, 0, 0, 0);
  if (l < lines && k < k_end) {
    numbers = *(const float4*)(matrix + (ALONG_K ? l * pitch + k : k * pitch + l));
  }
  if (ALONG_K) {
    tile[step][line] = numbers.x;
    tile[step + 1][line] = numbers.y;
    tile[step + 2][line] = numbers.z;
    tile[step + 3][line] = numbers.w;
  } else {
    *(float4*)&tile[step][line] = numbers;
  }
}

// The numbers that a thread multiplies: 4 from each half of a row of the tile.
DEVICE void read(float (&numbers)[TILE], const float (&row)[PITCH], int thread) {
#pragma unroll
  for (int q = 0; q < QUADS; q++) {
    *(float4*)&numbers[q * VECTOR] = *(const float4*)&row[q * SIDE * VECTOR + thread * VECTOR];
  }
}

extern "C" __global__ void __launch_bounds__(256, 2) multiply(
    const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int m, int n,
    int k, int a_pitch, int b_pitch, long long a_size, long long b_size, int parts, int depth) {
  __shared__ __align__(16) float a_tile[DEPTH][PITCH];
  __shared__ __align__(16) float b_tile[DEPTH][PITCH];
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
      __align__(16) float a_numbers[TILE];
      __align__(16) float b_numbers[TILE];
      read(a_numbers, a_tile[step], y);
      read(b_numbers, b_tile[step], x);
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
    for (int q = 0; q < QUADS; q++) {
      int row = place.row + i / VECTOR * SIDE * VECTOR + y * VECTOR + i % VECTOR;
      int column = place.column + q * SIDE * VECTOR + x * VECTOR;
      store_four(c, m, n, row, column, &sums[i][q * VECTOR]);
    }
}
