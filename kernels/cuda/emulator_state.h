// What the parts of the emulator share: the block that runs, its threads and warps, and the
// tallies.
#pragma once
#include <cstdint>
#include <cstdio>
#include <vector>

#include "primitives.cuh"

namespace emulator {

// What Python hands over; the same structures, in the same order, are in emulator.py.
struct Argument {
  void* array;       // or a pointer to the number itself, if bytes is 0
  long long bytes;
  const char* name;
  int constant;
};

struct Tallies {
  long long blocks, barriers;
  long long matrix_phases, matrix_cost;  // ldmatrix: 8 rows of 16 bytes are a phase
  long long shared_phases, shared_cost;  // ordinary loads and stores of shared memory
  long long bytes_read, bytes_written;   // of the arguments
  long long bytes_copied;                // of these, read by cp.async
};

struct Launch {
  unsigned grid[3], block[3];
  unsigned dynamic_shared;
  int early;            // cp.async lands at once and wgmma late; else the other way round
  int races;            // whether threads that meet in shared memory without a barrier are an error
  long long schedule;   // in which order threads run: 0 rising, 1 falling, else a seed
  int count;
  Argument* arguments;
  Tallies* tallies;
};

struct Copy {
  void* to;
  const void* from;
  int bytes;
  bool valid;
  int group;
};

enum class State { ready, in_meeting, at_barrier, done };

struct Fiber {
  void* stack_pointer;
  uint3 thread;
  int number, line;  // line: of the barrier at which it waits
  State state;
  std::vector<Copy> copies;
  int copy_group;    // which the next copy belongs to
  uint16_t fences;   // of the asynchronous proxy, so far
};

struct Product {
  float* d[32];
  const u32* registers[32];  // of A, if it is not in shared memory: then all numbers are TF32
  int columns;
  Operand a, b;
  bool add;
  int group;
};

struct SharedAccess {
  void* instruction;
  u32 address;
  int bytes;
};

struct Warp : Meeting {
  uint16_t clock;  // counts what orders the memory accesses of its lanes
  std::vector<Product> products;
  int product_group;
  std::vector<SharedAccess> log[32];  // since the warp last met
};

extern const Launch* how;
extern Tallies tallies;
extern std::vector<Fiber> fibers;
extern std::vector<Warp> warps;
extern Fiber* self;  // the thread that runs
extern u32 epoch;    // counts barriers and blocks
extern int access_line;           // where the access is made that is being checked, if the call
extern void* access_instruction;  // says so; else the instruction in the kernel

inline Warp& warp_of(const Fiber& fiber) { return warps[fiber.number / 32]; }
[[noreturn]] void fail_of(int thread, const char* format, ...);

// emulator_memory.cpp
const char* prepare_arguments(std::vector<void*>& passed);
void return_arguments();
const char* prepare_shared();
void poison_shared();
void* at_shared_address(u32 address);
void check(const void* address, int bytes, bool write);
void product_begins_to_read(int thread, u32 address, int bytes);
void product_has_read(u32 address, int bytes);
void note_for_conflicts(const void* address, int bytes, void* instruction);
void copy_begins(const Copy& copy);
void copy_lands(const Copy& copy);
void settle_conflicts(Warp& warp);

}  // namespace emulator
