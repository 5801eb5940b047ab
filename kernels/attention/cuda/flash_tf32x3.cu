// FlashAttention forward at the accuracy of float32, on tensor cores: out = softmax(scale Q Kᵀ) V.
//
// Dao 2023, "FlashAttention-2", arXiv:2307.08691, algorithm 1, with the steps (1) to (5) that
// flash_bf16.cu writes out. A block owns WARPS ROW_TILES 16 queries of a head and walks over the
// keys in tiles of STEP.
//
// Idea: tensor cores multiply TF32, numbers of 11 bits, 8 times as fast as the float32 units
// multiply numbers of 24. Split in two, a float32 takes three of their products (tf32x3_tiles.cuh).
//
// What moves: Q and a ring of two stages of K and V lie in shared memory as float32; scores and
// weights stay in registers. A tile of STEP keys, 8 STEP HEAD bytes, makes 4 · OWNED · STEP HEAD
// operations: 64 a byte where a block owns 128 queries.
//
// Arithmetic: a product of 16x8x8 numbers is three mma. Beside them a lane splits its 2 numbers of
// B and 4 of A, three instructions each, and adds 4 sums. So a fragment of B serves ROW_TILES of A,
// one of A all of B's, and sums are added for CHAIN products at a time: 14 to 16 instructions a
// product are left, softmax and the three mma among them.
//
// Improves on flash_fp32.cu: tensor cores instead of FFMA, no P in shared memory. Next:
// flash_bf16.cu, a single product, of numbers that are half as long and not split.
// Inf in q, k or v gives NaN.
#include "tf32x3_tiles.cuh"

#ifndef STEP
#define STEP 32  // keys of a tile
#endif
#ifndef ROW_TILES
#define ROW_TILES 1  // of 16 queries, that a warp has
#endif
#ifndef BLOCKS
#define BLOCKS 2  // that an SM shall hold
#endif

constexpr int M = ROW_TILES, N = STEP / 8;
constexpr int OWNED = WARPS * M * 16;  // queries of a block
constexpr int TILE = STEP * PITCH;
constexpr int STAGE = 2 * TILE;  // of the ring: two tiles

// q (batch, heads, queries, HEAD), k and v (batch, heads / group, keys, HEAD), each by its strides,
// multiples of 4 -> out (batch, queries, heads, HEAD), logsumexp (batch, heads, queries). keys > 0,
// scale > 0. Blocks: tiles of OWNED queries, fastest, times heads of all batches.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) flash_forward_tf32x3(
    const float* __restrict__ q, const float* __restrict__ k, const float* __restrict__ v,
    float* __restrict__ out, float* __restrict__ logsumexp, int queries, int keys, int heads,
    int group, int q_batch, int q_head, int q_row, int k_batch, int k_head, int k_row,
    int v_batch, int v_head, int v_row, int causal, float scale) {
  DYNAMIC_SHARED(shared);
  float* q_tile = (float*)shared;
  float* ring = q_tile + OWNED * PITCH;  // two stages of K, then of V
  int blocks = (queries + OWNED - 1) / OWNED;
  int head = blockIdx.x / blocks, block = blockIdx.x % blocks;
  int first = (causal ? blocks - 1 - block : block) * OWNED;  // most tiles first
  int query = first + threadIdx.x / WARP * 16 * M;            // the first of this warp
  int key_heads = key_heads_of(heads, group);
  q = head_of(q, {q_batch, q_head, q_row}, head, heads);
  k = head_of(k, {k_batch, k_head, k_row}, head / group, key_heads);
  v = head_of(v, {v_batch, v_head, v_row}, head / group, key_heads);
  int seen = causal ? min(keys, first + OWNED) : keys;
  int tiles = (seen + STEP - 1) / STEP;
  int needed = query >= queries ? 0 : causal ? query + 16 * M : keys;  // keys, by this warp

  load_tile<OWNED>(q_tile, q, q_row, first, queries);
  load_tile<STEP>(ring, k, k_row, 0, keys);
  load_tile<STEP>(ring + TILE, v, v_row, 0, keys);
  copy_async_commit();
  q_tile += (query - first) * PITCH;
  Softmax<M> softmax;
  softmax.clear();
  float o[M][SLICES][4] = {};
  for (int tile = 0; tile < tiles; tile++) {
    int key = tile * STEP;
    const float* here = ring + tile % 2 * STAGE;
    copy_async_wait<0>();
    __syncthreads();  // this tile has arrived, and everybody is done with the one before it
    if (tile + 1 < tiles) {
      float* next = ring + (tile + 1) % 2 * STAGE;
      load_tile<STEP>(next, k, k_row, key + STEP, keys);
      load_tile<STEP>(next + TILE, v, v_row, key + STEP, keys);
    }
    copy_async_commit();
    if (key >= needed) continue;  // after all queries of this warp
    float s[M][N][4];
    scores(s, q_tile, here);
    if (key + STEP > keys || (causal && key + STEP > query + 1))
      hide(s, Hidden(query, key, keys, causal));
    soften(s, o, softmax, scale * LOG2_E);
    mixture(o, s, here + TILE);
  }
  head = block_read_again() / blocks;
  out += result_of(head, heads, queries, HEAD);
  logsumexp += (u64)head * queries;
#pragma unroll
  for (int m = 0; m < M; m++) {
    int row = query + m * 16 + row_of(0);
    float inverse[2];
    finish(inverse, softmax, m, logsumexp, row, queries);
    store_rows(out, heads * HEAD, o[m], row, queries, inverse[0], inverse[1]);
  }
}
