// FlashAttention backward in float32, without atomics: the same bits in every run.
//
// Dao 2023, arXiv:2307.08691, algorithm 2. With dO the gradient of out = P V, where P is
// softmax(scale Q Kᵀ):
//
//   (1)  δ_i  = Σ_d dO_id out_id                         a number a query    flash_delta_fp32
//   (2)  P_ij = exp(scale Q_i·K_j - logsumexp_i)         built anew, tile by tile
//   (3)  dV   = Pᵀ dO
//   (4)  dP   = dO Vᵀ
//   (5)  dS   = P ∘ (dP - δ)
//   (6)  dK   = scale dSᵀ Q                                  flash_keys_backward_fp32
//   (7)  dQ   = scale dS K                                   flash_queries_backward_fp32
//
// dK and dV are sums over queries, dQ is one over keys: two kernels, each with one owner for every
// sum and one order of summing. S and dP are made in both, seven products instead of five; the
// price of not adding to dQ with atomics. Keys that several heads share (`group`) are summed by
// their owner.
//
// The products are those of fp32_tiles.cuh, with keys as the owner's rows for dK and dV (so the
// scores there are transposed) and queries for dQ. A tile of STEP rows of the other side is
// 8 STEP HEAD bytes for 8 or 6 · 64 · STEP HEAD operations: 64 or 48 a byte.
#include "fp32_tiles.cuh"

#ifndef STEP
#define STEP (HEAD <= 64 ? 32 : 16)  // rows of the other side in a tile
#endif
#ifndef BLOCKS
#define BLOCKS 2  // that an SM shall hold
#endif

constexpr int C = STEP / 16;
constexpr int TILE = STEP * PITCH;

// (1) for `rows` rows, those of all heads, a warp each: out and grad (batch, heads, queries, HEAD),
// each by its strides -> delta (rows,), and logsumexp in units of log 2, as (2) wants it.
extern "C" __global__ void __launch_bounds__(128) flash_delta_fp32(
    const float* __restrict__ out, const float* __restrict__ grad,
    const float* __restrict__ logsumexp, float* __restrict__ delta, float* __restrict__ shift,
    int rows, int queries, int heads, int out_batch, int out_head, int out_row, int grad_batch,
    int grad_head, int grad_row) {
  int row = blockIdx.x * 4 + threadIdx.x / WARP, lane = threadIdx.x % WARP;
  if (row >= rows) return;
  int head = row / queries, i = row % queries;
  const float* x = head_of(out, {out_batch, out_head, out_row}, head, heads);
  const float* y = head_of(grad, {grad_batch, grad_head, grad_row}, head, heads);
  x += (long long)i * out_row;
  y += (long long)i * grad_row;
  float sum = 0;
  for (int d = lane; d < HEAD; d += WARP) sum += x[d] * y[d];
  for (int mask = WARP / 2; mask; mask /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, mask);
  if (lane == 0) {
    delta[row] = sum;
    shift[row] = logsumexp[row] * LOG2_E;
  }
}

// q, grad (batch, heads, queries, HEAD), k, v (batch, heads / group, keys, HEAD), each by its
// strides, multiples of 4, delta and shift (batch, heads, queries) -> dk and dv (batch, keys,
// heads / group, HEAD), rows `apart` numbers apart. Blocks: tiles of OWNED keys, fastest, times
// heads of keys.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) flash_keys_backward_fp32(
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
  float* weights = ring + 4 * TILE;
  float* numbers = weights + OWNED * (STEP + 4);  // two stages of shift, then of delta
  int blocks = (keys + OWNED - 1) / OWNED;
  int head = blockIdx.x / blocks, first = blockIdx.x % blocks * OWNED;
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
    load_tile<STEP>(ring + stage * 2 * TILE, rows, q_row, query, queries);
    rows = head_of(grad, {grad_batch, grad_head, grad_row}, from_head, heads);
    load_tile<STEP>(ring + stage * 2 * TILE + TILE, rows, grad_row, query, queries);
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
  float4 dk_sum[ROWS][FOURS] = {}, dv_sum[ROWS][FOURS] = {};
  float scale2 = scale * LOG2_E;

  for (int t = 0; t < tiles * group; t++) {
    int query = (first_tile + t % tiles) * STEP;
    const float* q_tile = ring + t % 2 * 2 * TILE;
    const float* grad_tile = q_tile + TILE;
    const float* shifts = numbers + t % 2 * 2 * STEP + threadIdx.x % 16;
    copy_async_wait<0>();
    __syncthreads();  // this tile has arrived, and everybody is done with the one before it
    if (t + 1 < tiles * group) load(t + 1);
    copy_async_commit();
    float p[ROWS][C], ds[ROWS][C];
    scores(p, k_tile, q_tile);
    scores(ds, v_tile, grad_tile);                                          // (4)
    bool cut = causal && query < first + OWNED;
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
      for (int c = 0; c < C; c++) {
        int j = first + own_row(r), i = query + threadIdx.x % 16 + 16 * c;
        float weight = fast_exp2(p[r][c] * scale2 - shifts[16 * c]);        // (2)
        p[r][c] = cut && j > i ? 0.0f : weight;
        ds[r][c] = p[r][c] * (ds[r][c] - shifts[STEP + 16 * c]);            // (5)
      }
    exchange(weights, p);
    mixture<C>(dv_sum, weights, grad_tile);                                 // (3)
    exchange(weights, ds);
    mixture<C>(dk_sum, weights, q_tile);                                    // (6)
  }
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    int j = first + own_row(r);
    if (j >= keys) continue;
    u64 row = result_of(head, key_heads, keys, HEAD, apart) + (u64)j * apart;
    store_row(dk + row, dk_sum[r], scale);
    store_row(dv + row, dv_sum[r], 1.0f);
  }
}

// The same arrays -> dq (batch, queries, heads, HEAD). Blocks: tiles of OWNED queries, fastest,
// times heads of all batches.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) flash_queries_backward_fp32(
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
  float* weights = ring + 4 * TILE;
  int blocks = (queries + OWNED - 1) / OWNED;
  int head = blockIdx.x / blocks, block = blockIdx.x % blocks;
  int first = (causal ? blocks - 1 - block : block) * OWNED;  // most tiles first
  int key_heads = key_heads_of(heads, group);
  q = head_of(q, {q_batch, q_head, q_row}, head, heads);
  grad = head_of(grad, {grad_batch, grad_head, grad_row}, head, heads);
  k = head_of(k, {k_batch, k_head, k_row}, head / group, key_heads);
  v = head_of(v, {v_batch, v_head, v_row}, head / group, key_heads);
  delta += (u64)head * queries;
  shift += (u64)head * queries;
  int seen = causal ? min(keys, first + OWNED) : keys;
  int tiles = (seen + STEP - 1) / STEP;

  load_tile<OWNED>(q_tile, q, q_row, first, queries);
  load_tile<OWNED>(grad_tile, grad, grad_row, first, queries);
  load_tile<STEP>(ring, k, k_row, 0, keys);
  load_tile<STEP>(ring + TILE, v, v_row, 0, keys);
  copy_async_commit();
  float4 sum[ROWS][FOURS] = {};
  float by[ROWS], less[ROWS], scale2 = scale * LOG2_E;
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    int i = first + own_row(r);
    by[r] = i < queries ? shift[i] : 0.0f;
    less[r] = i < queries ? delta[i] : 0.0f;
  }
  for (int tile = 0; tile < tiles; tile++) {
    int key = tile * STEP;
    const float* k_tile = ring + tile % 2 * 2 * TILE;
    copy_async_wait<0>();
    __syncthreads();  // this tile has arrived, and everybody is done with the one before it
    if (tile + 1 < tiles) {
      float* next = ring + (tile + 1) % 2 * 2 * TILE;
      load_tile<STEP>(next, k, k_row, key + STEP, keys);
      load_tile<STEP>(next + TILE, v, v_row, key + STEP, keys);
    }
    copy_async_commit();
    float p[ROWS][C], ds[ROWS][C];
    scores(p, q_tile, k_tile);
    scores(ds, grad_tile, k_tile + TILE);                                   // (4)
    bool cut = key + STEP > keys || (causal && key + STEP > first + 1);
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
      for (int c = 0; c < C; c++) {
        int i = first + own_row(r), j = key + threadIdx.x % 16 + 16 * c;
        float weight = fast_exp2(p[r][c] * scale2 - by[r]);                 // (2)
        bool hidden = cut && (j >= keys || (causal && j > i));
        ds[r][c] = hidden ? 0.0f : weight * (ds[r][c] - less[r]);           // (5)
      }
    exchange(weights, ds);
    mixture<C>(sum, weights, k_tile);                                       // (7)
  }
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    int i = first + own_row(r);
    u64 row = result_of(head, heads, queries, HEAD, apart) + (u64)i * apart;
    if (i < queries) store_row(dq + row, sum[r], scale);
  }
}
