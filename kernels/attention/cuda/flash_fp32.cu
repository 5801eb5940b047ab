// FlashAttention forward in float32: out = softmax(scale Q Kᵀ) V in O(L + S) memory.
//
// Dao 2023, "FlashAttention-2", arXiv:2307.08691, algorithm 1. A block owns 64 queries of a head
// and walks over the keys in tiles of STEP. With S the scores of one tile, and for each query
//
//   (1)  m'  = max(m, max_j S_j)                      the largest score so far
//   (2)  P_j = exp(S_j - m')                          weights that are not yet normalised
//   (3)  l'  = exp(m - m') l + Σ_j P_j                their sum
//   (4)  O'  = exp(m - m') O + P V                    their mixture of values
//   (5)  out = O / l,  logsumexp = m + log l          once, after the last tile
//
// exp is 2^x of the special function unit, so scores are multiplied by scale · log2(e).
//
// Memory. Q, a ring of two stages of K and V, and P lie in shared memory (the register tiles that
// work on them: fp32_tiles.cuh). K and V come from global memory once for 64 queries: a tile of
// STEP keys is 8 STEP HEAD bytes for 4 · 64 · STEP HEAD operations, 32 a byte, and the second-level
// cache serves most of it. Unfused attention instead writes and reads the L x S scores four times.
//
// Improves on the unfused formula: linear memory, one pass, causal tiles above the diagonal
// skipped.
#include "fp32_tiles.cuh"

#ifndef STEP
#define STEP (HEAD <= 64 ? 64 : 32)  // keys of a tile
#endif
#ifndef BLOCKS
#define BLOCKS 2  // that an SM shall hold
#endif

constexpr int C = STEP / 16;
constexpr int TILE = STEP * PITCH;
constexpr float UNSEEN = -1.0e30f;  // the score of a key that may not be seen: its weight is 0

// q (batch, heads, queries, HEAD), k and v (batch, heads / group, keys, HEAD), each by its strides,
// multiples of 4 -> out (batch, queries, heads, HEAD), logsumexp (batch, heads, queries). keys > 0,
// scale > 0. Blocks: tiles of OWNED queries, fastest, times heads of all batches.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) flash_forward_fp32(
    const float* __restrict__ q, const float* __restrict__ k, const float* __restrict__ v,
    float* __restrict__ out, float* __restrict__ logsumexp, int queries, int keys, int heads,
    int group, int q_batch, int q_head, int q_row, int k_batch, int k_head, int k_row,
    int v_batch, int v_head, int v_row, int causal, float scale) {
  DYNAMIC_SHARED(shared);
  float* q_tile = (float*)shared;
  float* ring = q_tile + OWNED * PITCH;  // two stages of K, then of V
  float* weights = ring + 4 * TILE;
  int blocks = (queries + OWNED - 1) / OWNED;
  int head = blockIdx.x / blocks, block = blockIdx.x % blocks;
  int first = (causal ? blocks - 1 - block : block) * OWNED;  // most tiles first
  int key_heads = key_heads_of(heads, group);
  q = head_of(q, {q_batch, q_head, q_row}, head, heads);
  k = head_of(k, {k_batch, k_head, k_row}, head / group, key_heads);
  v = head_of(v, {v_batch, v_head, v_row}, head / group, key_heads);
  out += result_of(head, heads, queries, HEAD);
  logsumexp += (u64)head * queries;
  int seen = causal ? min(keys, first + OWNED) : keys;
  int tiles = (seen + STEP - 1) / STEP;

  load_tile<OWNED>(q_tile, q, q_row, first, queries);
  load_tile<STEP>(ring, k, k_row, 0, keys);
  load_tile<STEP>(ring + TILE, v, v_row, 0, keys);
  copy_async_commit();
  float largest[ROWS], sum[ROWS], scale2 = scale * LOG2_E;
  float4 o[ROWS][FOURS] = {};
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    largest[r] = UNSEEN;
    sum[r] = 0;
  }
  for (int tile = 0; tile < tiles; tile++) {
    int key = tile * STEP;
    const float* here = ring + tile % 2 * 2 * TILE;
    copy_async_wait<0>();
    __syncthreads();  // this tile has arrived, and everybody is done with the one before it
    if (tile + 1 < tiles) {
      float* next = ring + (tile + 1) % 2 * 2 * TILE;
      load_tile<STEP>(next, k, k_row, key + STEP, keys);
      load_tile<STEP>(next + TILE, v, v_row, key + STEP, keys);
    }
    copy_async_commit();
    float s[ROWS][C];
    scores(s, q_tile, here);
    bool cut = key + STEP > keys || (causal && key + STEP > first + 1);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      float best = largest[r];
#pragma unroll
      for (int c = 0; c < C; c++) {
        int i = first + own_row(r), j = key + threadIdx.x % 16 + 16 * c;
        if (cut && (j >= keys || (causal && j > i))) s[r][c] = UNSEEN;
        best = max(best, s[r][c]);
      }
      best = row_largest(best);                                  // (1)
      float rescale = fast_exp2((largest[r] - best) * scale2);
      largest[r] = best;
      sum[r] *= rescale;
#pragma unroll
      for (int c = 0; c < C; c++) {
        s[r][c] = fast_exp2((s[r][c] - best) * scale2);          // (2)
        sum[r] += s[r][c];                                       // (3), of this thread's columns
      }
#pragma unroll
      for (int four = 0; four < FOURS; four++) {
        o[r][four].x *= rescale;
        o[r][four].y *= rescale;
        o[r][four].z *= rescale;
        o[r][four].w *= rescale;
      }
    }
    exchange(weights, s);
    mixture<C>(o, weights, here + TILE);                         // (4)
  }
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    float total = row_sum(sum[r]);
    int i = first + own_row(r);
    if (i >= queries) continue;
    store_row(out + (u64)i * heads * HEAD, o[r], 1.0f / total);  // (5)
    if (threadIdx.x % 16 == 0) logsumexp[i] = largest[r] * scale + logf(total);
  }
}
