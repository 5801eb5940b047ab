"""Planted wrong gradients: the second set, unseen at first, then used for tuning.

It was written by someone who had not seen the checker's diagnosis. Of it, the diagnosis as it was
then named 49 % in one of the words of `KINDS`, put down from the mistakes alone, and said something
more than which entries are wrong of 74 % (at three seeds). Then the diagnosis was improved with
this set in view, so that it measures nothing any more; the set that does is `mutants_unseen`.

A backward takes the incoming gradient and the inputs, and returns the gradients of the
floating-point inputs in their order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.testing.specimens import Backward, Specimen, alike, extent, normal, sigmoid, softmax

SPECIMENS: list[Specimen] = []


def plant(
    name: str,
    inputs: Callable,
    forward: Callable,
    right: Backward,
    wrong: dict[str, Backward] | None = None,
) -> Specimen:
    SPECIMENS.append(Specimen(name, forward, inputs, right, dict(wrong or {})))
    return SPECIMENS[-1]


def softplus(x):
    return np.logaddexp(0, x)


def one_hot(index, size):
    return np.eye(size)[index]


def row_sum(x):
    return x.sum(-1, keepdims=True)


def row_mean(x):
    return x.mean(-1, keepdims=True)


def row_norm(x):
    return np.sqrt((x * x).sum(-1, keepdims=True))


def from_the_end(x, axis=-1):
    """The sum of each entry and all that follow it."""
    return np.flip(np.cumsum(np.flip(x, axis), axis), axis)


def off_zero(rng, *shape):
    """Numbers of both signs, none near 0."""
    x = rng.uniform(0.3, 1.8, shape) * rng.choice([-1.0, 1.0], shape)
    x.flat[0] = -abs(x.flat[0])
    x.flat[-1] = abs(x.flat[-1])
    return x


def rows_apart(rng, rows, columns):
    """Rows in random order in which no two values are near each other."""
    steps = np.tile(0.8 * np.arange(columns), (rows, 1))
    return rng.permuted(steps, axis=1) + rng.uniform(-0.2, 0.2, (rows, columns)) - 1


def regular(rng, n):
    """A square matrix far from a singular one."""
    return 2 * np.eye(n) + rng.uniform(-0.6, 0.6, (n, n))


def classes(rng, rows, size):
    """Class indices, the first two of them equal."""
    index = rng.integers(0, size, rows)
    index[1] = index[0]
    return index


# --- normalisation --------------------------------------------------------------------------------


def rms_norm(x, weight):
    return x / np.sqrt(row_mean(x * x) + 1e-3) * weight


def rms_norm_inputs(rng):
    n, d = extent(rng), extent(rng, 3)
    return [rng.standard_normal((n, d)), rng.uniform(0.5, 2, d)]


def rms_norm_right(grad, x, weight):
    rstd = 1 / np.sqrt(row_mean(x * x) + 1e-3)
    unit = x * rstd
    inner = grad * weight
    return rstd * (inner - unit * row_mean(inner * unit)), (grad * unit).sum(0)


rms = plant("rms norm", rms_norm_inputs, rms_norm, rms_norm_right)


@rms.mistake("the root mean square taken for a constant")
def _(grad, x, weight):
    rstd = 1 / np.sqrt(row_mean(x * x) + 1e-3)
    return rstd * grad * weight, (grad * x * rstd).sum(0)


@rms.mistake("a sum for the mean in the projection")
def _(grad, x, weight):
    rstd = 1 / np.sqrt(row_mean(x * x) + 1e-3)
    unit = x * rstd
    inner = grad * weight
    return rstd * (inner - unit * row_sum(inner * unit)), (grad * unit).sum(0)


@rms.mistake("the weight forgotten inside the projection")
def _(grad, x, weight):
    rstd = 1 / np.sqrt(row_mean(x * x) + 1e-3)
    unit = x * rstd
    return rstd * (grad * weight - unit * row_mean(grad * unit)), (grad * unit).sum(0)


def standardise(x, axis, eps=1e-3):
    rstd = 1 / np.sqrt(x.var(axis, keepdims=True) + eps)
    return (x - x.mean(axis, keepdims=True)) * rstd, rstd


def in_groups(x):
    return x.reshape(x.shape[0], 2, -1)


def group_norm(x, weight, bias):
    unit = standardise(in_groups(x), -1)[0].reshape(x.shape)
    return unit * weight[:, None] + bias[:, None]


def group_norm_inputs(rng):
    n, length = extent(rng, 2, 4), extent(rng, 3, 5)
    return [
        rng.standard_normal((n, 4, length)),
        rng.uniform(0.5, 2, 4),
        rng.standard_normal(4),
    ]


def group_norm_right(grad, x, weight, bias):
    unit, rstd = standardise(in_groups(x), -1)
    inner = in_groups(grad * weight[:, None])
    grad_x = rstd * (inner - row_mean(inner) - unit * row_mean(inner * unit))
    grad_weight = (grad * unit.reshape(x.shape)).sum((0, 2))
    return grad_x.reshape(x.shape), grad_weight, grad.sum((0, 2))


group = plant("group norm", group_norm_inputs, group_norm, group_norm_right)


@group.mistake("means over each channel, not over its group")
def _(grad, x, weight, bias):
    unit, rstd = (np.broadcast_to(a, in_groups(x).shape) for a in standardise(in_groups(x), -1))
    unit, rstd = unit.reshape(x.shape), rstd.reshape(x.shape)
    inner = grad * weight[:, None]
    grad_x = rstd * (inner - row_mean(inner) - unit * row_mean(inner * unit))
    return grad_x, (grad * unit).sum((0, 2)), grad.sum((0, 2))


@group.mistake("the weight's gradient from x as it was before normalisation")
def _(grad, x, weight, bias):
    grad_x, _, grad_bias = group_norm_right(grad, x, weight, bias)
    return grad_x, (grad * x).sum((0, 2)), grad_bias


def instance_norm_inputs(rng):
    return [rng.standard_normal((extent(rng, 2, 4), extent(rng, 2, 4), extent(rng, 3, 6)))]


def instance_norm_right(grad, x):
    unit, rstd = standardise(x, -1)
    return rstd * (grad - row_mean(grad) - unit * row_mean(grad * unit))


instance = plant(
    "instance norm", instance_norm_inputs, lambda x: standardise(x, -1)[0], instance_norm_right
)


@instance.mistake("means over the batch too")
def _(grad, x):
    unit, rstd = standardise(x, -1)
    mean, projection = (a.mean((0, 2), keepdims=True) for a in (grad, grad * unit))
    return rstd * (grad - mean - unit * projection)


@instance.mistake("n - 1 where the variance has n")
def _(grad, x):
    unit, rstd = standardise(x, -1)
    projection = row_sum(grad * unit) / (x.shape[-1] - 1)
    return rstd * (grad - row_mean(grad) - unit * projection)


def layer_norm_right(grad, x):
    unit, rstd = standardise(x, -1, 0.1)
    return rstd * (grad - row_mean(grad) - unit * row_mean(grad * unit))


layer = plant(
    "layer norm without weights",
    normal(2, low=3),
    lambda x: standardise(x, -1, 0.1)[0],
    layer_norm_right,
)


@layer.mistake("epsilon outside of the root")
def _(grad, x):
    rstd = 1 / (x.std(-1, keepdims=True) + 0.1)
    unit = (x - row_mean(x)) * rstd
    return rstd * (grad - row_mean(grad) - unit * row_mean(grad * unit))


@layer.mistake("the mean taken for a constant")
def _(grad, x):
    unit, rstd = standardise(x, -1, 0.1)
    return rstd * (grad - unit * row_mean(grad * unit))


def weight_norm_inputs(rng):
    n, d = extent(rng), extent(rng)
    return [rng.standard_normal((n, d)), rng.uniform(0.5, 2, n)]


def weight_norm_right(grad, v, gain):
    norm = row_norm(v)
    unit = v / norm
    return gain[:, None] / norm * (grad - unit * row_sum(grad * unit)), (grad * unit).sum(1)


weight_norm = plant(
    "weight norm",
    weight_norm_inputs,
    lambda v, gain: gain[:, None] * v / row_norm(v),
    weight_norm_right,
)


@weight_norm.mistake("the norm taken for a constant")
def _(grad, v, gain):
    return gain[:, None] / row_norm(v) * grad, (grad * v / row_norm(v)).sum(1)


@weight_norm.mistake("the gain's gradient from v, not from its direction")
def _(grad, v, gain):
    return weight_norm_right(grad, v, gain)[0], (grad * v).sum(1)


# --- cells and sequences --------------------------------------------------------------------------


def lstm_gates(gates):
    i, f, z, o = np.split(gates, 4, axis=1)
    return sigmoid(i), sigmoid(f), np.tanh(z), sigmoid(o)


def lstm_cell(gates, c):
    i, f, z, o = lstm_gates(gates)
    return o * np.tanh(f * c + i * z)


def lstm_inputs(rng):
    n, h = extent(rng, 2, 5), extent(rng, 2, 4)
    return [rng.standard_normal((n, 4 * h)), rng.standard_normal((n, h))]


def lstm_right(grad, gates, c):
    i, f, z, o = lstm_gates(gates)
    t = np.tanh(f * c + i * z)
    dc = grad * o * (1 - t * t)
    blocks = (
        dc * z * i * (1 - i),
        dc * c * f * (1 - f),
        dc * i * (1 - z * z),
        grad * t * o * (1 - o),
    )
    return np.concatenate(blocks, 1), dc * f


lstm = plant("lstm cell", lstm_inputs, lstm_cell, lstm_right)


@lstm.mistake("input and forget gate exchanged")
def _(grad, gates, c):
    grad_gates, grad_c = lstm_right(grad, gates, c)
    di, df, dz, do = np.split(grad_gates, 4, axis=1)
    return np.concatenate((df, di, dz, do), 1), grad_c


@lstm.mistake("the outer tanh not differentiated")
def _(grad, gates, c):
    i, f, z, o = lstm_gates(gates)
    dc = grad * o
    do = grad * np.tanh(f * c + i * z)
    blocks = dc * z * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - z * z), do * o * (1 - o)
    return np.concatenate(blocks, 1), dc * f


@lstm.mistake("the forget gate missing on the way to the old cell")
def _(grad, gates, c):
    i, f, z, o = lstm_gates(gates)
    dc = grad * o * (1 - np.tanh(f * c + i * z) ** 2)
    return lstm_right(grad, gates, c)[0], dc


@lstm.mistake("the candidate differentiated as a sigmoid")
def _(grad, gates, c):
    i, f, z, o = lstm_gates(gates)
    t = np.tanh(f * c + i * z)
    dc = grad * o * (1 - t * t)
    blocks = [dc * z, dc * c, dc * i, grad * t]
    return np.concatenate([b * s * (1 - s) for b, s in zip(blocks, (i, f, z, o))], 1), dc * f


def gru_gates(x_gates, h_gates):
    (xr, xz, xn), (hr, hz, hn) = np.split(x_gates, 3, 1), np.split(h_gates, 3, 1)
    r = sigmoid(xr + hr)
    return r, sigmoid(xz + hz), np.tanh(xn + r * hn), hn


def gru_cell(x_gates, h_gates, h):
    _, z, n, _ = gru_gates(x_gates, h_gates)
    return (1 - z) * n + z * h


def gru_inputs(rng):
    n, h = extent(rng, 2, 5), extent(rng, 2, 4)
    return [rng.standard_normal((n, m * h)) for m in (3, 3, 1)]


def gru_parts(grad, x_gates, h_gates, h):
    r, z, n, hn = gru_gates(x_gates, h_gates)
    dn = grad * (1 - z) * (1 - n * n)
    return dn * hn * r * (1 - r), grad * (h - n) * z * (1 - z), dn, r, z


def gru_right(grad, x_gates, h_gates, h):
    dr, dz, dn, r, z = gru_parts(grad, x_gates, h_gates, h)
    return np.concatenate((dr, dz, dn), 1), np.concatenate((dr, dz, dn * r), 1), grad * z


gru = plant("gru cell", gru_inputs, gru_cell, gru_right)


@gru.mistake("the reset gate missing before the hidden candidate")
def _(grad, x_gates, h_gates, h):
    dr, dz, dn, _, z = gru_parts(grad, x_gates, h_gates, h)
    grad_gates = np.concatenate((dr, dz, dn), 1)
    return grad_gates, grad_gates.copy(), grad * z


@gru.mistake("the update gate as if it weighed the candidate")
def _(grad, x_gates, h_gates, h):
    dr, dz, dn, r, z = gru_parts(grad, x_gates, h_gates, h)
    return np.concatenate((dr, -dz, dn), 1), np.concatenate((dr, -dz, dn * r), 1), grad * z


@gru.mistake("the old state weighed by one minus the gate")
def _(grad, x_gates, h_gates, h):
    grad_x, grad_h, _ = gru_right(grad, x_gates, h_gates, h)
    return grad_x, grad_h, grad * (1 - gru_gates(x_gates, h_gates)[1])


def recurrence(x, a):
    h = np.zeros_like(x)
    h[0] = x[0]
    for t in range(1, len(x)):
        h[t] = a * h[t - 1] + x[t]
    return h


def recurrence_inputs(rng):
    t, d = extent(rng, 3, 7), extent(rng, 2, 5)
    return [rng.standard_normal((t, d)), rng.uniform(0.5, 0.95, d)]


def recurrence_right(grad, x, a):
    h = recurrence(x, a)
    grad_x = recurrence(grad[::-1], a)[::-1]
    return grad_x, (grad_x[1:] * h[:-1]).sum(0)


decay = plant("linear recurrence", recurrence_inputs, recurrence, recurrence_right)


@decay.mistake("back through one step only")
def _(grad, x, a):
    h = recurrence(x, a)
    grad_x = grad.copy()
    grad_x[:-1] += a * grad[1:]
    return grad_x, (grad_x[1:] * h[:-1]).sum(0)


@decay.mistake("the new state where the old one entered")
def _(grad, x, a):
    grad_x = recurrence_right(grad, x, a)[0]
    return grad_x, (grad_x[1:] * recurrence(x, a)[1:]).sum(0)


def counts(x):
    return np.arange(1, len(x) + 1)[:, None]


plant(
    "running mean",
    normal(2, low=3),
    lambda x: np.cumsum(x, 0) / counts(x),
    lambda grad, x: from_the_end(grad / counts(x), 0),
    {
        "sums from the start": lambda grad, x: np.cumsum(grad, 0) / counts(x),
        "divided by the length": lambda grad, x: from_the_end(grad, 0) / len(x),
        "its own step left out": lambda grad, x: (
            from_the_end(grad / counts(x), 0) - grad / counts(x)
        ),
    },
)


def causal_scores(q, k):
    scores = q @ k.T / np.sqrt(q.shape[1])
    return np.where(np.tri(len(q), dtype=bool), scores, -np.inf)


def causal_attention_right(grad, q, k, v):
    p = softmax(causal_scores(q, k))
    dp = grad @ v.T
    ds = p * (dp - row_sum(p * dp)) / np.sqrt(q.shape[1])
    return ds @ k, ds.T @ q, p.T @ grad


attention = plant(
    "causal attention",
    alike(3, 2, low=3),
    lambda q, k, v: softmax(causal_scores(q, k)) @ v,
    causal_attention_right,
)


@attention.mistake("probabilities recomputed without the mask")
def _(grad, q, k, v):
    p = softmax(q @ k.T / np.sqrt(q.shape[1]))
    dp = grad @ v.T
    ds = p * (dp - row_sum(p * dp)) / np.sqrt(q.shape[1])
    return ds @ k, ds.T @ q, p.T @ grad


@attention.mistake("the scale forgotten for the keys")
def _(grad, q, k, v):
    grad_q, grad_k, grad_v = causal_attention_right(grad, q, k, v)
    return grad_q, grad_k * np.sqrt(q.shape[1]), grad_v


@attention.mistake("the scores' gradient not transposed for the keys")
def _(grad, q, k, v):
    p = softmax(causal_scores(q, k))
    dp = grad @ v.T
    ds = p * (dp - row_sum(p * dp)) / np.sqrt(q.shape[1])
    return ds @ k, ds @ q, p.T @ grad


def rotate(x, start=0, sign=1):
    angle = np.outer(np.arange(start, start + len(x)), [1.0, 0.4])
    cos, sin = np.cos(angle), sign * np.sin(angle)
    a, b = x[:, :2], x[:, 2:]
    return np.concatenate((a * cos - b * sin, a * sin + b * cos), 1)


plant(
    "rotary embedding",
    lambda rng: [rng.standard_normal((extent(rng, 3, 8), 4))],
    lambda x: rotate(x),
    lambda grad, x: rotate(grad, sign=-1),
    {
        "turned the same way again": lambda grad, x: rotate(grad),
        "positions counted from one": lambda grad, x: rotate(grad, start=1, sign=-1),
    },
)

# --- pooling, resampling, convolution -------------------------------------------------------------


def chosen(x):
    """Which of each pair is the larger."""
    pairs = x.reshape(len(x), -1, 2)
    return (pairs == pairs.max(-1, keepdims=True)).reshape(x.shape)


plant(
    "max pooling",
    lambda rng: [rows_apart(rng, extent(rng), 2 * extent(rng, 2, 5))],
    lambda x: x.reshape(len(x), -1, 2).max(-1),
    lambda grad, x: np.repeat(grad, 2, 1) * chosen(x),
    {
        "to the whole window": lambda grad, x: np.repeat(grad, 2, 1),
        "spread evenly over the window": lambda grad, x: np.repeat(grad, 2, 1) / 2,
    },
)


def windows(count, size=3, stride=2):
    return stride * np.arange(count)[:, None] + np.arange(size)


def winners(x):
    index = windows((len(x) - 1) // 2)
    return np.take_along_axis(index, x[index].argmax(1)[:, None], 1)[:, 0]


def peaked(rng):
    x = rows_apart(rng, 1, 2 * extent(rng, 2, 6) + 1)[0]
    x[2] = x.max() + 1
    return [x]


def add_at(size, index, values):
    total = np.zeros(size)
    np.add.at(total, index, values)
    return total


overlapping = plant(
    "overlapping max pooling",
    peaked,
    lambda x: x[windows((len(x) - 1) // 2)].max(1),
    lambda grad, x: add_at(x.shape, winners(x), grad),
)


@overlapping.mistake("a value that wins twice is paid once")
def _(grad, x):
    grad_x = np.zeros_like(x)
    grad_x[winners(x)] = grad
    return grad_x


plant(
    "average pooling",
    lambda rng: [rng.standard_normal((2, 4, 2 * extent(rng, 2, 4)))],
    lambda x: x.reshape(len(x), 2, 2, -1, 2).mean((2, 4)),
    lambda grad, x: grad.repeat(2, 1).repeat(2, 2) / 4,
    {
        "not divided by the window": lambda grad, x: grad.repeat(2, 1).repeat(2, 2),
        "tiled, not repeated": lambda grad, x: np.tile(grad, (1, 2, 2)) / 4,
    },
)

plant(
    "nearest upsampling",
    normal(2),
    lambda x: x.repeat(2, 1),
    lambda grad, x: grad.reshape(*x.shape, 2).sum(-1),
    {
        "every second entry": lambda grad, x: grad[:, ::2],
        "averaged": lambda grad, x: grad.reshape(*x.shape, 2).mean(-1),
        "the two halves added": lambda grad, x: grad.reshape(len(x), 2, -1).sum(1),
    },
)


def pixel_shuffle(x):
    c, h, w = x.shape
    return x.reshape(c // 4, 2, 2, h, w).transpose(0, 3, 1, 4, 2).reshape(c // 4, 2 * h, 2 * w)


def in_blocks(grad):
    c, h, w = grad.shape
    return grad.reshape(c, h // 2, 2, w // 2, 2)


plant(
    "pixel shuffle",
    lambda rng: [rng.standard_normal((4 * extent(rng, 1, 3), 2, extent(rng, 2, 4)))],
    pixel_shuffle,
    lambda grad, x: in_blocks(grad).transpose(0, 2, 4, 1, 3).reshape(x.shape),
    {
        "the two offsets exchanged": lambda grad, x: (
            in_blocks(grad).transpose(0, 4, 2, 1, 3).reshape(x.shape)
        ),
        "only reshaped": lambda grad, x: grad.reshape(x.shape),
    },
)


def columns(x):
    return np.pad(x, ((0, 0), (1, 1)))[:, windows((x.shape[1] + 1) // 2)]


def strided_conv_inputs(rng):
    c, o = extent(rng, 2, 4), extent(rng, 2, 4)
    return [
        rng.standard_normal((c, extent(rng, 4, 9))),
        rng.standard_normal((o, c, 3)),
        rng.standard_normal(o),
    ]


def strided_conv(x, w, b):
    return np.einsum("clk,ock->ol", columns(x), w) + b[:, None]


def padded_gradient(grad, x, w):
    total = np.zeros((x.shape[1] + 2, len(x)))
    np.add.at(total, windows(grad.shape[1]), np.einsum("ol,ock->lkc", grad, w))
    return total.T


def strided_conv_right(grad, x, w, b):
    grad_w = np.einsum("ol,clk->ock", grad, columns(x))
    return padded_gradient(grad, x, w)[:, 1:-1], grad_w, grad.sum(1)


strided = plant("strided convolution", strided_conv_inputs, strided_conv, strided_conv_right)


@strided.mistake("the kernel reversed")
def _(grad, x, w, b):
    _, grad_w, grad_b = strided_conv_right(grad, x, w, b)
    return padded_gradient(grad, x, w[:, :, ::-1])[:, 1:-1], grad_w, grad_b


@strided.mistake("the padding cut off at one end")
def _(grad, x, w, b):
    _, grad_w, grad_b = strided_conv_right(grad, x, w, b)
    return padded_gradient(grad, x, w)[:, 2:], grad_w, grad_b


@strided.mistake("the bias averaged over positions")
def _(grad, x, w, b):
    grad_x, grad_w, _ = strided_conv_right(grad, x, w, b)
    return grad_x, grad_w, grad.mean(1)


@strided.mistake("windows written over one another")
def _(grad, x, w, b):
    _, grad_w, grad_b = strided_conv_right(grad, x, w, b)
    padded = np.zeros((len(x), x.shape[1] + 2))
    padded[:, windows(grad.shape[1])] += np.einsum("ol,ock->clk", grad, w)
    return padded[:, 1:-1], grad_w, grad_b


def transposed_conv(x, w):
    length = x.shape[1]
    y = np.zeros((2 * length + 1, w.shape[1]))
    np.add.at(y, windows(length), np.einsum("cl,cok->lko", x, w))
    return y.T


def transposed_conv_inputs(rng):
    c, o = extent(rng, 2, 4), extent(rng, 2, 4)
    return [rng.standard_normal((c, extent(rng, 3, 6))), rng.standard_normal((c, o, 3))]


def transposed_conv_backward(grad, x, w, stride=2):
    read = grad[:, windows(x.shape[1], stride=stride)]
    return np.einsum("olk,cok->cl", read, w), np.einsum("olk,cl->cok", read, x)


upconv = plant(
    "transposed convolution", transposed_conv_inputs, transposed_conv, transposed_conv_backward
)


@upconv.mistake("the stride forgotten")
def _(grad, x, w):
    return transposed_conv_backward(grad, x, w, stride=1)


@upconv.mistake("the kernel's gradient left reversed")
def _(grad, x, w):
    grad_x, grad_w = transposed_conv_backward(grad, x, w)
    return grad_x, grad_w[:, :, ::-1]


def causal_conv(x, w):
    return sum(np.pad(x, ((k, 0), (0, 0)))[: len(x)] * w[k] for k in range(len(w)))


def causal_conv_inputs(rng):
    c = extent(rng, 2, 4)
    return [rng.standard_normal((extent(rng, 4, 9), c)), rng.standard_normal((3, c))]


def taps_gradient(grad, x, w):
    return np.stack([(grad[k:] * x[: len(x) - k]).sum(0) for k in range(len(w))])


causal = plant(
    "causal depthwise convolution",
    causal_conv_inputs,
    causal_conv,
    lambda grad, x, w: (causal_conv(grad[::-1], w)[::-1], taps_gradient(grad, x, w)),
    {
        "run forwards again": lambda grad, x, w: (
            causal_conv(grad, w),
            taps_gradient(grad, x, w),
        ),
        "the last tap left out": lambda grad, x, w: (
            causal_conv(grad[::-1], w[:-1])[::-1],
            taps_gradient(grad, x, w),
        ),
    },
)


@causal.mistake("the input one step too late for the taps")
def _(grad, x, w):
    late = np.pad(x, ((0, 1), (0, 0)))[1:]
    return causal_conv(grad[::-1], w)[::-1], taps_gradient(grad, late, w)


# --- linear algebra -------------------------------------------------------------------------------


def bilinear_inputs(rng):
    n, a, b = extent(rng), extent(rng), extent(rng)
    return [rng.standard_normal(s) for s in ((n, a), (a, b), (n, b))]


plant(
    "bilinear form",
    bilinear_inputs,
    lambda x, w, z: np.einsum("na,ab,nb->n", x, w, z),
    lambda grad, x, w, z: (
        grad[:, None] * (z @ w.T),
        (grad[:, None] * x).T @ z,
        grad[:, None] * (x @ w),
    ),
    {
        "the outer product the other way round": lambda grad, x, w, z: (
            grad[:, None] * (z @ w.T),
            (grad[:, None] * z).T @ x,
            grad[:, None] * (x @ w),
        ),
        "the incoming gradient forgotten for z": lambda grad, x, w, z: (
            grad[:, None] * (z @ w.T),
            (grad[:, None] * x).T @ z,
            x @ w,
        ),
        "the weight averaged over the batch": lambda grad, x, w, z: (
            grad[:, None] * (z @ w.T),
            (grad[:, None] * x).T @ z / len(x),
            grad[:, None] * (x @ w),
        ),
    },
)


def square_and_vector(rng):
    n = extent(rng, 3)
    return [rng.standard_normal((n, n)), rng.standard_normal(n)]


plant(
    "quadratic form",
    square_and_vector,
    lambda a, x: x @ a @ x,
    lambda grad, a, x: (grad * np.outer(x, x), grad * (a @ x + x @ a)),
    {
        "the matrix taken for symmetric": lambda grad, a, x: (
            grad * np.outer(x, x),
            grad * 2 * (a @ x),
        ),
        "one of the two uses of x": lambda grad, a, x: (grad * np.outer(x, x), grad * (a @ x)),
        "the diagonal alone": lambda grad, a, x: (
            grad * np.diag(x * x),
            grad * (a @ x + x @ a),
        ),
    },
)


def trace_inputs(rng):
    m, n = extent(rng), extent(rng)
    return [rng.standard_normal((m, n)), rng.standard_normal((n, m))]


plant(
    "trace of a product",
    trace_inputs,
    lambda a, b: np.trace(a @ b),
    lambda grad, a, b: (grad * b.T, grad * a.T),
    {"not transposed": lambda grad, a, b: (grad * b, grad * a)},
)

plant(
    "inverse",
    lambda rng: [regular(rng, extent(rng, 2, 5))],
    np.linalg.inv,
    lambda grad, a: -np.linalg.inv(a).T @ grad @ np.linalg.inv(a).T,
    {
        "no minus": lambda grad, a: np.linalg.inv(a).T @ grad @ np.linalg.inv(a).T,
        "neither inverse transposed": lambda grad, a: -np.linalg.inv(a) @ grad @ np.linalg.inv(a),
        "the inverse on one side only": lambda grad, a: -np.linalg.inv(a).T @ grad,
    },
)

plant(
    "log determinant",
    lambda rng: [regular(rng, extent(rng, 2, 5))],
    lambda a: np.log(np.linalg.det(a)),
    lambda grad, a: grad * np.linalg.inv(a).T,
    {
        "the inverse not transposed": lambda grad, a: grad * np.linalg.inv(a),
        "the determinant's own gradient": lambda grad, a: (
            grad * np.linalg.det(a) * np.linalg.inv(a).T
        ),
    },
)


def solve_inputs(rng):
    n = extent(rng, 2, 5)
    return [regular(rng, n), rng.standard_normal((n, extent(rng)))]


def solve_right(grad, a, b):
    grad_b = np.linalg.solve(a.T, grad)
    return -grad_b @ np.linalg.solve(a, b).T, grad_b


solve = plant("linear solve", solve_inputs, np.linalg.solve, solve_right)


@solve.mistake("solved with the matrix, not its transpose")
def _(grad, a, b):
    grad_b = np.linalg.solve(a, grad)
    return -grad_b @ np.linalg.solve(a, b).T, grad_b


@solve.mistake("the right-hand side in the solution's place")
def _(grad, a, b):
    grad_b = np.linalg.solve(a.T, grad)
    return -grad_b @ b.T, grad_b


@solve.mistake("the matrix's gradient transposed")
def _(grad, a, b):
    grad_a, grad_b = solve_right(grad, a, b)
    return grad_a.T, grad_b


def triples(rng):
    n = extent(rng)
    return [rng.standard_normal((n, 3)), rng.standard_normal((n, 3))]


plant(
    "cross product",
    triples,
    np.cross,
    lambda grad, a, b: (np.cross(b, grad), np.cross(grad, a)),
    {
        "the factors in the wrong order": lambda grad, a, b: (np.cross(grad, b), np.cross(grad, a)),
        "the two gradients exchanged": lambda grad, a, b: (np.cross(grad, a), np.cross(b, grad)),
    },
)

plant(
    "outer product",
    normal(1, 1),
    np.outer,
    lambda grad, u, v: (grad @ v, u @ grad),
    {
        "summed before it is multiplied": lambda grad, u, v: (grad.sum(1) * v.sum(), u @ grad),
        "one vector's gradient for both": lambda grad, u, v: (grad @ v, grad @ v),
    },
)


def distances_inputs(rng):
    d = extent(rng)
    return [rng.standard_normal((extent(rng), d)), rng.standard_normal((extent(rng), d))]


def distances_right(grad, a, b):
    grad_a = 2 * (grad.sum(1)[:, None] * a - grad @ b)
    return grad_a, 2 * (grad.sum(0)[:, None] * b - grad.T @ a)


pairwise = plant(
    "pairwise squared distances",
    distances_inputs,
    lambda a, b: ((a[:, None] - b) ** 2).sum(-1),
    distances_right,
)


@pairwise.mistake("only the mixed term")
def _(grad, a, b):
    return -2 * grad @ b, -2 * grad.T @ a


@pairwise.mistake("the number of rows for the sum of the incoming gradient")
def _(grad, a, b):
    return 2 * (len(b) * a - grad @ b), distances_right(grad, a, b)[1]


def covariance_right(grad, x):
    return (x - x.mean(0)) @ (grad + grad.T) / (len(x) - 1)


plant(
    "covariance",
    normal(2, low=3),
    lambda x: np.cov(x, rowvar=False),
    covariance_right,
    {
        "the incoming gradient taken for symmetric": lambda grad, x: (
            2 * (x - x.mean(0)) @ grad / (len(x) - 1)
        ),
        "not centred": lambda grad, x: x @ (grad + grad.T) / (len(x) - 1),
        "only the left factor": lambda grad, x: (x - x.mean(0)) @ grad.T / (len(x) - 1),
    },
)

# --- scans, orders, indices -----------------------------------------------------------------------


def products_inputs(rng):
    return [off_zero(rng, extent(rng), extent(rng, 3, 6))]


plant(
    "cumulative product",
    products_inputs,
    lambda x: np.cumprod(x, 1),
    lambda grad, x: from_the_end(grad * np.cumprod(x, 1)) / x,
    {
        "summed from the start": lambda grad, x: np.cumsum(grad * np.cumprod(x, 1), 1) / x,
        "only its own product": lambda grad, x: grad * np.cumprod(x, 1) / x,
        "not divided by x": lambda grad, x: from_the_end(grad * np.cumprod(x, 1)),
    },
)

plant(
    "exclusive cumulative sum",
    normal(2, low=3),
    lambda x: np.cumsum(x, 1) - x,
    lambda grad, x: from_the_end(grad) - grad,
    {
        "its own entry counted": lambda grad, x: from_the_end(grad),
        "not turned back": lambda grad, x: (from_the_end(grad) - grad)[:, ::-1],
    },
)


def sort_inputs(rng):
    x = rows_apart(rng, extent(rng, 2, 5), extent(rng, 3, 7))
    x[0] = np.roll(-np.sort(-x[0]), 1)
    return [x]


def ranking(x):
    return np.argsort(-x, 1)


plant(
    "descending sort",
    sort_inputs,
    lambda x: -np.sort(-x, 1),
    lambda grad, x: np.take_along_axis(grad, np.argsort(ranking(x), 1), 1),
    {
        "the order not inverted": lambda grad, x: np.take_along_axis(grad, ranking(x), 1),
        "left in sorted order": lambda grad, x: grad.copy(),
    },
)


def put(x, index, values):
    grad_x = np.zeros_like(x)
    np.put_along_axis(grad_x, index, values, 1)
    return grad_x


def top_inputs(rng):
    x = rows_apart(rng, extent(rng, 2, 5), extent(rng, 4, 7))
    x[0].sort()
    return [x]


plant(
    "two largest",
    top_inputs,
    lambda x: -np.sort(-x, 1)[:, :2],
    lambda grad, x: put(x, ranking(x)[:, :2], grad),
    {
        "in the order of positions": lambda grad, x: put(x, np.sort(ranking(x)[:, :2], 1), grad),
        "to the two smallest": lambda grad, x: put(x, ranking(x)[:, -2:], grad),
        "only to the largest": lambda grad, x: put(x, ranking(x)[:, :1], grad[:, :1]),
    },
)


def gather_inputs(rng):
    x = rng.standard_normal((extent(rng), extent(rng, 3)))
    index = rng.integers(0, x.shape[1], (len(x), extent(rng, 3)))
    index[:, 1] = index[:, 0]
    return [x, index]


plant(
    "gather",
    gather_inputs,
    lambda x, index: np.take_along_axis(x, index, 1),
    lambda grad, x, index: add_at(x.shape, (np.arange(len(x))[:, None], index), grad),
    {"written, not added": lambda grad, x, index: put(x, index, grad)},
)


def segment_inputs(rng):
    index = np.concatenate(([0, 0, 0, 1, 1, 2], rng.integers(0, 3, extent(rng, 2, 4))))
    return [rng.standard_normal((len(index), extent(rng, 2, 5))), rng.permutation(index)]


def sizes(index):
    return np.bincount(index)[:, None]


plant(
    "segment mean",
    segment_inputs,
    lambda x, segment: add_at((3, x.shape[1]), segment, x) / sizes(segment),
    lambda grad, x, segment: (grad / sizes(segment))[segment],
    {
        "not divided by the segments' sizes": lambda grad, x, segment: grad[segment],
        "segments taken for sorted": lambda grad, x, segment: (grad / sizes(segment))[
            np.sort(segment)
        ],
    },
)


def token_inputs(rng):
    v = extent(rng, 4, 7)
    tokens = np.concatenate(([0, 1, 1, v - 1], rng.integers(0, v, extent(rng))))
    return [rng.standard_normal((v, extent(rng, 2, 5))), rng.permutation(tokens)]


def lookup_gradient(grad, table, tokens):
    return add_at(table.shape, tokens, grad)


def not_first(table):
    return (np.arange(len(table)) > 0)[:, None]


padded = plant(
    "embedding with a padding token",
    token_inputs,
    lambda table, tokens: (table * not_first(table))[tokens],
    lambda grad, table, tokens: lookup_gradient(grad, table, tokens) * not_first(table),
    {
        "the padding learns too": lookup_gradient,
        "the last row taken for padding": lambda grad, table, tokens: (
            lookup_gradient(grad, table, tokens) * not_first(table)[::-1]
        ),
    },
)


@padded.mistake("a repeated token paid once")
def _(grad, table, tokens):
    grad_table = np.zeros_like(table)
    grad_table[tokens] += grad
    return grad_table * not_first(table)


tied = plant(
    "tied embedding",
    token_inputs,
    lambda table, tokens: table[tokens] @ table.T,
    lambda grad, table, tokens: (
        grad.T @ table[tokens] + lookup_gradient(grad @ table, table, tokens)
    ),
    {
        "only as the output layer": lambda grad, table, tokens: grad.T @ table[tokens],
        "only as the embedding": lambda grad, table, tokens: lookup_gradient(
            grad @ table, table, tokens
        ),
    },
)


@tied.mistake("repeated tokens added once")
def _(grad, table, tokens):
    grad_table = grad.T @ table[tokens]
    grad_table[tokens] += grad @ table
    return grad_table


def interpolate(values, position):
    cell = position.astype(int)
    part = position - cell
    return (1 - part) * values[cell] + part * values[cell + 1]


def interpolate_inputs(rng):
    size = extent(rng, 3, 8)
    cell = np.concatenate(([0, 0, 1], rng.integers(0, size - 1, extent(rng))))
    return [rng.standard_normal(size), cell + rng.uniform(0.1, 0.35, len(cell))]


def interpolate_right(grad, values, position):
    cell = position.astype(int)
    part = position - cell
    grad_values = add_at(values.shape, cell, grad * (1 - part))
    np.add.at(grad_values, cell + 1, grad * part)
    return grad_values, grad * (values[cell + 1] - values[cell])


between = plant("linear interpolation", interpolate_inputs, interpolate, interpolate_right)


@between.mistake("the two weights exchanged")
def _(grad, values, position):
    cell = position.astype(int)
    part = position - cell
    grad_values = add_at(values.shape, cell, grad * part)
    np.add.at(grad_values, cell + 1, grad * (1 - part))
    return grad_values, grad * (values[cell + 1] - values[cell])


@between.mistake("points of one cell paid once")
def _(grad, values, position):
    cell = position.astype(int)
    part = position - cell
    grad_values = np.zeros_like(values)
    grad_values[cell] += grad * (1 - part)
    grad_values[cell + 1] += grad * part
    return grad_values, grad * (values[cell + 1] - values[cell])


@between.mistake("the position's gradient is the value")
def _(grad, values, position):
    grad_values, _ = interpolate_right(grad, values, position)
    return grad_values, grad * interpolate(values, position)


def frames_inputs(rng):
    return [rng.standard_normal(2 * extent(rng, 2, 7) + 1)]


def frame_index(x):
    return windows((len(x) - 1) // 2)


frames = plant(
    "overlapping frames",
    frames_inputs,
    lambda x: x[frame_index(x)],
    lambda grad, x: add_at(x.shape, frame_index(x), grad),
    {
        "averaged where frames overlap": lambda grad, x: (
            add_at(x.shape, frame_index(x), grad) / np.bincount(frame_index(x).ravel())
        ),
    },
)


@frames.mistake("overlaps written over")
def _(grad, x):
    grad_x = np.zeros_like(x)
    grad_x[frame_index(x)] += grad
    return grad_x


def same_rows(rng):
    n = extent(rng)
    return [rng.standard_normal((n, extent(rng))), rng.standard_normal((n, extent(rng)))]


plant(
    "concatenation",
    same_rows,
    lambda a, b: np.concatenate((a, b), 1),
    lambda grad, a, b: (grad[:, : a.shape[1]], grad[:, a.shape[1] :]),
    {
        "the second part begins one too early": lambda grad, a, b: (
            grad[:, : a.shape[1]],
            grad[:, a.shape[1] - 1 : -1],
        ),
    },
)

plant(
    "axes moved round",
    normal(3, high=4),
    lambda x: x.transpose(1, 2, 0),
    lambda grad, x: grad.transpose(2, 0, 1),
    {
        "the permutation not inverted": lambda grad, x: grad.transpose(1, 2, 0),
        "reshaped in place of transposed": lambda grad, x: grad.reshape(x.shape),
    },
)

# --- functions of each element --------------------------------------------------------------------


plant(
    "log of a sum of two",
    alike(2, 2),
    lambda a, b: np.logaddexp(a, b),
    lambda grad, a, b: (grad * sigmoid(a - b), grad * sigmoid(b - a)),
    {
        "the weights exchanged": lambda grad, a, b: (grad * sigmoid(b - a), grad * sigmoid(a - b)),
        "the rest up to one": lambda grad, a, b: (
            grad * sigmoid(a - b),
            1 - grad * sigmoid(a - b),
        ),
        "not normalised": lambda grad, a, b: (grad * np.exp(a), grad * np.exp(b)),
    },
)


def lerp_inputs(rng):
    n, d = extent(rng), extent(rng)
    return [
        rng.standard_normal((n, d)),
        rng.standard_normal((n, d)),
        rng.uniform(0.1, 0.4, (n, 1)),
    ]


plant(
    "interpolation between two",
    lerp_inputs,
    lambda a, b, t: a + t * (b - a),
    lambda grad, a, b, t: (grad * (1 - t), grad * t, row_sum(grad * (b - a))),
    {
        "t not summed": lambda grad, a, b, t: (grad * (1 - t), grad * t, grad * (b - a)),
        "the difference the other way round": lambda grad, a, b, t: (
            grad * (1 - t),
            grad * t,
            row_sum(grad * (a - b)),
        ),
        "all of it to the first": lambda grad, a, b, t: (grad, grad * t, row_sum(grad * (b - a))),
    },
)


def clamp_inputs(rng):
    x = rng.uniform(-0.8, 0.8, (extent(rng, 3), extent(rng)))
    x[0] += 2
    x[1] -= 2
    return [rng.permuted(x, axis=0)]


plant(
    "clamp",
    clamp_inputs,
    lambda x: np.clip(x, -1, 1),
    lambda grad, x: grad * (np.abs(x) < 1),
    {
        "passed straight through": lambda grad, x: grad.copy(),
        "cut off above only": lambda grad, x: grad * (x < 1),
        "the mask turned round": lambda grad, x: grad * (np.abs(x) > 1),
    },
)

plant(
    "softplus with a slope",
    normal(2),
    lambda x: softplus(3 * x) / 3,
    lambda grad, x: grad * sigmoid(3 * x),
    {
        "multiplied by the slope": lambda grad, x: grad * 3 * sigmoid(3 * x),
        "the slope forgotten inside": lambda grad, x: grad * sigmoid(x),
    },
)


def elu(x):
    return np.where(x > 0, x, 1.5 * np.expm1(x))


plant(
    "elu",
    lambda rng: [off_zero(rng, extent(rng), extent(rng))],
    elu,
    lambda grad, x: grad * np.where(x > 0, 1, 1.5 * np.exp(x)),
    {
        "its value for its slope": lambda grad, x: grad * np.where(x > 0, 1, elu(x)),
        "alpha forgotten below zero": lambda grad, x: grad * np.where(x > 0, 1, np.exp(x)),
    },
)


def halves(x):
    return np.split(x, 2, axis=1)


def swiglu(x):
    gate, up = halves(x)
    return gate * sigmoid(gate) * up


def swiglu_right(grad, x):
    gate, up = halves(x)
    s = sigmoid(gate)
    return np.concatenate((grad * up * (s + gate * s * (1 - s)), grad * gate * s), 1)


swiglu_plant = plant(
    "swiglu",
    lambda rng: [rng.standard_normal((extent(rng), 2 * extent(rng)))],
    swiglu,
    swiglu_right,
    {
        "gate and value exchanged": lambda grad, x: np.concatenate(
            halves(swiglu_right(grad, x))[::-1], 1
        )
    },
)


@swiglu_plant.mistake("the gate's slope without the product rule")
def _(grad, x):
    gate, up = halves(x)
    s = sigmoid(gate)
    return np.concatenate((grad * up * s, grad * gate * s), 1)


@swiglu_plant.mistake("the gate before its activation for the value")
def _(grad, x):
    gate, _ = halves(x)
    return np.concatenate((halves(swiglu_right(grad, x))[0], grad * gate), 1)


ROOT = np.sqrt(2 / np.pi)


def gelu_tanh(x):
    return np.tanh(ROOT * (x + 0.044715 * x**3))


def gelu_right(grad, x):
    t = gelu_tanh(x)
    return grad * 0.5 * (1 + t + x * (1 - t * t) * ROOT * (1 + 3 * 0.044715 * x * x))


gelu = plant("gelu by tanh", normal(2, low=3), lambda x: 0.5 * x * (1 + gelu_tanh(x)), gelu_right)


@gelu.mistake("the cube not differentiated")
def _(grad, x):
    t = gelu_tanh(x)
    return grad * 0.5 * (1 + t + x * (1 - t * t) * ROOT)


@gelu.mistake("the second half of the product rule left out")
def _(grad, x):
    return grad * 0.5 * (1 + gelu_tanh(x))


def power_inputs(rng):
    shape = extent(rng), extent(rng)
    return [rng.uniform(0.4, 2.5, shape), off_zero(rng, *shape)]


plant(
    "power",
    power_inputs,
    lambda x, p: x**p,
    lambda grad, x, p: (grad * p * x ** (p - 1), grad * x**p * np.log(x)),
    {
        "the exponent not lowered": lambda grad, x, p: (
            grad * p * x**p,
            grad * x**p * np.log(x),
        ),
        "no logarithm for the exponent": lambda grad, x, p: (
            grad * p * x ** (p - 1),
            grad * x**p,
        ),
    },
)


def angle_inputs(rng):
    shape = extent(rng), extent(rng)
    return [off_zero(rng, *shape), off_zero(rng, *shape)]


plant(
    "angle of a point",
    angle_inputs,
    lambda y, x: np.arctan2(y, x),
    lambda grad, y, x: (grad * x / (x * x + y * y), -grad * y / (x * x + y * y)),
    {
        "both with a plus": lambda grad, y, x: (
            grad * x / (x * x + y * y),
            grad * y / (x * x + y * y),
        ),
        "divided by the radius once": lambda grad, y, x: (
            grad * x / np.hypot(x, y),
            -grad * y / np.hypot(x, y),
        ),
    },
)


def scaled_inputs(rng):
    n, d = extent(rng), extent(rng)
    return [rng.standard_normal((n, d)), rng.uniform(0.4, 2.5, d)]


plant(
    "division by a scale",
    scaled_inputs,
    lambda x, scale: x / scale,
    lambda grad, x, scale: (grad / scale, -(grad * x).sum(0) / scale**2),
    {
        "the scale not squared": lambda grad, x, scale: (
            grad / scale,
            -(grad * x).sum(0) / scale,
        ),
        "the scale not summed over rows": lambda grad, x, scale: (
            grad / scale,
            -grad * x / scale**2,
        ),
    },
)


def slope(x, c):
    return sum(k * c[k] * x ** (k - 1) for k in range(1, len(c)))


def powers(x, c):
    return x[:, None] ** np.arange(len(c))


polynomial = plant(
    "polynomial",
    lambda rng: [off_zero(rng, extent(rng, 3, 8)), off_zero(rng, extent(rng, 3, 6))],
    lambda x, c: powers(x, c) @ c,
    lambda grad, x, c: (grad * slope(x, c), grad @ powers(x, c)),
    {
        "the exponents not lowered": lambda grad, x, c: (
            grad * slope(x, c) * x,
            grad @ powers(x, c),
        ),
        "the highest power left out": lambda grad, x, c: (
            grad * slope(x, c[:-1]),
            grad @ powers(x, c),
        ),
        "the coefficients' powers begin at one": lambda grad, x, c: (
            grad * slope(x, c),
            (grad * x) @ powers(x, c),
        ),
    },
)


def dropout_inputs(rng):
    x = rng.standard_normal((extent(rng, 5, 8), extent(rng, 5, 8)))
    keep = rng.random(x.shape) < 0.7
    keep[0, 0], keep[0, 1] = True, False
    return [x, keep]


plant(
    "dropout",
    dropout_inputs,
    lambda x, keep: x * keep / 0.7,
    lambda grad, x, keep: grad * keep / 0.7,
    {
        "not scaled up": lambda grad, x, keep: grad * keep,
        "a new mask drawn": lambda grad, x, keep: (
            grad * (np.random.default_rng().random(x.shape) < 0.7) / 0.7
        ),
        "divided by the dropped share": lambda grad, x, keep: grad * keep / (1 - 0.7),
    },
)

# --- norms and statistics -------------------------------------------------------------------------


plant(
    "norm of rows",
    lambda rng: [off_zero(rng, extent(rng), extent(rng))],
    lambda x: row_norm(x)[:, 0],
    lambda grad, x: grad[:, None] * x / row_norm(x),
    {
        "as if squared": lambda grad, x: grad[:, None] * 2 * x,
        "the sign, as for the sum of magnitudes": lambda grad, x: grad[:, None] * np.sign(x),
        "divided by the norm of columns": lambda grad, x: (
            grad[:, None] * x / np.sqrt((x * x).sum(0))
        ),
    },
)


def unit_right(grad, x):
    norm = row_norm(x)
    unit = x / norm
    return (grad - unit * row_sum(grad * unit)) / norm


unit_rows = plant("rows of length one", normal(2), lambda x: x / row_norm(x), unit_right)


@unit_rows.mistake("x not yet divided in the projection")
def _(grad, x):
    norm = row_norm(x)
    return (grad - x * row_sum(grad * x)) / norm


@unit_rows.mistake("divided in place, then by its new norm")
def _(grad, x):
    x /= row_norm(x)
    return (grad - x * row_sum(grad * x)) / row_norm(x)


def cosine(a, b):
    return (a * b).sum(1) / (row_norm(a) * row_norm(b))[:, 0]


def cosine_right(grad, a, b):
    u, v = a / row_norm(a), b / row_norm(b)
    cos, grad = row_sum(u * v), grad[:, None]
    return grad * (v - cos * u) / row_norm(a), grad * (u - cos * v) / row_norm(b)


similarity = plant("cosine similarity", alike(2, 2), cosine, cosine_right)


@similarity.mistake("both norms taken for constants")
def _(grad, a, b):
    both = row_norm(a) * row_norm(b)
    return grad[:, None] * b / both, grad[:, None] * a / both


@similarity.mistake("the projection along the other vector")
def _(grad, a, b):
    u, v = a / row_norm(a), b / row_norm(b)
    cos, grad = row_sum(u * v), grad[:, None]
    return grad * (v - cos * v) / row_norm(a), grad * (u - cos * u) / row_norm(b)


plant(
    "log of summed exponentials of columns",
    normal(2),
    lambda x: np.log(np.exp(x).sum(0)),
    lambda grad, x: grad * softmax(x, 0),
    {
        "normalised along rows": lambda grad, x: grad * softmax(x, 1),
        "not normalised": lambda grad, x: grad * np.exp(x),
        "the logarithm of the shares": lambda grad, x: grad * np.log(softmax(x, 0)),
    },
)

plant(
    "unbiased variance of columns",
    normal(2, low=3),
    lambda x: x.var(0, ddof=1),
    lambda grad, x: grad * 2 * (x - x.mean(0)) / (len(x) - 1),
    {
        "divided by n": lambda grad, x: grad * 2 * (x - x.mean(0)) / len(x),
        "not centred": lambda grad, x: grad * 2 * x / (len(x) - 1),
        "centred by rows": lambda grad, x: grad * 2 * (x - row_mean(x)) / (len(x) - 1),
    },
)

plant(
    "standard deviation of rows",
    normal(2, low=3),
    lambda x: x.std(1),
    lambda grad, x: (grad / x.std(1))[:, None] * (x - row_mean(x)) / x.shape[1],
    {
        "the variance's gradient": lambda grad, x: (
            grad[:, None] * 2 * (x - row_mean(x)) / x.shape[1]
        ),
        "n - 1 where it has n": lambda grad, x: (
            (grad / x.std(1))[:, None] * (x - row_mean(x)) / (x.shape[1] - 1)
        ),
    },
)


def pooling_inputs(rng):
    n, t = extent(rng, 2, 4), extent(rng, 3, 5)
    x = rng.standard_normal((n, t, extent(rng, 2, 5)))
    return [x, np.arange(t) < rng.integers(1, t, (n, 1))]


plant(
    "mean over real tokens",
    pooling_inputs,
    lambda x, mask: (x * mask[..., None]).sum(1) / row_sum(mask),
    lambda grad, x, mask: mask[..., None] * (grad / row_sum(mask))[:, None],
    {
        "divided by the padded length": lambda grad, x, mask: (
            mask[..., None] * grad[:, None] / x.shape[1]
        ),
        "padding gets its share": lambda grad, x, mask: np.broadcast_to(
            (grad / row_sum(mask))[:, None], x.shape
        ),
    },
)


def modulation_inputs(rng):
    n, c = extent(rng, 2, 4), extent(rng, 2, 4)
    x = rng.standard_normal((n, c, extent(rng)))
    return [x, rng.standard_normal((n, c)), rng.standard_normal((n, c))]


plant(
    "feature modulation",
    modulation_inputs,
    lambda x, gamma, beta: x * (1 + gamma[..., None]) + beta[..., None],
    lambda grad, x, gamma, beta: (
        grad * (1 + gamma[..., None]),
        (grad * x).sum(-1),
        grad.sum(-1),
    ),
    {
        "the one beside gamma forgotten": lambda grad, x, gamma, beta: (
            grad * gamma[..., None],
            (grad * x).sum(-1),
            grad.sum(-1),
        ),
        "gamma from the output": lambda grad, x, gamma, beta: (
            grad * (1 + gamma[..., None]),
            (grad * (x * (1 + gamma[..., None]) + beta[..., None])).sum(-1),
            grad.sum(-1),
        ),
    },
)

# --- layers ---------------------------------------------------------------------------------------


def sequence_inputs(rng):
    d, o = extent(rng, 2, 4), extent(rng, 2, 4)
    x = rng.standard_normal((extent(rng, 2, 4), extent(rng, 2, 5), d))
    return [x, rng.standard_normal((d, o)), rng.standard_normal(o)]


def over_time(x, grad):
    return np.einsum("btd,bto->do", x, grad)


steps = plant(
    "linear layer on a sequence",
    sequence_inputs,
    lambda x, w, b: x @ w + b,
    lambda grad, x, w, b: (grad @ w.T, over_time(x, grad), grad.sum((0, 1))),
    {
        "the bias summed over the batch only": lambda grad, x, w, b: (
            grad @ w.T,
            over_time(x, grad),
            grad.sum(0),
        ),
    },
)


@steps.mistake("the weight overwritten at each step")
def _(grad, x, w, b):
    for t in range(x.shape[1]):
        grad_w = x[:, t].T @ grad[:, t]
    return grad @ w.T, grad_w, grad.sum((0, 1))


def residual_inputs(rng):
    d = extent(rng, 2, 5)
    return [rng.standard_normal((extent(rng), d)), rng.standard_normal((d, d))]


def residual_right(grad, x, w):
    inner = grad * (1 - np.tanh(x @ w) ** 2)
    return grad + inner @ w.T, x.T @ inner


residual = plant("residual layer", residual_inputs, lambda x, w: x + np.tanh(x @ w), residual_right)


@residual.mistake("the direct path forgotten")
def _(grad, x, w):
    inner = grad * (1 - np.tanh(x @ w) ** 2)
    return inner @ w.T, x.T @ inner


@residual.mistake("the weight not transposed")
def _(grad, x, w):
    inner = grad * (1 - np.tanh(x @ w) ** 2)
    return grad + inner @ w, x.T @ inner


@residual.mistake("the slope from the value before tanh")
def _(grad, x, w):
    inner = grad * (1 - (x @ w) ** 2)
    return grad + inner @ w.T, x.T @ inner


@residual.mistake("the slope from the value after the addition")
def _(grad, x, w):
    inner = grad * (1 - (x + np.tanh(x @ w)) ** 2)
    return grad + inner @ w.T, x.T @ inner


def signed_inputs(rng):
    d = extent(rng)
    return [rng.standard_normal((extent(rng), d)), off_zero(rng, d, extent(rng))]


plant(
    "linear layer of signs",
    signed_inputs,
    lambda x, w: x @ np.sign(w),
    lambda grad, x, w: (grad @ np.sign(w).T, np.zeros_like(w)),
    {
        "straight through the sign": lambda grad, x, w: (grad @ np.sign(w).T, x.T @ grad),
        "the weight without its sign": lambda grad, x, w: (grad @ w.T, np.zeros_like(w)),
    },
)


def tempered_right(grad, x):
    p = softmax(x / 2)
    return p * (grad - row_sum(grad * p)) / 2


tempered = plant(
    "softmax at a temperature", normal(2, low=3), lambda x: softmax(x / 2), tempered_right
)


@tempered.mistake("the temperature forgotten")
def _(grad, x):
    return 2 * tempered_right(grad, x)


@tempered.mistake("as if each probability stood alone")
def _(grad, x):
    p = softmax(x / 2)
    return grad * p * (1 - p) / 2


@tempered.mistake("the inner sum over rows")
def _(grad, x):
    p = softmax(x / 2)
    return p * (grad - (grad * p).sum(0)) / 2


# --- losses ---------------------------------------------------------------------------------------


def log_softmax(x):
    return x - np.log(row_sum(np.exp(x)))


def picked(x, index):
    return x[np.arange(len(x)), index]


def labelled(rng):
    n, c = extent(rng, 3, 7), extent(rng, 3, 6)
    return [rng.standard_normal((n, c)), classes(rng, n, c)]


def partly_labelled(rng):
    logits, target = labelled(rng)
    target[-1] = -1
    return [logits, target]


def ignoring(logits, target):
    valid = target >= 0
    return -picked(log_softmax(logits), target)[valid].mean()


def ignoring_right(grad, logits, target):
    valid = (target >= 0)[:, None]
    difference = softmax(logits) - one_hot(target, logits.shape[1])
    return grad * valid * difference / valid.sum()


ignored = plant("cross entropy with ignored rows", partly_labelled, ignoring, ignoring_right)


@ignored.mistake("ignored rows pulled to the last class")
def _(grad, logits, target):
    difference = softmax(logits) - one_hot(target, logits.shape[1])
    return grad * difference / (target >= 0).sum()


@ignored.mistake("divided by all rows")
def _(grad, logits, target):
    valid = (target >= 0)[:, None]
    return grad * valid * (softmax(logits) - one_hot(target, logits.shape[1])) / len(target)


def smoothing(logits, target):
    logp = log_softmax(logits)
    return -(0.8 * picked(logp, target) + 0.2 * logp.mean(1)).mean()


def smoothing_right(grad, logits, target):
    c = logits.shape[1]
    wanted = 0.8 * one_hot(target, c) + 0.2 / c
    return grad * (softmax(logits) - wanted) / len(logits)


smoothed = plant("smoothed cross entropy", labelled, smoothing, smoothing_right)


@smoothed.mistake("the labels not smoothed")
def _(grad, logits, target):
    return grad * (softmax(logits) - one_hot(target, logits.shape[1])) / len(logits)


@smoothed.mistake("the smoothing shared by the other classes only")
def _(grad, logits, target):
    c = logits.shape[1]
    hot = one_hot(target, c)
    return grad * (softmax(logits) - 0.8 * hot - 0.2 * (1 - hot) / (c - 1)) / len(logits)


def binary_inputs(rng):
    n = extent(rng, 4, 9)
    target = rng.integers(0, 2, n)
    target[:2] = 0, 1
    return [rng.standard_normal(n), target]


def weighted_binary(logits, target):
    return (3 * target * softplus(-logits) + (1 - target) * softplus(logits)).mean()


def weighted_binary_right(grad, logits, target):
    s = sigmoid(logits)
    return grad * ((1 - target) * s - 3 * target * (1 - s)) / len(logits)


plant(
    "binary cross entropy with weighted positives",
    binary_inputs,
    weighted_binary,
    weighted_binary_right,
    {
        "the weight of positives forgotten": lambda grad, logits, target: (
            grad * (sigmoid(logits) - target) / len(logits)
        ),
        "the sigmoid differentiated once more": lambda grad, logits, target: (
            weighted_binary_right(grad, logits, target) * sigmoid(logits) * sigmoid(-logits)
        ),
        "the weight on the negatives too": lambda grad, logits, target: (
            grad * 3 * (sigmoid(logits) - target) / len(logits)
        ),
    },
)


def margins(scores, target):
    active = scores - picked(scores, target)[:, None] + 1 > 0
    return active & (one_hot(target, scores.shape[1]) == 0)


def hinge(scores, target):
    gap = scores - picked(scores, target)[:, None] + 1
    return (gap * margins(scores, target)).sum() / len(scores)


def hinge_inputs(rng):
    scores, target = labelled(rng)
    return [0.15 * scores, target]


def hinge_right(grad, scores, target):
    active = margins(scores, target)
    hot = one_hot(target, scores.shape[1])
    return grad * (active - hot * row_sum(active)) / len(scores)


multiclass = plant("multiclass hinge loss", hinge_inputs, hinge, hinge_right)


@multiclass.mistake("the true class lowered once, not once for each margin")
def _(grad, scores, target):
    hot = one_hot(target, scores.shape[1])
    return grad * (margins(scores, target) - hot) / len(scores)


@multiclass.mistake("the true class left out")
def _(grad, scores, target):
    return grad * margins(scores, target) / len(scores)


def huber_inputs(rng):
    n = extent(rng, 4, 9)
    target = rng.standard_normal(n)
    far = rng.random(n) < 0.5
    far[:2] = True, False
    error = np.where(far, rng.uniform(1, 2, n), rng.uniform(0.1, 0.5, n))
    return [target + error * rng.choice([-1, 1], n), target]


def huber(prediction, target):
    error = np.abs(prediction - target)
    return np.where(error < 0.7, error**2 / 2, 0.7 * (error - 0.35)).mean()


def mirrored(grad_prediction):
    return grad_prediction, -grad_prediction


def clipped(grad, prediction, target):
    return grad * np.clip(prediction - target, -0.7, 0.7) / len(target)


def unscaled(grad, prediction, target):
    error = prediction - target
    return grad * np.where(np.abs(error) < 0.7, error, np.sign(error)) / len(target)


plant(
    "huber loss",
    huber_inputs,
    huber,
    lambda grad, prediction, target: mirrored(clipped(grad, prediction, target)),
    {
        "delta missing in the linear part": lambda grad, prediction, target: mirrored(
            unscaled(grad, prediction, target)
        ),
        "quadratic everywhere": lambda grad, prediction, target: mirrored(
            grad * (prediction - target) / len(target)
        ),
        "the target's sign": lambda grad, prediction, target: (
            clipped(grad, prediction, target),
            clipped(grad, prediction, target),
        ),
        "not averaged": lambda grad, prediction, target: mirrored(
            clipped(grad, prediction, target) * len(target)
        ),
    },
)

plant(
    "divergence from the standard normal",
    alike(2, 2),
    lambda mu, logvar: 0.5 * (np.exp(logvar) + mu**2 - 1 - logvar).sum() / len(mu),
    lambda grad, mu, logvar: (
        grad * mu / len(mu),
        grad * 0.5 * (np.exp(logvar) - 1) / len(mu),
    ),
    {
        "the entropy's part forgotten": lambda grad, mu, logvar: (
            grad * mu / len(mu),
            grad * 0.5 * np.exp(logvar) / len(mu),
        ),
        "by the variance, not its logarithm": lambda grad, mu, logvar: (
            grad * mu / len(mu),
            grad * 0.5 * (1 - np.exp(-logvar)) / len(mu),
        ),
        "averaged over features too": lambda grad, mu, logvar: (
            grad * mu / mu.size,
            grad * 0.5 * (np.exp(logvar) - 1) / mu.size,
        ),
        "the log-variance as a log of the deviation": lambda grad, mu, logvar: (
            grad * mu / len(mu),
            grad * (np.exp(2 * logvar) - 1) / len(mu),
        ),
    },
)

plant(
    "reparameterised sample",
    alike(3, 2),
    lambda mu, logvar, noise: mu + np.exp(logvar / 2) * noise,
    lambda grad, mu, logvar, noise: (
        grad,
        grad * noise * np.exp(logvar / 2) / 2,
        grad * np.exp(logvar / 2),
    ),
    {
        "the half forgotten": lambda grad, mu, logvar, noise: (
            grad,
            grad * noise * np.exp(logvar / 2),
            grad * np.exp(logvar / 2),
        ),
        "the noise forgotten": lambda grad, mu, logvar, noise: (
            grad,
            grad * np.exp(logvar / 2) / 2,
            grad * np.exp(logvar / 2),
        ),
        "the variance for the deviation": lambda grad, mu, logvar, noise: (
            grad,
            grad * noise * np.exp(logvar / 2) / 2,
            grad * np.exp(logvar),
        ),
    },
)

plant(
    "discriminator loss",
    normal(1, 1, low=3),
    lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
    lambda grad, real, fake: (
        -grad * sigmoid(-real) / len(real),
        grad * sigmoid(fake) / len(fake),
    ),
    {
        "the minus inside forgotten": lambda grad, real, fake: (
            -grad * sigmoid(real) / len(real),
            grad * sigmoid(fake) / len(fake),
        ),
        "the minus in front forgotten": lambda grad, real, fake: (
            grad * sigmoid(-real) / len(real),
            grad * sigmoid(fake) / len(fake),
        ),
        "both averaged over all samples": lambda grad, real, fake: (
            -grad * sigmoid(-real) / (len(real) + len(fake)),
            grad * sigmoid(fake) / (len(real) + len(fake)),
        ),
        "the saturating loss for the fakes": lambda grad, real, fake: (
            -grad * sigmoid(-real) / len(real),
            -grad * sigmoid(-fake) / len(fake),
        ),
    },
)


def mixture_parts(x, logits, mu, log_sigma):
    z = (x[:, None] - mu) * np.exp(-log_sigma)
    return z, np.log(softmax(logits)) - log_sigma - z * z / 2


def mixture(x, logits, mu, log_sigma):
    return np.log(np.exp(mixture_parts(x, logits, mu, log_sigma)[1]).sum(1))


def mixture_inputs(rng):
    k = extent(rng, 2, 5)
    drawn = [rng.standard_normal(n) for n in (extent(rng, 3, 8), k, k)]
    return [*drawn, rng.uniform(-0.6, 0.6, k)]


def mixture_right(grad, x, logits, mu, log_sigma):
    z, joint = mixture_parts(x, logits, mu, log_sigma)
    r = grad[:, None] * softmax(joint)
    pull = r * z * np.exp(-log_sigma)
    return (
        -pull.sum(1),
        r.sum(0) - grad.sum() * softmax(logits),
        pull.sum(0),
        (r * (z * z - 1)).sum(0),
    )


blend = plant("mixture of normals", mixture_inputs, mixture, mixture_right)


@blend.mistake("the prior for the responsibilities")
def _(grad, x, logits, mu, log_sigma):
    grad_x, grad_logits, _, grad_log_sigma = mixture_right(grad, x, logits, mu, log_sigma)
    z, _ = mixture_parts(x, logits, mu, log_sigma)
    grad_mu = (grad[:, None] * softmax(logits) * z * np.exp(-log_sigma)).sum(0)
    return grad_x, grad_logits, grad_mu, grad_log_sigma


@blend.mistake("the logits' own normalisation forgotten")
def _(grad, x, logits, mu, log_sigma):
    grad_x, _, *rest = mixture_right(grad, x, logits, mu, log_sigma)
    r = softmax(mixture_parts(x, logits, mu, log_sigma)[1])
    return grad_x, grad @ r, *rest


@blend.mistake("by sigma, not its logarithm")
def _(grad, x, logits, mu, log_sigma):
    *rest, grad_log_sigma = mixture_right(grad, x, logits, mu, log_sigma)
    return *rest, grad_log_sigma * np.exp(-log_sigma)


def policy_inputs(rng):
    logits, action = labelled(rng)
    return [logits, action, off_zero(rng, len(action))]


def policy_loss(logits, action, advantage):
    return -(advantage * picked(log_softmax(logits), action)).mean()


def policy_right(grad, logits, action, advantage):
    logp = log_softmax(logits)
    pull = np.exp(logp) - one_hot(action, logits.shape[1])
    grad_logits = grad * advantage[:, None] * pull / len(action)
    return grad_logits, -grad * picked(logp, action) / len(action)


policy = plant("policy gradient loss", policy_inputs, policy_loss, policy_right)


@policy.mistake("the advantage forgotten")
def _(grad, logits, action, advantage):
    pull = softmax(logits) - one_hot(action, logits.shape[1])
    return grad * pull / len(action), policy_right(grad, logits, action, advantage)[1]


@policy.mistake("the reward climbed, not the loss")
def _(grad, logits, action, advantage):
    grad_logits, grad_advantage = policy_right(grad, logits, action, advantage)
    return -grad_logits, grad_advantage


@policy.mistake("only the action taken")
def _(grad, logits, action, advantage):
    pull = -advantage[:, None] * one_hot(action, logits.shape[1])
    return grad * pull / len(action), policy_right(grad, logits, action, advantage)[1]


@policy.mistake("the advantage detached")
def _(grad, logits, action, advantage):
    return policy_right(grad, logits, action, advantage)[0], np.zeros_like(advantage)


def contrast(a, b):
    return -np.trace(log_softmax(a @ b.T / 0.5)) / len(a)


def contrast_right(grad, a, b):
    d = grad * (softmax(a @ b.T / 0.5) - np.eye(len(a))) / (0.5 * len(a))
    return d @ b, d.T @ a


paired = plant("contrastive loss", alike(2, 2, low=3), contrast, contrast_right)


@paired.mistake("the temperature forgotten")
def _(grad, a, b):
    grad_a, grad_b = contrast_right(grad, a, b)
    return grad_a * 0.5, grad_b * 0.5


@paired.mistake("the second view without a transpose")
def _(grad, a, b):
    d = grad * (softmax(a @ b.T / 0.5) - np.eye(len(a))) / (0.5 * len(a))
    return d @ b, d @ a


@paired.mistake("normalised over the other view")
def _(grad, a, b):
    d = grad * (softmax(a @ b.T / 0.5, 0) - np.eye(len(a))) / (0.5 * len(a))
    return d @ b, d.T @ a


plant(
    "log density of a squashed action",
    normal(2),
    lambda u: -np.log(1 - np.tanh(u) ** 2).sum(1),
    lambda grad, u: grad[:, None] * 2 * np.tanh(u),
    {
        "the inner tanh not differentiated": lambda grad, u: (
            grad[:, None] * 2 * np.tanh(u) / (1 - np.tanh(u) ** 2)
        ),
        "the sigmoid's correction": lambda grad, u: grad[:, None] * (2 * sigmoid(u) - 1),
    },
)


def choices(rng):
    x = rng.standard_normal((extent(rng), extent(rng, 3)))
    mask = rng.random(x.shape) < 0.5
    mask[:, :2], mask[:, -1] = True, False
    return [x, mask]


def masked_probabilities(x, mask):
    return softmax(np.where(mask, x, -np.inf))


def entropy(x, mask):
    p = masked_probabilities(x, mask)
    return -(p * np.log(np.where(mask, p, 1))).sum(1)


def entropy_right(grad, x, mask):
    p = masked_probabilities(x, mask)
    logp = np.log(np.where(mask, p, 1))
    return -grad[:, None] * p * (logp - row_sum(p * logp))


allowed = plant("entropy of the allowed actions", choices, entropy, entropy_right)


@allowed.mistake("zero times the logarithm of zero")
def _(grad, x, mask):
    p = masked_probabilities(x, mask)
    with np.errstate(divide="ignore", invalid="ignore"):
        logp = np.log(p)
        return -grad[:, None] * p * (logp - row_sum(p * logp))


@allowed.mistake("as if the probabilities were free")
def _(grad, x, mask):
    p = masked_probabilities(x, mask)
    return -grad[:, None] * p * (np.log(np.where(mask, p, 1)) + 1)


# --- what would be a correct naming ---------------------------------------------------------------

KINDS = {
    "rms norm: the root mean square taken for a constant": "term",
    "rms norm: a sum for the mean in the projection": "term sum",
    "rms norm: the weight forgotten inside the projection": "term operand",
    "group norm: means over each channel, not over its group": "axis sum term",
    "group norm: the weight's gradient from x as it was before normalisation": "operand",
    "instance norm: means over the batch too": "axis sum term",
    "instance norm: n - 1 where the variance has n": "term",
    "layer norm without weights: epsilon outside of the root": "factor term operand",
    "layer norm without weights: the mean taken for a constant": "term sum",
    "weight norm: the norm taken for a constant": "term",
    "weight norm: the gain's gradient from v, not from its direction": "factor operand",
    "lstm cell: input and forget gate exchanged": "order",
    "lstm cell: the outer tanh not differentiated": "factor derivative",
    "lstm cell: the forget gate missing on the way to the old cell": "factor",
    "lstm cell: the candidate differentiated as a sigmoid": "derivative index",
    "gru cell: the reset gate missing before the hidden candidate": "index factor operand",
    "gru cell: the update gate as if it weighed the candidate": "sign index",
    "gru cell: the old state weighed by one minus the gate": "factor operand",
    "linear recurrence: back through one step only": "term sum",
    "linear recurrence: the new state where the old one entered": "operand",
    "running mean: sums from the start": "jacobian",
    "running mean: divided by the length": "factor output",
    "running mean: its own step left out": "term",
    "causal attention: probabilities recomputed without the mask": "mask operand",
    "causal attention: the scale forgotten for the keys": "factor",
    "causal attention: the scores' gradient not transposed for the keys": "operand jacobian",
    "rotary embedding: turned the same way again": "jacobian term",
    "rotary embedding: positions counted from one": "operand",
    "max pooling: to the whole window": "mask",
    "max pooling: spread evenly over the window": "distribution mask",
    "overlapping max pooling: a value that wins twice is paid once": "accumulate",
    "average pooling: not divided by the window": "factor",
    "average pooling: tiled, not repeated": "distribution order",
    "nearest upsampling: every second entry": "term output",
    "nearest upsampling: averaged": "factor",
    "nearest upsampling: the two halves added": "axis distribution",
    "pixel shuffle: the two offsets exchanged": "order",
    "pixel shuffle: only reshaped": "order distribution",
    "strided convolution: the kernel reversed": "operand",
    "strided convolution: the padding cut off at one end": "shifted",
    "strided convolution: the bias averaged over positions": "factor",
    "strided convolution: windows written over one another": "accumulate term",
    "transposed convolution: the stride forgotten": "operand output",
    "transposed convolution: the kernel's gradient left reversed": "flipped",
    "causal depthwise convolution: run forwards again": "jacobian",
    "causal depthwise convolution: the last tap left out": "term",
    "causal depthwise convolution: the input one step too late for the taps": "operand shifted",
    "bilinear form: the outer product the other way round": "transposed",
    "bilinear form: the incoming gradient forgotten for z": "cotangent",
    "bilinear form: the weight averaged over the batch": "factor",
    "quadratic form: the matrix taken for symmetric": "operand term",
    "quadratic form: one of the two uses of x": "term",
    "quadratic form: the diagonal alone": "mask",
    "trace of a product: not transposed": "transposed",
    "inverse: no minus": "sign",
    "inverse: neither inverse transposed": "jacobian operand",
    "inverse: the inverse on one side only": "operand",
    "log determinant: the inverse not transposed": "transposed",
    "log determinant: the determinant's own gradient": "factor",
    "linear solve: solved with the matrix, not its transpose": "jacobian operand",
    "linear solve: the right-hand side in the solution's place": "operand",
    "linear solve: the matrix's gradient transposed": "transposed",
    "cross product: the factors in the wrong order": "sign",
    "cross product: the two gradients exchanged": "swapped",
    "outer product: summed before it is multiplied": "sum operand",
    "outer product: one vector's gradient for both": "swapped shape",
    "pairwise squared distances: only the mixed term": "term",
    "pairwise squared distances: the number of rows for the sum of the incoming gradient": (
        "cotangent term"
    ),
    "covariance: the incoming gradient taken for symmetric": "operand term",
    "covariance: not centred": "term operand",
    "covariance: only the left factor": "term",
    "cumulative product: summed from the start": "jacobian sum",
    "cumulative product: only its own product": "term sum",
    "cumulative product: not divided by x": "factor",
    "exclusive cumulative sum: its own entry counted": "term",
    "exclusive cumulative sum: not turned back": "flipped",
    "descending sort: the order not inverted": "jacobian order",
    "descending sort: left in sorted order": "order",
    "two largest: in the order of positions": "order distribution",
    "two largest: to the two smallest": "mask distribution",
    "two largest: only to the largest": "output mask",
    "gather: written, not added": "accumulate",
    "segment mean: not divided by the segments' sizes": "factor",
    "segment mean: segments taken for sorted": "order distribution",
    "embedding with a padding token: the padding learns too": "mask index",
    "embedding with a padding token: the last row taken for padding": "mask index",
    "embedding with a padding token: a repeated token paid once": "accumulate",
    "tied embedding: only as the output layer": "term",
    "tied embedding: only as the embedding": "term",
    "tied embedding: repeated tokens added once": "accumulate",
    "linear interpolation: the two weights exchanged": "distribution operand",
    "linear interpolation: points of one cell paid once": "accumulate",
    "linear interpolation: the position's gradient is the value": "operand",
    "overlapping frames: averaged where frames overlap": "factor",
    "overlapping frames: overlaps written over": "accumulate",
    "concatenation: the second part begins one too early": "shifted",
    "axes moved round: the permutation not inverted": "transposed",
    "axes moved round: reshaped in place of transposed": "order distribution",
    "log of a sum of two: the weights exchanged": "swapped",
    "log of a sum of two: the rest up to one": "cotangent",
    "log of a sum of two: not normalised": "factor",
    "interpolation between two: t not summed": "broadcast",
    "interpolation between two: the difference the other way round": "sign",
    "interpolation between two: all of it to the first": "factor term",
    "clamp: passed straight through": "mask",
    "clamp: cut off above only": "mask region",
    "clamp: the mask turned round": "mask",
    "softplus with a slope: multiplied by the slope": "factor",
    "softplus with a slope: the slope forgotten inside": "derivative",
    "elu: its value for its slope": "region derivative",
    "elu: alpha forgotten below zero": "region factor",
    "swiglu: gate and value exchanged": "order shifted swapped",
    "swiglu: the gate's slope without the product rule": "derivative term",
    "swiglu: the gate before its activation for the value": "operand factor",
    "gelu by tanh: the cube not differentiated": "derivative",
    "gelu by tanh: the second half of the product rule left out": "derivative term",
    "power: the exponent not lowered": "factor derivative",
    "power: no logarithm for the exponent": "factor derivative",
    "angle of a point: both with a plus": "sign",
    "angle of a point: divided by the radius once": "factor",
    "division by a scale: the scale not squared": "factor",
    "division by a scale: the scale not summed over rows": "broadcast",
    "polynomial: the exponents not lowered": "factor derivative",
    "polynomial: the highest power left out": "term",
    "polynomial: the coefficients' powers begin at one": "operand shifted",
    "dropout: not scaled up": "factor",
    "dropout: a new mask drawn": "random mask",
    "dropout: divided by the dropped share": "factor",
    "norm of rows: as if squared": "factor",
    "norm of rows: the sign, as for the sum of magnitudes": "derivative operand",
    "norm of rows: divided by the norm of columns": "axis",
    "rows of length one: x not yet divided in the projection": "term",
    "rows of length one: divided in place, then by its new norm": "mutated factor",
    "cosine similarity: both norms taken for constants": "term",
    "cosine similarity: the projection along the other vector": "term operand",
    "log of summed exponentials of columns: normalised along rows": "axis",
    "log of summed exponentials of columns: not normalised": "factor",
    "log of summed exponentials of columns: the logarithm of the shares": "derivative operand",
    "unbiased variance of columns: divided by n": "factor",
    "unbiased variance of columns: not centred": "term sum",
    "unbiased variance of columns: centred by rows": "axis",
    "standard deviation of rows: the variance's gradient": "factor",
    "standard deviation of rows: n - 1 where it has n": "factor",
    "mean over real tokens: divided by the padded length": "factor",
    "mean over real tokens: padding gets its share": "mask",
    "feature modulation: the one beside gamma forgotten": "term",
    "feature modulation: gamma from the output": "operand",
    "linear layer on a sequence: the bias summed over the batch only": "broadcast",
    "linear layer on a sequence: the weight overwritten at each step": "term sum output",
    "residual layer: the direct path forgotten": "term",
    "residual layer: the weight not transposed": "operand jacobian",
    "residual layer: the slope from the value before tanh": "derivative",
    "residual layer: the slope from the value after the addition": "derivative operand",
    "linear layer of signs: straight through the sign": "mask derivative",
    "linear layer of signs: the weight without its sign": "operand",
    "softmax at a temperature: the temperature forgotten": "factor",
    "softmax at a temperature: as if each probability stood alone": "sum term",
    "softmax at a temperature: the inner sum over rows": "axis",
    "cross entropy with ignored rows: ignored rows pulled to the last class": "mask",
    "cross entropy with ignored rows: divided by all rows": "factor",
    "smoothed cross entropy: the labels not smoothed": "term",
    "smoothed cross entropy: the smoothing shared by the other classes only": "term distribution",
    "binary cross entropy with weighted positives: the weight of positives forgotten": (
        "factor term"
    ),
    "binary cross entropy with weighted positives: the sigmoid differentiated once more": (
        "factor derivative"
    ),
    "binary cross entropy with weighted positives: the weight on the negatives too": "factor term",
    "multiclass hinge loss: the true class lowered once, not once for each margin": "term",
    "multiclass hinge loss: the true class left out": "term mask",
    "huber loss: delta missing in the linear part": "region factor",
    "huber loss: quadratic everywhere": "region derivative",
    "huber loss: the target's sign": "sign",
    "huber loss: not averaged": "factor",
    "divergence from the standard normal: the entropy's part forgotten": "term",
    "divergence from the standard normal: by the variance, not its logarithm": "factor derivative",
    "divergence from the standard normal: averaged over features too": "factor",
    "divergence from the standard normal: the log-variance as a log of the deviation": "derivative",
    "reparameterised sample: the half forgotten": "factor",
    "reparameterised sample: the noise forgotten": "factor operand",
    "reparameterised sample: the variance for the deviation": "factor derivative operand",
    "discriminator loss: the minus inside forgotten": "derivative",
    "discriminator loss: the minus in front forgotten": "sign",
    "discriminator loss: both averaged over all samples": "factor",
    "discriminator loss: the saturating loss for the fakes": "derivative sign",
    "mixture of normals: the prior for the responsibilities": "operand",
    "mixture of normals: the logits' own normalisation forgotten": "term",
    "mixture of normals: by sigma, not its logarithm": "factor derivative",
    "policy gradient loss: the advantage forgotten": "factor",
    "policy gradient loss: the reward climbed, not the loss": "sign",
    "policy gradient loss: only the action taken": "term",
    "policy gradient loss: the advantage detached": "zero cut",
    "contrastive loss: the temperature forgotten": "factor",
    "contrastive loss: the second view without a transpose": "operand jacobian",
    "contrastive loss: normalised over the other view": "axis",
    "log density of a squashed action: the inner tanh not differentiated": "factor derivative",
    "log density of a squashed action: the sigmoid's correction": "derivative",
    "entropy of the allowed actions: zero times the logarithm of zero": "nonfinite",
    "entropy of the allowed actions: as if the probabilities were free": "term sum",
}

# Caught, but at more than a tenth of the seeds only the entries that differ are told.
UNNAMED = (
    "group norm: means over each channel, not over its group",
    "group norm: the weight's gradient from x as it was before normalisation",
    "instance norm: means over the batch too",
    "layer norm without weights: epsilon outside of the root",
    "weight norm: the gain's gradient from v, not from its direction",
    "lstm cell: the outer tanh not differentiated",
    "lstm cell: the forget gate missing on the way to the old cell",
    "gru cell: the old state weighed by one minus the gate",
    "rotary embedding: positions counted from one",
    "causal depthwise convolution: the last tap left out",
    "causal depthwise convolution: the input one step too late for the taps",
    "linear solve: the right-hand side in the solution's place",
    "outer product: summed before it is multiplied",
    "covariance: the incoming gradient taken for symmetric",
    "covariance: only the left factor",
    "cumulative product: summed from the start",
    "tied embedding: only as the output layer",
    "tied embedding: only as the embedding",
    "linear interpolation: points of one cell paid once",
    "concatenation: the second part begins one too early",
    "angle of a point: divided by the radius once",
    "polynomial: the highest power left out",
    "norm of rows: the sign, as for the sum of magnitudes",
    "norm of rows: divided by the norm of columns",
    "cosine similarity: the projection along the other vector",
    "log of summed exponentials of columns: normalised along rows",
    "log of summed exponentials of columns: the logarithm of the shares",
    "feature modulation: gamma from the output",
    "residual layer: the weight not transposed",
    "residual layer: the slope from the value before tanh",
    "residual layer: the slope from the value after the addition",
    "smoothed cross entropy: the labels not smoothed",
    "smoothed cross entropy: the smoothing shared by the other classes only",
    "binary cross entropy with weighted positives: the weight of positives forgotten",
    "binary cross entropy with weighted positives: the weight on the negatives too",
    "multiclass hinge loss: the true class lowered once, not once for each margin",
    "huber loss: delta missing in the linear part",
    "huber loss: quadratic everywhere",
    "divergence from the standard normal: the log-variance as a log of the deviation",
    "reparameterised sample: the variance for the deviation",
    "mixture of normals: the prior for the responsibilities",
    "mixture of normals: the logits' own normalisation forgotten",
    "policy gradient loss: only the action taken",
    "contrastive loss: the second view without a transpose",
    "contrastive loss: normalised over the other view",
    "log density of a squashed action: the sigmoid's correction",
)
# Caught and told apart, but not in one of the words above.
MISNAMED = (
    "rms norm: the root mean square taken for a constant",
    "rms norm: the weight forgotten inside the projection",
    "instance norm: n - 1 where the variance has n",
    "weight norm: the norm taken for a constant",
    "gru cell: the reset gate missing before the hidden candidate",
    "gru cell: the update gate as if it weighed the candidate",
    "linear recurrence: back through one step only",
    "linear recurrence: the new state where the old one entered",
    "running mean: its own step left out",
    "causal attention: probabilities recomputed without the mask",
    "causal attention: the scores' gradient not transposed for the keys",
    "overlapping max pooling: a value that wins twice is paid once",
    "strided convolution: the kernel reversed",
    "strided convolution: windows written over one another",
    "quadratic form: one of the two uses of x",
    "pairwise squared distances: only the mixed term",
    "covariance: not centred",
    "exclusive cumulative sum: its own entry counted",
    "two largest: to the two smallest",
    "embedding with a padding token: the padding learns too",
    "embedding with a padding token: the last row taken for padding",
    "embedding with a padding token: a repeated token paid once",
    "tied embedding: repeated tokens added once",
    "linear interpolation: the position's gradient is the value",
    "axes moved round: reshaped in place of transposed",
    "log of a sum of two: not normalised",
    "interpolation between two: all of it to the first",
    "clamp: passed straight through",
    "swiglu: the gate's slope without the product rule",
    "swiglu: the gate before its activation for the value",
    "gelu by tanh: the cube not differentiated",
    "division by a scale: the scale not squared",
    "polynomial: the coefficients' powers begin at one",
    "rows of length one: x not yet divided in the projection",
    "cosine similarity: both norms taken for constants",
    "mean over real tokens: padding gets its share",
    "linear layer of signs: straight through the sign",
    "divergence from the standard normal: the entropy's part forgotten",
    "discriminator loss: the minus inside forgotten",
    "discriminator loss: the saturating loss for the fakes",
    "entropy of the allowed actions: as if the probabilities were free",
)
