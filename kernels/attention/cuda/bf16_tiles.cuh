// Tiles of bfloat16 in shared memory, and the two products that attention makes of them.
//
// A tile holds some rows (queries or keys) of HEAD numbers each. It is used in two ways:
//
//   scores   S = A Bᵀ   rows of A against rows of B, summed over HEAD:      Q Kᵀ, dO Vᵀ
//   mixture  O += P B   weights P times rows of B, summed over B's rows:    P V, dS K
//
// Both are made of mma.m16n8k16. In a score, A and B come from shared memory as they lie; in a
// mixture, B is read transposed (ldmatrix.trans) and P never leaves the registers: the accumulators
// of one mma are laid out over a warp as the next one wants its A operand, two columns a lane.
//
// ldmatrix reads eight rows, 16 bytes of each, at a time. Rows are a multiple of 64 bytes apart, so
// these would lie in the same banks; therefore the 16-byte chunks of a row change places, chunk c
// of row r going to chunk c ^ twist(r), and any eight rows are in eight different groups of four
// banks.
#pragma once
#include "accumulators.cuh"
#include "heads.cuh"

#ifndef HEAD
#define HEAD 64  // numbers of a row: 32, 64, 96 or 128
#endif

constexpr int CHUNKS = HEAD / 8;   // of 16 bytes, in a row
constexpr int SLICES = HEAD / 16;  // steps of an mma along a row

constexpr int SPAN = HEAD % 64 == 0 ? 8 : 4;  // chunks among which places are changed

DEVICE int twist(int row) { return row / (8 / SPAN) % SPAN; }

// Where chunk c lies in a row that is twisted by x, in numbers. A constant c leaves few different
// values of the xor, the rest goes into the instruction's offset: registers are scarce.
DEVICE int place(int c, int x) { return (c % SPAN ^ x) * 8 + c / SPAN * SPAN * 8; }

// Start to copy `rows` rows of a matrix (count, HEAD) into a tile, from row `first` on; rows beyond
// the matrix become zeros, and nothing is read there. A thread copies one chunk of every
// (threads / CHUNKS)-th row; that is a multiple of 8, so its place in the swizzle stays the same.
template <int rows, int threads>
DEVICE void load_tile(bf16* tile, const bf16* matrix, int first, int count) {
  constexpr int EVERY = threads / CHUNKS / 8 * 8;
  int row = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
  const bf16* from = matrix + (long long)(first + row) * HEAD + chunk * 8;
  bf16* to = tile + row * HEAD + place(chunk, twist(row));
  if (row >= EVERY) return;
#pragma unroll
  for (int i = 0; i < rows; i += EVERY)
    if (rows % EVERY == 0 || row + i < rows)
      copy_async_16(to + i * HEAD, from + i * HEAD, first + row + i < count);
}

// The A operand of a score: 16 M rows of a tile from `row` on. They are kept in registers, or,
// where the accumulators leave no room, read from shared memory again each time.
template <int M, bool kept> struct Rows {
  const bf16* tile;
  u32 fragments[kept ? M : 1][kept ? SLICES : 1][4];

  DEVICE void read(u32 (&a)[4], int m, int slice) const {
    int lane = threadIdx.x % WARP;
    int at = place(2 * slice, lane / 16 ^ twist(lane));
    load_matrix_x4(a, tile + (m * 16 + lane % 16) * HEAD + at);
  }

  DEVICE void take(const bf16* tile_of_rows, int row) {
    tile = tile_of_rows + row * HEAD;
    if constexpr (kept) {
#pragma unroll
      for (int m = 0; m < M; m++)
#pragma unroll
        for (int slice = 0; slice < SLICES; slice++) read(fragments[m][slice], m, slice);
    }
  }

  DEVICE void get(u32 (&a)[4], int m, int slice) const {
    if constexpr (kept) {
#pragma unroll
      for (int i = 0; i < 4; i++) a[i] = fragments[m][slice][i];
    } else {
      read(a, m, slice);
    }
  }
};

// s (16 M x N) = A (16 M x HEAD) Bᵀ, B being the N rows of a tile.
template <int M, bool kept, int N>
DEVICE void scores(float (&s)[M][N][4], const Rows<M, kept>& rows, const bf16* tile) {
  int lane = threadIdx.x % WARP;
  const bf16* mine = tile + (lane % 8 + lane / 16 * 8) * HEAD;
#pragma unroll
  for (int m = 0; m < M; m++)
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) s[m][n][e] = 0;
#pragma unroll
  for (int slice = 0; slice < SLICES; slice++) {
    int at = place(2 * slice, lane / 8 % 2 ^ twist(lane));
    u32 a[M][4];
#pragma unroll
    for (int m = 0; m < M; m++) rows.get(a[m], m, slice);
#pragma unroll
    for (int n = 0; n < N; n += 2) {  // 16 rows of B at once
      u32 b[4];
      load_matrix_x4(b, mine + n * 8 * HEAD + at);
#pragma unroll
      for (int m = 0; m < M; m++) {
        mma_bf16(s[m][n], a[m], b[0], b[1]);
        mma_bf16(s[m][n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

// o (16 M x HEAD) += P (16 M x N) B, P being the accumulators of a score, rounded to bfloat16.
template <int M, int N>
DEVICE void mixture(float (&o)[M][CHUNKS][4], const float (&p)[M][N][4], const bf16* tile) {
  int lane = threadIdx.x % WARP;
  const bf16* mine = tile + lane % 16 * HEAD;
#pragma unroll
  for (int n = 0; n < N; n += 2) {  // 16 rows of B at once
    u32 a[M][4];
#pragma unroll
    for (int m = 0; m < M; m++) {
      a[m][0] = pack_bf16(p[m][n][0], p[m][n][1]);
      a[m][1] = pack_bf16(p[m][n][2], p[m][n][3]);
      a[m][2] = pack_bf16(p[m][n + 1][0], p[m][n + 1][1]);
      a[m][3] = pack_bf16(p[m][n + 1][2], p[m][n + 1][3]);
    }
#pragma unroll
    for (int c = 0; c < CHUNKS; c += 2) {
      int at = place(c, lane / 16 ^ twist(lane));
      u32 b[4];
      load_matrix_x4_transposed(b, mine + n * 8 * HEAD + at);
#pragma unroll
      for (int m = 0; m < M; m++) {
        mma_bf16(o[m][c], a[m], b[0], b[1]);
        mma_bf16(o[m][c + 1], a[m], b[2], b[3]);
      }
    }
  }
}

// Rows `row` and `row + 8` of accumulators to a matrix (count, HEAD), `stride` numbers apart, each
// times its factor; the matrix is of bfloat16 or, where that pointer is null, of float32.
DEVICE void store_rows(bf16* half, float* full, int stride, const float (&o)[CHUNKS][4], int row,
                       int count, float factor0, float factor1) {
#pragma unroll
  for (int h = 0; h < 2; h++) {
    float factor = h ? factor1 : factor0;
    if (row + h * 8 >= count) continue;
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
      u64 at = (u64)(row + h * 8) * stride + c * 8 + column_of(0);
      float left = o[c][2 * h] * factor, right = o[c][2 * h + 1] * factor;
      if (half) {
        *(u32*)(half + at) = pack_bf16(left, right);
      } else {
        *(float2*)(full + at) = make_float2(left, right);
      }
    }
  }
}
