// What the kernels of this folder share: which tile of which product a block computes, and how it
// is written where C ends.
//
// All of them have the same parameters, C = A B for every product of a batch:
//
//   a, b, c             the matrices; c is (products, parts, m, n), row after row
//   m, n, k             C is m x n, and each of its numbers a sum of k products
//   a_pitch, b_pitch    numbers from one stored row to the next
//   a_size, b_size      numbers from one matrix of the batch to the next, 0 if all share one
//   parts, depth        k may be cut into parts of `depth`, for more blocks than C has tiles;
//                       each part has a C of its own, and sum_parts.cu adds them up
//
// and those for Hopper also
//
//   bias                n numbers that are added to every row of C as it is written, or null (with
//                       mma there are no registers to spare for that)
//   blocks              how many there are, which a launch with fewer goes through (wgmma.cu)
//
// Layouts: an operand is seen as lines (rows of A, columns of B) of k numbers each. Where A_ALONG_K
// (or B_ALONG_K) is 1 its stored rows are such lines, the numbers of a line lying side by side in
// memory: A as it is, B transposed. Where it is 0 a stored row has one number of every line: B as it
// is, A transposed. So x @ W.T, g @ W and g.T @ x all run on what is there, without a copy.
#pragma once
#include "primitives.cuh"

#ifndef A_ALONG_K
#define A_ALONG_K 1
#endif
#ifndef B_ALONG_K
#define B_ALONG_K 0
#endif

struct Place {
  int row, column;        // of C, where the tile begins
  int k_begin, k_end;     // the part of k
  int product;            // of the batch
  long long result;       // which (m, n) matrix of c
};

// Rows of tiles in a band. Blocks start by rising number. Numbered along the rows of C, those that
// run together would share little of B; numbered down a band's columns they cover a square of C,
// which needs fewest different numbers of A and B, and finds most of them in the L2 cache.
constexpr int BAND = 8;

template <int ROWS, int COLUMNS>
DEVICE Place my_place(int m, int n, int k, int parts, int depth, u32 block = blockIdx.x) {
  int rows = (m + ROWS - 1) / ROWS, columns = (n + COLUMNS - 1) / COLUMNS;
  int tile = block % (rows * columns), result = block / (rows * columns);
  int band = tile / (BAND * columns), inside = tile % (BAND * columns);
  int height = min(BAND, rows - band * BAND);  // the last band may be lower
  Place place;
  place.row = (band * BAND + inside % height) * ROWS;
  place.column = inside / height * COLUMNS;
  place.k_begin = result % parts * depth;
  place.k_end = min(k, place.k_begin + depth);
  place.product = result / parts;
  place.result = result;
  return place;
}

// Two numbers side by side in a row of C; `column` is even. The bias, if there is one, is added.
DEVICE void store_pair(float* c, int m, int n, int row, int column, float x, float y,
                       const float* bias = nullptr) {
  if (row >= m || column >= n) return;
  if (bias) {
    x += bias[column];
    y += column + 1 < n ? bias[column + 1] : 0.0f;
  }
  float* to = c + (long long)row * n + column;
  if (n % 2 == 0) {
    *(float2*)to = make_float2(x, y);
  } else {
    to[0] = x;
    if (column + 1 < n) to[1] = y;
  }
}

// Four of them; `column` is a multiple of 4.
DEVICE void store_four(float* c, int m, int n, int row, int column, const float* x) {
  if (row >= m || column >= n) return;
  float* to = c + (long long)row * n + column;
  if (n % 4 == 0) {
    *(float4*)to = make_float4(x[0], x[1], x[2], x[3]);
  } else {
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (column + i < n) to[i] = x[i];
  }
}
