// FlashAttention backward at the accuracy of float32, on tensor cores, without atomics: the same
// bits in every run.
//
// Dao 2023, arXiv:2307.08691, algorithm 2, in two kernels: one that owns keys makes dK and dV, sums
// over queries, and one that owns queries makes dQ, a sum over keys, so that each sum has one owner
// and one order. flash_bf16_backward.cu says why, and writes out the steps (2) to (7) that are
// named below; (1) is flash_delta_fp32 of flash_fp32_backward.cu.
//
// Everything is arranged as in flash_tf32x3.cu. The owner's rows are the A operand. The block that
// owns keys works with the transposed Sᵀ = K Qᵀ, so that Pᵀ and dSᵀ are accumulators that turn into
// A operands in place: no weight ever touches shared memory. Rows beyond the end are zeros and add
// nothing.
//
// A tile of STEP rows of the other side is 8 STEP HEAD bytes for 8 or 6 · OWNED · STEP HEAD
// operations: 128 or 96 a byte for 128 owned rows.
//
// Improves on flash_fp32_backward.cu: tensor cores instead of FFMA, no P in shared memory. Next:
// flash_bf16_backward.cu. Inf gives NaN.
#include "tf32x3_tiles.cuh"

#ifndef STEP
#define STEP 32  // rows of the other side in a tile
#endif
#ifndef ROW_TILES
#define ROW_TILES 1  // of 16 rows, that a warp owns
#endif
#ifndef BLOCKS
#define BLOCKS 2  // that an SM shall hold
#endif

constexpr int M = ROW_TILES, N = STEP / 8;
constexpr int OWNED = WARPS * M * 16;  // rows of a block
constexpr int TILE = STEP * PITCH;
constexpr int STAGE = 2 * TILE;  // of the ring: two tiles

// q, grad (batch, heads, queries, HEAD), k, v (batch, heads / group, keys, HEAD), each by its
// strides, multiples of 4, delta and shift (batch, heads, queries) -> dk and dv (batch, keys,
// heads / group, HEAD), rows `apart` numbers apart. Blocks: tiles of OWNED keys, fastest, times
// heads of keys.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) flash_keys_backward_tf32x3(
    const float* __restrict__ q, const float* __restrict__ k, const float* __restrict__ v,
    const float* __restrict__ grad, const float* __restrict__ delta,
    const float* __restrict__ shift, float* __restrict__ dk, float* __restrict__ dv, int queries,
    int keys, int heads, int group, int apart, int q_batch, int q_head, int q_row, int k_batch,
    int k_head, int k_row, int v_batch, int v_head, int v_row, int grad_batch, int grad_head,
    int grad_row, int causal, float scale) {
  DYNAMIC_SHARED(shared);
  float* k_tile = (float*)shared;
  float* v_tile = k_tile + OWNED * PITCH;
  float* ring = v_tile + OWNED * PITCH;  // two stages of Q, then of dO
  float* numbers = ring + 2 * STAGE;     // two stages of shift, then of delta
  int blocks = (keys + OWNED - 1) / OWNED;
  int head = blockIdx.x / blocks, first = blockIdx.x % blocks * OWNED;
  int key = first + threadIdx.x / WARP * 16 * M;  // the first of this warp
  int key_heads = key_heads_of(heads, group);
  k = head_of(k, {k_batch, k_head, k_row}, head, key_heads);
  v = head_of(v, {v_batch, v_head, v_row}, head, key_heads);
  int first_tile = causal ? first / STEP : 0;  // no query before a key sees it
  int tiles = max(0, (queries + STEP - 1) / STEP - first_tile);

  // Step t of the walk: tile t % tiles of the queries of head t / tiles in the group.
  auto load = [&](int t) {
    int query = (first_tile + t % tiles) * STEP, stage = t % 2;
    int from_head = head * group + t / tiles;
    const float* rows = head_of(q, {q_batch, q_head, q_row}, from_head, heads);
    load_tile<STEP>(ring + stage * STAGE, rows, q_row, query, queries);
    rows = head_of(grad, {grad_batch, grad_head, grad_row}, from_head, heads);
    load_tile<STEP>(ring + stage * STAGE + TILE, rows, grad_row, query, queries);
    for (int i = threadIdx.x; i < 2 * STEP; i += THREADS) {
      int at = query + i % STEP;
      const float* from = (i < STEP ? shift : delta) + (u64)from_head * queries + at;
      copy_async_4(numbers + stage * 2 * STEP + i, from, at < queries);
    }
  };
  load_tile<OWNED>(k_tile, k, k_row, first, keys);
  load_tile<OWNED>(v_tile, v, v_row, first, keys);
  if (tiles > 0) load(0);
  copy_async_commit();
  k_tile += (key - first) * PITCH;
  v_tile += (key - first) * PITCH;
  float dk_sum[M][SLICES][4] = {}, dv_sum[M][SLICES][4] = {};
  float scale2 = scale * LOG2_E;

  for (int t = 0; t < tiles * group; t++) {
    int query = (first_tile + t % tiles) * STEP;
    const float* q_tile = ring + t % 2 * STAGE;
    const float* grad_tile = q_tile + TILE;
    const float* shifts = numbers + t % 2 * 2 * STEP + column_of(0);
    copy_async_wait<0>();
    __syncthreads();  // this tile has arrived, and everybody is done with the one before it
    if (t + 1 < tiles * group) load(t + 1);
    copy_async_commit();
    // The warp has no key, or the tile precedes all of its keys.
    if (key >= keys || (causal && query + STEP <= key)) continue;
    float p[M][N][4], ds[M][N][4];
    scores(p, k_tile, q_tile);
    bool cut = causal && query < key + 16 * M;
    int ahead = key + row_of(0) - query - column_of(0);
#pragma unroll
    for (int n = 0; n < N; n++) {
      float2 by = *(const float2*)(shifts + n * 8);
#pragma unroll
      for (int m = 0; m < M; m++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          float weight = fast_exp2(p[m][n][e] * scale2 - (e % 2 ? by.y : by.x));  // (2)
          bool later = ahead + m * 16 + e / 2 * 8 > n * 8 + e % 2;                // than the query
          p[m][n][e] = cut && later ? 0.0f : weight;
        }
    }
    mixture(dv_sum, p, grad_tile);  // (3)
    scores(ds, v_tile, grad_tile);  // (4)
#pragma unroll
    for (int n = 0; n < N; n++) {
      float2 less = *(const float2*)(shifts + STEP + n * 8);
#pragma unroll
      for (int m = 0; m < M; m++)
#pragma unroll
        for (int e = 0; e < 4; e++)
          ds[m][n][e] = p[m][n][e] * (ds[m][n][e] - (e % 2 ? less.y : less.x));  // (5)
    }
    mixture(dk_sum, ds, q_tile);  // (6)
  }
  u64 at = result_of(block_read_again() / blocks, key_heads, keys, HEAD, apart);
#pragma unroll
  for (int m = 0; m < M; m++) {
    int row = key + m * 16 + row_of(0);
    store_rows(dk + at, apart, dk_sum[m], row, keys, scale, scale);
    store_rows(dv + at, apart, dv_sum[m], row, keys, 1.0f, 1.0f);
  }
}

// The same arrays -> dq (batch, queries, heads, HEAD). Blocks: tiles of OWNED queries, fastest,
// times heads of all batches.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) flash_queries_backward_tf32x3(
    const float* __restrict__ q, const float* __restrict__ k, const float* __restrict__ v,
    const float* __restrict__ grad, const float* __restrict__ delta,
    const float* __restrict__ shift, float* __restrict__ dq, int queries, int keys, int heads,
    int group, int apart, int q_batch, int q_head, int q_row, int k_batch, int k_head, int k_row,
    int v_batch, int v_head, int v_row, int grad_batch, int grad_head, int grad_row, int causal,
    float scale) {
  DYNAMIC_SHARED(shared);
  float* q_tile = (float*)shared;
  float* grad_tile = q_tile + OWNED * PITCH;
  float* ring = grad_tile + OWNED * PITCH;  // two stages of K, then of V
  int blocks = (queries + OWNED - 1) / OWNED;
  int head = blockIdx.x / blocks, block = blockIdx.x % blocks;
  int first = (causal ? blocks - 1 - block : block) * OWNED;  // most tiles first
  int query = first + threadIdx.x / WARP * 16 * M;            // the first of this warp
  int key_heads = key_heads_of(heads, group);
  q = head_of(q, {q_batch, q_head, q_row}, head, heads);
  grad = head_of(grad, {grad_batch, grad_head, grad_row}, head, heads);
  k = head_of(k, {k_batch, k_head, k_row}, head / group, key_heads);
  v = head_of(v, {v_batch, v_head, v_row}, head / group, key_heads);
  delta += (u64)head * queries;
  shift += (u64)head * queries;
  int seen = causal ? min(keys, first + OWNED) : keys;
  int tiles = (seen + STEP - 1) / STEP;
  int needed = query >= queries ? 0 : causal ? query + 16 * M : keys;  // keys, by this warp

  load_tile<OWNED>(q_tile, q, q_row, first, queries);
  load_tile<OWNED>(grad_tile, grad, grad_row, first, queries);
  load_tile<STEP>(ring, k, k_row, 0, keys);
  load_tile<STEP>(ring + TILE, v, v_row, 0, keys);
  copy_async_commit();
  q_tile += (query - first) * PITCH;
  grad_tile += (query - first) * PITCH;
  float sum[M][SLICES][4] = {}, by[M][2], less[M][2], scale2 = scale * LOG2_E;
#pragma unroll
  for (int m = 0; m < M; m++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      int i = query + m * 16 + row_of(2 * h);
      by[m][h] = i < queries ? shift[i] : 0.0f;
      less[m][h] = i < queries ? delta[i] : 0.0f;
    }

  for (int tile = 0; tile < tiles; tile++) {
    int key = tile * STEP;
    const float* k_tile = ring + tile % 2 * STAGE;
    copy_async_wait<0>();
    __syncthreads();  // this tile has arrived, and everybody is done with the one before it
    if (tile + 1 < tiles) {
      float* next = ring + (tile + 1) % 2 * STAGE;
      load_tile<STEP>(next, k, k_row, key + STEP, keys);
      load_tile<STEP>(next + TILE, v, v_row, key + STEP, keys);
    }
    copy_async_commit();
    if (key >= needed) continue;  // after all queries of this warp
    float p[M][N][4], ds[M][N][4];
    scores(p, q_tile, k_tile);
    scores(ds, grad_tile, k_tile + TILE);  // (4)
    bool cut = key + STEP > keys || (causal && key + STEP > query + 1);
    Hidden hidden(query, key, keys, causal);
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
      for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          float weight = fast_exp2(p[m][n][e] * scale2 - by[m][e / 2]);  // (2)
          float gradient = weight * (ds[m][n][e] - less[m][e / 2]);      // (5)
          ds[m][n][e] = cut && hidden(m, n, e) ? 0.0f : gradient;
        }
    mixture(sum, ds, k_tile);  // (7)
  }
  dq += result_of(block_read_again() / blocks, heads, queries, HEAD, apart);
#pragma unroll
  for (int m = 0; m < M; m++)
    store_rows(dq, apart, sum[m], query + m * 16 + row_of(0), queries, scale, scale);
}
