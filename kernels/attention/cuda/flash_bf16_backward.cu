// FlashAttention-2, backward, on tensor cores, without atomics: the same bits in every run.
//
// Dao 2023, arXiv:2307.08691, algorithm 2. With dO the gradient of out = P V, where P is
// softmax(scale Q Kᵀ):
//
//   (1)  δ_i  = Σ_d dO_id out_id                         a number a query    flash_delta
//   (2)  P_ij = exp(scale Q_i·K_j - logsumexp_i)         built anew, tile by tile
//   (3)  dV   = Pᵀ dO
//   (4)  dP   = dO Vᵀ
//   (5)  dS   = P ∘ (dP - δ)
//   (6)  dK   = scale dSᵀ Q                                  flash_keys_backward
//   (7)  dQ   = scale dS K                                   flash_queries_backward
//
// dK and dV are sums over queries, dQ is one over keys. The paper's kernel does all three at once,
// a block a tile of keys, and adds to dQ with atomics, in whatever order blocks come. Here dQ has a
// kernel of its own, which makes S and dP a second time: seven products instead of five, and every
// sum has one owner and one order. Keys that several heads share (`group`) are summed by their
// owner.
//
// Everything is arranged as in flash_bf16.cu. The owner's rows are the A operand, kept in registers
// where they fit; the other rows come through a ring of two stages. The block that owns keys works
// with the transposed Sᵀ = K Qᵀ, so that Pᵀ and dSᵀ are accumulators that turn into A operands in
// place: no weight ever touches shared memory. Rows beyond the end are zeros and add nothing.
#include "bf16_tiles.cuh"

#ifndef WARPS
#define WARPS 4
#endif
#ifndef ROW_TILES
#define ROW_TILES 1  // of 16 rows, that a warp owns
#endif
#ifndef STEP
#define STEP (HEAD <= 96 ? 64 : 32)  // rows of the other side in a tile
#endif
#ifndef BLOCKS
#define BLOCKS 2  // that an SM shall hold
#endif
#ifndef ROWS_KEPT
#define ROWS_KEPT (HEAD <= 64)  // the owner's rows in registers, or read again for each tile
#endif

constexpr int M = ROW_TILES, N = STEP / 8;
constexpr int OWNED = WARPS * M * 16;  // rows of a block
constexpr int THREADS = WARPS * WARP;
constexpr int TILE = STEP * HEAD;
constexpr int STAGE = 2 * TILE;  // of the ring: two tiles

DEVICE float low_half(u32 pair) { return as_float(pair << 16); }
DEVICE float high_half(u32 pair) { return as_float(pair & 0xffff0000u); }

// (1) for `rows` rows, a warp each: out and grad (rows, HEAD) -> delta (rows,), and logsumexp in
// units of log 2, as (2) wants it.
extern "C" __global__ void __launch_bounds__(128) flash_delta(
    const bf16* __restrict__ out, const bf16* __restrict__ grad,
    const float* __restrict__ logsumexp, float* __restrict__ delta, float* __restrict__ shift,
    int rows) {
  int row = blockIdx.x * 4 + threadIdx.x / WARP, lane = threadIdx.x % WARP;
  if (row >= rows) return;
  const u32* x = (const u32*)(out + (u64)row * HEAD);
  const u32* y = (const u32*)(grad + (u64)row * HEAD);
  float sum = 0;
  for (int i = lane; i < HEAD / 2; i += WARP)
    sum += low_half(x[i]) * low_half(y[i]) + high_half(x[i]) * high_half(y[i]);
  for (int mask = WARP / 2; mask; mask /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, mask);
  if (lane == 0) {
    delta[row] = sum;
    shift[row] = logsumexp[row] * LOG2_E;
  }
}

// q, grad (all heads, queries, HEAD), k, v (all heads / group, keys, HEAD), delta and shift (all
// heads, queries) -> dk and dv (batch, keys, heads / group, HEAD), as bfloat16 or as float32 (the
// other pointers are null), rows `apart` numbers apart. Blocks: tiles of OWNED keys, fastest, times
// all heads of keys; `heads` heads of queries make a batch.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) flash_keys_backward(
    const bf16* __restrict__ q, const bf16* __restrict__ k, const bf16* __restrict__ v,
    const bf16* __restrict__ grad, const float* __restrict__ delta,
    const float* __restrict__ shift, bf16* __restrict__ dk, bf16* __restrict__ dv,
    float* __restrict__ dk_float, float* __restrict__ dv_float, int queries, int keys, int heads,
    int group, int apart, int causal, float scale) {
  DYNAMIC_SHARED(shared);
  bf16* k_tile = (bf16*)shared;
  bf16* v_tile = k_tile + OWNED * HEAD;
  bf16* ring = v_tile + OWNED * HEAD;  // two stages of Q, then of dO
  float* numbers = (float*)(ring + 2 * STAGE);  // two stages of shift, then of delta
  int blocks = (keys + OWNED - 1) / OWNED;
  int head = blockIdx.x / blocks, first = blockIdx.x % blocks * OWNED;
  int key = first + threadIdx.x / WARP * 16 * M;  // the first of this warp
  k += (u64)head * keys * HEAD;
  v += (u64)head * keys * HEAD;
  int first_tile = causal ? first / STEP : 0;  // no query before a key sees it
  int tiles = max(0, (queries + STEP - 1) / STEP - first_tile);

  // Step t of the walk: tile t % tiles of the queries of head t / tiles in the group.
  auto load = [&](int t) {
    int query = (first_tile + t % tiles) * STEP, stage = t % 2;
    u64 row = (u64)(head * group + t / tiles) * queries;
    load_tile<STEP, THREADS>(ring + stage * STAGE, q + row * HEAD, query, queries);
    load_tile<STEP, THREADS>(ring + stage * STAGE + TILE, grad + row * HEAD, query, queries);
    for (int i = threadIdx.x; i < 2 * STEP; i += THREADS) {
      int at = query + i % STEP;
      const float* from = (i < STEP ? shift : delta) + row + at;
      copy_async_4(numbers + stage * 2 * STEP + i, from, at < queries);
    }
  };
  load_tile<OWNED, THREADS>(k_tile, k, first, keys);
  load_tile<OWNED, THREADS>(v_tile, v, first, keys);
  if (tiles > 0) load(0);
  copy_async_commit();
  copy_async_wait<0>();
  __syncthreads();
  Rows<M, ROWS_KEPT> k_rows, v_rows;
  k_rows.take(k_tile, key - first);
  v_rows.take(v_tile, key - first);
  float dk_sum[M][CHUNKS][4] = {}, dv_sum[M][CHUNKS][4] = {};
  float scale2 = scale * LOG2_E;

  for (int t = 0; t < tiles * group; t++) {
    int query = (first_tile + t % tiles) * STEP;
    const bf16* q_tile = ring + t % 2 * STAGE;
    const bf16* grad_tile = q_tile + TILE;
    const float* shifts = numbers + t % 2 * 2 * STEP;
    copy_async_wait<0>();
    __syncthreads();  // this tile has arrived, and everybody is done with the one before it
    if (t + 1 < tiles * group) load(t + 1);
    copy_async_commit();
    if (causal && query + STEP <= key) continue;  // before all keys of this warp
    float p[M][N][4], ds[M][N][4];
    scores(p, k_rows, q_tile);
    bool cut = causal && query < key + 16 * M;
#pragma unroll
    for (int n = 0; n < N; n++) {
      int column = n * 8 + column_of(0);
      float2 by = *(const float2*)(shifts + column);
#pragma unroll
      for (int m = 0; m < M; m++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          float weight = fast_exp2(p[m][n][e] * scale2 - (e % 2 ? by.y : by.x));  // (2)
          bool hidden = cut && key + m * 16 + row_of(e) > query + column + e % 2;
          p[m][n][e] = hidden ? 0.0f : weight;
        }
    }
    mixture(dv_sum, p, grad_tile);  // (3)
    scores(ds, v_rows, grad_tile);  // (4)
#pragma unroll
    for (int n = 0; n < N; n++) {
      float2 less = *(const float2*)(shifts + STEP + n * 8 + column_of(0));
#pragma unroll
      for (int m = 0; m < M; m++)
#pragma unroll
        for (int e = 0; e < 4; e++)
          ds[m][n][e] = p[m][n][e] * (ds[m][n][e] - (e % 2 ? less.y : less.x));  // (5)
    }
    mixture(dk_sum, ds, q_tile);  // (6)
  }
  u64 at = result_of(head, key_heads_of(heads, group), keys, HEAD, apart);
#pragma unroll
  for (int m = 0; m < M; m++) {
    int row = key + m * 16 + row_of(0);
    store_rows(dk ? dk + at : nullptr, dk_float + at, apart, dk_sum[m], row, keys, scale, scale);
    store_rows(dv ? dv + at : nullptr, dv_float + at, apart, dv_sum[m], row, keys, 1.0f, 1.0f);
  }
}

// The same arrays -> dq (batch, queries, heads, HEAD), as bfloat16 or as float32 (the other pointer
// is null). Blocks: tiles of OWNED queries, fastest, times all heads.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) flash_queries_backward(
    const bf16* __restrict__ q, const bf16* __restrict__ k, const bf16* __restrict__ v,
    const bf16* __restrict__ grad, const float* __restrict__ delta,
    const float* __restrict__ shift, bf16* __restrict__ dq, float* __restrict__ dq_float,
    int queries, int keys, int heads, int group, int apart, int causal, float scale) {
  DYNAMIC_SHARED(shared);
  bf16* q_tile = (bf16*)shared;
  bf16* grad_tile = q_tile + OWNED * HEAD;
  bf16* ring = grad_tile + OWNED * HEAD;  // two stages of K, then of V
  int blocks = (queries + OWNED - 1) / OWNED;
  int head = blockIdx.x / blocks, block = blockIdx.x % blocks;
  int first = (causal ? blocks - 1 - block : block) * OWNED;  // most tiles first
  int query = first + threadIdx.x / WARP * 16 * M;
  u64 row = (u64)head * queries;
  k += (u64)(head / group) * keys * HEAD;
  v += (u64)(head / group) * keys * HEAD;
  int seen = causal ? min(keys, first + OWNED) : keys;
  int tiles = (seen + STEP - 1) / STEP;

  load_tile<OWNED, THREADS>(q_tile, q + row * HEAD, first, queries);
  load_tile<OWNED, THREADS>(grad_tile, grad + row * HEAD, first, queries);
  load_tile<STEP, THREADS>(ring, k, 0, keys);
  load_tile<STEP, THREADS>(ring + TILE, v, 0, keys);
  copy_async_commit();
  copy_async_wait<0>();
  __syncthreads();
  Rows<M, ROWS_KEPT> q_rows, grad_rows;
  q_rows.take(q_tile, query - first);
  grad_rows.take(grad_tile, query - first);
  float sum[M][CHUNKS][4] = {}, by[M][2], less[M][2], scale2 = scale * LOG2_E;
#pragma unroll
  for (int m = 0; m < M; m++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      int i = query + m * 16 + row_of(2 * h);
      by[m][h] = i < queries ? shift[row + i] : 0.0f;
      less[m][h] = i < queries ? delta[row + i] : 0.0f;
    }

  for (int tile = 0; tile < tiles; tile++) {
    int key = tile * STEP;
    const bf16* k_tile = ring + tile % 2 * STAGE;
    copy_async_wait<0>();
    __syncthreads();  // this tile has arrived, and everybody is done with the one before it
    if (tile + 1 < tiles) {
      bf16* next = ring + (tile + 1) % 2 * STAGE;
      load_tile<STEP, THREADS>(next, k, key + STEP, keys);
      load_tile<STEP, THREADS>(next + TILE, v, key + STEP, keys);
    }
    copy_async_commit();
    if (causal && key >= query + 16 * M) continue;  // after all queries of this warp
    float p[M][N][4], ds[M][N][4];
    scores(p, q_rows, k_tile);
    scores(ds, grad_rows, k_tile + TILE);  // (4)
    bool cut = key + STEP > keys || (causal && key + STEP > query + 1);
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
      for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          int i = query + m * 16 + row_of(e), j = key + n * 8 + column_of(e);
          float weight = fast_exp2(p[m][n][e] * scale2 - by[m][e / 2]);  // (2)
          float gradient = weight * (ds[m][n][e] - less[m][e / 2]);      // (5)
          ds[m][n][e] = cut && (j >= keys || (causal && j > i)) ? 0.0f : gradient;
        }
    mixture(sum, ds, k_tile);  // (7)
  }
  u64 at = result_of(head, heads, queries, HEAD, apart);
#pragma unroll
  for (int m = 0; m < M; m++)
    store_rows(dq ? dq + at : nullptr, dq_float + at, apart, sum[m],
               query + m * 16 + row_of(0), queries, scale, scale);
}
