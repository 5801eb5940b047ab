// Cross-entropy of every row of logits (rows, classes) with one class each, and its gradient.
//
//   loss = log Σ exp(x) - x[target]            dlogits = grad (exp(x - logsumexp) - onehot(target))
//
// Neither the probabilities nor their logarithms are ever written to memory: the forward pass reads
// each logit once (4 bytes an element) and writes 8 bytes a row; the backward pass makes the
// probabilities again from logsumexp, 4 bytes read and 4 written an element. For 50,000 classes
// this is a third of the traffic of log_softmax followed by a lookup. Bound by memory, as
// softmax.cu.
//
// A target that is no class cannot raise, as nobody waits here for the GPU: its row becomes NaN.
#include "rows.cuh"

extern "C" __global__ void __launch_bounds__(256)
cross_entropy(const float* logits, const long long* target, float* losses, float* logsumexp,
              int rows, int classes) {
  int row = team_row();
  if (row >= rows) {
    return;
  }
  const float* x = logits + (long long)row * classes;
  Normalizer of_row = row_normalizer(x, classes);
  if (threadIdx.x == 0) {
    long long chosen = target[row];
    bool is_class = chosen >= 0 && chosen < classes;
    float total = of_row.largest + logf(of_row.sum);
    logsumexp[row] = total;
    losses[row] = is_class ? total - x[chosen] : not_a_number();
  }
}

extern "C" __global__ void __launch_bounds__(256)
cross_entropy_backward(const float* grad, const float* logits, const long long* target,
                       const float* logsumexp, float* dlogits, int rows, int classes) {
  int row = team_row();
  if (row >= rows) {
    return;
  }
  long long start = (long long)row * classes;
  long long chosen = target[row];
  bool is_class = chosen >= 0 && chosen < classes;
  float g = is_class ? grad[row] : not_a_number();
  float total = logsumexp[row];
  for (int pack = threadIdx.x; pack < classes / VECTOR; pack += TEAM) {
    Pack values = load(logits + start, pack);
    for (int e = 0; e < VECTOR; e++) {
      float onehot = pack * VECTOR + e == chosen ? 1.0f : 0.0f;
      values.at[e] = g * (expf(values.at[e] - total) - onehot);
    }
    store(dlogits + start, pack, values);
  }
}
