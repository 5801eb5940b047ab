// Tiles of float32 in shared memory, and the two products that attention makes of them.
//
//   scores   S = A Bᵀ   the block's own rows against the rows of a tile:   Q Kᵀ, dO Vᵀ
//   mixture  O += P B   weights P times the rows of a tile:                P V, dS K
//
// 16 threads share ROWS rows of the block: thread x of them has the scores of columns x, x + 16,
// ... and the results of features 4 x .. 4 x + 3, + 64, ... Its sums stay in registers; for four
// steps of a sum it reads a float4 of each of its rows and columns, so every number that leaves
// shared memory serves ROWS or more multiply-adds, or is read by 16 threads at once (a broadcast).
//
// Between the two products P has to change hands: a thread has some columns of a row and needs all
// of them. It goes through shared memory, but only among 16 threads of one warp: no barrier.
#pragma once
#include "fp32_rows.cuh"

constexpr int ROWS = 8;                    // of a thread
constexpr int GROUPS = WARPS * 2;          // of 16 threads, in a block
constexpr int OWNED = GROUPS * ROWS;       // rows of a block
constexpr int FOURS = (HEAD + 63) / 64;    // float4s of features that a thread has

// The block's row that is row r of this thread.
DEVICE int own_row(int r) { return threadIdx.x / 16 + r * GROUPS; }

// Features of this thread; those beyond HEAD are computed from others and not stored.
DEVICE int feature(int four) { return four * 64 + threadIdx.x % 16 * 4; }

// s[r][c] = Σ_d A[own_row(r)][d] B[x + 16 c][d]
template <int C>
DEVICE void scores(float (&s)[ROWS][C], const float* own, const float* tile) {
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll
    for (int c = 0; c < C; c++) s[r][c] = 0;
#pragma unroll 2
  for (int d = 0; d < HEAD; d += 4) {
    float4 b[C];
#pragma unroll
    for (int c = 0; c < C; c++) {
      b[c] = *(const float4*)(tile + (threadIdx.x % 16 + 16 * c) * PITCH + d);
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      float4 a = *(const float4*)(own + own_row(r) * PITCH + d);
#pragma unroll
      for (int c = 0; c < C; c++) {
        s[r][c] += a.x * b[c].x;
        s[r][c] += a.y * b[c].y;
        s[r][c] += a.z * b[c].z;
        s[r][c] += a.w * b[c].w;
      }
    }
  }
}

// Hand the weights p[r][c] of 16 threads to each other: `weights` (OWNED, 16 C + 4) in shared
// memory.
template <int C> DEVICE void exchange(float* weights, const float (&p)[ROWS][C]) {
  __syncwarp();  // whoever still reads the weights before these
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll
    for (int c = 0; c < C; c++)
      weights[own_row(r) * (16 * C + 4) + threadIdx.x % 16 + 16 * c] = p[r][c];
  __syncwarp();
}

DEVICE void add_multiple(float4& sum, float weight, const float4& b) {
  sum.x += weight * b.x;
  sum.y += weight * b.y;
  sum.z += weight * b.z;
  sum.w += weight * b.w;
}

// o[r] += Σ_j weights[own_row(r)][j] B[j], for the features of this thread.
template <int C>
DEVICE void mixture(float4 (&o)[ROWS][FOURS], const float* weights, const float* tile) {
#pragma unroll 1
  for (int j = 0; j < 16 * C; j += 4) {
    float4 b[4][FOURS];
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int four = 0; four < FOURS; four++) {
        int at = feature(four) < HEAD ? feature(four) : 0;
        b[i][four] = *(const float4*)(tile + (j + i) * PITCH + at);
      }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      float4 weight = *(const float4*)(weights + own_row(r) * (16 * C + 4) + j);
#pragma unroll
      for (int four = 0; four < FOURS; four++) {
        add_multiple(o[r][four], weight.x, b[0][four]);
        add_multiple(o[r][four], weight.y, b[1][four]);
        add_multiple(o[r][four], weight.z, b[2][four]);
        add_multiple(o[r][four], weight.w, b[3][four]);
      }
    }
  }
}

// The sum, or the largest, over the 16 threads of a row.
DEVICE float row_sum(float x) {
#pragma unroll
  for (int mask = 8; mask; mask /= 2) x += __shfl_xor_sync(ALL_LANES, x, mask);
  return x;
}
DEVICE float row_largest(float x) {
#pragma unroll
  for (int mask = 8; mask; mask /= 2) x = max(x, __shfl_xor_sync(ALL_LANES, x, mask));
  return x;
}

// A row of this thread, times a factor, to HEAD numbers in global memory.
DEVICE void store_row(float* row, const float4 (&o)[FOURS], float factor) {
#pragma unroll
  for (int four = 0; four < FOURS; four++) {
    float4 x = o[four];
    if (feature(four) < HEAD)
      *(float4*)(row + feature(four)) =
          make_float4(x.x * factor, x.y * factor, x.z * factor, x.w * factor);
  }
}
