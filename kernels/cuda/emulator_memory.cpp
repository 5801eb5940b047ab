// Every load and store of a kernel is looked at: g++ -fsanitize=thread puts a call before each one,
// and the functions that it calls are defined here, at the end.
//
// Arguments are copied into memory of their own, far from each other, so that any access outside of
// them is known for what it is. Of each byte of shared memory it is remembered who wrote and read
// it since the last barrier: two threads that meet there, one writing, race on a GPU whether or not
// they do here. And of each warp what its lanes asked of the banks of shared memory at the same
// time.
#include <sys/mman.h>

#include <algorithm>
#include <map>

#include "emulator_state.h"

// The section of all __shared__ variables of the kernel; weak, as it may have none.
extern "C" __attribute__((weak, visibility("hidden"))) char __start_shared_memory[];
extern "C" __attribute__((weak, visibility("hidden"))) char __stop_shared_memory[];

namespace emulator {

alignas(1024) unsigned char dynamic_shared[227 << 10];
static u32 first_epoch;  // of this block

// ------------------------------------------------------------------------------------- arguments

constexpr long long APART = 64 << 20;  // bytes of unused addresses on both sides of an array
constexpr long long PAGE = 64 << 10;

struct Held {
  const char* name;
  char *begin, *end;
  bool constant;
};
static char* arena;
static long long arena_size;
static std::vector<Held> held;
static std::vector<void*> pointers;  // what the kernel gets for each argument that is an array

// Arrays that overlap, as in a kernel that works in place, keep their distance in the copy.
const char* prepare_arguments(std::vector<void*>& passed) {
  std::vector<const Argument*> arrays;
  for (int i = 0; i < how->count; i++)
    if (how->arguments[i].bytes >= 0 && how->arguments[i].array)
      arrays.push_back(&how->arguments[i]);
  std::sort(arrays.begin(), arrays.end(), [](const Argument* a, const Argument* b) {
    return a->array < b->array;
  });
  arena_size = APART;
  for (const Argument* a : arrays) arena_size += a->bytes + 2 * PAGE + APART;
  arena = (char*)mmap(nullptr, arena_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                      -1, 0);
  if (arena == MAP_FAILED) return "there is no memory for copies of the arguments";
  held.clear();
  std::map<const Argument*, char*> places;
  char *next = arena + APART, *reached = nullptr, *origin = nullptr;
  for (const Argument* a : arrays) {
    char* array = (char*)a->array;
    if (!reached || array >= reached) {  // overlaps none before it
      if (reached) next += (reached - origin + 2 * PAGE - 1) / PAGE * PAGE + APART;
      origin = array;
      reached = array;
    }
    char* copy = next + (array - origin);
    reached = std::max(reached, array + a->bytes);
    long long used = (next + (reached - origin) - arena + PAGE - 1) / PAGE * PAGE;
    mprotect(next, arena + used - next, PROT_READ | PROT_WRITE);
    memcpy(copy, array, a->bytes);
    held.push_back({a->name, copy, copy + a->bytes, a->constant != 0});
    places[a] = copy;
  }
  pointers.assign(how->count, nullptr);
  passed.assign(how->count, nullptr);
  for (int i = 0; i < how->count; i++) {
    const Argument& a = how->arguments[i];
    if (places.count(&a)) pointers[i] = places[&a];
    passed[i] = a.bytes >= 0 ? (void*)&pointers[i] : a.array;
  }
  return nullptr;
}

void return_arguments() {
  for (int i = 0; i < how->count; i++) {
    const Argument& a = how->arguments[i];
    if (a.bytes >= 0 && a.array && !a.constant) memcpy(a.array, pointers[i], a.bytes);
  }
  munmap(arena, arena_size);
}

// An access to the arena that lies in no argument, or writes to a constant one.
[[noreturn]] static void refuse(char* address, int bytes, bool write) {
  const char* does = write ? "writes" : "reads";
  Held* nearest = nullptr;
  long long least = 0;
  for (Held& a : held) {
    if (a.begin <= address && address + bytes <= a.end)
      fail("writes to %s, which is constant, at byte %lld", a.name, (long long)(address - a.begin));
    long long distance = address < a.begin ? a.begin - address : address - a.end + 1;
    if (!nearest || distance < least) {
      nearest = &a;
      least = distance;
    }
  }
  fail("%s %d bytes at byte %lld of %s, which has %lld", does, bytes,
       (long long)(address - nearest->begin), nearest->name,
       (long long)(nearest->end - nearest->begin));
}

static void check_argument(char* address, int bytes, bool write) {
  static size_t last;  // most accesses go where the one before went
  for (size_t i = 0; i <= held.size(); i++) {
    size_t n = i ? i - 1 : last;
    if (n >= held.size()) continue;
    Held& a = held[n];
    if (address < a.begin || address + bytes > a.end || (write && a.constant)) continue;
    last = n;
    (write ? tallies.bytes_written : tallies.bytes_read) += bytes;
    return;
  }
  refuse(address, bytes, write);
}

// ---------------------------------------------------------------------------------- shared memory

// A block's shared memory as the 32-bit addresses of PTX: the declared variables, then the dynamic.
constexpr int MOST_DECLARED = 48 << 10, MOST = 227 << 10;

static int declared() { return __stop_shared_memory - __start_shared_memory; }
static int dynamic_begins() { return (declared() + 1023) / 1024 * 1024; }

const char* prepare_shared() {
  static char text[200];
  int dynamic = how->dynamic_shared;
  snprintf(text, sizeof text,
           "%d bytes of declared and %d of dynamic shared memory: a block has at most %d declared "
           "and %d in all", declared(), dynamic, MOST_DECLARED, MOST);
  return declared() > MOST_DECLARED || declared() + dynamic > MOST ? text : nullptr;
}

static void forget_shared();  // who has touched it

void poison_shared() {
  forget_shared();
  memset(__start_shared_memory, 0xff, declared());
  memset(dynamic_shared, 0xff, how->dynamic_shared);
}

// The address in shared memory, or -1.
static long long shared_offset(const void* pointer) {
  const char* p = (const char*)pointer;
  if (p >= __start_shared_memory && p < __stop_shared_memory) return p - __start_shared_memory;
  const char* dynamic = (const char*)dynamic_shared;
  if (p >= dynamic && p < dynamic + MOST) return dynamic_begins() + (p - dynamic);
  return -1;
}

u32 shared_address(const void* pointer) {
  long long offset = shared_offset(pointer);
  if (offset < 0) fail("the address of a variable that is not in shared memory was asked for");
  return (u32)offset;
}

void* at_shared_address(u32 address) {
  if ((int)address < declared()) return __start_shared_memory + address;
  return dynamic_shared + (address - dynamic_begins());
}

// ------------------------------------------------------------------------------------------ races

// Who touched a byte last: a thread, or several lanes of a warp (SOME_LANES | warp), or ANYONE.
constexpr uint16_t SOME_LANES = 0x8000, ANYONE = 0xffff;

struct Access {
  u32 epoch;
  uint16_t clock, who;
};

struct Byte {
  Access write, read;
  u32 awaited;       // the epoch in which a cp.async to here was issued, 0 when it was waited for
  uint16_t awaiter;  // the thread that issued it
  uint16_t fences;   // how many fences of the asynchronous proxy the writer had made
  uint16_t in_use;   // by how many products that nobody has waited for yet
};
static Byte bytes_of_shared[(MOST_DECLARED + 1024) + MOST];
static long long in_use;  // the sum of theirs

static void forget_shared() {
  first_epoch = epoch;
  // Products that nobody waited for leave their marks.
  if (in_use) memset(bytes_of_shared, 0, sizeof bytes_of_shared);
  in_use = 0;
}

// Whether nothing orders an earlier access before one by this thread, now.
static bool races(const Access& earlier, int thread) {
  if (earlier.epoch != epoch || earlier.who == thread) return false;
  if (earlier.who == ANYONE) return true;
  int warp = earlier.who & SOME_LANES ? earlier.who & ~SOME_LANES : earlier.who / 32;
  return warp != thread / 32 || earlier.clock == warps[warp].clock;
}

static void note_read(Access& read, int thread) {
  uint16_t warp = thread / 32, clock = warps[warp].clock;
  Access now{epoch, clock, (uint16_t)thread};
  if (read.epoch != epoch || read.who == thread) {
    read = now;
  } else if (read.who != ANYONE) {
    int other = read.who & SOME_LANES ? read.who & ~SOME_LANES : read.who / 32;
    if (other != warp) read.who = ANYONE;
    else if (read.clock != clock) read = now;
    else read.who = SOME_LANES | warp;
  }
}

static const char* name_of(const Access& access) {
  static char text[60];
  if (access.who == ANYONE) return "several threads";
  if (access.who & SOME_LANES) {
    snprintf(text, sizeof text, "lanes of warp %d", access.who & ~SOME_LANES);
  } else {
    uint3 t = fibers[access.who].thread;
    snprintf(text, sizeof text, "thread (%u, %u, %u)", t.x, t.y, t.z);
  }
  return text;
}

static void check_races(int thread, long long offset, int bytes, bool write) {
  for (Byte* b = bytes_of_shared + offset; b < bytes_of_shared + offset + bytes; b++) {
    const char* does = write ? "writes" : "reads";
    if (b->awaited >= first_epoch && how->races)
      fail_of(thread,
              "%s shared memory at %lld, where the cp.async of thread %d has not been waited for",
              does, offset, b->awaiter);
    if (races(b->write, thread) && how->races)
      fail_of(thread, "%s shared memory at %lld, which %s wrote with no barrier between", does,
              offset, name_of(b->write));
    if (write && b->in_use && how->races)
      fail_of(thread,
              "writes shared memory at %lld, which a wgmma that has not been waited for reads",
              offset);
    if (!write) {
      note_read(b->read, thread);
      continue;
    }
    if (races(b->read, thread) && how->races)
      fail_of(thread, "writes shared memory at %lld, which %s read with no barrier between", offset,
              name_of(b->read));
    b->write = {epoch, warps[thread / 32].clock, (uint16_t)thread};
    b->fences = fibers[thread].fences;
  }
}

static void check_bounds(int thread, long long offset, int bytes, bool write) {
  long long end = dynamic_begins() + how->dynamic_shared;
  if (offset + bytes > end || (!how->dynamic_shared && offset + bytes > declared()))
    fail_of(thread,
            "%s shared memory at byte %lld, but the launch asked for %u dynamic bytes and the "
            "kernel declares %d", write ? "writes" : "reads", offset, how->dynamic_shared,
            declared());
}

// cp.async: the bytes belong to nobody from its issue until its thread has waited for it.
void copy_begins(const Copy& copy) {
  if (copy.valid) {
    check(copy.from, copy.bytes, false);
    tallies.bytes_copied += copy.bytes;
  }
  long long offset = shared_offset(copy.to);
  if (offset < 0) fail("cp.async to an address that is not in shared memory");
  check_bounds(self->number, offset, copy.bytes, true);
  check_races(self->number, offset, copy.bytes, true);
  for (int i = 0; i < copy.bytes; i++) {
    bytes_of_shared[offset + i].awaited = epoch;
    bytes_of_shared[offset + i].awaiter = self->number;
  }
}

void copy_lands(const Copy& copy) {
  Byte* b = bytes_of_shared + shared_offset(copy.to);
  for (int i = 0; i < copy.bytes; i++, b++) {
    b->awaited = 0;
    b->write = {epoch, warp_of(*self).clock, (uint16_t)self->number};
    b->fences = self->fences;
  }
}

// What wgmma reads must have been fenced off from ordinary writes, by the thread that wrote it.
void product_begins_to_read(int thread, u32 address, int bytes) {
  check_bounds(thread, address, bytes, false);
  check_races(thread, address, bytes, false);
  for (u32 i = address; i < address + bytes && how->races; i++) {
    Byte& b = bytes_of_shared[i];
    if (b.write.epoch >= first_epoch && fibers[b.write.who].fences == b.fences)
      fail_of(thread, "wgmma reads shared memory at %u, which thread %d wrote with no "
              "fence_async_proxy after it", address, b.write.who);
    b.in_use++;
    in_use++;
  }
}

void product_has_read(u32 address, int bytes) {
  for (u32 i = address; i < address + bytes && how->races; i++) {
    bytes_of_shared[i].in_use--;
    in_use--;
  }
}

// ----------------------------------------------------------------------------------------- banks

constexpr int BANKS = 32;  // of 4 bytes

// One access of a warp, in as many phases as its width needs; a phase costs the most words that it
// asks of one bank.
static void settle(const SharedAccess* const* lanes, int count) {
  int in_a_phase = BANKS * 4 / std::max(4, lanes[0]->bytes);
  for (int first = 0; first < count; first += in_a_phase) {
    u32 words[BANKS][32];
    int asked[BANKS] = {}, most = 1;
    for (int lane = first; lane < std::min(count, first + in_a_phase); lane++) {
      u32 end = lanes[lane]->address + lanes[lane]->bytes;
      for (u32 w = lanes[lane]->address / 4; w * 4 < end; w++) {
        u32* known = words[w % BANKS];
        int& n = asked[w % BANKS];
        if (std::find(known, known + n, w) != known + n) continue;
        known[n++] = w;
        most = std::max(most, n);
      }
    }
    tallies.shared_phases++;
    tallies.shared_cost += most;
  }
}

// The lanes' accesses since the warp last met, put side by side: the n-th time at an instruction.
void settle_conflicts(Warp& warp) {
  size_t length = warp.log[0].size();
  bool alike = true;
  for (int lane = 1; lane < 32 && alike; lane++) {
    alike = warp.log[lane].size() == length;
    for (size_t i = 0; alike && i < length; i++)
      alike = warp.log[lane][i].instruction == warp.log[0][i].instruction;
  }
  const SharedAccess* lanes[32];
  if (alike) {
    for (size_t i = 0; i < length; i++) {
      for (int lane = 0; lane < 32; lane++) lanes[lane] = &warp.log[lane][i];
      settle(lanes, 32);
    }
  } else {
    std::map<std::pair<void*, int>, std::vector<const SharedAccess*>> together;
    for (auto& log : warp.log) {
      std::map<void*, int> times;
      for (SharedAccess& access : log)
        together[{access.instruction, times[access.instruction]++}].push_back(&access);
    }
    for (auto& [key, accesses] : together) settle(accesses.data(), accesses.size());
  }
  for (auto& log : warp.log) log.clear();
}

// ------------------------------------------------------------------------------- every load and st

void check(const void* pointer, int bytes, bool write) {
  char* address = (char*)pointer;
  long long offset = shared_offset(address);
  if (offset >= 0) {
    if (offset % bytes) fail("%d bytes of shared memory at %lld, no multiple of it", bytes, offset);
    check_bounds(self->number, offset, bytes, write);
    check_races(self->number, offset, bytes, write);
  } else if (address >= arena && address < arena + arena_size) {
    check_argument(address, bytes, write);
    if ((uintptr_t)address % bytes) fail("%d bytes at an address that is no multiple of it", bytes);
  } else if ((uintptr_t)address < 65536) {
    fail("%s through a null pointer", write ? "writes" : "reads");
  }
}

void note_for_conflicts(const void* address, int bytes, void* instruction) {
  long long offset = shared_offset(address);
  if (offset >= 0)
    warp_of(*self).log[self->number % 32].push_back({instruction, (u32)offset, bytes});
}

float add_atomically(float* to, float value) {
  if (shared_offset(to) < 0) check(to, 4, true);
  float before = *to;
  *to += value;
  return before;
}

}  // namespace emulator

// Where g++ calls before an access: one function for each size and kind.
#define HOOK(name, bytes, write) \
  extern "C" void name(void* address) { \
    emulator::access_instruction = __builtin_return_address(0); \
    emulator::check(address, bytes, write); \
    emulator::note_for_conflicts(address, bytes, __builtin_return_address(0)); \
  }
HOOK(__tsan_read1, 1, false)
HOOK(__tsan_read2, 2, false)
HOOK(__tsan_read4, 4, false)
HOOK(__tsan_read8, 8, false)
HOOK(__tsan_read16, 16, false)
HOOK(__tsan_write1, 1, true)
HOOK(__tsan_write2, 2, true)
HOOK(__tsan_write4, 4, true)
HOOK(__tsan_write8, 8, true)
HOOK(__tsan_write16, 16, true)
HOOK(__tsan_unaligned_read2, 2, false)
HOOK(__tsan_unaligned_read4, 4, false)
HOOK(__tsan_unaligned_read8, 8, false)
HOOK(__tsan_unaligned_read16, 16, false)
HOOK(__tsan_unaligned_write2, 2, true)
HOOK(__tsan_unaligned_write4, 4, true)
HOOK(__tsan_unaligned_write8, 8, true)
HOOK(__tsan_unaligned_write16, 16, true)
extern "C" void __tsan_read_range(char* address, long bytes) {
  for (long i = 0; i < bytes; i++) emulator::check(address + i, 1, false);
}
extern "C" void __tsan_write_range(char* address, long bytes) {
  for (long i = 0; i < bytes; i++) emulator::check(address + i, 1, true);
}
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
