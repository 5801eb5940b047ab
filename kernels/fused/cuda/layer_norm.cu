// Layer normalisation and RMS normalisation of every row of x (rows, columns), and their gradients.
//
//   layer_norm   x̂ = (x - mean) rstd    y = x̂ weight + bias    rstd = 1/√(var + eps)
//   rms_norm     x̂ = x rstd             y = x̂ weight           rstd = 1/√(mean(x²) + eps)
//
// They differ in the mean alone, so each pair is one piece of code with CENTERED true or false.
// A team keeps to its row (rows.cuh). Global memory per element: forward 4 bytes read, 4 written,
// the second and third pass over a row coming from the L1 cache; the plain rung moves about 40.
//
// The gradients of weight and bias are sums over all rows, and atomics would add them in another
// order in every run. Instead, in two stages:
//   1. A block walks over rows blockIdx.x, blockIdx.x + gridDim.x, … For each it computes dx, and
//      adds
//      grad x̂ and grad to sums of its own in shared memory, where each thread has its own columns:
//      no barrier and no conflict. At the end the block writes them out, one row of `partial`.
//   2. sum_partial adds the rows of `partial` up, in the order of the blocks.
// Global memory per element of x: 8 bytes read, 4 written, and 1/16 of that or less for `partial`.
#include "rows.cuh"

template <bool CENTERED>
DEVICE void normalize(const float* x, const float* weight, const float* bias, float* y,
                      float* means, float* rstds, float eps, int rows, int columns) {
  int row = team_row();
  if (row >= rows) {
    return;
  }
  const float* from = x + (long long)row * columns;
  float* to = y + (long long)row * columns;
  float mean = 0.0f;
  if (CENTERED) {
    float mine = 0.0f;
    for (int pack = threadIdx.x; pack < columns / VECTOR; pack += TEAM) {
      Pack values = load(from, pack);
      for (int e = 0; e < VECTOR; e++) {
        mine += values.at[e];
      }
    }
    mean = team_sum(mine) / columns;
  }
  float square = 0.0f;
  for (int pack = threadIdx.x; pack < columns / VECTOR; pack += TEAM) {
    Pack values = load(from, pack);
    for (int e = 0; e < VECTOR; e++) {
      float away = values.at[e] - mean;
      square += away * away;
    }
  }
  float rstd = 1.0f / sqrtf(team_sum(square) / columns + eps);
  if (threadIdx.x == 0) {
    if (CENTERED) {
      means[row] = mean;
    }
    rstds[row] = rstd;
  }
  for (int pack = threadIdx.x; pack < columns / VECTOR; pack += TEAM) {
    Pack values = load(from, pack);
    Pack scale = load_or(weight, pack, 1.0f);
    Pack shift = load_or(bias, pack, 0.0f);
    for (int e = 0; e < VECTOR; e++) {
      values.at[e] = (values.at[e] - mean) * rstd * scale.at[e] + shift.at[e];
    }
    store(to, pack, values);
  }
}

extern "C" __global__ void __launch_bounds__(256)
layer_norm(const float* x, const float* weight, const float* bias, float* y, float* mean,
           float* rstd, float eps, int rows, int columns) {
  normalize<true>(x, weight, bias, y, mean, rstd, eps, rows, columns);
}

extern "C" __global__ void __launch_bounds__(256)
rms_norm(const float* x, const float* weight, float* y, float* rrms, float eps, int rows,
         int columns) {
  normalize<false>(x, weight, nullptr, y, nullptr, rrms, eps, rows, columns);
}

// With h = grad weight: dx = rstd (h - mean(h) - x̂ mean(h x̂)), means over the row; mean(h) only
// if CENTERED. `sums` is this team's own: [0, columns) collects grad x̂, [columns, 2 columns) grad.
template <bool CENTERED>
DEVICE void row_backward(const float* grad, const float* x, const float* weight, float mean,
                         float rstd, float* dx, float* sums, int columns) {
  float h_sum = 0.0f;
  float projection = 0.0f;
  for (int pack = threadIdx.x; pack < columns / VECTOR; pack += TEAM) {
    Pack g = load(grad, pack);
    Pack values = load(x, pack);
    Pack scale = load_or(weight, pack, 1.0f);
    Pack dweight = load(sums, pack);
    for (int e = 0; e < VECTOR; e++) {
      float normal = (values.at[e] - mean) * rstd;
      float h = g.at[e] * scale.at[e];
      h_sum += h;
      projection += h * normal;
      dweight.at[e] += g.at[e] * normal;
    }
    store(sums, pack, dweight);
    if (CENTERED) {
      Pack dbias = load(sums + columns, pack);
      for (int e = 0; e < VECTOR; e++) {
        dbias.at[e] += g.at[e];
      }
      store(sums + columns, pack, dbias);
    }
  }
  float h_mean = CENTERED ? team_sum(h_sum) / columns : 0.0f;
  projection = team_sum(projection) / columns;
  for (int pack = threadIdx.x; pack < columns / VECTOR; pack += TEAM) {
    Pack g = load(grad, pack);
    Pack values = load(x, pack);
    Pack scale = load_or(weight, pack, 1.0f);
    for (int e = 0; e < VECTOR; e++) {
      float normal = (values.at[e] - mean) * rstd;
      float h = g.at[e] * scale.at[e];
      values.at[e] = rstd * (h - h_mean - normal * projection);
    }
    store(dx, pack, values);
  }
}

// memory: shared, TEAMS rows of `width` numbers, a row a team; partial: (gridDim.x, width) in
// global memory. width is 2 columns, or columns if not CENTERED: then there is no bias to sum up.
template <bool CENTERED>
DEVICE void normalize_backward(const float* grad, const float* x, const float* weight,
                               const float* means, const float* rstds, float* dx, float* partial,
                               float* memory, int rows, int columns) {
  int width = (CENTERED ? 2 : 1) * columns;
  float* sums = memory + threadIdx.y * width;
  for (int pack = threadIdx.x; pack < columns / VECTOR; pack += TEAM) {
    store(sums, pack, Pack());
    if (CENTERED) {
      store(sums + columns, pack, Pack());
    }
  }
  for (int row = team_row(); row < rows; row += gridDim.x * TEAMS) {
    long long start = (long long)row * columns;
    row_backward<CENTERED>(grad + start, x + start, weight, CENTERED ? means[row] : 0.0f,
                           rstds[row], dx + start, sums, columns);
  }
  __syncthreads();  // now the teams' sums are added up, in their order
  for (int i = threadIdx.y * TEAM + threadIdx.x; i < width; i += THREADS) {
    float total = 0.0f;
    for (int team = 0; team < TEAMS; team++) {
      total += memory[team * width + i];
    }
    partial[(long long)blockIdx.x * width + i] = total;
  }
}

extern "C" __global__ void __launch_bounds__(256, 4)
layer_norm_backward(const float* grad, const float* x, const float* weight, const float* mean,
                    const float* rstd, float* dx, float* partial, int rows, int columns) {
  DYNAMIC_SHARED(memory);
  normalize_backward<true>(grad, x, weight, mean, rstd, dx, partial, (float*)memory, rows, columns);
}

extern "C" __global__ void __launch_bounds__(256, 4)
rms_norm_backward(const float* grad, const float* x, const float* weight, const float* rrms,
                  float* dx, float* partial, int rows, int columns) {
  DYNAMIC_SHARED(memory);
  normalize_backward<false>(grad, x, weight, nullptr, rrms, dx, partial, (float*)memory, rows,
                            columns);
}
