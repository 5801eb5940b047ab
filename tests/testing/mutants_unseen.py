"""Wrong gradients that the checker's diagnosis has never met: how many can it name?

This set was written after the checker's diagnosis was finished, by someone who had not seen it; it
is never used for tuning. The operations are those that courses let students write, the mistakes
those that students make. `KINDS` says, decided from each mistake alone, which kinds of the
diagnosis's vocabulary would name it correctly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.testing.specimens import Backward, Specimen, alike, extent, sigmoid, softmax

SPECIMENS: list[Specimen] = []
KINDS: dict[str, str] = {}


def plant(
    name: str,
    forward: Callable[..., Any],
    inputs: Callable[[np.random.Generator], Sequence],
    right: Backward,
    wrong: dict[str, tuple[str, Backward]],
) -> None:
    """Add a specimen; `wrong` maps a label to the kinds that name the mistake, and its backward."""
    mistakes = {label: backward for label, (_, backward) in wrong.items()}
    SPECIMENS.append(Specimen(name, forward, inputs, right, mistakes))
    KINDS.update({f"{name}: {label}": kinds for label, (kinds, _) in wrong.items()})


def but(right: Backward, place: int, gradient: Backward) -> Backward:
    """`right` with another gradient in one place."""

    def backward(g: Any, *inputs: Any) -> tuple:
        gradients = list(right(g, *inputs))
        gradients[place] = gradient(g, *inputs)
        return tuple(gradients)

    return backward


def shapes(names: str, low: int = 2, high: int = 5) -> Callable[[np.random.Generator], list]:
    """Normal arrays: in "nd dm", an n x d and a d x m matrix, each letter's extent drawn anew."""

    def draw(rng: np.random.Generator) -> list:
        size = {letter: extent(rng, low, high) for letter in sorted(set(names) - {" "})}
        return [rng.standard_normal([size[c] for c in each]) for each in names.split()]

    return draw


def both_signs(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Values of both signs, none near 0."""
    x = rng.standard_normal(shape)
    x += 0.2 * np.sign(x)
    x.flat[:2] = -abs(x.flat[0]), abs(x.flat[1])
    return x


def untied(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Values that differ by 0.2 or more."""
    n = int(np.prod(shape))
    return (0.3 * (rng.permutation(n) - n / 2) + 0.1 * rng.random(n)).reshape(shape)


def classes(rng: np.random.Generator) -> list:
    """Logits and the class of each row."""
    n, c = extent(rng, 3), extent(rng, 3)
    return [rng.standard_normal((n, c)), rng.integers(c, size=n)]


def one_hot(target: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return np.eye(logits.shape[1])[target]


# Layers of products


def linear(g, x, w, b):
    return g @ w.T, x.T @ g, g.sum(0)


plant("linear", lambda x, w, b: x @ w + b, shapes("nd dm m"), linear, {
        "bias averaged over the batch": ("factor", but(linear, 2, lambda g, x, w, b: g.mean(0))),
        "weight transposed": ("transposed shape", but(linear, 1, lambda g, x, w, b: g.T @ x)),
    })  # fmt: skip


def dense(g, x, weight):
    return g @ weight, g.T @ x


plant("dense, weight is out x in", lambda x, weight: x @ weight.T, shapes("nd dd", 3, 5), dense, {
        "weight of the other layout": ("operand jacobian",
            but(dense, 0, lambda g, x, weight: g @ weight.T)),
    })  # fmt: skip


def mlp(g, x, w1, w2):
    h = np.tanh(x @ w1)
    da = g @ w2.T * (1 - h**2)
    return da @ w1.T, x.T @ da, h.T @ g


plant("two layers", lambda x, w1, w2: np.tanh(x @ w1) @ w2, shapes("nd dh hm"), mlp, {
        "activation forgotten for the first weight": ("derivative factor operand",
            but(mlp, 1, lambda g, x, w1, w2: x.T @ (g @ w2.T))),
        "second weight multiplied by what enters the activation": ("operand",
            but(mlp, 2, lambda g, x, w1, w2: (x @ w1).T @ g)),
    })  # fmt: skip


def tied(g, x, w):
    h = np.tanh(x @ w)
    da = g @ w.T * (1 - h**2)
    return da @ w.T, x.T @ da + h.T @ g


plant("two layers that share a weight", lambda x, w: np.tanh(x @ w) @ w, shapes("nd dd"), tied, {
        "one use overwrites the other": ("term accumulate",
            but(tied, 1, lambda g, x, w: x.T @ (g @ w.T * (1 - np.tanh(x @ w) ** 2)))),
    })  # fmt: skip


def residual(g, x, w):
    da = g * (1 - np.tanh(x @ w) ** 2)
    return g + da @ w.T, x.T @ da


plant("residual block", lambda x, w: x + np.tanh(x @ w), shapes("nd dd"), residual, {
        "skip connection forgotten": ("term sum",
            but(residual, 0, lambda g, x, w: (g * (1 - np.tanh(x @ w) ** 2)) @ w.T)),
    })  # fmt: skip

# Activations

plant("relu", lambda x: np.maximum(x, 0),
    lambda rng: [both_signs(rng, extent(rng, 4), extent(rng, 4))], lambda g, x: g * (x > 0), {
        "mask taken from the incoming gradient": ("cotangent mask", lambda g, x: g * (g > 0)),
    })  # fmt: skip

plant("leaky relu", lambda x: np.where(x > 0, x, 0.1 * x),
    lambda rng: [both_signs(rng, extent(rng), extent(rng))],
    lambda g, x: g * np.where(x > 0, 1, 0.1), {
        "no slope below zero": ("region mask derivative", lambda g, x: g * (x > 0)),
    })  # fmt: skip

plant("sigmoid", sigmoid, alike(1, 2), lambda g, x: g * sigmoid(x) * (1 - sigmoid(x)), {
        "the input where the output belongs": ("derivative", lambda g, x: g * x * (1 - x)),
    })  # fmt: skip

plant("silu", lambda x: x * sigmoid(x), alike(1, 2),
    lambda g, x: g * sigmoid(x) * (1 + x * (1 - sigmoid(x))), {
        "product rule cut short": ("derivative term",
            lambda g, x: g * x * sigmoid(x) * (1 - sigmoid(x))),
    })  # fmt: skip


def gelu_gradient(x: np.ndarray, inner: Callable) -> np.ndarray:
    t = np.tanh(0.7978845608 * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * 0.7978845608 * inner(x)


plant("gelu", lambda x: 0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3))),
    lambda rng: [1.5 * both_signs(rng, extent(rng), extent(rng))],
    lambda g, x: g * gelu_gradient(x, lambda x: 1 + 3 * 0.044715 * x**2), {
        "inner derivative forgotten": ("derivative term",
            lambda g, x: g * gelu_gradient(x, lambda x: 1)),
    })  # fmt: skip


def prelu(g, x, alpha):
    return g * np.where(x > 0, 1, alpha), (g * x * (x < 0)).sum(0)


plant("prelu", lambda x, alpha: np.where(x > 0, x, alpha * x),
    lambda rng: [both_signs(rng, 5, n := extent(rng)), rng.standard_normal(n)], prelu, {
        "slope learns from the positive entries too": ("mask region term operand",
            but(prelu, 1, lambda g, x, alpha: (g * x).sum(0))),
    })  # fmt: skip


def softmax_backward(g, x):
    y = softmax(x)
    return y * (g - (g * y).sum(1, keepdims=True))


plant("softmax", lambda x: softmax(x), shapes("nc", 3, 6), softmax_backward, {
        "differentiated entry by entry": ("term sum",
            lambda g, x: g * softmax(x) * (1 - softmax(x))),
        "inner sum over the batch": ("axis",
            lambda g, x: softmax(x) * (g - (g * softmax(x)).sum(0))),
        "inner sum without its weights": ("term sum operand",
            lambda g, x: softmax(x) * (g - g.sum(1, keepdims=True))),
    })  # fmt: skip

plant("log softmax", lambda x: np.log(softmax(x)), shapes("nc"),
    lambda g, x: g - softmax(x) * g.sum(1, keepdims=True), {
        "incoming gradient not summed": ("sum term", lambda g, x: g - softmax(x) * g),
    })  # fmt: skip

plant("log-sum-exp", lambda x: np.log(np.exp(x).sum(1)), shapes("nn", 3, 6),
    lambda g, x: g[:, None] * softmax(x), {
        "incoming gradient spread along the wrong axis": ("operand cotangent axis",
            lambda g, x: g * softmax(x)),
    })  # fmt: skip

# Losses


def cross_entropy(logits, target):
    return -np.log((softmax(logits) * one_hot(target, logits)).sum(1)).mean()


def cross_entropy_backward(g, logits, target):
    return g * (softmax(logits) - one_hot(target, logits)) / len(logits)


plant("cross entropy", cross_entropy, classes, cross_entropy_backward, {
        "batch size forgotten": ("factor",
            lambda g, logits, target: g * (softmax(logits) - one_hot(target, logits))),
        "one-hot target not subtracted": ("term",
            lambda g, logits, target: g * softmax(logits) / len(logits)),
        "incoming gradient not used": ("cotangent",
            lambda g, logits, target: cross_entropy_backward(1.0, logits, target)),
        "through the softmax once more": ("factor term operand",
            lambda g, logits, target: softmax_backward(
                cross_entropy_backward(g, logits, target), logits)),
    })  # fmt: skip


def padded_cross_entropy(logits, target):
    kept = target >= 0
    return cross_entropy(logits[kept], target[kept])


def padded_backward(g, logits, target):
    return (target >= 0)[:, None] * unpadded_backward(g, logits, target)


def unpadded_backward(g, logits, target):
    return g * (softmax(logits) - one_hot(target, logits)) / (target >= 0).sum()


plant("cross entropy without padding", padded_cross_entropy,
    lambda rng: [rng.standard_normal((5, 3)), np.array([0, 2, -1, *rng.integers(-1, 3, size=2)])],
    padded_backward, {
        "padding receives a gradient": ("mask", unpadded_backward),
        "padding counted in the mean": ("factor",
            lambda g, logits, target: padded_backward(g * (target >= 0).mean(), logits, target)),
    })  # fmt: skip


def smooth(target, logits):
    return 0.8 * one_hot(target, logits) + 0.2 / logits.shape[1]


plant("cross entropy with smoothed labels",
    lambda logits, target: -(smooth(target, logits) * np.log(softmax(logits))).sum(1).mean(),
    classes,
    lambda g, logits, target: g * (softmax(logits) - smooth(target, logits)) / len(logits), {
        "smoothing forgotten": ("term operand", cross_entropy_backward),
    })  # fmt: skip


def mse(g, pred, target):
    d = 2 * g * (pred - target) / pred.size
    return d, -d


plant("mean squared error", lambda pred, target: ((pred - target) ** 2).mean(), alike(2, 2), mse, {
        "divided by the batch only": ("factor",
            lambda g, pred, target: mse(g * pred.shape[1], pred, target)),
        "target has the sign of the prediction": ("sign swapped",
            but(mse, 1, lambda g, pred, target: mse(g, pred, target)[0])),
    })  # fmt: skip

plant("binary cross entropy of logits",
    lambda logits, label: (np.log1p(np.exp(logits)) - label * logits).mean(),
    lambda rng: [rng.standard_normal(n := extent(rng, 3, 9)), rng.integers(2, size=n)],
    lambda g, logits, label: g * (sigmoid(logits) - label) / len(logits), {
        "sigmoid differentiated again": ("factor derivative",
            lambda g, x, label: g * (sigmoid(x) - label) * sigmoid(x) * (1 - sigmoid(x)) / len(x)),
    })  # fmt: skip

plant("binary cross entropy of probabilities",
    lambda p, label: -(label * np.log(p) + (1 - label) * np.log(1 - p)).sum(),
    lambda rng: [rng.uniform(0.1, 0.9, n := extent(rng, 3, 9)), rng.permutation(n) % 2],
    lambda g, p, label: g * ((1 - label) / (1 - p) - label / p), {
        "log(1 - p) without its inner sign": ("term derivative",
            lambda g, p, label: g * (-(1 - label) / (1 - p) - label / p)),
    })  # fmt: skip

plant("huber loss", lambda pred: np.where(abs(pred) < 1, pred**2 / 2, abs(pred) - 0.5).sum(),
    lambda rng: [np.append(rng.uniform(1.1, 3, 4) * [1, -1, 1, -1], rng.uniform(-0.9, 0.9, 3))],
    lambda g, pred: g * np.clip(pred, -1, 1), {
        "sign lost in the linear part": ("region derivative",
            lambda g, pred: g * np.where(abs(pred) < 1, pred, 1.0)),
    })  # fmt: skip


def margins(scores, target):
    m = scores - scores[np.arange(len(target)), target][:, None] + 1
    return np.maximum(m, 0) * (1 - one_hot(target, scores))


def hinge(g, scores, target, once=False):
    over = (margins(scores, target) > 0).astype(float)
    over[np.arange(len(target)), target] = -1 if once else -over.sum(1)
    return g * over / len(target)


def scores_and_targets(rng):
    scores = np.stack([0.7 * rng.permutation(5) + 0.1 * rng.random(5) for _ in range(3)])
    return [scores, np.array([scores[0].argmin(), *rng.integers(5, size=2)])]


plant("multiclass hinge loss", lambda scores, target: margins(scores, target).sum() / len(target),
    scores_and_targets, hinge, {
        "right class moved once, not once for each margin": ("sum term",
            lambda g, scores, target: hinge(g, scores, target, once=True)),
    })  # fmt: skip


def contrastive(a, b):
    s, i = a @ b.T, np.arange(len(a))
    return (cross_entropy(s, i) + cross_entropy(s.T, i)) / 2


def contrastive_backward(g, a, b, columns=1):
    s, i = a @ b.T, np.arange(len(a))
    ds = cross_entropy_backward(g, s, i) + columns * cross_entropy_backward(g, s.T, i).T
    return ds @ b / 2, ds.T @ a / 2


plant("contrastive loss of two encoders", contrastive, shapes("nd nd", 3, 5),
    contrastive_backward, {
        "loss over the columns forgotten": ("term",
            lambda g, a, b: contrastive_backward(g, a, b, columns=0)),
    })  # fmt: skip


def ridge(g, x, w, y):
    d = 2 * g * (x @ w - y) / len(x)
    return np.outer(d, w), x.T @ d + 0.2 * g * w, -d


plant("ridge regression", lambda x, w, y: ((x @ w - y) ** 2).mean() + 0.1 * (w**2).sum(),
    shapes("nd d n"), ridge, {
        "penalty forgotten": ("term",
            but(ridge, 1, lambda g, x, w, y: x.T @ (2 * g * (x @ w - y) / len(x)))),
    })  # fmt: skip

# Generative models


def divergence(g, mu, logvar):
    return g * mu / len(mu), g * (np.exp(logvar) - 1) / 2 / len(mu)


plant("divergence of a vae",
    lambda mu, logvar: (mu**2 + np.exp(logvar) - 1 - logvar).sum() / 2 / len(mu), alike(2, 2),
    divergence, {
        "half of the logarithm forgotten": ("term derivative",
            but(divergence, 1, lambda g, mu, logvar: g * np.exp(logvar) / 2 / len(mu))),
    })  # fmt: skip


def reparameterize(g, mu, logvar, eps):
    std = np.exp(logvar / 2)
    return g, g * eps * std / 2, g * std


plant("reparameterization", lambda mu, logvar, eps: mu + np.exp(logvar / 2) * eps, alike(3, 2),
    reparameterize, {
        "half of the exponent forgotten": ("factor derivative",
            but(reparameterize, 1, lambda g, mu, logvar, eps: g * eps * np.exp(logvar / 2))),
        "noise forgotten": ("factor operand",
            but(reparameterize, 1, lambda g, mu, logvar, eps: g * np.exp(logvar / 2) / 2)),
    })  # fmt: skip


def discriminator(g, real, fake):
    return g * (sigmoid(real) - 1) / len(real), g * sigmoid(fake) / len(fake)


plant("discriminator loss",
    lambda real, fake: np.log1p(np.exp(-real)).mean() + np.log1p(np.exp(fake)).mean(),
    alike(2, 1, 3, 8), discriminator, {
        "fakes labelled real": ("derivative term",
            but(discriminator, 1, lambda g, real, fake: g * (sigmoid(fake) - 1) / len(fake))),
    })  # fmt: skip


def row_norms(x):
    return np.sqrt((x**2).sum(1, keepdims=True))


plant("gradient penalty", lambda v: ((row_norms(v) - 1) ** 2).mean(),
    lambda rng: [rng.uniform(0.8, 2, (extent(rng), extent(rng)))],
    lambda g, v: 2 * g * (row_norms(v) - 1) * v / row_norms(v) / len(v), {
        "not divided by the norm": ("factor", lambda g, v: 2 * g * (row_norms(v) - 1) * v / len(v)),
    })  # fmt: skip

# Normalization


def standardize(x, axis):
    centred = x - x.mean(axis, keepdims=True)
    std = np.sqrt((centred**2).mean(axis, keepdims=True) + 1e-5)
    return centred / std, std


def unstandardize(g, x, axis, mean=1.0, variance=1.0):
    """The gradient of standardize; `mean` and `variance` scale what goes through them."""
    y, std = standardize(x, axis)
    through_variance = y * (g * y).mean(axis, keepdims=True)
    return (g - mean * g.mean(axis, keepdims=True) - variance * through_variance) / std


def batch_norm(g, x, gamma, beta):
    return unstandardize(g * gamma, x, 0), (g * standardize(x, 0)[0]).sum(0), g.sum(0)


plant("batch norm", lambda x, gamma, beta: standardize(x, 0)[0] * gamma + beta,
    shapes("nc c c", 3, 6), batch_norm, {
        "statistics taken for constants": ("term sum",
            but(batch_norm, 0, lambda g, x, gamma, beta: unstandardize(g * gamma, x, 0, 0, 0))),
        "path through the variance forgotten": ("term sum",
            but(batch_norm, 0, lambda g, x, gamma, beta: unstandardize(g * gamma, x, 0, 1, 0))),
        "gamma forgotten": ("factor",
            but(batch_norm, 0, lambda g, x, gamma, beta: unstandardize(g, x, 0))),
        "gamma multiplied by the raw input": ("operand",
            but(batch_norm, 1, lambda g, x, gamma, beta: (g * x).sum(0))),
    })  # fmt: skip


def layer_norm(g, x, gamma):
    return unstandardize(g * gamma, x, 1), (g * standardize(x, 1)[0]).sum(0)


plant("layer norm", lambda x, gamma: standardize(x, 1)[0] * gamma, shapes("nd d", 3, 6),
    layer_norm, {
        "gamma multiplied in at the end": ("term operand sum",
            but(layer_norm, 0, lambda g, x, gamma: gamma * unstandardize(g, x, 1))),
        "gamma not summed over the batch": ("broadcast shape",
            but(layer_norm, 1, lambda g, x, gamma: g * standardize(x, 1)[0])),
    })  # fmt: skip


def rms(x):
    return np.sqrt((x**2).mean(1, keepdims=True))


plant("rms norm", lambda x: x / rms(x), shapes("nd"),
    lambda g, x: g / rms(x) - x * (g * x).mean(1, keepdims=True) / rms(x) ** 3, {
        "inner mean taken as a sum": ("term sum",
            lambda g, x: g / rms(x) - x * (g * x).sum(1, keepdims=True) / rms(x) ** 3),
    })  # fmt: skip

plant("group norm, two groups",
    lambda x: standardize(x.reshape(len(x), 2, -1), 2)[0].reshape(x.shape),
    lambda rng: [rng.standard_normal((extent(rng, 2, 4), 4, 3))],
    lambda g, x: unstandardize(*(a.reshape(len(x), 2, -1) for a in (g, x)), 2).reshape(x.shape), {
        "statistics of each channel": ("axis term sum", lambda g, x: unstandardize(g, x, 2)),
    })  # fmt: skip

# Images and sequences


def conv(x, w, b):
    k = w.shape[2]
    windows = [x[:, :, i : i + k] for i in range(x.shape[2] - k + 1)]
    return np.stack([np.einsum("nck,fck->nf", each, w) for each in windows], 2) + b[:, None]


def conv_backward(g, x, w, b):
    dx, dw, k = np.zeros_like(x), np.zeros_like(w), w.shape[2]
    for i in range(g.shape[2]):
        dx[:, :, i : i + k] += np.einsum("nf,fck->nck", g[:, :, i], w)
        dw += np.einsum("nf,nck->fck", g[:, :, i], x[:, :, i : i + k])
    return dx, dw, g.sum((0, 2))


def conv_overwritten(g, x, w, b):
    dx = np.zeros_like(x)
    for i in range(g.shape[2]):
        dx[:, :, i : i + w.shape[2]] = np.einsum("nf,fck->nck", g[:, :, i], w)
    return dx


plant("conv1d", conv,
    lambda rng: [rng.standard_normal(shape) for shape in ((2, 2, 6), (3, 2, 3), 3)],
    conv_backward, {
        "kernel reversed": ("operand distribution",
            but(conv_backward, 0, lambda g, x, w, b: conv_backward(g, x, w[:, :, ::-1], b)[0])),
        "windows overwrite each other": ("accumulate output term",
            but(conv_backward, 0, conv_overwritten)),
        "bias summed over the batch only": ("broadcast shape axis",
            but(conv_backward, 2, lambda g, x, w, b: g.sum(0))),
    })  # fmt: skip


def strided(g, x, w, stride):
    dx = np.zeros_like(x)
    for i in range(len(g)):
        dx[i * stride : i * stride + 2] += g[i] * w
    return dx, np.array([(g * x[0:-1:2]).sum(), (g * x[1::2]).sum()])


plant("conv1d with stride 2", lambda x, w: x[0:-1:2] * w[0] + x[1::2] * w[1],
    lambda rng: [rng.standard_normal(2 * extent(rng, 3)), rng.standard_normal(2)],
    lambda g, x, w: strided(g, x, w, 2), {
        "stride forgotten": ("distribution output", lambda g, x, w: strided(g, x, w, 1)),
    })  # fmt: skip


def filtered(image):
    p = np.pad(image, 1)
    return 2 * p[:-2, :-2] - p[1:-1, 1:-1] + 3 * p[2:, 1:-1]


def unfiltered(g, crop):
    p = np.zeros((g.shape[0] + 2, g.shape[1] + 2))
    p[:-2, :-2] += 2 * g
    p[1:-1, 1:-1] -= g
    p[2:, 1:-1] += 3 * g
    return p[crop, crop]


plant("image filter with padding", filtered, shapes("hw", 3, 6),
    lambda g, image: unfiltered(g, slice(1, -1)), {
        "padding cut off at one end": ("shifted", lambda g, image: unfiltered(g, slice(0, -2))),
        "padding not cut off": ("shape", lambda g, image: unfiltered(g, slice(None))),
    })  # fmt: skip


def pooled_backward(g, x):
    windows = x.reshape(len(x), -1, 2)
    return (g[:, :, None] * (windows == windows.max(2, keepdims=True))).reshape(x.shape)


plant("max pooling", lambda x: x.reshape(len(x), -1, 2).max(2),
    lambda rng: [np.append([[-9, 9, 5, 6]], untied(rng, extent(rng), 4), 0)], pooled_backward, {
        "spread over the window": ("distribution mask", lambda g, x: np.repeat(g / 2, 2, 1)),
        "always to the first of the window": ("distribution mask",
            lambda g, x: np.stack([g, 0 * g], 2).reshape(x.shape)),
    })  # fmt: skip


def sliding_max(g, x, add):
    dx, rows = np.zeros_like(x), np.arange(len(x))
    for i in range(g.shape[1]):
        best = i + x[:, i : i + 3].argmax(1)
        dx[rows, best] = g[:, i] + add * dx[rows, best]
    return dx


plant("max pooling, windows overlap",
    lambda x: np.stack([x[:, i : i + 3].max(1) for i in range(x.shape[1] - 2)], 1),
    lambda rng: [untied(rng, 6, 6)], lambda g, x: sliding_max(g, x, 1), {
        "maximum of two windows overwritten": ("accumulate output term",
            lambda g, x: sliding_max(g, x, 0)),
    })  # fmt: skip

plant("upsampling by repetition", lambda x: x.repeat(2, 0).repeat(2, 1), shapes("hw", 2, 4),
    lambda g, x: g[::2, ::2] + g[1::2, ::2] + g[::2, 1::2] + g[1::2, 1::2], {
        "only the first copy": ("sum term output", lambda g, x: g[::2, ::2]),
    })  # fmt: skip

another = np.random.default_rng(1)

plant("dropout", lambda x, mask: x * mask / 0.6,
    lambda rng: [rng.standard_normal((5, 4)), rng.permutation(20).reshape(5, 4) % 2],
    lambda g, x, mask: g * mask / 0.6, {
        "survivors not scaled up": ("factor", lambda g, x, mask: g * mask),
        "another mask drawn": ("random mask",
            lambda g, x, mask: g * (another.random(x.shape) < 0.6) / 0.6),
    })  # fmt: skip

# Transformers


def embedding(g, weight, ids):
    dw = np.zeros_like(weight)
    np.add.at(dw, ids, g)
    return dw


def embedding_overwritten(g, weight, ids):
    dw = np.zeros_like(weight)
    dw[ids] += g
    return dw


plant("embedding", lambda weight, ids: weight[ids],
    lambda rng: [rng.standard_normal((v := extent(rng), extent(rng))), rng.integers(v, size=v + 2)],
    embedding, {
        "repeated words overwritten": ("accumulate output term", embedding_overwritten),
    })  # fmt: skip


def positions(g, x, pos):
    return g, np.concatenate([g.sum(0), np.zeros_like(pos[g.shape[1] :])])


plant("learned positions", lambda x, pos: x + pos[: x.shape[1]],
    lambda rng: [rng.standard_normal((2, 3, d := extent(rng))), rng.standard_normal((5, d))],
    positions, {
        "first of the batch only": ("broadcast sum term output",
            but(positions, 1, lambda g, x, pos: positions(g[:1], x, pos)[1])),
    })  # fmt: skip


def rotate(x, sign=1):
    angle = sign * np.arange(1, len(x) + 1)[:, None] * 0.6 ** np.arange(x.shape[1] // 2)
    a, b = np.split(x, 2, 1)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.concatenate([a * cos - b * sin, a * sin + b * cos], 1)


plant("rotary positions", lambda x: rotate(x),
    lambda rng: [rng.standard_normal((extent(rng), 2 * extent(rng)))], lambda g, x: rotate(g, -1), {
        "rotated forward again": ("jacobian term operand", lambda g, x: rotate(g)),
    })  # fmt: skip


def weights(q, k, causal=False):
    s = q @ k.T / np.sqrt(q.shape[1])
    return softmax(np.where(np.tri(len(q)) > 0, s, -1e9)) if causal else softmax(s)


def attention(g, q, k, v, p=None, axis=1):
    p = weights(q, k) if p is None else p
    dp = g @ v.T
    ds = p * (dp - (dp * p).sum(axis, keepdims=True)) / np.sqrt(q.shape[1])
    return ds @ k, ds.T @ q, p.T @ g


def attention_unscaled(g, q, k, v):
    dq, dk, dv = attention(g, q, k, v)
    return dq * np.sqrt(q.shape[1]), dk * np.sqrt(q.shape[1]), dv


plant("attention", lambda q, k, v: weights(q, k) @ v, shapes("td td td", 3, 5), attention, {
        "scale forgotten": ("factor", attention_unscaled),
        "softmax differentiated along the queries": ("axis",
            lambda g, q, k, v: attention(g, q, k, v, axis=0)),
        "weights not transposed for the values": ("jacobian operand",
            but(attention, 2, lambda g, q, k, v: weights(q, k) @ g)),
    })  # fmt: skip

plant("causal attention", lambda q, k, v: weights(q, k, causal=True) @ v, shapes("td td td", 3, 5),
    lambda g, q, k, v: attention(g, q, k, v, weights(q, k, causal=True)), {
        "weights computed again without the mask": ("mask operand", attention),
    })  # fmt: skip

# Recurrence


def rnn(g, x, h, wx, wh, nonlinear=np.tanh):
    da = g * (1 - nonlinear(x @ wx + h @ wh) ** 2)
    return da @ wx.T, da @ wh.T, x.T @ da, h.T @ da


def rnn_new_state(g, x, h, wx, wh):
    new = np.tanh(x @ wx + h @ wh)
    return new.T @ (g * (1 - new**2))


plant("rnn step", lambda x, h, wx, wh: np.tanh(x @ wx + h @ wh), shapes("nd nh dh hh"), rnn, {
        "tanh differentiated by its input": ("derivative",
            lambda g, x, h, wx, wh: rnn(g, x, h, wx, wh, nonlinear=np.asarray)),
        "new state in place of the old": ("operand", but(rnn, 3, rnn_new_state)),
    })  # fmt: skip


def states(x, w):
    h = [np.zeros_like(x[0])]
    for each in x:
        h.append(np.tanh(each + h[-1] @ w))
    return np.stack(h)


def unrolled(g, x, w, carry=1):
    h, dh, dx, dw = states(x, w), 0, np.zeros_like(x), np.zeros_like(w)
    for t in reversed(range(len(x))):
        dx[t] = (g[t] + carry * dh) * (1 - h[t + 1] ** 2)
        dh = dx[t] @ w.T
        dw += h[t].T @ dx[t]
    return dx, dw


plant("rnn over a sequence", lambda x, w: states(x, w)[1:], shapes("tnh hh", 2, 4), unrolled, {
        "state's gradient not passed back in time": ("term output index",
            lambda g, x, w: unrolled(g, x, w, carry=0)),
    })  # fmt: skip


def lstm_gates(a, c):
    i, f, o, u = np.split(a, 4, 1)
    i, f, o, u = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(u)
    return i, f, o, u, f * c + i * u


def lstm(a, c):
    _, _, o, _, new = lstm_gates(a, c)
    return np.stack([o * np.tanh(new), new])


def lstm_parts(g, a, c, through_state=1):
    i, f, o, u, new = lstm_gates(a, c)
    dnew = g[1] + through_state * g[0] * o * (1 - np.tanh(new) ** 2)
    di, df = dnew * u * i * (1 - i), dnew * c * f * (1 - f)
    do, du = g[0] * np.tanh(new) * o * (1 - o), dnew * i * (1 - u**2)
    return di, df, do, du, dnew * f


def lstm_backward(g, a, c, order=(0, 1, 2, 3), through_state=1):
    parts = lstm_parts(g, a, c, through_state)
    return np.concatenate([parts[i] for i in order], 1), parts[4]


plant("lstm step", lstm,
    lambda rng: [rng.standard_normal((n := extent(rng), 4 * 2)), rng.standard_normal((n, 2))],
    lstm_backward, {
        "output's path into the cell forgotten": ("term output",
            lambda g, a, c: lstm_backward(g, a, c, through_state=0)),
        "input and forget gate exchanged": ("order index",
            lambda g, a, c: lstm_backward(g, a, c, (1, 0, 2, 3))),
        "cell not multiplied by its gate": ("factor operand",
            but(lstm_backward, 1, lambda g, a, c: lstm_parts(g, a, c)[4] / lstm_gates(a, c)[1])),
    })  # fmt: skip


def mix(g, gate, new, h):
    z = sigmoid(gate)
    return g * (h - new) * z * (1 - z), g * (1 - z), g * z


plant("update gate of a gru", lambda gate, new, h: (1 - sigmoid(gate)) * new + sigmoid(gate) * h,
    alike(3, 2), mix, {
        "gate learns from one of its two uses": ("term operand",
            but(mix, 0, lambda g, gate, new, h: g * h * sigmoid(gate) * (1 - sigmoid(gate)))),
    })  # fmt: skip

# Moving things


def paste(g, x, start):
    dx = np.zeros_like(x)
    dx[:, start : start + 2] = g
    return dx


plant("concatenation", lambda a, b: np.concatenate([a, b], 1), alike(2, 2),
    lambda g, a, b: (g[:, : a.shape[1]], g[:, a.shape[1] :]), {
        "parts returned in reverse": ("swapped",
            lambda g, a, b: (g[:, a.shape[1] :], g[:, : a.shape[1]])),
    })  # fmt: skip

plant("slice", lambda x: x[:, 1:3], shapes("nd", 3, 6), lambda g, x: paste(g, x, 1), {
        "put back at the beginning": ("shifted distribution", lambda g, x: paste(g, x, 0)),
    })  # fmt: skip


def unpad(g, x, border):
    dx = g[:, 1:-1].copy()
    dx[:, 0] += border * g[:, 0]
    dx[:, -1] += border * g[:, -1]
    return dx


plant("padding with the edge", lambda x: np.pad(x, ((0, 0), (1, 1)), mode="edge"),
    shapes("nd", 3, 6), lambda g, x: unpad(g, x, 1), {
        "copies cut off": ("output term index accumulate", lambda g, x: unpad(g, x, 0)),
    })  # fmt: skip

plant("permuted axes", lambda x: x.transpose(2, 0, 1), shapes("nnn", 3, 4),
    lambda g, x: g.transpose(1, 2, 0), {
        "same permutation once more": ("transposed jacobian", lambda g, x: g.transpose(2, 0, 1)),
    })  # fmt: skip

plant("sort", lambda x: np.sort(x, 1), lambda rng: [untied(rng, 5, 6)],
    lambda g, x: np.take_along_axis(g, x.argsort(1).argsort(1), 1), {
        "order not inverted": ("order jacobian distribution",
            lambda g, x: np.take_along_axis(g, x.argsort(1), 1)),
    })  # fmt: skip

plant("flatten", lambda x: x.reshape(len(x), -1), shapes("nhw", 2, 4),
    lambda g, x: g.reshape(x.shape), {
        "left flat": ("reshape shape", lambda g, x: g),
    })  # fmt: skip

# Arithmetic and reductions


def scale(g, x, s):
    return g * s, (g * x).sum(1, keepdims=True)


plant("rows scaled", lambda x, s: x * s,
    lambda rng: [rng.standard_normal((n := extent(rng), extent(rng))), rng.standard_normal((n, 1))],
    scale, {
        "summed axis dropped": ("reshape shape", but(scale, 1, lambda g, x, s: (g * x).sum(1))),
    })  # fmt: skip


def divide(g, x, y):
    return g / y, -g * x / y**2


plant("division", lambda x, y: x / y,
    lambda rng: [rng.standard_normal((3, n := extent(rng))), rng.uniform(1.2, 3, (3, n))], divide, {
        "minus forgotten": ("sign", but(divide, 1, lambda g, x, y: g * x / y**2)),
        "square forgotten": ("factor operand derivative",
            but(divide, 1, lambda g, x, y: -g * x / y)),
    })  # fmt: skip

plant("variance", lambda x: x.var(1), shapes("nd"),
    lambda g, x: 2 * g[:, None] * (x - x.mean(1, keepdims=True)) / x.shape[1], {
        "not centred": ("term sum operand", lambda g, x: 2 * g[:, None] * x / x.shape[1]),
    })  # fmt: skip

plant("maximum of each row", lambda x: x.max(1),
    lambda rng: [untied(rng, extent(rng), extent(rng))],
    lambda g, x: g[:, None] * (x == x.max(1, keepdims=True)), {
        "every entry gets it": ("mask", lambda g, x: g[:, None] * np.ones_like(x)),
    })  # fmt: skip

plant("product of each row", lambda x: x.prod(1),
    lambda rng: [both_signs(rng, extent(rng), extent(rng))],
    lambda g, x: g[:, None] * x.prod(1, keepdims=True) / x, {
        "own entry left in": ("factor operand",
            lambda g, x: g[:, None] * x.prod(1, keepdims=True) * np.ones_like(x)),
    })  # fmt: skip

plant("cumulative sum", lambda x: x.cumsum(1), shapes("nt", 3, 6),
    lambda g, x: g[:, ::-1].cumsum(1)[:, ::-1], {
        "summed forward again": ("jacobian", lambda g, x: g.cumsum(1)),
        "not turned back": ("flipped", lambda g, x: g[:, ::-1].cumsum(1)),
        "own term left out": ("term shifted", lambda g, x: g[:, ::-1].cumsum(1)[:, ::-1] - g),
    })  # fmt: skip

# Linear algebra


def quadratic(g, x, a):
    return g * (a + a.T) @ x, g * np.outer(x, x)


plant("quadratic form", lambda x, a: x @ a @ x, shapes("d dd"), quadratic, {
        "matrix taken for symmetric": ("operand term",
            but(quadratic, 0, lambda g, x, a: 2 * g * a @ x)),
    })  # fmt: skip


def well_conditioned(rng):
    n = extent(rng, 2, 5)
    return [0.4 * rng.standard_normal((n, n)) + 2 * np.eye(n), rng.standard_normal(n)]


inv = np.linalg.inv

plant("inverse", lambda a: inv(a), lambda rng: well_conditioned(rng)[:1],
    lambda g, a: -inv(a).T @ g @ inv(a).T, {
        "inverses not transposed": ("jacobian operand", lambda g, a: -inv(a) @ g @ inv(a)),
    })  # fmt: skip


def solve(g, a, b):
    db = np.linalg.solve(a.T, g)
    return -np.outer(db, np.linalg.solve(a, b)), db


plant("linear system", lambda a, b: np.linalg.solve(a, b), well_conditioned, solve, {
        "right-hand side in place of the solution": ("operand",
            but(solve, 0, lambda g, a, b: -np.outer(solve(g, a, b)[1], b))),
    })  # fmt: skip

# Caught, but at more than a tenth of the seeds only the entries that differ are told.
UNNAMED = (
    "two layers: activation forgotten for the first weight",
    "two layers: second weight multiplied by what enters the activation",
    "two layers that share a weight: one use overwrites the other",
    "log-sum-exp: incoming gradient spread along the wrong axis",
    "cross entropy: through the softmax once more",
    "cross entropy with smoothed labels: smoothing forgotten",
    "binary cross entropy of probabilities: log(1 - p) without its inner sign",
    "huber loss: sign lost in the linear part",
    "multiclass hinge loss: right class moved once, not once for each margin",
    "group norm, two groups: statistics of each channel",
    "image filter with padding: padding cut off at one end",
    "upsampling by repetition: only the first copy",
    "attention: softmax differentiated along the queries",
    "rnn step: tanh differentiated by its input",
    "rnn step: new state in place of the old",
    "lstm step: cell not multiplied by its gate",
    "update gate of a gru: gate learns from one of its two uses",
)
# Caught and told apart, but not in one of the words above.
MISNAMED = (
    "cross entropy without padding: padding receives a gradient",
    "contrastive loss of two encoders: loss over the columns forgotten",
    "divergence of a vae: half of the logarithm forgotten",
    "discriminator loss: fakes labelled real",
    "layer norm: gamma multiplied in at the end",
    "max pooling: always to the first of the window",
    "causal attention: weights computed again without the mask",
    "rnn over a sequence: state's gradient not passed back in time",
    "lstm step: output's path into the cell forgotten",
    "linear system: right-hand side in place of the solution",
)
