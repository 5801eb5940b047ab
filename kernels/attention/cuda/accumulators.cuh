// The softmax of scores that are accumulators of tensor cores, spread over the registers of a warp.
//
// An accumulator is 16 rows by 8 columns; a lane has two neighbours of row g = lane / 4 and of row
// g + 8, columns 2 t and 2 t + 1 for t = lane % 4. Four lanes share a row: two shuffles find its
// largest number.
#pragma once
#include "primitives.cuh"

constexpr float UNSEEN = -1.0e30f;  // the score of a key that may not be seen: its weight is 0

// Where element e of an accumulator lies in its 16x8 tile.
DEVICE int row_of(int e) { return threadIdx.x % WARP / 4 + e / 2 * 8; }
DEVICE int column_of(int e) { return threadIdx.x % 4 * 2 + e % 2; }

// What a lane knows of its 2 M queries: h is 0 or 1, for row_of(2 h).
template <int M> struct Softmax {
  float shift[M][2];  // the largest score so far times scale log2(e): what is taken from exponents
  float sum[M][2];    // of the weights of this lane's columns

  DEVICE void clear() {
#pragma unroll
    for (int i = 0; i < 2 * M; i++) {
      shift[i / 2][i % 2] = UNSEEN;
      sum[i / 2][i % 2] = 0;
    }
  }
};

// Which scores of a tile are not seen: those of keys beyond the last one and, if causal, after the
// query. Rows are queries from `query` on, columns keys from `key` on.
struct Hidden {
  int left, before;  // columns from a lane's first one to the end, and to its first row's query

  DEVICE Hidden(int query, int key, int keys, int causal)
      : left(keys - key - column_of(0)),
        before(causal ? query + row_of(0) - key - column_of(0) : 1 << 30) {}

  DEVICE bool operator()(int m, int n, int e) const {
    int row = m * 16 + e / 2 * 8, column = n * 8 + e % 2;
    return column >= left || column > before + row;
  }
};

template <int M, int N> DEVICE void hide(float (&s)[M][N][4], Hidden hidden) {
#pragma unroll
  for (int m = 0; m < M; m++)
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
      for (int e = 0; e < 4; e++)
        if (hidden(m, n, e)) s[m][n][e] = UNSEEN;
}

// (1) to (3) of FlashAttention for the scores of one tile, which become weights; and the first half
// of (4). The exponents s scale2 - shift cost one FFMA each, and are rounded once.
template <int M, int N, int C>
DEVICE void soften(float (&s)[M][N][4], float (&o)[M][C][4], Softmax<M>& softmax, float scale2) {
#pragma unroll
  for (int m = 0; m < M; m++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      float largest = UNSEEN;
#pragma unroll
      for (int n = 0; n < N; n++) largest = max(largest, max(s[m][n][2 * h], s[m][n][2 * h + 1]));
      largest = max(largest, __shfl_xor_sync(ALL_LANES, largest, 1));
      largest = max(largest, __shfl_xor_sync(ALL_LANES, largest, 2));
      float before = softmax.shift[m][h], shift = max(before, largest * scale2);
      float rescale = fast_exp2(before - shift), sum = 0;
#pragma unroll
      for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 2 * h; e < 2 * h + 2; e++) {
          s[m][n][e] = fast_exp2(s[m][n][e] * scale2 - shift);
          sum += s[m][n][e];
        }
      softmax.shift[m][h] = shift;
      softmax.sum[m][h] = softmax.sum[m][h] * rescale + sum;
#pragma unroll
      for (int c = 0; c < C; c++) {
        o[m][c][2 * h] *= rescale;
        o[m][c][2 * h + 1] *= rescale;
      }
    }
}

// (5): what a lane divides its results by, for row_of(2 h); logsumexp of rows below `queries` is
// written.
template <int M>
DEVICE void finish(float (&inverse)[2], const Softmax<M>& softmax, int m, float* logsumexp, int row,
                   int queries) {
#pragma unroll
  for (int h = 0; h < 2; h++) {
    float sum = softmax.sum[m][h];
    sum += __shfl_xor_sync(ALL_LANES, sum, 1);
    sum += __shfl_xor_sync(ALL_LANES, sum, 2);
    inverse[h] = 1.0f / sum;
    if (threadIdx.x % 4 == 0 && row + h * 8 < queries)
      logsumexp[row + h * 8] = softmax.shift[m][h] * LN_2 + logf(sum);
  }
}
