// A block of a CUDA GPU on the CPU, so that the kernels of this library can be tested without one.
//
//   threads      fibers (ucontext) that run one at a time, until a barrier or a warp-wide instruction
//   warps        32 fibers; a warp-wide instruction happens when all of them have arrived at it
//   __shared__   static memory of its own section, filled with NaN before each block starts
//   cp.async     copies are remembered, and land when a wait forces them: as late as the rules allow
//   wgmma        likewise computes when it is waited for
//   schedule     in which order fibers run between two barriers: rising, falling, or by a seed
//
// A kernel that forgets a barrier or a wait reads NaN or differs between schedules; one that breaks a
// rule (divergent warp, barrier that not all reach, misaligned access) stops with a message.
// Not modelled: the memory model between blocks, a missing fence_async_proxy, time.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("shared_memory"), aligned(128)))
#define DEVICE inline
#define DYNAMIC_SHARED(name) \
  static __attribute__((section("shared_memory"), aligned(1024))) unsigned char name[227 << 10]

struct uint3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

inline uint3 threadIdx, blockIdx, blockDim, gridDim;
extern "C" char __start_shared_memory[], __stop_shared_memory[];
__shared__ __attribute__((used)) char some_shared_memory;  // so that the section always exists

namespace emulator {

inline char* shared_base() { return (char*)((uintptr_t)__start_shared_memory & ~(uintptr_t)1023); }

// ------------------------------------------------------------------------------------- fibers

struct Copy { void* to; const void* from; int bytes; bool valid; };
struct Product { float* d; u64 a, b; };

struct Fiber {
  ucontext_t context;
  std::vector<char> stack;
  uint3 thread;
  int number;
  bool done = false, at_barrier = false;
  int meetings = 0;  // warp-wide instructions that it has come to
  std::vector<Copy> copies;
  std::vector<std::vector<Copy>> copy_groups;
  std::vector<Product> products;
  std::vector<std::vector<Product>> product_groups;
};

inline std::vector<Fiber> fibers;
inline ucontext_t scheduler;
inline int current;
inline std::function<void()> body;
inline std::string broken;  // the first rule that was broken
struct Stopped {};          // thrown to leave a fiber after that

[[noreturn]] inline void fail(const char* format, ...) {
  char text[400];
  va_list values;
  va_start(values, format);
  vsnprintf(text, sizeof text, format, values);
  va_end(values);
  if (broken.empty()) {
    char where[120];
    snprintf(where, sizeof where, "block (%u, %u, %u), thread (%u, %u, %u): ", blockIdx.x, blockIdx.y,
             blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    broken = std::string(where) + text;
  }
  throw Stopped();
}

inline Fiber& self() { return fibers[current]; }

inline void give_way() {
  Fiber& fiber = self();
  swapcontext(&fiber.context, &scheduler);
  if (!broken.empty()) throw Stopped();
}

inline void entry() {
  try {
    body();
  } catch (Stopped&) {
  }
  Fiber& fiber = self();
  fiber.done = true;
  swapcontext(&fiber.context, &scheduler);
}

// -------------------------------------------------------------------------- warp-wide instructions

struct Meeting {
  const char* instruction = "";
  const void* in[32];
  void* out[32];
  int arrived = 0, number = 0;
};
inline std::vector<Meeting> warps;

// Every lane of the warp brings `in` and wants `out`; the last to arrive computes for all.
template <class Compute>
void meet(const char* instruction, const void* in, void* out, Compute compute) {
  int lane = self().number % 32;
  Meeting& warp = warps[self().number / 32];
  if (warp.arrived == 0) {
    warp.instruction = instruction;
  } else if (strcmp(warp.instruction, instruction)) {
    fail("the warp diverged: %s here, %s in another lane", instruction, warp.instruction);
  }
  warp.in[lane] = in;
  warp.out[lane] = out;
  int number = self().meetings++;
  if (++warp.arrived == 32) {
    compute(warp);
    warp.arrived = 0;
    warp.number++;
    return;
  }
  while (warp.number == number) give_way();
}

// -------------------------------------------------------------------------------------- a block

inline long long barriers;

inline void start(Fiber& fiber, int number) {
  fiber.number = number;
  unsigned n = number;
  fiber.thread = {n % blockDim.x, n / blockDim.x % blockDim.y, n / (blockDim.x * blockDim.y)};
  fiber.stack.resize(64 << 10);
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.data();
  fiber.context.uc_stack.ss_size = fiber.stack.size();
  fiber.context.uc_link = &scheduler;
  makecontext(&fiber.context, entry, 0);
}

inline void run_block(long long schedule) {
  int count = blockDim.x * blockDim.y * blockDim.z;
  fibers.clear();
  fibers.resize(count);
  warps.assign((count + 31) / 32, Meeting());
  memset(__start_shared_memory, 0xff, __stop_shared_memory - __start_shared_memory);
  std::vector<int> order(count);
  for (int i = 0; i < count; i++) {
    start(fibers[i], i);
    order[i] = i;
  }
  std::mt19937 random(schedule);
  if (schedule == 1) std::reverse(order.begin(), order.end());
  int living = count;
  while (living) {
    if (schedule > 1) std::shuffle(order.begin(), order.end(), random);
    bool moved = false;
    int waiting = 0;
    for (int i : order) {
      Fiber& fiber = fibers[i];
      if (fiber.done) continue;
      if (fiber.at_barrier) {
        waiting++;
        continue;
      }
      current = i;
      threadIdx = fiber.thread;
      long before = fiber.meetings;
      swapcontext(&scheduler, &fiber.context);
      if (!broken.empty()) return;
      moved = moved || fiber.done || fiber.at_barrier || fiber.meetings != before;
      if (fiber.done) living--;
    }
    if (moved || !living) continue;
    bool met = false;  // a fiber whose meeting is complete moves on in the next round
    for (Fiber& fiber : fibers) {
      Meeting& warp = warps[fiber.number / 32];
      met = met || (!fiber.done && !fiber.at_barrier && fiber.meetings <= warp.number);
    }
    if (met) continue;
    if (waiting != living) {
      current = 0;
      for (Fiber& fiber : fibers)
        if (!fiber.done && !fiber.at_barrier) current = fiber.number;
      threadIdx = self().thread;
      broken = "";
      try {
        fail("waits for lanes of its warp in %s that never come",
             warps[self().number / 32].instruction);
      } catch (Stopped&) {
      }
      return;
    }
    if (waiting != count) {
      try {
        fail("__syncthreads was reached by %d of %d threads, the others have left", waiting, count);
      } catch (Stopped&) {
      }
      return;
    }
    for (Fiber& fiber : fibers) fiber.at_barrier = false;
    barriers++;
  }
}

// What emulator.py calls: nullptr, or what went wrong.
template <class Body>
const char* launch(const unsigned* grid, const unsigned* block, unsigned, long long schedule,
                   Body kernel) {
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  body = kernel;
  broken.clear();
  for (unsigned z = 0; z < grid[2]; z++)
    for (unsigned y = 0; y < grid[1]; y++)
      for (unsigned x = 0; x < grid[0]; x++) {
        blockIdx = {x, y, z};
        run_block(schedule);
        if (!broken.empty()) return broken.c_str();
      }
  return nullptr;
}

// ------------------------------------------------------------------------------------- numbers

inline float value_of(bf16 half) {
  u32 bits = (u32)half << 16;
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

inline bf16 nearest_bf16(float x) {
  u32 bits;
  memcpy(&bits, &x, 4);
  if (x != x) return 0x7fff;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

// 8 rows of 16 bytes should lie in 8 different groups of 4 banks; cost / phases is 1 if they do.
inline long long matrix_phases, matrix_cost;

inline void load_matrix(u32 (&r)[4], const void* row, bool transposed) {
  if ((uintptr_t)row & 15) fail("ldmatrix from an address that is no multiple of 16");
  meet(transposed ? "ldmatrix.trans" : "ldmatrix", row, r, [transposed](Meeting& warp) {
    for (int matrix = 0; matrix < 4; matrix++) {
      int hits[8] = {}, most = 0;
      for (int i = 0; i < 8; i++)
        most = std::max(most, ++hits[(uintptr_t)warp.in[matrix * 8 + i] / 16 % 8]);
      matrix_phases++;
      matrix_cost += most;
    }
    for (int lane = 0; lane < 32; lane++)
      for (int matrix = 0; matrix < 4; matrix++) {
        u32 pair = 0;
        for (int half = 0; half < 2; half++) {
          int row = transposed ? lane % 4 * 2 + half : lane / 4;
          int column = transposed ? lane / 4 : lane % 4 * 2 + half;
          pair |= (u32)((const bf16*)warp.in[matrix * 8 + row])[column] << 16 * half;
        }
        ((u32*)warp.out[lane])[matrix] = pair;
      }
  });
}

struct Fragments { u32 a[4], b[2]; };

// d += A (16 x K) B (K x 8), from the 32 lanes' fragments already unpacked.
template <int K>
void multiply_add(Meeting& warp, const float (&A)[16][K], const float (&B)[K][8]) {
  for (int lane = 0; lane < 32; lane++) {
    float* d = (float*)warp.out[lane];
    for (int e = 0; e < 4; e++) {
      float sum = 0;
      for (int k = 0; k < K; k++) sum += A[lane / 4 + e / 2 * 8][k] * B[k][lane % 4 * 2 + e % 2];
      d[e] += sum;
    }
  }
}

inline float tf32_value(u32 bits) {  // the hardware ignores the lower 13 bits
  bits &= ~0x1fffu;
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

}  // namespace emulator

// ------------------------------------------------------------- the names that kernels use: CUDA's

inline void __syncthreads() {
  emulator::self().at_barrier = true;
  emulator::give_way();
}

inline void __syncwarp(unsigned = ~0u) {
  emulator::meet("__syncwarp", nullptr, nullptr, [](emulator::Meeting&) {});
}

template <class T> T shuffle(const char* name, T value, int argument, int (*source)(int, int)) {
  struct Brought { T value; int argument; } brought{value, argument};
  T received = value;
  emulator::meet(name, &brought, &received, [source](emulator::Meeting& warp) {
    for (int lane = 0; lane < 32; lane++) {
      int from = source(lane, ((const Brought*)warp.in[lane])->argument);
      if (from < 0 || from > 31) from = lane;
      *(T*)warp.out[lane] = ((const Brought*)warp.in[from])->value;
    }
  });
  return received;
}
template <class T> T __shfl_xor_sync(unsigned, T value, int mask) {
  return shuffle("__shfl_xor_sync", value, mask, [](int lane, int mask) { return lane ^ mask; });
}
template <class T> T __shfl_down_sync(unsigned, T value, int by) {
  return shuffle("__shfl_down_sync", value, by, [](int lane, int by) { return lane + by; });
}
template <class T> T __shfl_sync(unsigned, T value, int from) {
  return shuffle("__shfl_sync", value, from, [](int, int from) { return from % 32; });
}

using std::max;
using std::min;
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
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

inline u32 shared_address(const void* pointer) {
  return (u32)((char*)pointer - emulator::shared_base());
}

inline void copy_async(void* to, const void* from, int bytes, bool valid) {
  if (((uintptr_t)to | (uintptr_t)from) & (bytes - 1))
    emulator::fail("cp.async of %d bytes with an address that is no multiple of it", bytes);
  emulator::self().copies.push_back({to, from, bytes, valid});
}
inline void copy_async_16(void* to, const void* from, bool valid) {
  copy_async(to, from, 16, valid);
}
inline void copy_async_4(void* to, const void* from, bool valid) { copy_async(to, from, 4, valid); }
inline void copy_async_commit() {
  emulator::Fiber& fiber = emulator::self();
  fiber.copy_groups.push_back(fiber.copies);
  fiber.copies.clear();
}
template <int N> void copy_async_wait() {
  auto& groups = emulator::self().copy_groups;
  while ((int)groups.size() > N) {
    for (emulator::Copy& copy : groups[0]) {
      if (copy.valid) memcpy(copy.to, copy.from, copy.bytes);
      else memset(copy.to, 0, copy.bytes);
    }
    groups.erase(groups.begin());
  }
}

inline void load_matrix_x4(u32 (&r)[4], const void* row) { emulator::load_matrix(r, row, false); }
inline void load_matrix_x4_transposed(u32 (&r)[4], const void* row) {
  emulator::load_matrix(r, row, true);
}

inline void mma_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  emulator::Fragments brought{{a[0], a[1], a[2], a[3]}, {b0, b1}};
  emulator::meet("mma.m16n8k16", &brought, d, [](emulator::Meeting& warp) {
    float A[16][16], B[16][8];
    for (int lane = 0; lane < 32; lane++) {
      auto* f = (const emulator::Fragments*)warp.in[lane];
      int group = lane / 4, pair = lane % 4 * 2;
      for (int h = 0; h < 2; h++) {
        A[group][pair + h] = emulator::value_of(f->a[0] >> 16 * h);
        A[group + 8][pair + h] = emulator::value_of(f->a[1] >> 16 * h);
        A[group][pair + 8 + h] = emulator::value_of(f->a[2] >> 16 * h);
        A[group + 8][pair + 8 + h] = emulator::value_of(f->a[3] >> 16 * h);
        B[pair + h][group] = emulator::value_of(f->b[0] >> 16 * h);
        B[pair + 8 + h][group] = emulator::value_of(f->b[1] >> 16 * h);
      }
    }
    emulator::multiply_add(warp, A, B);
  });
}

inline void mma_tf32(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  emulator::Fragments brought{{a[0], a[1], a[2], a[3]}, {b0, b1}};
  emulator::meet("mma.m16n8k8", &brought, d, [](emulator::Meeting& warp) {
    float A[16][8], B[8][8];
    for (int lane = 0; lane < 32; lane++) {
      auto* f = (const emulator::Fragments*)warp.in[lane];
      int group = lane / 4, k = lane % 4;
      A[group][k] = emulator::tf32_value(f->a[0]);
      A[group + 8][k] = emulator::tf32_value(f->a[1]);
      A[group][k + 4] = emulator::tf32_value(f->a[2]);
      A[group + 8][k + 4] = emulator::tf32_value(f->a[3]);
      B[k][group] = emulator::tf32_value(f->b[0]);
      B[k + 4][group] = emulator::tf32_value(f->b[1]);
    }
    emulator::multiply_add(warp, A, B);
  });
}

inline u32 pack_bf16(float low, float high) {
  return emulator::nearest_bf16(low) | (u32)emulator::nearest_bf16(high) << 16;
}
inline u32 round_tf32(float x) { return (as_bits(x) + 0x1000) & ~0x1fffu; }
inline float fast_exp2(float x) { return std::exp2(x); }

inline void fence_async_proxy() {}
inline void wgmma_fence() {}

// Element (row, k) of a tile in shared memory that is swizzled by 128 bytes, as its descriptor says.
inline float swizzled_element(u64 descriptor, int row, int k) {
  u64 start = (descriptor & 0x3fff) << 4, eight_rows = (descriptor >> 32 & 0x3fff) << 4;
  u64 address = start + row / 8 * eight_rows + row % 8 * 128 + k * 2;
  address ^= (address >> 7 & 7) << 4;
  return emulator::value_of(*(bf16*)(emulator::shared_base() + address));
}
inline void wgmma_m64n128k16(float (&d)[64], u64 a, u64 b) {
  emulator::self().products.push_back({d, a, b});
}
inline void wgmma_commit() {
  emulator::Fiber& fiber = emulator::self();
  fiber.product_groups.push_back(fiber.products);
  fiber.products.clear();
}
template <int N> void wgmma_wait() {
  auto& groups = emulator::self().product_groups;
  int warp = emulator::self().number % 128 / 32, lane = emulator::self().number % 32;
  while ((int)groups.size() > N) {
    for (emulator::Product& product : groups[0]) {
      float A[2][16], B[16];
      for (int h = 0; h < 2; h++)
        for (int k = 0; k < 16; k++)
          A[h][k] = swizzled_element(product.a, warp * 16 + lane / 4 + h * 8, k);
      for (int column = 0; column < 32; column++) {
        int j = column / 2, e = column % 2;
        for (int k = 0; k < 16; k++) B[k] = swizzled_element(product.b, j * 8 + lane % 4 * 2 + e, k);
        for (int h = 0; h < 2; h++) {
          float sum = 0;
          for (int k = 0; k < 16; k++) sum += A[h][k] * B[k];
          product.d[j * 4 + h * 2 + e] += sum;
        }
      }
    }
    groups.erase(groups.begin());
  }
}
