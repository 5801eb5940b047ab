"""The terms that a gradient is a sum of, by name: "the mean path" of a normalisation is missing.

A function of this file takes the cotangent and the arrays that go into the operation, in order, and
returns for each array the terms of its gradient. It is believed only where the terms add up to the
gradient as measured, so any of them may be tried on any function: a student's `my_norm` is known by
its gradient, whatever its name. Users add their own with `register_terms`, or pass one as `terms=`.

What a term says is what it is *for*; its formula, which may be what an assignment asks for, is not
told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

__all__ = ["TERMS", "Terms", "add_up", "register_terms"]

Terms = Callable[..., Sequence[Mapping[str, Any]]]
TERMS: dict[str, Terms] = {}


def register_terms(name: str, **options: Any) -> Callable[[Terms], Terms]:
    """Decorate `terms(cotangent, *arrays) -> [{"term": array, ...} for each array]`.

    options: fixed keyword arguments, for an operation that comes in several forms.

    >>> import numpy as np
    >>> from minigen.testing import gradcheck
    >>> @register_terms("x ln x")
    ... def entropy_terms(g, x):
    ...     return [{"derivative of x": g * np.log(x), "derivative of ln x": g}]
    >>> def forward(x):
    ...     return x * np.log(x)
    >>> gradcheck((forward, lambda g, x: g * np.log(x)), [np.array([0.5, 2.0, 3.0])])
    Traceback (most recent call last):
        ...
    minigen.testing.report.GradcheckError: forward: wrong gradients
    gradient of x: the term [derivative of ln x] is missing; every other term is right
    gradient of x: worst at entry [...]: yours ...
    >>> _ = TERMS.pop("x ln x")
    """

    def register(terms: Terms) -> Terms:
        if name in TERMS:
            raise ValueError(f"register_terms: there are terms of the name {name!r} already")
        TERMS[name] = partial(terms, **options) if options else terms
        return terms

    return register


def add_up(
    given: Terms | str | None, cotangents: Sequence, arrays: Sequence, position: int, want: Any
) -> dict[str, np.ndarray]:
    """The terms of argument `position` that add up to `want`, from those given or registered."""
    if len(cotangents) != 1:
        return {}
    if isinstance(given, str):
        given = TERMS[given]
    for terms in [given] if given is not None else TERMS.values():
        try:
            with np.errstate(all="ignore"):
                found = terms(cotangents[0], *arrays)[position]
                parts = {n: np.broadcast_to(np.asarray(t, float), want.shape)
                         for n, t in found.items()}  # fmt: skip
        except (ValueError, IndexError, TypeError, ZeroDivisionError):
            continue  # another operation, with other shapes
        scale = float(np.abs(want).max(initial=0.0))
        total = sum(parts.values())
        if parts and np.abs(total - want).max(initial=0.0) <= 1e-4 * scale:
            return parts
    return {}


# ----------------------------------------------------------------------------------- softmax


def _softmax(x: np.ndarray, dim: int = -1) -> np.ndarray:
    e = np.exp(x - x.max(axis=dim, keepdims=True))
    return e / e.sum(axis=dim, keepdims=True)


@register_terms("softmax", dim=-1)
@register_terms("softmax along the first dimension", dim=0)
def softmax_terms(g: Any, x: Any, dim: int = -1) -> list:
    y = _softmax(x, dim)
    return [
        {
            "the exponential in the numerator": y * g,
            "the sum in the denominator": -y * (y * g).sum(axis=dim, keepdims=True),
        }
    ]


@register_terms("log_softmax", dim=-1)
@register_terms("log_softmax along the first dimension", dim=0)
def log_softmax_terms(g: Any, x: Any, dim: int = -1) -> list:
    return [
        {
            "x itself": g,
            "the logarithm of the sum": -_softmax(x, dim) * g.sum(axis=dim, keepdims=True),
        }
    ]


@register_terms("cross_entropy, mean", mean=True)
@register_terms("cross_entropy, sum", mean=False)
def cross_entropy_terms(g: Any, logits: Any, target: Any, mean: bool = True) -> list:
    """target: class indices (N,), or probabilities of the shape of the logits."""
    scale = g / len(logits) if mean else g
    hot = target
    if target.ndim < logits.ndim:
        hot = np.eye(logits.shape[1])[target]
    p = _softmax(logits, 1) * hot.sum(axis=1, keepdims=True)
    return [{"the predicted probabilities": p * scale, "the target": -hot * scale}, {}]


# ----------------------------------------------------------------------------- normalisations


def _norm_terms(g: Any, x: Any, weight: Any, dims: tuple, eps: float, shape: tuple) -> dict:
    centred = x - x.mean(axis=dims, keepdims=True)
    rstd = 1 / np.sqrt((centred**2).mean(axis=dims, keepdims=True) + eps)
    normal = centred * rstd
    h = g if weight is None else g * weight.reshape(shape)
    return {
        "the entry itself": h * rstd,
        "the path through the mean": -np.broadcast_to(
            h.mean(axis=dims, keepdims=True) * rstd, x.shape
        ),
        "the path through the variance": -normal
        * (h * normal).mean(axis=dims, keepdims=True)
        * rstd,
    }


@register_terms("layer_norm")
def layer_norm_terms(g: Any, x: Any, *parameters: Any, eps: float = 1e-5) -> list:
    weight = parameters[0] if parameters else None
    return [_norm_terms(g, x, weight, (-1,), eps, (-1,)), {}, {}]


@register_terms("batch_norm")
def batch_norm_terms(g: Any, x: Any, *parameters: Any, eps: float = 1e-5) -> list:
    """Of (N, C) or (N, C, ...), with statistics of the batch."""
    dims = (0, *range(2, x.ndim))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    weight = parameters[0] if parameters else None
    return [_norm_terms(g, x, weight, dims, eps, shape), {}, {}]


@register_terms("instance_norm")
def instance_norm_terms(g: Any, x: Any, *parameters: Any, eps: float = 1e-5) -> list:
    """Of (N, C, ...), with statistics of each channel of each sample."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    weight = parameters[0] if parameters else None
    return [_norm_terms(g, x, weight, tuple(range(2, x.ndim)), eps, shape), {}, {}]


@register_terms("group_norm, 1 group", groups=1)
@register_terms("group_norm, 2 groups", groups=2)
@register_terms("group_norm, 4 groups", groups=4)
def group_norm_terms(g: Any, x: Any, *parameters: Any, groups: int = 1, eps: float = 1e-5) -> list:
    """Of (N, C, ...), with statistics of each group of channels."""
    split = (len(x), groups, -1)
    h = g * parameters[0].reshape((1, -1) + (1,) * (x.ndim - 2)) if parameters else g
    found = _norm_terms(h.reshape(split), x.reshape(split), None, (-1,), eps, (-1,))
    return [{name: term.reshape(x.shape) for name, term in found.items()}, {}, {}]


@register_terms("rms_norm")
def rms_norm_terms(g: Any, x: Any, *parameters: Any, eps: float = 1e-5) -> list:
    rstd = 1 / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps)
    h = g * parameters[0] if parameters else g
    path = -x * rstd**3 * (h * x).mean(axis=-1, keepdims=True)
    return [{"the entry itself": h * rstd, "the path through the mean square": path}, {}]


@register_terms("normalize")
def normalize_terms(g: Any, x: Any) -> list:
    length = np.sqrt((x**2).sum(axis=-1, keepdims=True))
    path = -x * (g * x).sum(axis=-1, keepdims=True) / length**3
    return [{"the entry itself": g / length, "the path through the length": path}]


# ----------------------------------------------------------------------------------- attention


@register_terms("attention", causal=False)
@register_terms("causal attention", causal=True)
def attention_terms(g: Any, q: Any, k: Any, v: Any, causal: bool = False) -> list:
    """softmax(q kᵀ / sqrt(d)) v."""
    scale = q.shape[-1] ** -0.5
    scores = q @ np.swapaxes(k, -1, -2) * scale
    if causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    weights = _softmax(scores)
    d_weights = g @ np.swapaxes(v, -1, -2)
    parts = {
        "the exponentials of the softmax": weights * d_weights,
        "the denominators of the softmax": -weights
        * (weights * d_weights).sum(axis=-1, keepdims=True),
    }
    return [
        {name: ds @ k * scale for name, ds in parts.items()},
        {name: np.swapaxes(ds, -1, -2) @ q * scale for name, ds in parts.items()},
        {},
    ]


# -------------------------------------------------------- sums over positions, samples, mentions


def _taps(x: Any, weight: Any, g: Any) -> Iterator[tuple]:
    """For each kernel position of a 2-D convolution with stride 1: its place in the input."""
    rows, columns = weight.shape[-2:]
    pad = (g.shape[-2] - x.shape[-2] + rows - 1) // 2
    wide = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    for i in range(rows):
        for j in range(columns):
            yield i, j, pad, wide, np.s_[:, :, i : i + g.shape[-2], j : j + g.shape[-1]]


@register_terms("conv2d")
def conv2d_terms(g: Any, x: Any, weight: Any, *bias: Any) -> list:
    """Stride 1, any padding, (N, C, H, W) and (O, C, h, w): by kernel position and by sample."""
    of_input, of_weight = {}, {}
    for i, j, pad, wide, window in _taps(x, weight, g):
        back = np.zeros(wide.shape)
        back[window] = np.einsum("nohw,oc->nchw", g, weight[:, :, i, j])
        end = [n - pad for n in back.shape[2:]]
        of_input[f"kernel position [{i}, {j}]"] = back[:, :, pad : end[0], pad : end[1]]
    for n in range(len(x)):
        part = np.zeros(weight.shape)
        for i, j, _, wide, window in _taps(x, weight, g):
            part[:, :, i, j] = np.einsum("ohw,chw->oc", g[n], wide[window][n])
        of_weight[f"sample {n} of the batch"] = part
    of_bias = {f"sample {n} of the batch": g[n].sum(axis=(1, 2)) for n in range(len(x))}
    return [of_input, of_weight, of_bias][: 2 + len(bias)]


@register_terms("linear")
def linear_terms(g: Any, x: Any, weight: Any, *bias: Any) -> list:
    """x weightᵀ + bias, (N, in) and (out, in): by sample."""
    by = [f"sample {n} of the batch" for n in range(len(x))]
    found: list[dict] = [{}, {label: np.outer(g[n], x[n]) for n, label in enumerate(by)}]
    return [*found, {label: g[n] for n, label in enumerate(by)}][: 2 + len(bias)]


@register_terms("matmul")
def matmul_terms(g: Any, a: Any, b: Any) -> list:
    """a b, (n, k) and (k, m): of b by row of a, of a by column of b."""
    return [
        {f"column {j} of the second": np.outer(g[:, j], b[:, j]) for j in range(b.shape[1])},
        {f"row {i} of the first": np.outer(a[i], g[i]) for i in range(len(a))},
    ]


@register_terms("embedding", first="indices")
@register_terms("gather of rows", first="weight")
def embedding_terms(g: Any, *arrays: Any, first: str = "indices") -> list:
    """weight[indices]: by mention."""
    indices, weight = arrays if first == "indices" else arrays[::-1]
    rows, found = g.reshape(-1, weight.shape[-1]), {}
    if indices.dtype.kind not in "iu" or indices.size > 64:
        return []
    for n, index in enumerate(indices.reshape(-1)):
        part = np.zeros(weight.shape)
        part[index] = rows[n]
        found[f"mention {n} of row {index}"] = part
    return [{}, found] if first == "indices" else [found, {}]


# -------------------------------------------------------------------- losses and activations


@register_terms("mse_loss, mean", mean=True)
@register_terms("mse_loss, sum", mean=False)
def mse_loss_terms(g: Any, input: Any, target: Any, mean: bool = True) -> list:
    scale = 2 * g / (input.size if mean else 1)
    of_input = {"the prediction": scale * input, "the target": -scale * target}
    return [of_input, {name: -term for name, term in of_input.items()}]


@register_terms("binary_cross_entropy_with_logits, mean", mean=True)
@register_terms("binary_cross_entropy_with_logits, sum", mean=False)
def binary_cross_entropy_terms(g: Any, logits: Any, target: Any, mean: bool = True) -> list:
    scale = g / (logits.size if mean else 1)
    p = 1 / (1 + np.exp(-logits))
    return [{"the predicted probability": p * scale, "the target": -target * scale}, {}]


@register_terms("the KL divergence of a Gaussian from N(0, 1)")
def gaussian_kl_terms(g: Any, mu: Any, logvar: Any) -> list:
    """-1/2 Σ (1 + logvar - mu² - exp(logvar)), summed over the last dimension or all."""
    if np.ndim(g):
        g = np.asarray(g)[..., None]
    of_logvar = {"the variance": 0.5 * np.exp(logvar) * g, "the logarithm": -0.5 * g}
    return [{}, of_logvar]


@register_terms("gelu, by erf", tanh=False)
@register_terms("gelu, by tanh", tanh=True)
def gelu_terms(g: Any, x: Any, tanh: bool = True) -> list:
    if tanh:
        c = np.sqrt(2 / np.pi)
        t = np.tanh(c * (x + 0.044715 * x**3))
        inner = c * (1 - t**2) * 0.5 * x
        parts = {
            "the gate, as if it were constant": 0.5 * (1 + t),
            "the gate's own derivative, linear part": inner,
            "the gate's own derivative, cubic part": inner * 3 * 0.044715 * x**2,
        }
        return [{name: g * part for name, part in parts.items()}]
    from math import erf

    cdf = 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    return [
        {"the gate, as if it were constant": g * cdf, "the gate's own derivative": g * x * density}
    ]


@register_terms("silu")
def silu_terms(g: Any, x: Any) -> list:
    s = 1 / (1 + np.exp(-x))
    return [
        {
            "the gate, as if it were constant": g * s,
            "the gate's own derivative": g * x * s * (1 - s),
        }
    ]


@register_terms("var", correction=0)
@register_terms("var, unbiased", correction=1)
def var_terms(g: Any, x: Any, correction: int = 0) -> list:
    """The variance along the last dimension."""
    n = x.shape[-1]
    scale = 2 * np.expand_dims(g, -1) / (n - correction)
    mean = x.mean(axis=-1, keepdims=True)
    return [{"the entry itself": scale * x, "the mean": -scale * mean * np.ones(x.shape)}]
