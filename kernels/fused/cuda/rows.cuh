// What kernels on the rows of a matrix share: who works on which row, in which steps, and sums over
// it.
//
//   A block has 256 threads. WARPS warps form a team, and a team has a row to itself:
//     WARPS = 1   8 rows a block; a row's sums are made by shuffles alone      (narrow rows)
//     WARPS = 8   1 row a block; the warps' sums meet in shared memory          (wide rows)
//   A thread takes VECTOR neighbouring columns at a time, every TEAM-th pack of the row:
//     VECTOR = 4  one 16-byte load a pack; needs columns % 4 == 0, so that every row is aligned
//     VECTOR = 1  any number of columns
//
// Neighbouring threads read neighbouring packs, so a warp's load is one stretch of memory. A row
// that is walked over twice comes from global memory the first time and from the L1 or L2 cache
// after that. All sums are made in an order that the shape alone decides: equal inputs give equal
// bits.
#pragma once
#include "primitives.cuh"

#ifndef WARPS
#define WARPS 8
#endif
#ifndef VECTOR
#define VECTOR 4
#endif

constexpr int THREADS = 256;
constexpr int TEAM = WARPS * WARP;        // threads a row; threadIdx.x counts them
constexpr int TEAMS = THREADS / TEAM;     // rows a block works on at once; threadIdx.y counts them

struct __align__(4 * VECTOR) Pack {
  float at[VECTOR];
};

DEVICE Pack load(const float* row, int pack) {
  return ((const Pack*)row)[pack];
}

DEVICE void store(float* row, int pack, const Pack& values) {
  ((Pack*)row)[pack] = values;
}

// The pack of a vector that may be absent: then all its elements are `otherwise`.
DEVICE Pack load_or(const float* vector, int pack, float otherwise) {
  Pack values;
  if (vector) {
    values = load(vector, pack);
  } else {
    for (int e = 0; e < VECTOR; e++) {
      values.at[e] = otherwise;
    }
  }
  return values;
}

// The row of this thread's team, counted over all blocks.
DEVICE int team_row() {
  return blockIdx.x * TEAMS + threadIdx.y;
}

// ------------------------------------------------------------------------------ sums over a row

DEVICE float warp_sum(float value) {
  for (int mask = WARP / 2; mask > 0; mask /= 2) {
    value += __shfl_xor_sync(ALL_LANES, value, mask);
  }
  return value;
}

DEVICE float warp_max(float value) {
  for (int mask = WARP / 2; mask > 0; mask /= 2) {
    value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, mask));
  }
  return value;
}

__shared__ float of_warps[WARPS];

// Every warp's value in shared memory, for all threads of the block to read.
DEVICE void exchange(float value) {
  __syncthreads();  // what an earlier exchange left there has been read
  if (threadIdx.x % WARP == 0) {
    of_warps[threadIdx.x / WARP] = value;
  }
  __syncthreads();
}

// The sum over the team, which every one of its threads gets.
DEVICE float team_sum(float value) {
  value = warp_sum(value);
  if (WARPS == 1) {
    return value;
  }
  exchange(value);
  float total = 0.0f;
  for (int warp = 0; warp < WARPS; warp++) {
    total += of_warps[warp];
  }
  return total;
}

// The largest value of the team. As fmaxf does, it passes over NaN.
DEVICE float team_max(float value) {
  value = warp_max(value);
  if (WARPS == 1) {
    return value;
  }
  exchange(value);
  float largest = of_warps[0];
  for (int warp = 1; warp < WARPS; warp++) {
    largest = fmaxf(largest, of_warps[warp]);
  }
  return largest;
}

// ------------------------------------------------------------------------------ online softmax

DEVICE float infinity() {
  return as_float(0x7f800000u);
}

DEVICE float not_a_number() {
  return as_float(0x7fc00000u);
}

// Σ exp(x - largest) over what has been seen of a row, in one pass: when a larger x comes, the sum
// so far is scaled down (Milakov & Gimelshein 2018, Online normalizer calculation for softmax).
struct Normalizer {
  float largest, sum;
};

DEVICE void take(Normalizer& seen, const Pack& x) {
  float largest = seen.largest;
  for (int e = 0; e < VECTOR; e++) {
    largest = fmaxf(largest, x.at[e]);
  }
  if (largest > seen.largest) {
    seen.sum *= expf(seen.largest - largest);
    seen.largest = largest;
  }
  // While all that was seen is -∞ there is nothing to subtract: -∞ - -∞ would be NaN, not a 0 to
  // add.
  float shift = largest == -infinity() ? 0.0f : largest;
  for (int e = 0; e < VECTOR; e++) {
    seen.sum += expf(x.at[e] - shift);
  }
}

// The normalizer of a whole row. NaN and +∞ anywhere, or -∞ everywhere, make its sum NaN.
DEVICE Normalizer row_normalizer(const float* row, int columns) {
  Normalizer mine = {-infinity(), 0.0f};
  for (int pack = threadIdx.x; pack < columns / VECTOR; pack += TEAM) {
    take(mine, load(row, pack));
  }
  float largest = team_max(mine.largest);
  return {largest, team_sum(mine.sum * expf(mine.largest - largest))};
}
