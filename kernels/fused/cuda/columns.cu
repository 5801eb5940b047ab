// Sums over rows, one column a lane, in an order that is the same in every run.
//
// A block is 32 columns wide and 32 or 8 threads, slices, high. Each thread walks down its column
// over every 32nd or 8th row, neighbouring lanes reading neighbouring columns; then the sums of a
// column meet in shared memory and are added in their order. No atomics: those add in whatever
// order threads come.
//
//   sum_partial   Σ partial[r, c] over all rows: the second stage of layer_norm.cu
//   add_rows      table[t] = Σ values[order[i]] over the i with sorted[i] = t: gradient of a lookup
//
// Each reads every value once: 4 bytes an element, bound by memory.
#include "primitives.cuh"

constexpr int PARTIAL_SLICES = 32;  // there are few columns, and hundreds of rows to each
constexpr int TABLE_SLICES = 8;     // there are as many blocks as the table has rows

// The sums of a column's threads, added up; only those of slice 0 get the result.
template <int SLICES>
DEVICE float column_total(float (&sums)[SLICES][WARP], float mine) {
  __syncthreads();  // what an earlier call left there has been read
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

// partial (rows, width): the sums of the first `columns` columns go to `first`, those of the others
// to `second`, as they are gradients of two parameters, each to be kept as an array of its own.
extern "C" __global__ void __launch_bounds__(1024)
sum_partial(const float* partial, float* first, float* second, int rows, int columns, int width) {
  __shared__ float sums[PARTIAL_SLICES][WARP];
  int column = blockIdx.x * WARP + threadIdx.x;
  float mine = 0.0f;
  if (column < width) {
    for (int row = threadIdx.y; row < rows; row += PARTIAL_SLICES) {
      mine += partial[(long long)row * width + column];
    }
  }
  mine = column_total(sums, mine);
  if (threadIdx.y == 0 && column < width) {
    *(column < columns ? first + column : second + (column - columns)) = mine;
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

// Block (t, y) makes table[t], of which it takes 32 columns at a time, those of y first; zeros
// where nothing is added. `order` lists the values' rows by the row of the table that they go to,
// `sorted` those rows of the table: a stable sort, made before. A row outside of the table turns
// the table's first or last row to NaN, as nobody waits here to be told.
extern "C" __global__ void __launch_bounds__(256)
add_rows(const float* values, const long long* order, const long long* sorted, float* table,
         int count, int rows, int columns) {
  __shared__ float sums[TABLE_SLICES][WARP];
  int row = blockIdx.x;
  int begin = first_place(sorted, count, row);
  int end = first_place(sorted, count, row + 1);
  bool outside = (row == 0 && begin > 0) || (row == rows - 1 && end < count);
  for (int first = blockIdx.y * WARP; first < columns; first += gridDim.y * WARP) {
    int column = first + threadIdx.x;
    float mine = outside ? as_float(0x7fc00000u) : 0.0f;
    if (column < columns) {
      for (int i = begin + threadIdx.y; i < end; i += TABLE_SLICES) {
        mine += values[order[i] * columns + column];
      }
    }
    float total = column_total(sums, mine);
    if (threadIdx.y == 0 && column < columns) {
      table[(long long)row * columns + column] = total;
    }
  }
}
