// A float32 as two TF32, which tensor cores multiply: 24 significant bits as 11 and 11, nearly.
//
//   a b = a_high b_high + a_high b_low + a_low b_high + (a_low b_low, below 2^-22 |a b|: left out)
//
// Ootomo & Yokota, Recovering single precision accuracy from Tensor Cores while surpassing the FP32
// theoretical peak performance, 2022. Tensor cores round sums toward zero, which adds up over a
// long one: they are given a few terms at a time, the small products first, and what they say is
// added up by the units that round to nearest.
#pragma once
#include "primitives.cuh"

// Numbers x as high + low: high is x rounded to 11 significant bits (half of the last one is added,
// then what is below it dropped), low the rest, which is exact; of it the tensor core takes 11
// bits. Inf has no such rest: it becomes NaN.
template <int COUNT>
DEVICE void split(u32 (&high)[COUNT], u32 (&low)[COUNT], const u32 (&numbers)[COUNT]) {
#pragma unroll
  for (int i = 0; i < COUNT; i++) {
    high[i] = (numbers[i] + 0x1000u) & 0xffffe000u;
    low[i] = as_bits(as_float(numbers[i]) - as_float(high[i]));
  }
}
