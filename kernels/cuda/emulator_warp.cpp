// What a warp does as one, and what the hardware does beside the threads.
//
// cp.async and wgmma run at a time of the hardware's choosing between their issue and the wait for
// them. Two extremes are played. Late: copies land when they are waited for and products read
// shared memory at once, which shows data that is used before it has come. Early: copies land at
// once and products read shared memory when they are waited for, which shows data that is
// overwritten while it is still being read.
#include <algorithm>

#include "emulator_state.h"

namespace emulator {

// ------------------------------------------------------------------------------------------ cp.asy

static void move(const Copy& copy) {
  if (copy.valid) memcpy(copy.to, copy.from, copy.bytes);
  else memset(copy.to, 0, copy.bytes);
}

void copy_async(void* to, const void* from, int bytes, bool valid, int line) {
  access_line = line;
  if (((uintptr_t)to | (uintptr_t)from) % bytes)
    fail("cp.async of %d bytes with an address that is no multiple of it", bytes);
  Copy copy{to, from, bytes, valid, self->copy_group};
  copy_begins(copy);
  if (how->early) move(copy);
  self->copies.push_back(copy);
  access_line = 0;
}

void copy_async_commit() { self->copy_group++; }

void copy_async_wait(int newest) {
  auto& copies = self->copies;
  size_t landed = 0;
  while (landed < copies.size() && copies[landed].group < self->copy_group - newest) {
    if (!how->early) move(copies[landed]);
    copy_lands(copies[landed++]);
  }
  copies.erase(copies.begin(), copies.begin() + landed);
}

// ------------------------------------------------------------------------------------------ ldmatr

void load_matrix(u32 (&r)[4], const void* row, bool transposed, int line) {
  access_line = line;
  if ((uintptr_t)row % 16) fail("ldmatrix from an address that is no multiple of 16");
  shared_address(row);  // which it must have
  check(row, 16, false);
  access_line = 0;
  const char* name = transposed ? "ldmatrix.trans" : "ldmatrix";
  meet(name, row, r, [transposed](Meeting& warp) {
    for (int matrix = 0; matrix < 4; matrix++) {
      // Its 8 rows of 16 bytes are read at once if they lie in 8 different groups of 4 banks.
      int hits[8] = {}, most = 0;
      for (int i = 0; i < 8; i++) {
        bool known = false;
        for (int j = 0; j < i; j++) known |= warp.in[matrix * 8 + i] == warp.in[matrix * 8 + j];
        int& group = hits[(uintptr_t)warp.in[matrix * 8 + i] / 16 % 8];
        most = std::max(most, group += !known);
      }
      tallies.matrix_phases++;
      tallies.matrix_cost += most;
      for (int lane = 0; lane < 32; lane++) {
        u32 pair = 0;
        for (int half = 0; half < 2; half++) {
          int row = transposed ? lane % 4 * 2 + half : lane / 4;
          int column = transposed ? lane / 4 : lane % 4 * 2 + half;
          pair |= (u32)((const bf16*)warp.in[matrix * 8 + row])[column] << 16 * half;
        }
        ((u32*)warp.out[lane])[matrix] = pair;
      }
    }
  }, line);
}

// ---------------------------------------------------------------------------------------------- mm

struct Fragments { u32 a[4], b[2]; };

// d += A (16 x K) B (K x 8), from the 32 lanes' fragments already unpacked.
template <int K>
static void multiply_add(Meeting& warp, const float (&A)[16][K], const float (&B)[K][8]) {
  float D[16][8] = {};
  for (int i = 0; i < 16; i++)
    for (int k = 0; k < K; k++)
      for (int j = 0; j < 8; j++) D[i][j] += A[i][k] * B[k][j];
  for (int lane = 0; lane < 32; lane++)
    for (int e = 0; e < 4; e++)
      ((float*)warp.out[lane])[e] += D[lane / 4 + e / 2 * 8][lane % 4 * 2 + e % 2];
}

void multiply_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, int line) {
  Fragments brought{{a[0], a[1], a[2], a[3]}, {b0, b1}};
  meet("mma.m16n8k16", &brought, d, [](Meeting& warp) {
    float A[16][16], B[16][8];
    for (int lane = 0; lane < 32; lane++) {
      auto* f = (const Fragments*)warp.in[lane];
      int group = lane / 4, pair = lane % 4 * 2;
      for (int h = 0; h < 2; h++) {
        A[group][pair + h] = value_of(f->a[0] >> 16 * h);
        A[group + 8][pair + h] = value_of(f->a[1] >> 16 * h);
        A[group][pair + 8 + h] = value_of(f->a[2] >> 16 * h);
        A[group + 8][pair + 8 + h] = value_of(f->a[3] >> 16 * h);
        B[pair + h][group] = value_of(f->b[0] >> 16 * h);
        B[pair + 8 + h][group] = value_of(f->b[1] >> 16 * h);
      }
    }
    multiply_add(warp, A, B);
  }, line);
}

static float tf32_value(u32 bits) {  // the hardware ignores the lower 13 bits
  bits &= ~0x1fffu;
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

void multiply_tf32(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, int line) {
  Fragments brought{{a[0], a[1], a[2], a[3]}, {b0, b1}};
  meet("mma.m16n8k8", &brought, d, [](Meeting& warp) {
    float A[16][8], B[8][8];
    for (int lane = 0; lane < 32; lane++) {
      auto* f = (const Fragments*)warp.in[lane];
      int group = lane / 4, k = lane % 4;
      A[group][k] = tf32_value(f->a[0]);
      A[group + 8][k] = tf32_value(f->a[1]);
      A[group][k + 4] = tf32_value(f->a[2]);
      A[group + 8][k + 4] = tf32_value(f->a[3]);
      B[k][group] = tf32_value(f->b[0]);
      B[k + 4][group] = tf32_value(f->b[1]);
    }
    multiply_add(warp, A, B);
  }, line);
}

// -------------------------------------------------------------------------------------------- wgmm

// Sixteen bytes of an operand: 8 elements along k, or of 8 lines where its rows lie across k. A
// line is a row of A or a column of B. Elements have 2 bytes; one of TF32 counts as two.
//
// A tile's rows are 128 bytes; of 8 rows, the chunks of 16 bytes are swizzled. Eight rows begin
// after `stride` bytes; across k, 64 lines fill a row, and the next 64 begin after `leading` bytes.
static u32 chunk_address(const Operand& operand, int line, int k) {
  u64 d = operand.descriptor;
  u32 start = (d & 0x3fff) << 4;
  u32 leading = (d >> 16 & 0x3fff) << 4;
  u32 stride = (d >> 32 & 0x3fff) << 4;
  u32 address = operand.across_k
      ? start + line / 64 * leading + line % 64 * 2 + k / 8 * stride + k % 8 * 128
      : start + line / 8 * stride + line % 8 * 128 + k * 2;
  return address ^ (address >> 7 & 7) << 4;
}

// Calls `use(address, line, k)` for all chunks of `lines` lines.
template <class Use>
static void each_chunk(const Operand& operand, int first, int lines, Use use) {
  int line_step = operand.across_k ? 8 : 1, k_step = operand.across_k ? 1 : 8;
  for (int line = first; line < first + lines; line += line_step)
    for (int k = 0; k < 16; k += k_step) use(chunk_address(operand, line, k), line, k);
}

static void read_lines(const Operand& operand, int first, int lines, float (*values)[16]) {
  each_chunk(operand, first, lines, [&](u32 address, int line, int k) {
    const bf16* elements = (const bf16*)at_shared_address(address);
    for (int e = 0; e < 8; e++) {
      if (operand.across_k) values[line - first + e][k] = value_of(elements[e]);
      else values[line - first][k + e] = value_of(elements[e]);
    }
  });
}

static void read_tf32(const Operand& operand, int lines, float (*values)[16]) {
  each_chunk(operand, 0, lines, [&](u32 address, int line, int k) {
    const u32* elements = (const u32*)at_shared_address(address);
    for (int e = 0; e < 4; e++) values[line][k / 2 + e] = tf32_value(elements[e]);
  });
}

static void read_registers(const Product& product, float (*values)[16]) {
  for (int lane = 0; lane < 32; lane++)
    for (int e = 0; e < 4; e++)
      values[lane / 4 + e % 2 * 8][lane % 4 + e / 2 * 4] = tf32_value(product.registers[lane][e]);
}

// The memory that a warp's product reads is watched from its issue until it is waited for.
static void watch(bool begin, const Product& product, int warp) {
  auto note = [&](u32 address, int, int) {
    if (begin) product_begins_to_read(warp * 32, address, 16);
    else product_has_read(address, 16);
  };
  if (!product.registers[0]) each_chunk(product.a, warp % 4 * 16, 16, note);
  each_chunk(product.b, 0, product.columns, note);
}

// A warp computes 16 of the warpgroup's 64 rows.
static void multiply(const Product& product, int warp) {
  static float A[16][16], B[256][16], transposed[16][256];
  const bool tf32 = product.registers[0];
  const int depth = tf32 ? 8 : 16;
  if (tf32) {
    read_registers(product, A);
    read_tf32(product.b, product.columns, B);
  } else {
    read_lines(product.a, warp % 4 * 16, 16, A);
    read_lines(product.b, 0, product.columns, B);
  }
  for (int k = 0; k < depth; k++)
    for (int j = 0; j < product.columns; j++) transposed[k][j] = B[j][k];
  for (int i = 0; i < 16; i++) {
    float sums[256] = {};
    for (int k = 0; k < depth; k++)
      for (int j = 0; j < product.columns; j++) sums[j] += A[i][k] * transposed[k][j];
    for (int j = 0; j < product.columns; j++) {
      float& d = product.d[i % 8 * 4 + j % 8 / 2][j / 8 * 4 + i / 8 * 2 + j % 2];
      d = product.add ? d + sums[j] : sums[j];
    }
  }
}

void fence_async_proxy() { self->fences++; }

void issue_product(float* d, int columns, Operand a, Operand b, bool add, int line) {
  if (Meeting* meeting = arrive("wgmma", a.registers, d, line)) {
    access_line = line;
    Warp& warp = *static_cast<Warp*>(meeting);
    int number = &warp - warps.data();
    Product product{{}, {}, columns, a, b, add, warp.product_group};
    for (int lane = 0; lane < 32; lane++) {
      product.d[lane] = (float*)warp.out[lane];
      product.registers[lane] = (const u32*)warp.in[lane];
    }
    if ((!a.registers && a.descriptor >> 62 != 1) || b.descriptor >> 62 != 1)
      fail("wgmma: only operands with a 128-byte swizzle are supported");
    watch(true, product, number);
    if (!how->early) multiply(product, number);
    warp.products.push_back(product);
    access_line = 0;
    part(warp);
  }
}

void commit_products(int line) {
  if (Meeting* meeting = arrive("wgmma.commit_group", nullptr, nullptr, line)) {
    static_cast<Warp*>(meeting)->product_group++;
    part(*meeting);
  }
}

void wait_for_products(int newest, int line) {
  if (Meeting* meeting = arrive("wgmma.wait_group", nullptr, nullptr, line)) {
    Warp& warp = *static_cast<Warp*>(meeting);
    int number = &warp - warps.data();
    access_line = line;
    size_t done = 0;
    while (done < warp.products.size() &&
           warp.products[done].group < warp.product_group - newest) {
      const Product& product = warp.products[done++];
      if (how->early) multiply(product, number);
      watch(false, product, number);
    }
    access_line = 0;
    warp.products.erase(warp.products.begin(), warp.products.begin() + done);
    part(warp);
  }
}

}  // namespace emulator
