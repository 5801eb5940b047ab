// Tiles of float32 in shared memory, and the two products that attention makes of them, on tensor
// cores and at the accuracy of float32.
//
//   scores   S = A Bᵀ   rows of A against rows of B, summed over HEAD:      Q Kᵀ, dO Vᵀ
//   mixture  O += P B   weights P times rows of B, summed over B's rows:    P V, dS K
//
// Both are made of mma.m16n8k8, three for every product of two tiles: each number is split into two
// TF32 when it has come into registers (tf32x3.cuh). Shared memory holds plain float32.
//
// In a score, A and B are read by ldmatrix, for which four float32 are a row of eight 16-bit
// numbers. In a mixture P never leaves the registers. An accumulator has columns 2 t and 2 t + 1 of
// its row in lane t of four; an A operand wants its numbers k = t and k = t + 4 there. In which
// order the eight k are summed is free, so the two columns are called k = t and k = t + 4, and B's
// rows are read likewise: 2 t as row t, 2 t + 1 as row t + 4. The order of B's columns is free too:
// of 16, a lane reads the neighbours 2 g and 2 g + 1, one for each of two mma's. Then what it has
// of 16 columns of O is four neighbours, which are stored at once.
//
// Tensor cores round their sums toward zero, so they add up CHAIN slices of 8 of k from zero, and
// the float units, which round to nearest, add that to the sums in registers. With two slices
// results are as accurate as those of FFMA; one slice takes a fifth off the error, and costs two
// more additions for every three mma.
#pragma once
#include "accumulators.cuh"
#include "fp32_rows.cuh"
#include "tf32x3.cuh"

#ifndef CHAIN
#define CHAIN 2  // slices of 8 of k that are added up in tensor cores: 1 or 2
#endif
#ifndef AT_ONCE
#define AT_ONCE 8  // sums of an mma that are worked on together, at most
#endif

constexpr int SLICES = HEAD / 8;  // of a row

// A fragment of an operand: COUNT numbers a lane, split.
template <int COUNT> struct Fragment {
  u32 high[COUNT], low[COUNT];

  DEVICE void take(u32 (&&numbers)[COUNT]) { split(high, low, numbers); }
};
using AFragment = Fragment<4>;  // 16 rows by 8 of k
using BFragment = Fragment<2>;  // 8 of k by 8 columns

// How many of `columns` fragments of B are worked on together, each with `rows` of A: enough sums
// for no mma to wait for the one before it, no more than registers hold.
constexpr DEVICE int together(int rows, int columns) {
  int count = AT_ONCE / rows;
  while (columns % count) count /= 2;
  return count;
}

// fresh += A B for 8 of k: the small products first, and one product of all tiles after the other,
// as an mma that needs the sum of the one before would wait.
template <int M, int G>
DEVICE void multiply(float (&fresh)[M][G][4], const AFragment (&a)[M], const BFragment (&b)[G]) {
#pragma unroll
  for (int i = 0; i < M * G; i++)
    mma_tf32(fresh[i % M][i / M], a[i % M].low, b[i / M].high[0], b[i / M].high[1]);
#pragma unroll
  for (int i = 0; i < M * G; i++)
    mma_tf32(fresh[i % M][i / M], a[i % M].high, b[i / M].low[0], b[i / M].low[1]);
#pragma unroll
  for (int i = 0; i < M * G; i++)
    mma_tf32(fresh[i % M][i / M], a[i % M].high, b[i / M].high[0], b[i / M].high[1]);
}

// sums[.][first ...] += fresh
template <int M, int G, int N>
DEVICE void add(float (&sums)[M][N][4], int first, const float (&fresh)[M][G][4]) {
#pragma unroll
  for (int i = 0; i < M * G * 4; i++)
    sums[i % M][first + i / M % G][i / M / G] += fresh[i % M][i / M % G][i / M / G];
}

// s (16 M x 8 N) = A (16 M x HEAD) Bᵀ, of the first 16 M and 8 N rows of two tiles.
template <int M, int N>
DEVICE void scores(float (&s)[M][N][4], const float* rows, const float* tile) {
  constexpr int G = together(M, N);
  int lane = threadIdx.x % WARP;
  rows += lane % 16 * PITCH + lane / 16 * 4;
  tile += (lane % 8 + lane / 16 * 8) * PITCH + lane / 8 % 2 * 4;
#pragma unroll
  for (int i = 0; i < M * N * 4; i++) s[i / 4 % M][i / 4 / M][i % 4] = 0;
#pragma unroll 1
  for (int k = 0; k < HEAD; k += 8 * CHAIN) {
    AFragment a[CHAIN][M];
#pragma unroll
    for (int i = 0; i < CHAIN * M; i++) {
      u32 x[4];
      load_matrix_x4(x, rows + i % M * 16 * PITCH + k + i / M * 8);
      a[i / M][i % M].take({x[0], x[1], x[2], x[3]});
    }
#pragma unroll
    for (int n = 0; n < N; n += G) {
      float fresh[M][G][4] = {};
#pragma unroll
      for (int slice = 0; slice < CHAIN; slice++) {
        BFragment b[G];
#pragma unroll
        for (int g = 0; g < G; g += 2) {  // 16 rows of B at once
          u32 x[4];
          load_matrix_x4(x, tile + (n + g) * 8 * PITCH + k + slice * 8);
          b[g].take({x[0], x[1]});
          b[g + 1].take({x[2], x[3]});
        }
        multiply(fresh, a[slice], b);
      }
      add(s, n, fresh);
    }
  }
}

// o (16 M x HEAD) += P (16 M x 8 N) B, P being the accumulators of a score.
template <int M, int N>
DEVICE void mixture(float (&o)[M][SLICES][4], const float (&p)[M][N][4], const float* tile) {
  constexpr int G = together(M, SLICES);
  tile += column_of(0) * PITCH + row_of(0) * 2;
#pragma unroll
  for (int n = 0; n < N; n += CHAIN) {
    AFragment a[CHAIN][M];
#pragma unroll
    for (int i = 0; i < CHAIN * M; i++) {
      const float (&x)[4] = p[i % M][n + i / M];
      a[i / M][i % M].take({as_bits(x[0]), as_bits(x[2]), as_bits(x[1]), as_bits(x[3])});
    }
#pragma unroll
    for (int c = 0; c < SLICES; c += G) {
      float fresh[M][G][4] = {};
#pragma unroll
      for (int slice = 0; slice < CHAIN; slice++) {
        BFragment b[G];
#pragma unroll
        for (int g = 0; g < G; g += 2) {
          const float* from = tile + (n + slice) * 8 * PITCH + (c + g) * 8;
          float2 even = *(const float2*)from, odd = *(const float2*)(from + PITCH);
          b[g].take({as_bits(even.x), as_bits(odd.x)});
          b[g + 1].take({as_bits(even.y), as_bits(odd.y)});
        }
        multiply(fresh, a[slice], b);
      }
      add(o, c, fresh);
    }
  }
}

// Rows `row` and `row + 8` of a mixture to a matrix (count, HEAD), `stride` numbers apart, each
// times its factor.
DEVICE void store_rows(float* to, int stride, const float (&o)[SLICES][4], int row, int count,
                       float factor0, float factor1) {
#pragma unroll
  for (int h = 0; h < 2; h++) {
    float factor = h ? factor1 : factor0;
    if (row + h * 8 >= count) continue;
    float* mine = to + (u64)(row + h * 8) * stride + threadIdx.x % 4 * 4;
#pragma unroll
    for (int c = 0; c < SLICES; c += 2)
      *(float4*)(mine + c * 8) =
          make_float4(o[c][2 * h] * factor, o[c + 1][2 * h] * factor,
                      o[c][2 * h + 1] * factor, o[c + 1][2 * h + 1] * factor);
  }
}
