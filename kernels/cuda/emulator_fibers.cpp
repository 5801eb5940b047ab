// Threads of a block as fibers on the CPU: one runs until it must wait, then another takes its
// turn.
#include <dlfcn.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdarg>
#include <random>
#include <string>

#include "emulator_state.h"

uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

const Launch* how;
Tallies tallies;
std::vector<Fiber> fibers;
std::vector<Warp> warps;
Fiber* self;
u32 epoch;
int access_line;
void* access_instruction;

static void (*kernel)(void**);
static std::vector<void*> passed;
static std::string broken;  // the first rule that was broken
static int living, waiting;  // threads that have not returned; those at a barrier

// ------------------------------------------------------------------------- switching between stack

// A stack's size is no power of two, so that the frames of many threads do not share cache sets.
constexpr size_t STACK = (128 << 10) + 1344;
constexpr int MOST_THREADS = 1024;
static char* stacks;
static void* scheduler;  // its stack pointer, while a fiber runs

static void leave();  // this fiber, for the scheduler

static void run_thread() {
  kernel(passed.data());
  self->state = State::done;
  living--;
  leave();
}

#if defined(__x86_64__)
// Save what a function call must preserve, remember the stack pointer, continue on the other stack.
extern "C" void emulator_switch(void** save, void* load) __asm__("emulator_switch");
__asm__(
    ".text\n"
    "emulator_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n");
static void prepare_stack(Fiber& fiber) {
  uintptr_t top = (uintptr_t)(stacks + STACK * (fiber.number + 1)) & ~(uintptr_t)63;
  void** slots = (void**)top - 8;
  for (int i = 0; i < 6; i++) slots[i] = nullptr;  // the saved registers
  slots[6] = (void*)run_thread;                    // where `ret` goes
  slots[7] = nullptr;
  fiber.stack_pointer = slots;
}
static void enter(Fiber& fiber) { emulator_switch(&scheduler, fiber.stack_pointer); }
static void leave() { emulator_switch(&self->stack_pointer, scheduler); }
#else
static ucontext_t contexts[MOST_THREADS], main_context;
static void prepare_stack(Fiber& fiber) {
  ucontext_t& context = contexts[fiber.number];
  getcontext(&context);
  context.uc_stack.ss_sp = stacks + STACK * fiber.number;
  context.uc_stack.ss_size = STACK;
  makecontext(&context, run_thread, 0);
}
static void enter(Fiber& fiber) { swapcontext(&main_context, &contexts[fiber.number]); }
static void leave() { swapcontext(&contexts[self->number], &main_context); }
#endif

// ------------------------------------------------------------------------------- when a rule break

static void report(int thread, const char* format, va_list values) {
  if (!broken.empty()) return;
  char where[120], what[500];
  uint3 t = fibers[thread].thread;
  snprintf(where, sizeof where, "block (%u, %u, %u), thread (%u, %u, %u): ", blockIdx.x, blockIdx.y,
           blockIdx.z, t.x, t.y, t.z);
  vsnprintf(what, sizeof what, format, values);
  broken = std::string(where) + what;
  Dl_info library;
  if (access_line) broken += " (line " + std::to_string(access_line) + ")";
  else if (access_instruction && dladdr(access_instruction, &library))
    // emulator.py puts the line here
    broken += " [" + std::to_string((char*)access_instruction - (char*)library.dli_fbase) + "]";
}

// The launch ends here: the scheduler sees that something is broken and never comes back.
[[noreturn]] static void stop() {
  leave();
  __builtin_trap();
}

void fail(const char* format, ...) {
  va_list values;
  va_start(values, format);
  report(self->number, format, values);
  va_end(values);
  stop();
}

void fail_of(int thread, const char* format, ...) {
  va_list values;
  va_start(values, format);
  report(thread, format, values);
  va_end(values);
  stop();
}

static void report_of(int thread, const char* format, ...) {
  va_list values;
  va_start(values, format);
  report(thread, format, values);
  va_end(values);
}

// -------------------------------------------------------------------------------- warps and barrie

Meeting* arrive(const char* instruction, const void* in, void* out, int line) {
  int lane = self->number % 32;
  Warp& warp = warp_of(*self);
  access_instruction = nullptr;
  if (warp.arrived == 0) {
    warp.instruction = instruction;
    warp.line = line;
  } else if (warp.instruction != instruction && strcmp(warp.instruction, instruction)) {
    fail("the warp diverged: %s (line %d) here, %s (line %d) in another lane", instruction, line,
         warp.instruction, warp.line);
  } else if (warp.line != line) {
    fail("the warp diverged: %s of line %d here, of line %d in another lane", instruction, line,
         warp.line);
  }
  warp.in[lane] = in;
  warp.out[lane] = out;
  if (++warp.arrived == 32) return &warp;
  self->state = State::in_meeting;
  leave();
  return nullptr;
}

void part(Meeting& meeting) {
  Warp& warp = static_cast<Warp&>(meeting);
  settle_conflicts(warp);
  warp.arrived = 0;
  Fiber* lanes = &fibers[(&warp - warps.data()) * 32];
  for (int lane = 0; lane < 32; lane++) lanes[lane].state = State::ready;
}

void synchronise_warp(int line) {
  if (Meeting* meeting = arrive("__syncwarp", nullptr, nullptr, line)) {
    static_cast<Warp*>(meeting)->clock++;
    part(*meeting);
  }
}

void barrier(int line) {
  access_instruction = nullptr;
  self->state = State::at_barrier;
  self->line = line;
  waiting++;
  leave();
}

static void open_barrier() {
  for (Fiber& fiber : fibers) {
    if (fiber.line != fibers[0].line) {
      report_of(fiber.number, "__syncthreads of line %d, while thread 0 is at that of line %d",
                fiber.line, fibers[0].line);
      return;
    }
    fiber.state = State::ready;
  }
  for (Warp& warp : warps) settle_conflicts(warp);
  waiting = 0;
  epoch++;
  tallies.barriers++;
}

// Nobody can run and somebody has not returned: say why.
static void explain_deadlock() {
  for (Fiber& fiber : fibers) {
    if (fiber.state != State::in_meeting) continue;
    Warp& warp = warp_of(fiber);
    report_of(fiber.number,
              "waits in %s (line %d) for lanes of its warp that never come: %d of 32 do",
              warp.instruction, warp.line, warp.arrived);
    return;
  }
  for (Fiber& fiber : fibers)
    if (fiber.state == State::at_barrier)
      report_of(fiber.number, "__syncthreads (line %d) was reached by %d of %d threads, the others "
                "have returned", fiber.line, waiting, (int)fibers.size());
}

// -------------------------------------------------------------------------------- blocks and launc

static void prepare_block(int count) {
  fibers.resize(count);
  warps.resize((count + 31) / 32);
  for (int n = 0; n < count; n++) {
    Fiber& fiber = fibers[n];
    unsigned x = blockDim.x, y = blockDim.y, u = n;
    fiber.thread = {u % x, u / x % y, u / (x * y)};
    fiber.number = n;
    fiber.line = fiber.copy_group = fiber.fences = 0;
    fiber.state = State::ready;
    fiber.copies.clear();
    prepare_stack(fiber);
  }
  for (Warp& warp : warps) {
    warp.arrived = warp.clock = warp.product_group = 0;
    warp.products.clear();
    for (auto& log : warp.log) log.clear();
  }
  living = count;
  waiting = 0;
  epoch++;
  poison_shared();
}

// Let those of `count` threads that can run do so until they must wait; false if there were none.
static bool take_turns(const int* threads, int count) {
  bool moved = false;
  for (int i = 0; i < count && broken.empty(); i++) {
    Fiber& fiber = fibers[threads[i]];
    if (fiber.state != State::ready) continue;
    self = &fiber;
    threadIdx = fiber.thread;
    moved = true;
    enter(fiber);
  }
  return moved;
}

// By a seed, all threads advance together in ever new orders. Rising or falling, each warp runs as
// far ahead of the others as barriers let it.
static void run_block(std::vector<int>& order) {
  int count = order.size();
  prepare_block(count);
  std::mt19937 random(how->schedule);
  while (living) {
    bool moved = false;
    if (how->schedule > 1) {
      std::shuffle(order.begin(), order.end(), random);
      moved = take_turns(order.data(), count);
    } else {
      for (int first = 0; first < count; first += 32)
        while (take_turns(&order[first], std::min(32, count - first))) moved = true;
    }
    if (!moved && living && broken.empty()) {
      if (waiting == count) open_barrier();
      else explain_deadlock();
    }
    if (!broken.empty()) return;
  }
  for (Warp& warp : warps) settle_conflicts(warp);
  tallies.blocks++;
}

static void run_grid() {
  const unsigned* grid = how->grid;
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {how->block[0], how->block[1], how->block[2]};
  std::vector<int> order(blockDim.x * blockDim.y * blockDim.z);
  for (int i = 0; i < (int)order.size(); i++) order[i] = i;
  if (how->schedule == 1) std::reverse(order.begin(), order.end());
  for (unsigned z = 0; z < grid[2]; z++)
    for (unsigned y = 0; y < grid[1]; y++)
      for (unsigned x = 0; x < grid[0]; x++) {
        blockIdx = {x, y, z};
        run_block(order);
        if (!broken.empty()) return;
      }
}

const char* launch(const Launch& asked, void (*function)(void**)) {
  how = &asked;
  kernel = function;
  access_line = 0;
  access_instruction = nullptr;
  tallies = {};
  broken.clear();
  if (asked.block[0] * asked.block[1] * asked.block[2] > MOST_THREADS)
    return "a block has at most 1024 threads";
  if (!stacks) {
    void* memory = mmap(nullptr, STACK * MOST_THREADS, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return "there is no memory for the threads' stacks";
    stacks = (char*)memory;
  }
  if (const char* problem = prepare_shared()) return problem;
  if (const char* problem = prepare_arguments(passed)) return problem;
  run_grid();
  return_arguments();
  *asked.tallies = tallies;
  return broken.empty() ? nullptr : broken.c_str();
}

}  // namespace emulator
