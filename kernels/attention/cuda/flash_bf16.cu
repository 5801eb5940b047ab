// FlashAttention-2, forward, on tensor cores: out = softmax(scale Q Kᵀ) V in bfloat16.
//
// Dao 2023, "FlashAttention-2", arXiv:2307.08691, algorithm 1. A block owns 128 queries of a head
// and walks over the keys in tiles of 64 or 32. With S the scores of one tile, and for each query
//
//   (1)  m'  = max(m, max_j S_j)                      the largest score so far
//   (2)  P_j = exp(S_j - m')                          weights that are not yet normalised
//   (3)  l'  = exp(m - m') l + Σ_j P_j                their sum
//   (4)  O'  = exp(m - m') O + P V                    their mixture of values
//   (5)  out = O / l,  logsumexp = m + log l          once, after the last tile
//
// exp is 2^x of the special function unit, so scores are multiplied by scale · log2(e): one FFMA
// and one EX2 a score (the registers' softmax: accumulators.cuh).
//
// Memory. Scores and weights live in registers only; P goes from accumulator to operand in place
// (see bf16_tiles.cuh). A ring of two stages in shared memory holds K and V: while tile j is
// computed, tile j + 1 comes by cp.async, and one barrier a tile is enough. A tile of 64 keys, 256
// HEAD bytes, serves 128 queries: 4 · 128 · 64 HEAD operations, 128 a byte. What limits such a
// kernel is shared memory's bandwidth, so a warp has 32 queries, two mma's of rows: each fragment
// of K and V that it reads feeds four mma's. Causal: tiles above the diagonal are not visited, and
// a warp skips one that all of its queries precede. Blocks with the most tiles start first.
//
// Improves on flash_fp32.cu: tensor cores instead of FFMA, half of the bytes, no P in shared
// memory.
#include "bf16_tiles.cuh"

#ifndef BLOCKS
#define BLOCKS 2  // that an SM shall hold: limits the registers of a thread
#endif
#ifndef WARPS
#define WARPS 4
#endif
#ifndef STEP
#define STEP (HEAD <= 96 ? 64 : 32)  // of a tile; O and S are accumulators, and they have to fit
#endif
#ifndef ROW_TILES
#define ROW_TILES 2  // of 16 queries, that a warp has
#endif
#ifndef ROWS_KEPT
#define ROWS_KEPT (HEAD <= 64)  // Q in registers, or read from shared memory for each tile
#endif

constexpr int M = ROW_TILES;
constexpr int QUERIES = WARPS * M * 16;
constexpr int THREADS = WARPS * WARP;
constexpr int N = STEP / 8;

// q (all heads, queries, HEAD), k and v (all heads / group, keys, HEAD) -> out (batch, queries,
// heads, HEAD), either as bfloat16 or as float32 (the other pointer is null), and logsumexp (all
// heads, queries). keys > 0, scale > 0. Blocks: tiles of queries, fastest, times all heads; `heads`
// of them make a batch.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) flash_forward(
    const bf16* __restrict__ q, const bf16* __restrict__ k, const bf16* __restrict__ v,
    bf16* __restrict__ out, float* __restrict__ out_float, float* __restrict__ logsumexp,
    int queries, int keys, int heads, int group, int causal, float scale) {
  DYNAMIC_SHARED(shared);
  bf16* q_tile = (bf16*)shared;                // QUERIES rows
  bf16* ring = q_tile + QUERIES * HEAD;        // two stages of STEP rows of K, then of V
  constexpr int STAGE = 2 * STEP * HEAD, VALUES = STEP * HEAD;
  int blocks = (queries + QUERIES - 1) / QUERIES;
  int head = blockIdx.x / blocks, block = blockIdx.x % blocks;
  int first = (causal ? blocks - 1 - block : block) * QUERIES;
  int query = first + threadIdx.x / WARP * 16 * M;  // the first of this warp
  q += (u64)head * queries * HEAD;
  k += (u64)(head / group) * keys * HEAD;
  v += (u64)(head / group) * keys * HEAD;
  int seen = causal ? min(keys, first + QUERIES) : keys;
  int tiles = (seen + STEP - 1) / STEP;

  load_tile<QUERIES, THREADS>(q_tile, q, first, queries);
  load_tile<STEP, THREADS>(ring, k, 0, keys);
  load_tile<STEP, THREADS>(ring + VALUES, v, 0, keys);
  copy_async_commit();
  copy_async_wait<0>();
  __syncthreads();
  Rows<M, ROWS_KEPT> rows;
  rows.take(q_tile, query - first);
  Softmax<M> softmax;
  softmax.clear();
  float o[M][CHUNKS][4] = {};
  for (int tile = 0; tile < tiles; tile++) {
    int key = tile * STEP;
    bf16* here = ring + tile % 2 * STAGE;
    copy_async_wait<0>();
    __syncthreads();  // this tile has arrived, and everybody is done with the one before it
    if (tile + 1 < tiles) {
      bf16* next = ring + (tile + 1) % 2 * STAGE;
      load_tile<STEP, THREADS>(next, k, key + STEP, keys);
      load_tile<STEP, THREADS>(next + VALUES, v, key + STEP, keys);
      copy_async_commit();
    }
    if (causal && key >= query + 16 * M) continue;  // after all queries of this warp
    float s[M][N][4];
    scores(s, rows, here);
    if (key + STEP > keys || (causal && key + STEP > query + 1))
      hide(s, Hidden(query, key, keys, causal));
    soften(s, o, softmax, scale * LOG2_E);
    mixture(o, s, here + VALUES);
  }
  u64 at = result_of(head, heads, queries, HEAD);
  logsumexp += (u64)head * queries;
#pragma unroll
  for (int m = 0; m < M; m++) {
    int row = query + m * 16 + row_of(0);
    float inverse[2];
    finish(inverse, softmax, m, logsumexp, row, queries);
    store_rows(out ? out + at : nullptr, out ? nullptr : out_float + at, heads * HEAD, o[m], row,
               queries, inverse[0], inverse[1]);
  }
}
