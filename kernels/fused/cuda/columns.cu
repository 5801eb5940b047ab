// Sums over rows, one column a lane, in an order that is the same in every run.
//
// A block is 32 columns wide and SLICES threads high. Each thread walks down its column over every
// SLICES-th row, neighbouring lanes reading neighbouring columns; then the SLICES sums of a column
// meet in shared memory and are added in their order. No atomics: those add in whatever order
// threads come.
//
//   sum_partial   total[c] = Σ partial[r, c] over all rows: the second stage of layer_norm.cu
//   add_rows      table[t] = Σ values[order[i]] over the i with sorted[i] = t: gradient of a lookup
//
// Each reads every value once: 4 bytes an element, bound by memory.
#include "primitives.cuh"

constexpr int SLICES = 32;

// The sums of a column's threads, added up; only those of slice 0 get the result.
DEVICE float column_total(float (&sums)[SLICES][WARP], float mine) {
  sums[threadIdx.y][threadIdx.x] = mine;
  __syncthreads();
  float total = 0.0f;
  if (threadIdx.y == 0) {
    for (int slice = 0; slice < SLICES; slice++) {
      total += sums[slice][threadIdx.x];
    }
  }
  return total;
}

extern "C" __global__ void __launch_bounds__(1024)
sum_partial(const float* partial, float* total, int rows, int columns) {
  __shared__ float sums[SLICES][WARP];
  int column = blockIdx.x * WARP + threadIdx.x;
  float mine = 0.0f;
  if (column < columns) {
    for (int row = threadIdx.y; row < rows; row += SLICES) {
      mine += partial[(long long)row * columns + column];
    }
  }
  mine = column_total(sums, mine);
  if (threadIdx.y == 0 && column < columns) {
    total[column] = mine;
  }
}

// The first place in `sorted` whose number is `wanted` or more, by halving.
DEVICE int first_place(const long long* sorted, int count, long long wanted) {
  int low = 0;
  int high = count;
  while (low < high) {
    int middle = (low + high) / 2;
    if (sorted[middle] < wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// Block (t, tile) makes 32 columns of table[t], zeros where no row is added. `order` lists the
// values' rows by the table's row they go to, `sorted` those table rows: a stable sort, made
// before. A row outside the table turns the table's first or last row to NaN, as nobody waits here
// to be told.
extern "C" __global__ void __launch_bounds__(1024)
add_rows(const float* values, const long long* order, const long long* sorted, float* table,
         int count, int rows, int columns) {
  __shared__ float sums[SLICES][WARP];
  int row = blockIdx.x;
  int column = blockIdx.y * WARP + threadIdx.x;
  int begin = first_place(sorted, count, row);
  int end = first_place(sorted, count, row + 1);
  float mine = 0.0f;
  if (column < columns) {
    for (int i = begin + threadIdx.y; i < end; i += SLICES) {
      mine += values[order[i] * columns + column];
    }
  }
  bool outside = (row == 0 && begin > 0) || (row == rows - 1 && end < count);
  mine = column_total(sums, outside ? as_float(0x7fc00000u) : mine);
  if (threadIdx.y == 0 && column < columns) {
    table[(long long)row * columns + column] = mine;
  }
}
