// Tiles of float32 for tensor cores, which multiply them as TF32: tf32x3.cu and wgmma_tf32x3.cu.
//
// cp.async leaves each operand as it lies in global memory: tensor cores take numbers in an order
// that either layout can be read in. Along k, ldmatrix fetches 8 lines of 16 bytes, four numbers of
// k, at a time; their 16-byte chunks are permuted (swizzled) so that these come from 32 different
// banks. Across k a lane reads its number k = lane % 4 of line lane / 4; rows are 8 numbers longer
// than the tile, so that the 32 lanes again read 32 different banks.
#pragma once
#include "tf32x3.cuh"
#include "tiles.cuh"

constexpr int DEPTH = 32;  // of k a step: 128 bytes, all banks once
constexpr int CHUNK = 4;   // numbers in 16 bytes
constexpr int MMA_K = 8;   // of k an instruction

// An operand's tile in shared memory: a line after the other, or a step of k after the other.
template <bool ALONG_K, int LINES, int THREADS>
struct Tile {
  static constexpr int ROWS = ALONG_K ? LINES : DEPTH;
  static constexpr int CHUNKS = (ALONG_K ? DEPTH : LINES) / CHUNK;
  static constexpr int PITCH = ALONG_K ? DEPTH : LINES + 8;
  static constexpr int SIZE = ROWS * PITCH;

  // Where a chunk is.
  static DEVICE int at(int row, int chunk) {
    return row * PITCH + (ALONG_K ? chunk ^ row % 8 : chunk) * CHUNK;
  }

  // Copies are ordered 16 bytes a thread, ROUND rows at a time.
  static constexpr int ROUND = THREADS / CHUNKS;
  static_assert(THREADS % CHUNKS == 0 && ROWS % ROUND == 0, "every thread copies as much");

  // The first chunk that a thread copies.
  static DEVICE const float* first(const float* matrix, int pitch, int first_line, int first_k) {
    const int row = threadIdx.x / CHUNKS + (ALONG_K ? first_line : first_k);
    return matrix + (long long)row * pitch + (ALONG_K ? first_k : first_line) +
           threadIdx.x % CHUNKS * CHUNK;
  }

  // The tile on its way from global memory; zeros where the operand ends (nothing is read there).
  // `from` is where the thread reads, and goes on to the next tile.
  static DEVICE void copy(float* tile, const float*& from, int pitch, int first_line, int lines,
                          int first_k, int k_end) {
    const int lines_left = lines - first_line, k_left = k_end - first_k;
    const int row = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
    const int rows_left =
        chunk * CHUNK < (ALONG_K ? k_left : lines_left) ? (ALONG_K ? lines_left : k_left) - row : 0;
#pragma unroll
    for (int i = 0; i < ROWS; i += ROUND, from += ROUND * pitch)
      copy_async_16(&tile[at(row + i, chunk)], from, i < rows_left);
    if (ALONG_K) from += DEPTH - ROWS / ROUND * (long long)(ROUND * pitch);
  }

  // Fragments of 16 lines by 8 of k: numbers (line, k) = (g, t), (g + 8, t), (g, t + 4) and
  // (g + 8, t + 4) for g = lane / 4, t = lane % 4. They are A's order; B's are 0, 2 and 1, 3.
  static DEVICE void read(u32 (&numbers)[4], const float* tile, int line, int k) {
    const int lane = threadIdx.x % WARP;
    if (ALONG_K) {
      load_matrix_x4(numbers, &tile[at(line + lane % 16, k / CHUNK + lane / 16)]);
    } else {
      const float* first = &tile[(k + lane % 4) * PITCH + line + lane / 4];
      numbers[0] = as_bits(first[0]);
      numbers[1] = as_bits(first[8]);
      numbers[2] = as_bits(first[4 * PITCH]);
      numbers[3] = as_bits(first[4 * PITCH + 8]);
    }
  }
};
