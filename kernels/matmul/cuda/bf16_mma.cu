// C (float32) = A B for bfloat16, on tensor cores: mma.sync, ldmatrix, swizzled tiles, cp.async.
//
// Idea: a warp multiplies 16 x 16 by 16 x 8 numbers with one instruction, mma.m16n8k16, and adds in
// float32. From here on the arithmetic is so fast that feeding it is the work, in four steps:
//   1. cp.async fills a ring of STAGES tiles in shared memory ahead, 16 bytes a copy.
//   2. ldmatrix reads four 8 x 8 matrices a warp, just as mma wants them in registers; its transposed
//      form reads an operand that lies across k. Nothing is ever turned in memory.
//   3. The 8 rows of such a matrix would lie in the same banks. So chunk c of row r is stored at
//      c ^ (r % 8), the swizzle, and any 8 rows of one chunk lie in 8 different groups of banks.
//   4. Large warp tiles: with 64 x 64 a warp reads 128 numbers for 4096 multiply-adds a step of k,
//      and the fragments of the next 16 of k are read while those of this one are multiplied. That
//      goes on from tile to tile: the barrier stands before the last products of a tile, which are
//      already in registers, so that the tensor cores have work while the next tile is begun.
//
// What moves: a number of A that a block brings in serves BLOCK_N columns, one of B BLOCK_M rows. The
// sums, a float32 each, stay in registers: 128 a thread.
//
// Arithmetic intensity: 128 x 128 tiles give 64 multiply-adds for a byte's worth of two numbers from
// L2 or memory, 32 from shared memory.
//
// Improves on: tf32x3.cu, for numbers with 8 significant bits. Next: wgmma.cu, as mma.sync reaches
// about 63 % of the arithmetic of a Hopper GPU.
// Needs: both pitches multiples of 8, and zeros in what padding that takes.
#include "tiles.cuh"

#ifndef BLOCK_M
#define BLOCK_M 128
#define BLOCK_N 128
#define WARP_M 64
#define WARP_N 64
#define STAGES 3
#define DEPTH 64
#define BLOCKS_PER_SM 2
#endif
#ifndef COPY_PARTS  // of a tile, copied in as many steps of 16 of k
#define COPY_PARTS 1
#endif
constexpr int WARPS_N = BLOCK_N / WARP_N;
constexpr int THREADS = BLOCK_M / WARP_M * WARPS_N * WARP;
constexpr int CHUNK = 8;                          // numbers in 16 bytes
constexpr int MMA_M = 16, MMA_N = 8, MMA_K = 16;  // one instruction's tile
constexpr int TILES_M = WARP_M / MMA_M, TILES_N = WARP_N / MMA_N;
constexpr int STEPS = DEPTH / MMA_K;
static_assert(STEPS % 2 == 0 && COPY_PARTS < STEPS, "the last step of a tile begins the next");

// An operand's tile in shared memory, stored as in global memory: lines of k, or k rows of lines.
template <bool ALONG_K, int LINES>
struct Tile {
  static constexpr int ROWS = ALONG_K ? LINES : DEPTH;
  static constexpr int CHUNKS = (ALONG_K ? DEPTH : LINES) / CHUNK;
  static constexpr int SIZE = LINES * DEPTH;

  // Where a chunk is. Rows of 4 chunks, 64 bytes, share a line of banks in pairs.
  static DEVICE int at(int row, int chunk) {
    int swizzle = CHUNKS >= 8 ? row % 8 : row / 2 % 4;
    return (row * CHUNKS + (chunk ^ swizzle)) * CHUNK;
  }

  // Copies are ordered 16 bytes a thread, ROUND rows at a time.
  static constexpr int ROUND = THREADS / CHUNKS, PART = ROWS / COPY_PARTS;
  static_assert(THREADS % CHUNKS == 0 && PART % ROUND == 0, "every thread copies as much");

  // The first chunk that a thread copies.
  static DEVICE const bf16* first(const bf16* matrix, int pitch, int first_line, int first_k) {
    const int row = threadIdx.x / CHUNKS + (ALONG_K ? first_line : first_k);
    return matrix + (long long)row * pitch + (ALONG_K ? first_k : first_line) +
           threadIdx.x % CHUNKS * CHUNK;
  }

  // One of COPY_PARTS parts of a tile on its way from global memory; zeros where the operand ends
  // (nothing is read there). `from` is where the thread reads, and goes on to the next part.
  static DEVICE void copy(bf16* tile, const bf16*& from, int pitch, int first_line, int lines,
                          int first_k, int k_end, int part) {
    const int lines_left = lines - first_line, k_left = k_end - first_k;
    const int row = part * PART + threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
    const int rows_left =
        chunk * CHUNK < (ALONG_K ? k_left : lines_left) ? (ALONG_K ? lines_left : k_left) - row : 0;
#pragma unroll
    for (int i = 0; i < PART; i += ROUND, from += (long long)ROUND * pitch)
      copy_async_16(&tile[at(row + i, chunk)], from, i < rows_left);
    if (ALONG_K && part == COPY_PARTS - 1) from += DEPTH - (long long)ROWS * pitch;
  }

  // 16 lines by 16 of k, as four 8 x 8 matrices. A's order is (lines 0-7, k 0-7), (8-15, 0-7),
  // (0-7, 8-15), (8-15, 8-15). In B_ORDER k comes first, which makes matrices 0, 1 and 2, 3 two
  // fragments of B. Both have the registers of an operand side by side, as mma must find them: else
  // the compiler moves them there.
  template <bool B_ORDER> static DEVICE void read(u32 (&matrices)[4], const bf16* tile, int line,
                                                  int k) {
    const int lane = threadIdx.x % WARP, first = lane / 8 % 2, second = lane / 16;
    const int line_half = B_ORDER ? second : first, k_half = B_ORDER ? first : second;
    if (ALONG_K) {
      load_matrix_x4(matrices, &tile[at(line + line_half * 8 + lane % 8, k / CHUNK + k_half)]);
    } else {
      int row = k + k_half * 8 + lane % 8, chunk = line / CHUNK + line_half;
      load_matrix_x4_transposed(matrices, &tile[at(row, chunk)]);
    }
  }
};

using ATile = Tile<A_ALONG_K, BLOCK_M>;
using BTile = Tile<B_ALONG_K, BLOCK_N>;

// What a warp multiplies for 16 of k.
struct Fragments {
  u32 a[TILES_M][4];
  u32 b[TILES_N / 2][4];

  DEVICE void read(const bf16* a_tile, const bf16* b_tile, int warp_row, int warp_column, int k) {
#pragma unroll
    for (int i = 0; i < TILES_M; i++)
      ATile::template read<false>(a[i], a_tile, warp_row + i * MMA_M, k);
#pragma unroll
    for (int j = 0; j < TILES_N / 2; j++)
      BTile::template read<true>(b[j], b_tile, warp_column + j * 2 * MMA_N, k);
  }

  DEVICE void multiply_add(float (&sums)[TILES_M][TILES_N][4]) const {
#pragma unroll
    for (int i = 0; i < TILES_M; i++)
#pragma unroll
      for (int j = 0; j < TILES_N; j++)
        mma_bf16(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
  }
};

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_SM) multiply(
    const bf16* __restrict__ a, const bf16* __restrict__ b, float* __restrict__ c, int m, int n,
    int k, int a_pitch, int b_pitch, long long a_size, long long b_size, int parts, int depth) {
  DYNAMIC_SHARED(shared);
  bf16* a_ring = (bf16*)shared;
  bf16* b_ring = a_ring + STAGES * ATile::SIZE;
  const Place place = my_place<BLOCK_M, BLOCK_N>(m, n, k, parts, depth);
  a += place.product * a_size;
  b += place.product * b_size;
  c += place.result * m * n;

  const bf16* a_from = ATile::first(a, a_pitch, place.row, place.k_begin);
  const bf16* b_from = BTile::first(b, b_pitch, place.column, place.k_begin);
  auto copy_tiles = [&](int tile, int part) {
    int k0 = place.k_begin + tile * DEPTH, slot = tile % STAGES;
    bf16* a_tile = a_ring + slot * ATile::SIZE;
    bf16* b_tile = b_ring + slot * BTile::SIZE;
    ATile::copy(a_tile, a_from, a_pitch, place.row, m, k0, place.k_end, part);
    BTile::copy(b_tile, b_from, b_pitch, place.column, n, k0, place.k_end, part);
  };
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
  const int warp_row = warp / WARPS_N * WARP_M, warp_column = warp % WARPS_N * WARP_N;
  Fragments fragments[2];
  auto read = [&](Fragments& to, int tile, int k0) {
    int slot = tile % STAGES;
    to.read(a_ring + slot * ATile::SIZE, b_ring + slot * BTile::SIZE, warp_row, warp_column, k0);
  };

  float sums[TILES_M][TILES_N][4] = {};
  const int tiles = (place.k_end - place.k_begin + DEPTH - 1) / DEPTH;
  // Beyond the last tile copies bring zeros, so that no step needs to ask which tiles there are.
  for (int tile = 0; tile < STAGES - 1; tile++) {
    for (int part = 0; part < COPY_PARTS; part++) copy_tiles(tile, part);
    copy_async_commit();
  }
  copy_async_wait<STAGES - 2>();
  __syncthreads();
  read(fragments[0], 0, 0);
  for (int tile = 0; tile < tiles; tile++) {
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
      // Into the place of the tile before this one, which everybody has left.
      if (step < COPY_PARTS) copy_tiles(tile + STAGES - 1, step);
      if (step == COPY_PARTS - 1) copy_async_commit();
      if (step < STEPS - 1) {
        read(fragments[(step + 1) % 2], tile, (step + 1) * MMA_K);
      } else {  // the next tile has landed, and everybody has read the last of this one
        copy_async_wait<STAGES - 2>();
        __syncthreads();
        read(fragments[0], tile + 1, 0);
      }
      fragments[step % 2].multiply_add(sums);
    }
  }

  const int row = place.row + warp_row + lane / 4, column = place.column + warp_column + lane % 4 * 2;
#pragma unroll
  for (int i = 0; i < TILES_M; i++)
#pragma unroll
    for (int j = 0; j < TILES_N; j++)
#pragma unroll
      for (int half = 0; half < 2; half++)
        store_pair(c, m, n, row + i * MMA_M + half * 8, column + j * MMA_N, sums[i][j][half * 2],
                   sums[i][j][half * 2 + 1]);
}
