// CUDA C++ for g++: the names that kernels use, with a meaning on the CPU.
//
// A kernel is compiled unchanged with this header in place of a GPU's instructions, and linked with
// a small machine that plays one block after the other:
//
//   emulator_fibers.cpp   threads as fibers that take turns; warps, barriers, schedules, deadlocks
//   emulator_memory.cpp   every load and store is looked at: bounds, races, bank conflicts
//   emulator_warp.cpp     what a warp, or the hardware beside it, does: ldmatrix, mma, wgmma
//   emulator_state.h      what these three share
//
// A kernel that breaks a rule stops with a message that names block, thread and line. What no rule
// forbids but is wrong shows in the numbers: shared memory starts full of NaN, what runs beside the
// threads happens as late or as early as allowed, and threads run in several orders.
// Not modelled: what blocks see of each other's writes, and time.
#pragma once
#include <cmath>
#include <cstring>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("shared_memory"), aligned(128)))
#define DEVICE inline
#define DYNAMIC_SHARED(name) unsigned char* const name = emulator::dynamic_shared

struct uint3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

extern uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

extern unsigned char dynamic_shared[227 << 10];

// The call's line in the kernel: lanes of a warp must come to the same one.
#define HERE int line = __builtin_LINE()

[[noreturn]] void fail(const char* format, ...);  // stops the launch with a message

// ---------------------------------------------------------------- warp-wide instructions

struct Meeting {
  const char* instruction;
  const void* in[32];
  void* out[32];
  int line, arrived;
};

// Arrive with what this lane brings and wants. The last lane of the warp gets the meeting, to
// compute for all and then call `part`; the others wait for that and get nullptr.
Meeting* arrive(const char* instruction, const void* in, void* out, int line);
void part(Meeting& meeting);

template <class Compute>
void meet(const char* instruction, const void* in, void* out, Compute compute, int line = 0) {
  if (Meeting* meeting = arrive(instruction, in, out, line)) {
    compute(*meeting);
    part(*meeting);
  }
}

struct Operand {  // of wgmma
  u64 descriptor;         // a tile in shared memory
  int across_k;           // whether its rows lie across k
  const u32* registers;   // or this lane's four registers
};

// What emulator_warp.cpp and emulator_memory.cpp do for the primitives below.
void barrier(int line);
void synchronise_warp(int line);
u32 shared_address(const void* pointer);
void copy_async(void* to, const void* from, int bytes, bool valid, int line);
void copy_async_commit();
void copy_async_wait(int newest);
void load_matrix(u32 (&r)[4], const void* row, bool transposed, int line);
void multiply_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, int line);
void multiply_tf32(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, int line);
void fence_async_proxy();
void issue_product(float* d, int columns, Operand a, Operand b, bool add, int line);
void commit_products(int line);
void wait_for_products(int newest, int line);
float add_atomically(float* to, float value);

// What emulator.py calls through the entry that it writes for a kernel; nullptr, or what went
// wrong.
const char* launch(const struct Launch& how, void (*kernel)(void**));

inline float value_of(bf16 half) {
  u32 bits = (u32)half << 16;
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

inline bf16 nearest_bf16(float x) {  // ties to even
  u32 bits;
  memcpy(&bits, &x, 4);
  if (x != x) return 0x7fff;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

}  // namespace emulator

// ------------------------------------------------------------- the names that kernels use: CUDA's

inline void __syncthreads(HERE) { emulator::barrier(line); }
inline void __syncwarp(unsigned = ~0u, HERE) { emulator::synchronise_warp(line); }

// Each lane names the lane whose value it wants: `source(lane, argument)`, itself if out of range.
template <class T>
T shuffle(const char* name, unsigned mask, T value, int argument, int most,
          int (*source)(int, int), int line) {
  if (mask != ~0u) emulator::fail("%s of a part of a warp is not supported", name);
  if (argument < 0 || argument > most) emulator::fail("%s: no lane %d", name, argument);
  struct Brought { T value; int argument; } brought{value, argument};
  T received = value;
  emulator::meet(name, &brought, &received, [source](emulator::Meeting& warp) {
    for (int lane = 0; lane < 32; lane++) {
      int from = source(lane, ((const Brought*)warp.in[lane])->argument);
      if (from < 0 || from > 31) from = lane;
      *(T*)warp.out[lane] = ((const Brought*)warp.in[from])->value;
    }
  }, line);
  return received;
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits, HERE) {
  auto source = [](int lane, int bits) { return lane ^ bits; };
  return shuffle<T>("__shfl_xor_sync", mask, value, bits, 31, source, line);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, int by, HERE) {
  auto source = [](int lane, int by) { return lane + by; };
  return shuffle<T>("__shfl_down_sync", mask, value, by, 31, source, line);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, int by, HERE) {
  auto source = [](int lane, int by) { return lane - by; };
  return shuffle<T>("__shfl_up_sync", mask, value, by, 31, source, line);
}
template <class T> T __shfl_sync(unsigned mask, T value, int from, HERE) {
  auto source = [](int, int from) { return from; };
  return shuffle<T>("__shfl_sync", mask, value, from, 31, source, line);
}

template <class T> T max(T a, T b) { return a > b ? a : b; }
template <class T> T min(T a, T b) { return a < b ? a : b; }
inline float atomicAdd(float* to, float value) { return emulator::add_atomically(to, value); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float x, float y) { return x / y; }
template <class T> T __ldg(const T* pointer) { return *pointer; }

// ---------------------------------------------------------- the names that kernels use: primitives

inline float as_float(u32 bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}
inline u32 as_bits(float x) {
  u32 bits;
  memcpy(&bits, &x, 4);
  return bits;
}

inline u32 shared_address(const void* pointer) { return emulator::shared_address(pointer); }

inline void copy_async_16(void* to, const void* from, bool valid, HERE) {
  emulator::copy_async(to, from, 16, valid, line);
}
inline void copy_async_4(void* to, const void* from, bool valid, HERE) {
  emulator::copy_async(to, from, 4, valid, line);
}
inline void copy_async_commit() { emulator::copy_async_commit(); }
template <int N> void copy_async_wait() { emulator::copy_async_wait(N); }

inline void load_matrix_x4(u32 (&r)[4], const void* row, HERE) {
  emulator::load_matrix(r, row, false, line);
}
inline void load_matrix_x4_transposed(u32 (&r)[4], const void* row, HERE) {
  emulator::load_matrix(r, row, true, line);
}

inline void mma_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, HERE) {
  emulator::multiply_bf16(d, a, b0, b1, line);
}
inline void mma_tf32(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, HERE) {
  emulator::multiply_tf32(d, a, b0, b1, line);
}

inline u32 pack_bf16(float low, float high) {
  return emulator::nearest_bf16(low) | (u32)emulator::nearest_bf16(high) << 16;
}
inline u32 round_tf32(float x) {
  return x != x ? 0x7fffffffu : (as_bits(x) + 0x1000) & ~0x1fffu;
}
inline float fast_exp2(float x) {  // numbers too small for float32's normal ones are 0, here too
  float y = exp2f(x);
  return y < 0x1p-126f ? 0 : y;
}

inline int block_read_again() { return blockIdx.x; }

inline void fence_async_proxy() { emulator::fence_async_proxy(); }
inline void wgmma_fence() {}
inline void wgmma_commit(HERE) { emulator::commit_products(line); }
template <int N> void wgmma_wait(HERE) { emulator::wait_for_products(N, line); }
template <int A_ACROSS_K = 0, int B_ACROSS_K = 0>
void wgmma_m64n128k16(float (&d)[64], u64 a, u64 b, HERE) {
  emulator::issue_product(d, 128, {a, A_ACROSS_K}, {b, B_ACROSS_K}, true, line);
}
template <int A_ACROSS_K = 0, int B_ACROSS_K = 0>
void wgmma_m64n192k16(float (&d)[96], u64 a, u64 b, HERE) {
  emulator::issue_product(d, 192, {a, A_ACROSS_K}, {b, B_ACROSS_K}, true, line);
}
template <int A_ACROSS_K = 0, int B_ACROSS_K = 0>
void wgmma_m64n256k16(float (&d)[128], u64 a, u64 b, HERE) {
  emulator::issue_product(d, 256, {a, A_ACROSS_K}, {b, B_ACROSS_K}, true, line);
}
inline void wgmma_m64n128k8_tf32(float (&d)[64], const u32 (&a)[4], u64 b, bool add, HERE) {
  emulator::issue_product(d, 128, {0, 0, a}, {b, 0}, add, line);
}
template <class T, int N> void hold(T (&)[N]) {}
#undef HERE
