// C as the sum of the parts that k was cut into: c (products, size) from parts (products, count, size).
//
// One thread a number, always in the same order: the same bits in every run, as atomic additions
// straight from the products would not give.
#include "primitives.cuh"

constexpr int THREADS = 256;

extern "C" __global__ void __launch_bounds__(THREADS) sum_parts(
    const float* __restrict__ parts, float* __restrict__ c, int count, long long size,
    long long total) {
  long long i = (long long)blockIdx.x * THREADS + threadIdx.x;
  if (i >= total) return;
  const float* from = parts + i / size * count * size + i % size;
  float sum = 0;
  for (int part = 0; part < count; part++) sum += from[part * size];
  c[i] = sum;
}
