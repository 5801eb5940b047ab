"""Planted wrong gradients: the first set that the checker's diagnosis was tuned on.

Most are mistakes that students and libraries really made: a term of a normalisation left out, an
index not inverted, a mean taken for a sum. Other sets: `mutants_second` and `mutants_unseen`.
"""

from __future__ import annotations

import numpy as np

from tests.testing.specimens import Specimen, alike, extent, normal, sigmoid, softmax

SPECIMENS: list[Specimen] = []


def specimen(*args: object, **options: object) -> Specimen:
    made = Specimen(*args, **options)  # type: ignore[arg-type]
    SPECIMENS.append(made)
    return made


# ------------------------------------------------------------------------------ matrix products


def _matrices(rng):
    n, k, m = (extent(rng) for _ in range(3))
    return [rng.standard_normal((n, k)), rng.standard_normal((k, m))]


def _square(rng):
    n = extent(rng, 3)
    return [rng.standard_normal((n, n)), rng.standard_normal((n, n))]


matmul = specimen(
    "matmul", lambda a, b: a @ b, _matrices, lambda g, a, b: (g @ b.T, a.T @ g),
    {
        "db transposed": lambda g, a, b: (g @ b.T, g.T @ a),
        "da with the wrong sign": lambda g, a, b: (-g @ b.T, a.T @ g),
        "the last row of a left out of db": lambda g, a, b: (g @ b.T, a[:-1].T @ g[:-1]),
    },
)  # fmt: skip
square_matmul = specimen(
    "matmul of squares", lambda a, b: a @ b, _square, lambda g, a, b: (g @ b.T, a.T @ g),
    {
        "b not transposed": lambda g, a, b: (g @ b, a.T @ g),
        "da transposed": lambda g, a, b: ((g @ b.T).T, a.T @ g),
        "gradients swapped": lambda g, a, b: (a.T @ g, g @ b.T),
        "a not transposed": lambda g, a, b: (g @ b.T, a @ g),
    },
)  # fmt: skip


def _batched(rng):
    b, n, k, m = (extent(rng) for _ in range(4))
    return [rng.standard_normal((b, n, k)), rng.standard_normal((k, m))]


batched_matmul = specimen(
    "matmul with a batch", lambda a, b: a @ b, _batched,
    lambda g, a, b: (g @ b.T, np.einsum("bnk,bnm->km", a, g)),
    {
        "shared operand not summed over the batch": lambda g, a, b: (
            g @ b.T, a.transpose(0, 2, 1) @ g,
        ),
        "mean over the batch": lambda g, a, b: (
            g @ b.T, np.einsum("bnk,bnm->km", a, g) / len(a),
        ),
    },
)  # fmt: skip


def _linear(rng):
    n, i, o = extent(rng, 3), extent(rng), extent(rng)
    return [rng.standard_normal(s) for s in ((n, i), (o, i), (o,))]


linear = specimen(
    "linear", lambda x, w, b: x @ w.T + b, _linear, lambda g, x, w, b: (g @ w, g.T @ x, g.sum(0)),
    {
        "bias not summed over the batch": lambda g, x, w, b: (g @ w, g.T @ x, g),
        "bias averaged over the batch": lambda g, x, w, b: (g @ w, g.T @ x, g.mean(0)),
        "bias of ones": lambda g, x, w, b: (g @ w, g.T @ x, np.full(b.shape, float(len(x)))),
        "only the first sample": lambda g, x, w, b: (g @ w, np.outer(g[0], x[0]), g.sum(0)),
        "weight decay slipped in": lambda g, x, w, b: (g @ w, g.T @ x + 0.1 * w, g.sum(0)),
    },
)  # fmt: skip

# ----------------------------------------------------------------------------------- elementwise

specimen(
    "tanh", np.tanh, normal(2), lambda g, x: g * (1 - np.tanh(x) ** 2),
    {
        "1 - y": lambda g, x: g * (1 - np.tanh(x)),
        "1 - x²": lambda g, x: g * (1 - x**2),
        "cotangent squared": lambda g, x: g**2 * (1 - np.tanh(x) ** 2),
        "cotangent ignored": lambda g, x: 1 - np.tanh(x) ** 2,
    },
)  # fmt: skip
specimen(
    "sigmoid", sigmoid, normal(2), lambda g, x: g * sigmoid(x) * (1 - sigmoid(x)),
    {
        "y alone": lambda g, x: g * sigmoid(x),
        "x (1 - x)": lambda g, x: g * x * (1 - x),
        "sign": lambda g, x: g * sigmoid(x) * (sigmoid(x) - 1),
    },
)  # fmt: skip
specimen(
    "relu", lambda x: np.maximum(x, 0), normal(2, low=3), lambda g, x: g * (x > 0),
    {
        "no mask": lambda g, x: g,
        "mask of the cotangent": lambda g, x: g * (g > 0),
        "mask alone": lambda g, x: (x > 0) * 1.0,
    },
)  # fmt: skip
specimen(
    "leaky relu", lambda x: np.where(x > 0, x, 0.2 * x), normal(2, low=3),
    lambda g, x: np.where(x > 0, g, 0.2 * g),
    {"relu's": lambda g, x: g * (x > 0)},
)  # fmt: skip
specimen(
    "exp", np.exp, normal(2), lambda g, x: g * np.exp(x),
    {"x times": lambda g, x: g * x * np.exp(x), "not multiplied": lambda g, x: np.exp(x)},
)  # fmt: skip
specimen(
    "log", lambda x: np.log(np.abs(x) + 1), normal(2),
    lambda g, x: g * np.sign(x) / (np.abs(x) + 1),
    {"sign of x forgotten": lambda g, x: g / (np.abs(x) + 1)},
)  # fmt: skip
specimen(
    "sqrt", lambda x: np.sqrt(x**2 + 1), normal(2), lambda g, x: g * x / np.sqrt(x**2 + 1),
    {"half left": lambda g, x: 0.5 * g * x / np.sqrt(x**2 + 1),
     "inner derivative forgotten": lambda g, x: 0.5 * g / np.sqrt(x**2 + 1)},
)  # fmt: skip
specimen(
    "mul", lambda a, b: a * b, alike(2, 2), lambda g, a, b: (g * b, g * a),
    {
        "own value in place of the other's": lambda g, a, b: (g * a, g * a),
        "swapped": lambda g, a, b: (g * a, g * b),
    },
)  # fmt: skip


def _division(rng):
    shape = [extent(rng), extent(rng)]
    return [rng.standard_normal(shape), rng.uniform(0.5, 2, shape)]


specimen(
    "div", lambda a, b: a / b, _division, lambda g, a, b: (g / b, -g * a / b**2),
    {
        "sign of the divisor's": lambda g, a, b: (g / b, g * a / b**2),
        "not squared": lambda g, a, b: (g / b, -g * a / b),
        "numerator forgotten": lambda g, a, b: (g / b, -g / b**2),
    },
)  # fmt: skip
specimen(
    "square, by x * x", lambda x: x * x, normal(2), lambda g, x: 2 * g * x,
    {"one of two paths": lambda g, x: g * x},
)  # fmt: skip
specimen(
    "clip", lambda x: np.clip(x, -1, 1), lambda rng: [2 * rng.standard_normal((5, extent(rng, 4)))],
    lambda g, x: g * (np.abs(x) < 1),
    {"passes outside": lambda g, x: g, "one side only": lambda g, x: g * (x < 1)},
)  # fmt: skip
C = np.sqrt(2 / np.pi)


def _gelu_gate(x):
    return np.tanh(C * (x + 0.044715 * x**3))


def _gelu_right(g, x, cubic=True):
    t = _gelu_gate(x)
    inner = C * (1 + 3 * 0.044715 * x**2 * cubic)
    return g * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * inner)


specimen(
    "gelu", lambda x: 0.5 * x * (1 + _gelu_gate(x)), normal(2), _gelu_right,
    {
        "gate taken as constant": lambda g, x: g * 0.5 * (1 + _gelu_gate(x)),
        "cubic part forgotten": lambda g, x: _gelu_right(g, x, cubic=False),
    },
)  # fmt: skip
specimen(
    "silu", lambda x: x * sigmoid(x), normal(2),
    lambda g, x: g * sigmoid(x) * (1 + x * (1 - sigmoid(x))),
    {
        "gate taken as constant": lambda g, x: g * sigmoid(x),
        "sign of the gate's": lambda g, x: g * sigmoid(x) * (1 - x * (1 - sigmoid(x))),
    },
)  # fmt: skip

# ------------------------------------------------------------------- reductions, shapes, indices

specimen(
    "sum along 1", lambda x: x.sum(1), normal(2),
    lambda g, x: np.repeat(g[:, None], x.shape[1], 1),
    {"divided by n": lambda g, x: np.repeat(g[:, None], x.shape[1], 1) / x.shape[1]},
)  # fmt: skip
specimen(
    "mean", lambda x: x.mean(1), normal(2),
    lambda g, x: np.repeat(g[:, None], x.shape[1], 1) / x.shape[1],
    {
        "1/n forgotten": lambda g, x: np.repeat(g[:, None], x.shape[1], 1),
        "1/n of the other axis": lambda g, x: np.repeat(g[:, None], x.shape[1], 1) / len(x) ** 2,
    },
)  # fmt: skip
specimen(
    "var", lambda x: x.var(-1), normal(2, low=3),
    lambda g, x: 2 * g[..., None] * (x - x.mean(-1, keepdims=True)) / x.shape[-1],
    {
        "mean not subtracted": lambda g, x: 2 * g[..., None] * x / x.shape[-1],
        "n - 1": lambda g, x: 2 * g[..., None] * (x - x.mean(-1, keepdims=True))
        / (x.shape[-1] - 1),
    },
)  # fmt: skip


def _at_max(g, x):
    return g[:, None] * (x == x.max(1, keepdims=True))


specimen(
    "max along 1", lambda x: x.max(1), normal(2, low=3), _at_max,
    {
        "to every entry": lambda g, x: np.repeat(g[:, None], x.shape[1], 1),
        "shared by all": lambda g, x: np.repeat(g[:, None], x.shape[1], 1) / x.shape[1],
    },
)  # fmt: skip
specimen(
    "logsumexp", lambda x: np.log(np.exp(x).sum(1)), normal(2),
    lambda g, x: g[:, None] * softmax(x),
    {"not normalised": lambda g, x: g[:, None] * np.exp(x)},
)  # fmt: skip
specimen(
    "cumsum", lambda x: x.cumsum(0), normal(2, low=3), lambda g, x: g[::-1].cumsum(0)[::-1],
    {
        "forward again": lambda g, x: g.cumsum(0),
        "not turned back": lambda g, x: g[::-1].cumsum(0),
    },
)  # fmt: skip
PERMUTATION = np.array([2, 0, 1, 4, 3])
specimen(
    "permute rows", lambda x: x[PERMUTATION], lambda rng: [rng.standard_normal((5, extent(rng)))],
    lambda g, x: g[np.argsort(PERMUTATION)],
    {"index not inverted": lambda g, x: g[PERMUTATION]},
)  # fmt: skip
specimen(
    "roll", lambda x: np.roll(x, 1, 0), normal(2, low=4), lambda g, x: np.roll(g, -1, 0),
    {"rolled on": lambda g, x: np.roll(g, 1, 0), "left as it is": lambda g, x: g},
)  # fmt: skip
specimen(
    "flip", lambda x: x[::-1], normal(2, low=3), lambda g, x: g[::-1],
    {"not flipped": lambda g, x: g},
)  # fmt: skip
specimen(
    "transpose of a square", lambda x: x.T, lambda rng: _square(rng)[:1],
    lambda g, x: g.T, {"passed on": lambda g, x: g},
)  # fmt: skip
specimen(
    "add with broadcasting", lambda x, b: x + b,
    lambda rng: [rng.standard_normal((extent(rng), n := extent(rng))), rng.standard_normal((1, n))],
    lambda g, x, b: (g, g.sum(0, keepdims=True)),
    {
        "not summed": lambda g, x, b: (g, g),
        "one row": lambda g, x, b: (g, g[:1]),
    },
)  # fmt: skip
specimen(
    "concatenate", lambda a, b: np.concatenate([a, b], 1),
    lambda rng: [rng.standard_normal((n := extent(rng), m := extent(rng))),
                 rng.standard_normal((n, m))],
    lambda g, a, b: (g[:, : a.shape[1]], g[:, a.shape[1] :]),
    {"the first part twice": lambda g, a, b: (g[:, : a.shape[1]], g[:, : a.shape[1]])},
)  # fmt: skip
specimen(
    "slice", lambda x: x[1:-1], normal(2, low=4), lambda g, x: np.pad(g, [(1, 1), (0, 0)]),
    {"one too early": lambda g, x: np.pad(g, [(0, 2), (0, 0)])},
)  # fmt: skip


def _rows(rng):
    n = extent(rng, 5, 8)
    index = np.array([0, 2, 2, 4, 0])
    return [rng.standard_normal((n, extent(rng))), index]


def _add_at(w, index, g):
    total = np.zeros_like(w)
    np.add.at(total, index, g)
    return total


def _assigned(g, w, index):
    total = np.zeros_like(w)
    total[index] += g
    return total


specimen(
    "embedding", lambda w, index: w[index], _rows, lambda g, w, index: _add_at(w, index, g),
    {
        "assigned, not added": _assigned,
        "the last mention left out": lambda g, w, index: _add_at(w, index[:-1], g[:-1]),
        "divided by the number of mentions": lambda g, w, index: _add_at(
            w, index, g / np.bincount(index)[index][:, None]
        ),
    },
)  # fmt: skip
specimen(
    "where", lambda a, b: np.where(a > b, a, b), alike(2, 2, 3),
    lambda g, a, b: (g * (a > b), g * (a <= b)),
    {"branches swapped": lambda g, a, b: (g * (a <= b), g * (a > b))},
)  # fmt: skip

# ----------------------------------------------------------------------- softmax and losses


def _softmax_right(g, x):
    y = softmax(x)
    return y * (g - (y * g).sum(-1, keepdims=True))


specimen(
    "softmax", softmax, normal(2, low=3), _softmax_right,
    {
        "the diagonal alone": lambda g, x: g * softmax(x),
        "y (1 - y)": lambda g, x: g * softmax(x) * (1 - softmax(x)),
        "sum along the wrong axis": lambda g, x: softmax(x)
        * (g - (softmax(x) * g).sum(0, keepdims=True)),
        "zero": lambda g, x: np.zeros_like(x),
        "3.7 times": lambda g, x: 3.7 * _softmax_right(g, x),
        "coupling with the wrong sign": lambda g, x: softmax(x)
        * (g + (softmax(x) * g).sum(-1, keepdims=True)),
    },
)  # fmt: skip
specimen(
    "log_softmax", lambda x: np.log(softmax(x)), normal(2, low=3),
    lambda g, x: g - softmax(x) * g.sum(-1, keepdims=True),
    {
        "sum of g forgotten": lambda g, x: g - softmax(x),
        "x alone": lambda g, x: g,
        "mean for sum": lambda g, x: g - softmax(x) * g.mean(-1, keepdims=True),
    },
)  # fmt: skip


def _classes(rng):
    n, c = extent(rng, 3), extent(rng, 3)
    return [rng.standard_normal((n, c)), rng.integers(0, c, n)]


def _cross_entropy(x, t):
    return np.array(-np.log(softmax(x))[np.arange(len(t)), t].mean())


def _one_hot(x, t):
    return np.eye(x.shape[1])[t]


specimen(
    "cross entropy", _cross_entropy, _classes,
    lambda g, x, t: g * (softmax(x) - _one_hot(x, t)) / len(t),
    {
        "target not subtracted": lambda g, x, t: g * softmax(x) / len(t),
        "1/N forgotten": lambda g, x, t: g * (softmax(x) - _one_hot(x, t)),
        "sign": lambda g, x, t: g * (_one_hot(x, t) - softmax(x)) / len(t),
        "divided by all entries": lambda g, x, t: g * (softmax(x) - _one_hot(x, t)) / x.size,
        "cotangent ignored": lambda g, x, t: (softmax(x) - _one_hot(x, t)) / len(t),
    },
)  # fmt: skip
specimen(
    "mse", lambda p, t: np.array(((p - t) ** 2).mean()), alike(2, 2),
    lambda g, p, t: (2 * g * (p - t) / p.size, -2 * g * (p - t) / p.size),
    {
        "1/N forgotten": lambda g, p, t: (2 * g * (p - t), -2 * g * (p - t) / p.size),
        "sign of the target's": lambda g, p, t: (2 * g * (p - t) / p.size,) * 2,
        "2 forgotten": lambda g, p, t: (g * (p - t) / p.size, -2 * g * (p - t) / p.size),
        "averaged over rows": lambda g, p, t: (
            2 * g * (p - t) / len(p), -2 * g * (p - t) / p.size,
        ),
    },
)  # fmt: skip
specimen(
    "KL of a Gaussian", lambda mu, v: np.array(-0.5 * (1 + v - mu**2 - np.exp(v)).sum()),
    alike(2, 2), lambda g, mu, v: (g * mu, 0.5 * g * (np.exp(v) - 1)),
    {
        "half forgotten": lambda g, mu, v: (g * mu, g * (np.exp(v) - 1)),
        "sign of mu": lambda g, mu, v: (-g * mu, 0.5 * g * (np.exp(v) - 1)),
        "1 forgotten": lambda g, mu, v: (g * mu, 0.5 * g * np.exp(v)),
        "log sigma for log variance": lambda g, mu, v: (g * mu, g * (np.exp(2 * v) - 1)),
    },
)  # fmt: skip
specimen(
    "reparameterisation", lambda mu, v, e: mu + np.exp(0.5 * v) * e,
    alike(3, 2),
    lambda g, mu, v, e: (g, 0.5 * g * np.exp(0.5 * v) * e, g * np.exp(0.5 * v)),
    {
        "half forgotten": lambda g, mu, v, e: (
            g, g * np.exp(0.5 * v) * e, g * np.exp(0.5 * v),
        ),
        "noise forgotten": lambda g, mu, v, e: (
            g, 0.5 * g * np.exp(0.5 * v), g * np.exp(0.5 * v),
        ),
    },
)  # fmt: skip

# ------------------------------------------------------------------------------ normalisations


def _norm_inputs(rng):
    n, d = extent(rng, 4), extent(rng, 4, 7)
    return [rng.standard_normal((n, d)), rng.standard_normal(d), rng.standard_normal(d)]


def _statistics(x, axis):
    rstd = 1 / np.sqrt(x.var(axis, keepdims=True) + 1e-5)
    return (x - x.mean(axis, keepdims=True)) * rstd, rstd


def _norm(axis):
    def forward(x, w, b):
        return _statistics(x, axis)[0] * w + b

    return forward


def _norm_backward(axis, mean=1.0, variance=1.0, weighted=True, unbiased=False, normalised=True):
    def backward(g, x, w, b):
        normal, rstd = _statistics(x, axis)
        h = g * w if weighted else g
        n = x.shape[axis]
        part = h - mean * h.mean(axis, keepdims=True)
        along = (h * normal).sum(axis, keepdims=True) / (n - 1 if unbiased else n)
        dw = g * normal if normalised else g * x
        return rstd * (part - variance * normal * along), dw.sum(0), g.sum(0)

    return backward


for _name, _axis in (("layer norm", -1), ("batch norm", 0)):
    specimen(
        _name, _norm(_axis), _norm_inputs, _norm_backward(_axis),
        {
            "no path through the mean": _norm_backward(_axis, mean=0),
            "no path through the variance": _norm_backward(_axis, variance=0),
            "variance with the wrong sign": _norm_backward(_axis, variance=-1),
            "no statistics at all": _norm_backward(_axis, mean=0, variance=0),
            "weight forgotten": _norm_backward(_axis, weighted=False),
            "n - 1": _norm_backward(_axis, unbiased=True),
            "weight's not normalised": _norm_backward(_axis, normalised=False),
        },
    )  # fmt: skip


def _rms(x):
    return np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)


specimen(
    "rms norm", lambda x: x / _rms(x), normal(2, low=3),
    lambda g, x: g / _rms(x) - x * (g * x).mean(-1, keepdims=True) / _rms(x) ** 3,
    {
        "rms taken as constant": lambda g, x: g / _rms(x),
        "sum for mean": lambda g, x: g / _rms(x)
        - x * (g * x).sum(-1, keepdims=True) / _rms(x) ** 3,
    },
)  # fmt: skip

# -------------------------------------------------------------------- attention, convolution


def _qkv(rng):
    t, s, d, e = extent(rng, 3), extent(rng, 3), extent(rng, 3), extent(rng)
    return [rng.standard_normal(shape) for shape in ((t, d), (s, d), (s, e))]


def _scores(q, k):
    return softmax(q @ k.T / np.sqrt(q.shape[1]))


def _attention_backward(scale=True, coupling=1.0, axis=-1):
    def backward(g, q, k, v):
        w, c = _scores(q, k), 1 / np.sqrt(q.shape[1]) if scale else 1.0
        dw = g @ v.T
        ds = w * (dw - coupling * (w * dw).sum(axis, keepdims=True))
        return ds @ k * c, ds.T @ q * c, w.T @ g

    return backward


specimen(
    "attention", lambda q, k, v: _scores(q, k) @ v, _qkv, _attention_backward(),
    {
        "1/sqrt(d) forgotten": _attention_backward(scale=False),
        "softmax without coupling": _attention_backward(coupling=0),
        "coupling doubled": _attention_backward(coupling=2),
        "coupling with the wrong sign": _attention_backward(coupling=-1),
        "v with the scores before softmax": lambda g, q, k, v: (
            *_attention_backward()(g, q, k, v)[:2], (q @ k.T / np.sqrt(q.shape[1])).T @ g,
        ),
    },
)  # fmt: skip


def _images(rng):
    n, c, o, size = 2, extent(rng, 2, 4), extent(rng, 2, 4), extent(rng, 4, 6)
    return [rng.standard_normal((n, c, size, size + 1)), rng.standard_normal((o, c, 2, 3))]


def _windows(x, w):
    h, v = w.shape[2:]
    return np.lib.stride_tricks.sliding_window_view(x, (h, v), axis=(2, 3))  # n c i j h v


def _conv(x, w):
    return np.einsum("ncijhv,ochv->noij", _windows(x, w), w)


def _conv_input(g, x, w):
    h, v = w.shape[2:]
    wide = np.pad(g, [(0, 0), (0, 0), (h - 1, h - 1), (v - 1, v - 1)])
    return np.einsum("noijhv,ochv->ncij", _windows(wide, w), w[:, :, ::-1, ::-1])


def _conv_weight(g, x, w):
    return np.einsum("ncijhv,noij->ochv", _windows(x, w), g)


specimen(
    "conv2d", _conv, _images, lambda g, x, w: (_conv_input(g, x, w), _conv_weight(g, x, w)),
    {
        "kernel not flipped": lambda g, x, w: (
            _conv_input(g, x, w[:, :, ::-1, ::-1]), _conv_weight(g, x, w),
        ),
        "weight's flipped": lambda g, x, w: (
            _conv_input(g, x, w), _conv_weight(g, x, w)[:, :, ::-1, ::-1],
        ),
        "first sample only": lambda g, x, w: (
            _conv_input(g, x, w), _conv_weight(g[:1], x[:1], w),
        ),
        "mean over the batch": lambda g, x, w: (
            _conv_input(g, x, w), _conv_weight(g, x, w) / len(x),
        ),
        "last column of the output left out": lambda g, x, w: (
            _conv_input(np.where(np.arange(g.shape[3]) < g.shape[3] - 1, g, 0), x, w),
            _conv_weight(g, x, w),
        ),
    },
)  # fmt: skip


def _pool(x):
    return x.reshape(len(x), x.shape[1] // 2, 2).max(2)


def _pool_right(g, x):
    pairs = x.reshape(len(x), -1, 2)
    return (g[..., None] * (pairs == pairs.max(2, keepdims=True))).reshape(x.shape)


specimen(
    "max pool", _pool, lambda rng: [rng.standard_normal((extent(rng), 2 * extent(rng)))],
    _pool_right,
    {
        "to both": lambda g, x: np.repeat(g, 2, 1),
        "to the first": lambda g, x: np.stack([g, 0 * g], 2).reshape(x.shape),
    },
)  # fmt: skip
specimen(
    "average pool", lambda x: x.reshape(len(x), -1, 2).mean(2),
    lambda rng: [rng.standard_normal((extent(rng), 2 * extent(rng)))],
    lambda g, x: np.repeat(g, 2, 1) / 2,
    {
        "not divided": lambda g, x: np.repeat(g, 2, 1),
        "tiled, not repeated": lambda g, x: np.tile(g, (1, 2)) / 2,
    },
)  # fmt: skip
MASK = np.random.default_rng(0).random((6, 7)) < 0.6
specimen(
    "dropout with a given mask", lambda x: x * MASK / 0.6,
    lambda rng: [rng.standard_normal((6, 7))], lambda g, x: g * MASK / 0.6,
    {
        "not scaled": lambda g, x: g * MASK,
        "no mask": lambda g, x: g / 0.6,
        "the other mask": lambda g, x: g * ~MASK / 0.6,
    },
)  # fmt: skip

# What a good diagnosis may call each mistake (`minigen.testing.report.KINDS`). Read off what the
# checker said and judged one by one; where it said nothing, what it ought to have said.
KINDS = {
    "matmul: db transposed": "transposed",
    "matmul: da with the wrong sign": "sign",
    "matmul: the last row of a left out of db": "term output",
    "matmul of squares: b not transposed": "operand",
    "matmul of squares: da transposed": "transposed",
    "matmul of squares: gradients swapped": "swapped",
    "matmul of squares: a not transposed": "operand",
    "matmul with a batch: shared operand not summed over the batch": "broadcast",
    "matmul with a batch: mean over the batch": "factor",
    "linear: bias not summed over the batch": "broadcast",
    "linear: bias averaged over the batch": "factor",
    "linear: bias of ones": "cotangent",
    "linear: only the first sample": "term output",
    "linear: weight decay slipped in": "cotangent",
    "tanh: 1 - y": "derivative",
    "tanh: 1 - x²": "derivative",
    "tanh: cotangent squared": "cotangent",
    "tanh: cotangent ignored": "cotangent",
    "sigmoid: y alone": "derivative",
    "sigmoid: x (1 - x)": "derivative",
    "sigmoid: sign": "sign",
    "relu: no mask": "derivative",
    "relu: mask of the cotangent": "cotangent",
    "relu: mask alone": "cotangent",
    "leaky relu: relu's": "derivative",
    "exp: x times": "derivative",
    "exp: not multiplied": "cotangent",
    "log: sign of x forgotten": "region factor",
    "sqrt: half left": "factor",
    "sqrt: inner derivative forgotten": "derivative",
    "mul: own value in place of the other's": "swapped",
    "mul: swapped": "swapped",
    "div: sign of the divisor's": "sign",
    "div: not squared": "factor",
    "div: numerator forgotten": "derivative",
    "square, by x * x: one of two paths": "factor",
    "clip: passes outside": "derivative",
    "clip: one side only": "mask",
    "gelu: gate taken as constant": "term",
    "gelu: cubic part forgotten": "term",
    "silu: gate taken as constant": "term",
    "silu: sign of the gate's": "term",
    "sum along 1: divided by n": "factor",
    "mean: 1/n forgotten": "factor",
    "mean: 1/n of the other axis": "factor",
    "var: mean not subtracted": "term",
    "var: n - 1": "factor",
    "max along 1: to every entry": "mask",
    "max along 1: shared by all": "distribution",
    "logsumexp: not normalised": "factor",
    "cumsum: forward again": "jacobian",
    "cumsum: not turned back": "flipped",
    "permute rows: index not inverted": "jacobian",
    "roll: rolled on": "shifted",
    "roll: left as it is": "shifted",
    "flip: not flipped": "flipped",
    "transpose of a square: passed on": "transposed",
    "add with broadcasting: not summed": "broadcast",
    "add with broadcasting: one row": "output",
    "concatenate: the first part twice": "swapped",
    "slice: one too early": "shifted",
    "embedding: assigned, not added": "accumulate",
    "embedding: the last mention left out": "accumulate",
    "embedding: divided by the number of mentions": "accumulate term",
    "where: branches swapped": "swapped",
    "softmax: the diagonal alone": "term",
    "softmax: y (1 - y)": "sum derivative",
    "softmax: sum along the wrong axis": "axis",
    "softmax: zero": "zero",
    "softmax: 3.7 times": "factor",
    "softmax: coupling with the wrong sign": "term",
    "log_softmax: sum of g forgotten": "cotangent",
    "log_softmax: x alone": "term",
    "log_softmax: mean for sum": "term",
    "cross entropy: target not subtracted": "term",
    "cross entropy: 1/N forgotten": "factor",
    "cross entropy: sign": "sign",
    "cross entropy: divided by all entries": "factor",
    "cross entropy: cotangent ignored": "cotangent",
    "mse: 1/N forgotten": "factor",
    "mse: sign of the target's": "sign",
    "mse: 2 forgotten": "factor",
    "mse: averaged over rows": "factor",
    "KL of a Gaussian: half forgotten": "factor",
    "KL of a Gaussian: sign of mu": "sign",
    "KL of a Gaussian: 1 forgotten": "term",
    "KL of a Gaussian: log sigma for log variance": "derivative",
    "reparameterisation: half forgotten": "factor",
    "reparameterisation: noise forgotten": "factor",
    "layer norm: no path through the mean": "term",
    "layer norm: no path through the variance": "term",
    "layer norm: variance with the wrong sign": "term",
    "layer norm: no statistics at all": "term",
    "layer norm: weight forgotten": "factor",
    "layer norm: n - 1": "term",
    "layer norm: weight's not normalised": "operand",
    "batch norm: no path through the mean": "term",
    "batch norm: no path through the variance": "term",
    "batch norm: variance with the wrong sign": "term",
    "batch norm: no statistics at all": "term",
    "batch norm: weight forgotten": "factor",
    "batch norm: n - 1": "term",
    "batch norm: weight's not normalised": "operand",
    "rms norm: rms taken as constant": "term",
    "rms norm: sum for mean": "term",
    "attention: 1/sqrt(d) forgotten": "factor",
    "attention: softmax without coupling": "term",
    "attention: coupling doubled": "term",
    "attention: coupling with the wrong sign": "term",
    "attention: v with the scores before softmax": "operand",
    "conv2d: kernel not flipped": "operand",
    "conv2d: weight's flipped": "flipped",
    "conv2d: first sample only": "term",
    "conv2d: mean over the batch": "factor",
    "conv2d: last column of the output left out": "output",
    "max pool: to both": "mask",
    "max pool: to the first": "order distribution",
    "average pool: not divided": "factor",
    "average pool: tiled, not repeated": "distribution",
    "dropout with a given mask: not scaled": "factor",
    "dropout with a given mask: no mask": "mask",
    "dropout with a given mask: the other mask": "mask",
}

# Caught, but at more than a tenth of the seeds only the entries that differ are told.
UNNAMED = (
    "KL of a Gaussian: log sigma for log variance",
    "attention: v with the scores before softmax",
)
# Caught and told apart, but not in one of the words above.
MISNAMED = ("average pool: tiled, not repeated",)
