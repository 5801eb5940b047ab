// Softmax and log-softmax of every row of a matrix (rows, columns), and their gradients.
//
// The plain rung makes five passes over memory for softmax: maximum, difference, exponential, sum,
// quotient. Here a team of threads keeps to its row (rows.cuh):
//   1. one pass for the largest value and the sum of exponentials at once: the online softmax
//   2. a second pass, over a row that the caches still hold, writes the result
// Global memory per element: 4 bytes read, 4 written; the gradients read 8 and write 4. With some
// 20 operations an element, all are bound by memory: the bar is the speed of a copy.
#include "rows.cuh"

extern "C" __global__ void __launch_bounds__(256)
softmax(const float* x, float* y, int rows, int columns) {
  int row = team_row();
  if (row >= rows) {
    return;
  }
  const float* from = x + (long long)row * columns;
  float* to = y + (long long)row * columns;
  Normalizer of_row = row_normalizer(from, columns);
  float share = 1.0f / of_row.sum;
  for (int pack = threadIdx.x; pack < columns / VECTOR; pack += TEAM) {
    Pack values = load(from, pack);
    for (int e = 0; e < VECTOR; e++) {
      values.at[e] = expf(values.at[e] - of_row.largest) * share;
    }
    store(to, pack, values);
  }
}

extern "C" __global__ void __launch_bounds__(256)
log_softmax(const float* x, float* y, int rows, int columns) {
  int row = team_row();
  if (row >= rows) {
    return;
  }
  const float* from = x + (long long)row * columns;
  float* to = y + (long long)row * columns;
  Normalizer of_row = row_normalizer(from, columns);
  float logarithm = logf(of_row.sum);
  for (int pack = threadIdx.x; pack < columns / VECTOR; pack += TEAM) {
    Pack values = load(from, pack);
    for (int e = 0; e < VECTOR; e++) {
      values.at[e] = (values.at[e] - of_row.largest) - logarithm;
    }
    store(to, pack, values);
  }
}

// dx = y (grad - Σ grad y)
extern "C" __global__ void __launch_bounds__(256)
softmax_backward(const float* grad, const float* y, float* dx, int rows, int columns) {
  int row = team_row();
  if (row >= rows) {
    return;
  }
  long long start = (long long)row * columns;
  float mine = 0.0f;
  for (int pack = threadIdx.x; pack < columns / VECTOR; pack += TEAM) {
    Pack g = load(grad + start, pack);
    Pack p = load(y + start, pack);
    for (int e = 0; e < VECTOR; e++) {
      mine += g.at[e] * p.at[e];
    }
  }
  float mean = team_sum(mine);
  for (int pack = threadIdx.x; pack < columns / VECTOR; pack += TEAM) {
    Pack g = load(grad + start, pack);
    Pack p = load(y + start, pack);
    for (int e = 0; e < VECTOR; e++) {
      p.at[e] *= g.at[e] - mean;
    }
    store(dx + start, pack, p);
  }
}

// dx = grad - exp(y) Σ grad
extern "C" __global__ void __launch_bounds__(256)
log_softmax_backward(const float* grad, const float* y, float* dx, int rows, int columns) {
  int row = team_row();
  if (row >= rows) {
    return;
  }
  long long start = (long long)row * columns;
  float mine = 0.0f;
  for (int pack = threadIdx.x; pack < columns / VECTOR; pack += TEAM) {
    Pack g = load(grad + start, pack);
    for (int e = 0; e < VECTOR; e++) {
      mine += g.at[e];
    }
  }
  float total = team_sum(mine);
  for (int pack = threadIdx.x; pack < columns / VECTOR; pack += TEAM) {
    Pack g = load(grad + start, pack);
    Pack logarithm = load(y + start, pack);
    for (int e = 0; e < VECTOR; e++) {
      g.at[e] -= expf(logarithm.at[e]) * total;
    }
    store(dx + start, pack, g);
  }
}
