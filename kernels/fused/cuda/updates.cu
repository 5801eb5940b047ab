// A step of Adam, AdamW or SGD for all parameters of a model in one launch; before it, clipping all
// gradients by their norm, in three.
//
// A launch costs some 5 microseconds whatever it does, and a model has dozens of parameters, most
// of them small. So the kernel is given a table of addresses instead of one array:
//
//   table  int64 (6, count + 1)  row 0  parameters    row 3  second moments (Adam)
//                                row 1  gradients     row 4  numbers of elements
//                                row 2  moments       row 5  first block of each, then how many
//
// Clipping knows gradients only, which are in row 0.
//
// A block finds by halving whose elements are its own, and takes CHUNK of them: every thread four
// neighbours at a time by 16-byte loads. Adam reads 16 bytes a parameter and writes 12, nothing
// twice: bound by memory. Everything is float32, also the moments.
#include "primitives.cuh"

constexpr int THREADS = 256;
constexpr int PACK = 4;
constexpr int PACKS = 2;  // that are loaded by a thread of Adam before one is written: eight loads
constexpr int CHUNK = 4096;  // elements a block; launching.py knows it, too

struct Chunk {
  int parameter;
  long long begin, end;
};

DEVICE Chunk chunk_of_block(const long long* table, int count) {
  const long long* first_blocks = table + 5 * (count + 1);
  int low = 0;
  int high = count - 1;  // the last parameter whose first block is not behind this one
  while (low < high) {
    int middle = (low + high + 1) / 2;
    if (first_blocks[middle] <= blockIdx.x) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  long long size = table[4 * (count + 1) + low];
  long long begin = (blockIdx.x - first_blocks[low]) * CHUNK;
  return {low, begin, min(begin + CHUNK, size)};
}

DEVICE float* array(const long long* table, int count, int row, int parameter) {
  return (float*)table[row * (count + 1) + parameter];
}

// Elements i to i + 3 as they are in memory; fewer at the end of an array.
struct Four {
  float at[PACK];
};

DEVICE Four load(const float* from, int valid) {
  Four values = {};
  if (valid >= PACK) {
    float4 v = *(const float4*)from;
    values = {v.x, v.y, v.z, v.w};
  } else {
    for (int e = 0; e < valid; e++) {
      values.at[e] = from[e];
    }
  }
  return values;
}

DEVICE void store(float* to, const Four& values, int valid) {
  if (valid >= PACK) {
    *(float4*)to = make_float4(values.at[0], values.at[1], values.at[2], values.at[3]);
  } else {
    for (int e = 0; e < valid; e++) {
      to[e] = values.at[e];
    }
  }
}

// Adam (Kingma & Ba 2015), algorithm 1, and AdamW (Loshchilov & Hutter 2019), algorithm 2:
// shrink is 1 - lr λ if decoupled, else 1; decay is λ if not decoupled, else 0; root is √(1 - β₂ᵗ);
// rate is lr / (1 - β₁ᵗ). They are read from memory, where the host puts those of each step: what a
// launch is given as an argument stays the same whenever a CUDA graph repeats it.
extern "C" __global__ void __launch_bounds__(256)
adam(const long long* table, int count, const float* numbers) {
  float shrink = numbers[0], decay = numbers[1], one_minus_beta1 = numbers[2], beta2 = numbers[3];
  float one_minus_beta2 = numbers[4], root = numbers[5], eps = numbers[6], rate = numbers[7];
  Chunk chunk = chunk_of_block(table, count);
  float* parameter = array(table, count, 0, chunk.parameter);
  const float* gradient = array(table, count, 1, chunk.parameter);
  float* average = array(table, count, 2, chunk.parameter);
  float* square = array(table, count, 3, chunk.parameter);
  long long first = chunk.begin + threadIdx.x * PACK;
  for (long long i = first; i < chunk.end; i += PACKS * THREADS * PACK) {
    Four p[PACKS], g[PACKS], m[PACKS], v[PACKS];
    int valid[PACKS];
#pragma unroll
    for (int j = 0; j < PACKS; j++) {
      long long at = i + j * THREADS * PACK;
      valid[j] = min(chunk.end - at, (long long)PACK);
      p[j] = load(parameter + at, valid[j]);
      g[j] = load(gradient + at, valid[j]);
      m[j] = load(average + at, valid[j]);
      v[j] = load(square + at, valid[j]);
    }
#pragma unroll
    for (int j = 0; j < PACKS; j++) {
      long long at = i + j * THREADS * PACK;
      for (int e = 0; e < PACK; e++) {
        float x = p[j].at[e] * shrink;
        float d = g[j].at[e] + decay * x;
        m[j].at[e] += one_minus_beta1 * (d - m[j].at[e]);
        v[j].at[e] = v[j].at[e] * beta2 + one_minus_beta2 * d * d;
        p[j].at[e] = x - rate * (m[j].at[e] / (sqrtf(v[j].at[e]) / root + eps));
      }
      store(parameter + at, p[j], valid[j]);
      store(average + at, m[j], valid[j]);
      store(square + at, v[j], valid[j]);
    }
  }
}

// numbers are sign, decay, lr, momentum, kept.
// d = sign grad + decay p; without a buffer p -= lr d. With one, b = d in the `first` step, else
// momentum b + kept d; then p -= lr b, or by Nesterov's rule lr (d + momentum b). `buffered`,
// `first` and `nesterov` are 0 or 1: all threads take the same way.
extern "C" __global__ void __launch_bounds__(256, 4)
sgd(const long long* table, int count, const float* numbers, int buffered, int first,
    int nesterov) {
  float sign = numbers[0], decay = numbers[1], lr = numbers[2], momentum = numbers[3];
  float kept = numbers[4];
  Chunk chunk = chunk_of_block(table, count);
  float* parameter = array(table, count, 0, chunk.parameter);
  const float* gradient = array(table, count, 1, chunk.parameter);
  float* buffer = array(table, count, 2, chunk.parameter);
  for (long long i = chunk.begin + threadIdx.x * PACK; i < chunk.end; i += THREADS * PACK) {
    int valid = min(chunk.end - i, (long long)PACK);
    Four p = load(parameter + i, valid);
    Four g = load(gradient + i, valid);
    Four b = {};
    if (buffered && !first) {
      b = load(buffer + i, valid);
    }
    for (int e = 0; e < PACK; e++) {
      float d = sign * g.at[e] + decay * p.at[e];
      b.at[e] = first ? d : momentum * b.at[e] + kept * d;
      float direction = buffered ? (nesterov ? d + momentum * b.at[e] : b.at[e]) : d;
      p.at[e] -= lr * direction;
    }
    store(parameter + i, p, valid);
    if (buffered) {
      store(buffer + i, b, valid);
    }
  }
}

// ------------------------------------------------------------------------------------- clipping
// g <- g min(1, max_norm / (√Σ g² + 10⁻⁶)), of all gradients g together, without the CPU: what one
// launch leaves in memory the next one reads. Each sum is made in an order that the sizes of the
// arrays alone decide, so equal gradients give equal bits.

constexpr int BLOCK_WARPS = THREADS / WARP;
constexpr float SMALLEST = 1e-6f;

// The sum over the block's threads: within warps by halves, then over the warps in their order.
template <class Number>
DEVICE Number block_sum(Number value, Number (&of_warps)[BLOCK_WARPS]) {
  for (int mask = WARP / 2; mask > 0; mask /= 2) {
    value += __shfl_xor_sync(ALL_LANES, value, mask);
  }
  if (threadIdx.x % WARP == 0) {
    of_warps[threadIdx.x / WARP] = value;
  }
  __syncthreads();
  Number total = 0;
  for (int warp = 0; warp < BLOCK_WARPS; warp++) {
    total += of_warps[warp];
  }
  return total;
}

// partial[b] = Σ g² over the CHUNK of block b. On the longest way to it a square is rounded once and
// is part of 17 sums: 4 of its thread's, 2 of the four lanes, 5 of the warp, 7 of the block, of
// which the first is with 0. So a sum is off by 18 u at most, and the norm by half as much.
extern "C" __global__ void __launch_bounds__(256)
square_sums(const long long* table, int count, float* partial) {
  __shared__ float of_warps[BLOCK_WARPS];
  Chunk chunk = chunk_of_block(table, count);
  const float* gradient = array(table, count, 0, chunk.parameter);
  Four sums = {};
  for (long long i = chunk.begin + threadIdx.x * PACK; i < chunk.end; i += THREADS * PACK) {
    Four g = load(gradient + i, min(chunk.end - i, (long long)PACK));
    for (int e = 0; e < PACK; e++) {
      sums.at[e] += g.at[e] * g.at[e];
    }
  }
  float mine = (sums.at[0] + sums.at[1]) + (sums.at[2] + sums.at[3]);
  float total = block_sum(mine, of_warps);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = total;
  }
}

// found = (norm, factor), by one block. A large model has thousands of partial sums, so they are
// added in float64: however many there are, they add no error to speak of.
extern "C" __global__ void __launch_bounds__(256)
clip_factor(const float* partial, int partials, float max_norm, float* found) {
  __shared__ double of_warps[BLOCK_WARPS];
  double mine = 0;
  for (int i = threadIdx.x; i < partials; i += THREADS) {
    mine += partial[i];
  }
  double total = block_sum(mine, of_warps);
  if (threadIdx.x == 0) {
    float norm = (float)sqrt(total);
    float factor = max_norm / (norm + SMALLEST);
    found[0] = norm;
    found[1] = factor > 1 ? 1 : factor;  // NaN is not larger, and stays
  }
}

// g <- found[1] g: 8 bytes an element, or none where nothing is to be clipped.
extern "C" __global__ void __launch_bounds__(256)
scale(const long long* table, int count, const float* found) {
  float factor = found[1];
  if (factor == 1) {
    return;
  }
  Chunk chunk = chunk_of_block(table, count);
  float* gradient = array(table, count, 0, chunk.parameter);
  for (long long i = chunk.begin + threadIdx.x * PACK; i < chunk.end; i += THREADS * PACK) {
    int valid = min(chunk.end - i, (long long)PACK);
    Four g = load(gradient + i, valid);
    for (int e = 0; e < PACK; e++) {
      g.at[e] *= factor;
    }
    store(gradient + i, g, valid);
  }
}
