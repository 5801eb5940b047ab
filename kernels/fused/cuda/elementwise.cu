// Functions of single elements, in one pass over memory where the plain rung makes one a symbol of
// the formula: for GELU's gradient 12 bytes an element instead of 100.
//
// Four neighbouring elements a thread, moved by one 16-byte load or store; the last thread of all
// takes what is left singly. Some 20 to 40 operations on 8 or 12 bytes: bound by memory.
#include "primitives.cuh"

constexpr int PACK = 4;
constexpr float ROOT_HALF = 0.70710678118654752f;     // 1/√2
constexpr float DENSITY_AT_0 = 0.39894228040143268f;  // 1/√(2π)
constexpr float LINEAR = 0.79788456080286536f;        // √(2/π)
constexpr float CUBIC = 0.044715f;                    // Hendrycks & Gimpel 2016, section 2

// y[i] = function(x[i]) for the elements of this thread.
template <class Function>
DEVICE void map(const float* x, float* y, long long size, Function function) {
  long long first = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * PACK;
  if (first + PACK <= size) {
    float4 v = *(const float4*)(x + first);
    *(float4*)(y + first) = make_float4(function(v.x), function(v.y), function(v.z), function(v.w));
  } else {
    for (long long i = first; i < size; i++) {
      y[i] = function(x[i]);
    }
  }
}

// The same for a function of two elements.
template <class Function>
DEVICE void map_pairs(const float* a, const float* b, float* y, long long size, Function function) {
  long long first = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * PACK;
  if (first + PACK <= size) {
    float4 u = *(const float4*)(a + first);
    float4 v = *(const float4*)(b + first);
    *(float4*)(y + first) = make_float4(function(u.x, v.x), function(u.y, v.y), function(u.z, v.z),
                                        function(u.w, v.w));
  } else {
    for (long long i = first; i < size; i++) {
      y[i] = function(a[i], b[i]);
    }
  }
}

// Logistic function from a = exp(-|x|): 1 / (1 + a), and a / (1 + a) below 0. No overflow either
// way.
DEVICE float logistic(float x) {
  float a = expf(-fabsf(x));
  return (x < 0.0f ? a : 1.0f) / (1.0f + a);
}

// Φ(x), the distribution function of the normal distribution.
struct Distribution {
  DEVICE static float of(float x) { return 0.5f * (1.0f + erff(x * ROOT_HALF)); }
};

struct Gelu {
  DEVICE float operator()(float x) const { return x * Distribution::of(x); }
};

// ½ (1 + tanh u) is logistic(2u), u = √(2/π) (x + c x³).
struct GeluTanh {
  DEVICE float operator()(float x) const {
    return x * logistic(2.0f * LINEAR * (x + CUBIC * x * x * x));
  }
};

struct GeluBackward {
  DEVICE float operator()(float grad, float x) const {
    float density = DENSITY_AT_0 * expf(-0.5f * x * x);
    return grad * (Distribution::of(x) + x * density);
  }
};

// s = logistic(t), t = 2u: d(x s)/dx = s + x t' s (1 - s), and s (1 - s) = a / (1 + a)².
struct GeluTanhBackward {
  DEVICE float operator()(float grad, float x) const {
    float a = expf(-fabsf(2.0f * LINEAR * (x + CUBIC * x * x * x)));
    float inverse = 1.0f / (1.0f + a);
    float s = x < 0.0f ? a * inverse : inverse;
    float slope = 2.0f * LINEAR * (1.0f + 3.0f * CUBIC * x * x);
    return grad * (s + x * slope * (a * inverse * inverse));
  }
};

extern "C" __global__ void __launch_bounds__(256)
gelu(const float* x, float* y, long long size) {
  map(x, y, size, Gelu());
}

extern "C" __global__ void __launch_bounds__(256)
gelu_tanh(const float* x, float* y, long long size) {
  map(x, y, size, GeluTanh());
}

extern "C" __global__ void __launch_bounds__(256)
gelu_backward(const float* grad, const float* x, float* dx, long long size) {
  map_pairs(grad, x, dx, size, GeluBackward());
}

extern "C" __global__ void __launch_bounds__(256)
gelu_tanh_backward(const float* grad, const float* x, float* dx, long long size) {
  map_pairs(grad, x, dx, size, GeluTanhBackward());
}

// y = x where the mask says so, scaled; the other elements times 0, so that NaN and ∞ stay seen.
extern "C" __global__ void __launch_bounds__(256)
dropout(const float* x, const u8* mask, float* y, float scale, long long size) {
  long long first = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * PACK;
  if (first + PACK <= size) {
    float4 v = *(const float4*)(x + first);
    u32 kept = *(const u32*)(mask + first);  // four booleans, a byte each
    *(float4*)(y + first) = make_float4(
        v.x * (kept & 0xff ? scale : 0.0f), v.y * (kept & 0xff00 ? scale : 0.0f),
        v.z * (kept & 0xff0000 ? scale : 0.0f), v.w * (kept & 0xff000000 ? scale : 0.0f));
  } else {
    for (long long i = first; i < size; i++) {
      y[i] = x[i] * (mask[i] ? scale : 0.0f);
    }
  }
}
