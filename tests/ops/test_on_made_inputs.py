"""Every operation with a gradient, on shapes and memory layouts that hypothesis makes up.

Values, first and second derivatives against torch: 0-d, empty and size-1 tensors, broadcasting,
and inputs that are transposed, strided or stretched.  The last test holds that no operation of
`minigen.ops` is missing here.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

import minigen
import minigen.ops
from minigen import autograd
from minigen.operation import Operation
from tests.expressions import function, listed, same
from tests.ops.made import Maker
from tests.statement import APART

EXAMPLES = 6
CASES: dict[str, tuple[Callable[[Maker], str], dict]] = {}


def cases(
    texts: str,
    shape: Callable[[Maker], tuple] = Maker.shape,
    a: str = "real",
    b: str = "",
    c: str = "",
    broadcast: bool = False,
    **options: object,
) -> None:
    """Expressions over tensors {a}, {b}, {c} of the given domains and one shape.

    {d} is a dimension of it, {ds} one or several, {k} a flag.  broadcast: each tensor has a shape
    that broadcasts to it.  options: of `same`, and `stretched=False` where equal elements may not
    occur.
    """
    for text in listed(texts):

        def make(draw: Maker, text: str = text) -> str:
            full = shape(draw)
            names = {
                name: draw.tensor(draw.part(full) if broadcast else full, domain)
                for name, domain in (("a", a), ("b", b), ("c", c))
                if domain and f"{{{name}}}" in text
            }
            n = len(full)
            return text.format(d=draw.dim(n), ds=draw.dims(n), k=draw.flag(), n=n, **names)

        assert text not in CASES, text
        CASES[text] = make, options


def some(least: int = 0, most: int = 3) -> Callable[[Maker], tuple]:
    """Shapes without empty dimensions."""
    return lambda draw: draw.shape(least, most, smallest=1)


def at_least(ndim: int, most: int = 3) -> Callable[[Maker], tuple]:
    return lambda draw: draw.shape(ndim, most)


# ------------------------------------------------------------------------------ of each element

cases("""
{a}.exp() | {a}.exp2() | {a}.expm1() | {a}.sin() | {a}.cos() | {a}.atan() | {a}.sinh() | {a}.cosh()
{a}.tanh() | {a}.asinh() | {a}.sigmoid() | {a}.erf() | {a}.erfc() | -{a} | {a}.square() | {a}.abs()
{a}.sign() | {a}.sgn() | {a}.floor() | {a}.ceil() | {a}.trunc() | {a}.round()
{a}.round(decimals=1)
{a}.fix() | {a}.frac() | {a}.nan_to_num() | {a}.clone() | {a}.relu() | {a}.clamp(-0.5, 0.5)
{a}.clamp(min=-0.3) | {a}.clamp_max(0.4) | {a} ** 2 | {a} ** 3 | 2 ** {a} | {a} / 3 | 1 - {a}
1 / {a}
{a}.masked_fill({a} > 0, 2.0) | {a}.lerp({a} * 2, 0.3) | {a}.remainder(0.7) | {a}.fmod(0.7)
{a}.hardshrink(0.3) | {a}.reciprocal() | {a}.negative() | {a}.absolute() | {a}.contiguous()
m.where({a} > 0, {a}, 0.5) | {a}.to(m.float64, copy=True) | {a}.T if {n} == 2 else {a} * 1
m.nn.functional.elu({a}, 0.7) | m.nn.functional.selu({a}) | m.nn.functional.celu({a}, 0.5)
m.nn.functional.gelu({a}) | m.nn.functional.gelu({a}, approximate="tanh")
m.nn.functional.softplus({a}, 2.0, 1.5) | m.nn.functional.logsigmoid({a})
m.nn.functional.mish({a}) | m.nn.functional.silu({a})
m.nn.functional.leaky_relu({a}, 0.2) | m.nn.functional.relu6({a} * 4) | m.nn.functional.rrelu({a})
m.nn.functional.hardtanh({a}, -0.5, 0.3) | m.nn.functional.hardswish({a} * 3)
m.nn.functional.softshrink({a}, 0.4) | m.nn.functional.threshold({a}, 0.1, 2.0)
m.nn.functional.tanhshrink({a}) | m.nn.functional.softsign({a})
""")  # fmt: skip
cases("{a}.float().double() | {a}.half().double()", numeric=False, forward=False)
cases("""
{a}.log() | {a}.log1p() | {a}.log2() | {a}.log10() | {a}.sqrt() | {a}.rsqrt() | {a}.lgamma()
{a}.digamma() | {a}.polygamma(1) | {a} ** 0.3 | {a} ** -1.5 | {a}.xlogy(0.7)
""", a="positive")  # fmt: skip
cases("{a}.asin() | {a}.acos() | {a}.atanh() | {a}.tan()", a="unit")
cases("{a}.acosh()", a="above")

# ------------------------------------------------------------------------- of several, broadcast

cases("""
{a} + {b} | {a} - {b} | {a} * {b} | {a}.multiply({b}) | m.add({a}, {b}, alpha=2)
{a}.maximum({b}) | {a}.minimum({b}) | {a}.atan2({b}) | {a}.arctan2({b}) | {a}.hypot({b})
{a}.logaddexp({b}) | m.where({a} > {b}, {a}, {b}) | m.lerp({a}, {b}, 0.3) | m.sub({a}, {b}, alpha=2)
{a}.clamp(min={b}) | m.where({b} > 0, {a}, 1.5) | m.broadcast_tensors({a}, {b})
""", b="real", broadcast=True)  # fmt: skip
cases("""
{a} / {b} | {a}.div({b}, rounding_mode="trunc") | {a}.div({b}, rounding_mode="floor")
{a}.remainder({b}) | {a}.fmod({b}) | {a}.xlogy({b}) | {b} ** {a} | {a}.div({b}, rounding_mode=None)
""", b="positive", broadcast=True)  # fmt: skip
cases("{a} // {b}", b="positive", broadcast=True, order=0)
cases("""
m.addcmul({a}, {b}, {c}, value=0.5) | m.addcdiv({a}, {b}, {c}, value=-2) | m.lerp({a}, {b}, {c})
""", b="real", c="positive", broadcast=True)  # fmt: skip

# ----------------------------------------------------------------------------------- reductions

cases("""
{a}.sum() | {a}.sum({ds}, keepdim={k}) | {a}.nansum({ds}, keepdim={k}) | {a}.cumsum({d})
{a}.norm() | {a}.norm(1, {ds}, {k}) | {a}.norm(0, {ds}) | {a}.prod() | {a}.softmax({d})
{a}.log_softmax({d}) | m.nn.functional.softmin({a}, {d}) | m.linalg.vector_norm({a}, 3, {ds}, {k})
{a}.sum({ds}, dtype=m.float64)
""")  # fmt: skip
cases("""
{a}.mean() | {a}.mean({ds}, keepdim={k}) | {a}.amax({ds}, {k}) | {a}.amin({ds}, {k}) | {a}.max()
{a}.min() | {a}.max({d}, {k})[0] | {a}.min({d}, {k})[0] | {a}.logsumexp({ds}, {k}) | {a}.median()
{a}.prod({d}, keepdim={k}) | {a}.cumprod({d}) | {a}.norm(2, {ds}) | {a}.norm(3, {ds}, {k})
{a}.norm(1.5, {ds}) | {a}.norm(float("inf"), {ds}) | {a}.var({ds}, correction=0, keepdim={k})
{a}.sort({d}, descending={k})[0] | {a}.topk(1, {d})[0] | m.nn.functional.normalize({a}, dim={d})
m.var_mean({a}, {ds}, correction=0)
""", some())  # fmt: skip
cases("""
{a}.median({d}, {k})[0] | {a}.sort({d}, descending={k}) | {a}.max({d}) | {a}.min({d}, keepdim={k})
{a}.topk(1, {d}, largest={k}) | ({a} * ({a} > {a}.amin({d}, True))).prod({d})
({a} * ({a} < {a}.amax({d}, True))).cumprod({d})
""", some(), stretched=False)  # fmt: skip
cases("{a}.std() | {a}.var() | {a}.std({ds}, keepdim={k}) | m.std_mean({a}, {ds}) | {a}.var({ds})",
      lambda draw: draw.shape(1, 3, smallest=2), stretched=False)  # fmt: skip
cases("m.nn.functional.cosine_similarity({a}, {b}, dim={d})", some(1), b="real")

# ---------------------------------------------------------------------------------------- shapes

cases("""
{a}.reshape(-1) if {a}.numel() else {a} * 2 | {a}.contiguous().view({a}.shape) | {a}.flatten()
{a}.squeeze() | {a}.squeeze({d}) | {a}.unsqueeze({d}) | {a}.transpose({d}, 0)
{a}.swapaxes({d}, -1) | {a}.swapdims(0, {d}) | {a}.movedim({d}, 0) | {a}.expand(2, *{a}.shape)
{a}.permute(tuple(reversed(range({n})))) | {a}.repeat(2, *[1] * {n}) | {a}.tile(2) | {a}.ravel()
m.atleast_2d({a}) | m.stack([{a}, {a} * 2], {d})
{a}.unsqueeze(0).expand_as(m.stack([{a}, {a}])) | {a}[...] | {a}[None] | {a}[..., None] * 2
""")  # fmt: skip
cases("""
{a}.flip({ds}) | {a}.roll(1, {d}) | {a}.roll(2) | m.cat([{a}, {a} * 2], {d}) | {a}.chunk(2, {d})
{a}.split(1, {d}) if {a}.shape[{d}] else {a} * 2 | {a}.unbind({d}) if {a}.shape[{d}] else {a} * 2
m.hstack([{a}, {a}]) | m.vstack([{a}, {a}]) | m.dstack([{a}, {a}]) | {a}.diag_embed()
{a}.repeat_interleave(2, {d}) | m.column_stack([{a}, {a}]) | {a}[1:] | {a}[..., ::2]
{a}[..., :-1] * 1
{a}.narrow({d}, 0, {a}.shape[{d}]) | {a}.unfold({d}, 1, 1) if {a}.shape[{d}] else {a} * 2
m.nn.functional.pad({a}, (1, 2))
""", at_least(1))  # fmt: skip
cases("""
{a}.tril() | {a}.triu(1) | {a}.diagonal() | {a}.diagonal(-1, -1, 0) | {a}.mT | {a}.adjoint()
{a}.rot90(1, (0, 1)) | {a}.flatten(0, 1) | {a}[:, 1:] | {a}.diagonal(1).sum(-1) | {a}.fliplr()
""", at_least(2))  # fmt: skip
cases("{a}.permute(1, 2, 0) | {a}.movedim((0, 1), (1, 2))", at_least(3))
cases("{a}.trace() | m.diag({a}) | {a}.t()", lambda draw: draw.shape(2, 2))
cases("{a}.unfold({d}, 2, 1) | {a}.unfold({d}, 2, 3)", lambda draw: draw.shape(1, 3, smallest=2))

# -------------------------------------------------------------------------------------- indexing

cases("""
{a}[0] | {a}[-1, ...] | {a}[m.tensor([0, 0])] | {a}[{a} > 0] | {a}.masked_select({a} > 0)
{a}.select({d}, 0) | {a}.index_select({d}, m.tensor([0, 0]))
{a}.index_fill({d}, m.tensor([0]), 2.0) | m.nn.functional.pad({a}, (-1, 2), value=3.0)
{a}.gather({d}, {a}.argsort({d})) | {a}.take_along_dim({a}.argsort({d}), {d}) | {a}[[0, -1]]
{a}.scatter({d}, {a}.argsort({d}), {a} * 2) | {a}.scatter_add({d}, {a}.argsort({d}), {a} * 2)
{a}.index_add({d}, m.arange({a}.shape[{d}]), {a} * 2, alpha=3) | {a}[..., m.tensor([[0], [0]])]
{a}.index_copy({d}, m.arange({a}.shape[{d}]), {a} * 3)
{a}.index_put((m.tensor([0]),), {a}[:1] * 2)
{a}.index_put((m.tensor([0, 0]),), {a}[:1] * 2, accumulate=True) | {a}.masked_scatter({a} > 0, {a})
{a}.scatter({d}, m.zeros_like({a}).long()[:1], 0.5)
m.stack([{a}, {a}]).flatten().as_strided((2, 2), (1, 0))
""", some(1), stretched=False)  # fmt: skip
cases("""
(lambda t: (t.__setitem__(0, t[-1] * 3), t)[1])({a} * 1) | ({a} * 1).copy_({a}[:1])
(lambda t: (t[:1].mul_(t[-1:] * 2), t)[1])({a} * 1) | ({a} * 1).mul_({a})
(lambda t: (t.__setitem__({a} > 0, 2.0), t)[1])({a} * 1)
""", some(1), stretched=False, forward=False)  # fmt: skip
cases(
    """
{a}[m.tensor([0, 0]), m.tensor([[0], [0]])] | {a}[:, m.tensor([0])] | {a}[m.tensor([0]), :, None]
""",
    some(2),
)


# -------------------------------------------------------------------------------- linear algebra


def define(*kinds: str, **options: object) -> Callable:
    """A case whose inputs do not have one shape; one for each kind, if there are several."""

    def add(make: Callable) -> Callable:
        for kind in kinds:
            CASES[f"{make.__name__}: {kind}"] = (lambda draw, kind=kind: make(draw, kind)), options
        if not kinds:
            CASES[make.__name__] = make, options
        return make

    return add


@define()
def matmul(d: Maker) -> str:
    m, k, n = d.size(), d.size(), d.size()
    full = d.shape(0, 2)
    left, right = (*d.part(full), m, k), (*d.part(full), k, n)
    left, right = d.choose((left, left, (k,))), d.choose((right, right, (k,)))
    return f"{d.tensor(left)} @ {d.tensor(right)}"


@define()
def linear(d: Maker) -> str:
    n, out = d.size(), d.size(1)
    x, weight = d.tensor((*d.shape(0, 2), n)), d.tensor((out, n))
    bias = f", {d.tensor((out,))}" if d.flag() else ""
    return f"m.nn.functional.linear({x}, {weight}{bias})"


@define()
def bilinear(d: Maker) -> str:
    lead, n, k = d.shape(0, 2), d.size(1), d.size(1)
    x, y, w = d.tensor((*lead, n)), d.tensor((*lead, k)), d.tensor((2, n, k))
    return f"m.bilinear({x}, {y}, {w}, {d.tensor((2,))})"


@define()
def einsum(d: Maker) -> str:
    b, i, j, k = (d.size() for _ in range(4))
    form = d.choose(("bij,bjk->bik", "bij,bjk->k", "bij,bjk->bkij", "bij,bjk"))
    return f"m.einsum({form!r}, {d.tensor((b, i, j))}, {d.tensor((b, j, k))})"


@define(
    "m.tensordot({a}, {b}, ([0], [0]))", "m.inner({a}, {b})",
    "m.mm({a}, {b}.T)", "m.addmm({a}[:, :1], {a}, {b}.T, beta=2, alpha=3)",
    "m.outer({a}.flatten(), {b}[0])", "m.dot({a}[:, 0], {b}[:, 0])",
)  # fmt: skip
def products(d: Maker, kind: str) -> str:
    k, n = d.size(1), d.size(1)
    return kind.format(a=d.tensor((n, k)), b=d.tensor((n, k)))


@define(order=1)  # the second derivative is missing in torch
def distances(d: Maker) -> str:
    k, lead = d.size(1), d.shape(0, 1)
    a, b = d.tensor((*lead, d.size(1), k)), d.tensor((*lead, d.size(1), k))
    return f"m.cdist({a}, {b})"


LINALG = """
inv({r}) | det({r}) | slogdet({r}) | cholesky({a} @ {a}.mT + {i}) | eigvalsh({a} + {a}.mT)
eigh({a} + {a}.mT)[1] ** 2 | solve({r}, {a}) | solve({r}, {a}[..., 0:1]) | qr({a}) | svdvals({a})
pinv({a}) | matrix_norm({a}, "nuc") | svd({a}, full_matrices=False)[0] ** 2 | qr({a}[..., :1])
eigh({a} + {a}.mT)[0] | qr({a}.mT, mode="complete") | solve_triangular({r}, {a}, upper=True)
"""
for text in listed(LINALG):

    def square(d: Maker, text: str = text) -> str:
        n = d.size(1)
        a = d.tensor((*d.shape(0, 1), n, n))
        identity = f"m.eye({n}, dtype=m.float64)"
        return "m.linalg." + text.format(a=a, i=identity, r=f"({a} + 9 * {identity})")

    CASES[f"m.linalg.{text}"] = square, {"stretched": False}


# ---------------------------------------------------------------------------- neural networks


@define()
def convolution(d: Maker) -> str:
    n, groups = d.choose((1, 2)), d.choose((1, 2))
    taps = tuple(d.size(1, 2) for _ in range(n))
    x = d.tensor((d.size(), 2, *(d.size(3, 4) for _ in range(n))))
    w = d.tensor((2, 2 // groups, *taps))
    bias = d.tensor((2,)) if d.flag() else None
    options = f"stride={d.size(1, 2)}, padding={d.size(0, 1)}, groups={groups}"
    return f"m.nn.functional.conv{n}d({x}, {w}, {bias}, dilation={d.size(1, 2)}, {options})"


@define()
def transposed_convolution(d: Maker) -> str:
    n, groups = d.choose((1, 2)), d.choose((1, 2))
    x = d.tensor((d.size(1), 2, *(d.size(1) for _ in range(n))))
    w = d.tensor((2, d.size(1, 2), *(d.size(1, 2) for _ in range(n))))
    return f"m.nn.functional.conv_transpose{n}d({x}, {w}, stride={d.size(1, 2)}, groups={groups})"


@define(
    "max_pool{n}d({x}, 2, stride={s}, padding={p})", "avg_pool{n}d({x}, 2, {s}, {p})",
    "avg_pool{n}d({x}, 2, {s}, {p}, count_include_pad=False, ceil_mode=True)",
    "adaptive_avg_pool{n}d({x}, {o})", "adaptive_max_pool{n}d({x}, {o})",
)  # fmt: skip
def pooling(d: Maker, kind: str) -> str:
    n = d.choose((1, 2))
    lead = (d.size(1), d.size(1))[: d.choose((1, 2))]
    x = d.tensor((*lead, *(d.size(2, 4) for _ in range(n))))
    return "m.nn.functional." + kind.format(x=x, n=n, s=d.size(1), p=d.size(0, 1), o=d.size(1, 5))


@define()
def windows(d: Maker) -> str:
    c, h, w = d.size(1), d.size(2, 4), d.size(2, 4)
    s, p = d.size(1, 2), d.size(0, 1)
    if d.flag():
        x = d.tensor((d.size(1), c, h, w))
        return f"m.nn.functional.unfold({x}, 2, padding={p}, stride={s})"
    count = ((h + 2 * p - 2) // s + 1) * ((w + 2 * p - 2) // s + 1)
    x = d.tensor((d.size(1), 4 * c, count))
    return f"m.nn.functional.fold({x}, ({h}, {w}), 2, padding={p}, stride={s})"


@define("nearest", "nearest-exact", "bilinear", "bicubic", "area")
def resizing(d: Maker, mode: str) -> str:
    x = d.tensor((d.size(1), d.size(1), d.size(1), d.size(1)))
    corners = f", align_corners={d.flag()}" if mode[0] == "b" else ""
    size = d.size(1, 5), d.size(1)
    return f"m.nn.functional.interpolate({x}, {size}, None, {mode!r}{corners})"


@define("reflect", "replicate", "circular")
def padding(d: Maker, mode: str) -> str:
    n = d.choose((1, 2))
    x = d.tensor((d.size(1), d.size(1), *(d.size(2) for _ in range(n))))
    widths = tuple(d.size(0, 1) for _ in range(2 * n))
    return f"m.nn.functional.pad({x}, {widths}, {mode!r})"


def sampled(d: Maker, mode: str) -> str:
    image = d.tensor((1, d.size(1), d.size(1), d.size(1)))
    grid = d.tensor((1, d.size(1), d.size(1), 2))
    padding_mode = d.choose(("zeros", "border", "reflection"))
    return f"m.nn.functional.grid_sample({image}, {grid}, {mode!r}, {padding_mode!r}, {d.flag()})"


define("bilinear")(sampled)
define("nearest", "bicubic", order=1)(sampled)  # the second derivative is missing in torch


@define()
def affine_grid(d: Maker) -> str:
    n = d.size(1)
    size = (n, 1, d.size(2), d.size(2))
    return f"m.nn.functional.affine_grid({d.tensor((n, 2, 3))}, {size}, {d.flag()})"


@define()
def shuffled_pixels(d: Maker) -> str:
    c, h, w = d.size(1), d.size(1), d.size(1)
    if d.flag():
        return f"m.pixel_shuffle({d.tensor((*some(0, 1)(d), 4 * c, h, w))}, 2)"
    return f"m.pixel_unshuffle({d.tensor((*some(0, 1)(d), c, 2 * h, 2 * w))}, 2)"


@define(
    "layer_norm({x}, (3,), {v}, {v} * 2)", "layer_norm({x}, ({c}, 3))", "rms_norm({x}, (3,), {v})",
    "rms_norm({x}, ({c}, 3), None, 0.1)", "group_norm({x}, 2, {w}, {b})",
    "instance_norm({x}, None, None, {w}, {b})", "batch_norm({x}, None, None, {w}, {b}, True)",
    "batch_norm({x}, m.zeros({c}).double(), m.ones({c}).double(), {w}, {b})",
)  # fmt: skip
def normalization(d: Maker, kind: str) -> str:
    """At least three numbers are normalized: of two, the result is ±1 and has no derivative."""
    c = d.choose((2, 4))
    names = {"x": d.array((d.size(1), c, 3)), "c": c}
    for name, shape in (("w", (c,)), ("b", (c,)), ("v", (3,))):
        if f"{{{name}}}" in kind:
            names[name] = d.tensor(shape)
    return "m.nn.functional." + kind.format(**names)


@define(order=1)  # the second derivative is missing in torch
def attention(d: Maker) -> str:
    lead, length, keys = (d.size(1), d.size(1)), d.size(1), d.size(1)
    e, v = d.size(1), d.size(1)
    q, k = d.tensor((*lead, length, e)), d.tensor((*lead, keys, e))
    values = d.tensor((*lead, keys, v))
    mask = d.choose((None, d.tensor((length, keys)), "causal"))
    how = "is_causal=True" if mask == "causal" else f"attn_mask={mask}"
    return f"m.nn.functional.scaled_dot_product_attention({q}, {k}, {values}, {how})"


@define(numeric=False)  # the row at padding_idx gets no gradient
def embedding(d: Maker) -> str:
    rows = d.size(1)
    index = d.index(some(0, 2)(d), rows)
    return (
        f"m.nn.functional.embedding({index}, {d.tensor((rows, d.size(1)))}, {d.choose((None, 0))})"
    )


@define()
def gated(d: Maker) -> str:
    if d.flag():
        return f"m.nn.functional.glu({d.tensor((*d.shape(0, 2), 2 * d.size(1)))})"
    c = d.size(1)
    x = d.tensor((d.size(), c, *d.shape(0, 1)))
    return f"m.nn.functional.prelu({x}, {d.tensor((d.choose((1, c)),))})"


# ---------------------------------------------------------------------------------------- losses

REDUCTION = ("none", "mean", "sum")


@define(
    "cross_entropy({x}, {t}, reduction={r!r})", "cross_entropy({x}, {t}, {w}, reduction={r!r})",
    "cross_entropy({x}, {t}, {w}, reduction={r!r}, label_smoothing=0.1)",
    "nll_loss({x}, {t}, {w}, reduction={r!r})", "cross_entropy({x}, ({x} * 2).softmax(1))",
)  # fmt: skip
def classification(d: Maker, kind: str) -> str:
    n, c = d.size(1), d.size(1)
    more = d.choose(((), (d.size(1),)))
    x, target = d.tensor((n, c, *more)), d.index((n, *more), c)
    weight = f"m.tensor({d.rng.uniform(0.3, 2, c).tolist()}).double()"
    return "m.nn.functional." + kind.format(x=x, t=target, w=weight, r=d.choose(REDUCTION))


LOSSES = """
mse_loss({a}, {b}) | l1_loss({a}, {b}) | huber_loss({a}, {b}, delta=0.5) | smooth_l1_loss({a}, {b})
hinge_embedding_loss({a}, {b}.sign().detach()) | soft_margin_loss({a}, {b}.sign().detach())
margin_ranking_loss({a}, {b}, m.ones({n} * 0 + 1).expand({a}.shape).double(), 0.3)
multilabel_soft_margin_loss({a}, {b}.sigmoid()) | poisson_nll_loss({a}, {b})
gaussian_nll_loss({a}, {b}, {b}.exp()) | binary_cross_entropy_with_logits({a}, {b}.sigmoid())
binary_cross_entropy({a}.sigmoid(), {b}.sigmoid()) | kl_div({a}, {b}.softmax(-1))
kl_div({a}, {b}, log_target=True) | triplet_margin_loss({a}, {b}, {a} + {b}, p=3)
binary_cross_entropy_with_logits({a}, {b}.sigmoid(), pos_weight=m.tensor(0.7).double())
cosine_embedding_loss(m.stack([{a}, {b}], 1).flatten(1), m.stack([{b}, {a}], 1).flatten(1), {s})
pairwise_distance({a}, {b})
"""
for text in listed(LOSSES):

    def loss(d: Maker, text: str = text) -> str:
        shape = d.shape(1, 3, smallest=1)
        a, b = d.tensor(shape), d.tensor(shape)
        call = text.format(a=a, b=b, n=len(shape), s=f"m.ones({shape[0]})")
        unreduced = "pairwise" in text
        return (
            f"m.nn.functional.{call}"
            if unreduced
            else (f"m.nn.functional.{call[:-1]}, reduction={d.choose(REDUCTION)!r})")
        )

    CASES[f"m.nn.functional.{text}"] = loss, {"stretched": False}


# ---------------------------------------------------------------------------------- the sweep


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:.*reduction.* 'mean' divides")  # the advice on kl_div
def test_against_torch(name: str) -> None:
    make, options = CASES[name]
    options = dict(options)
    stretched = options.pop("stretched", True)

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(data=st.data(), seed=st.integers(0, 1000))
    def compare(data: st.DataObject, seed: int) -> None:
        draw = Maker(lambda options: data.draw(st.sampled_from(options)), seed, stretched)
        expression = make(draw)
        note(expression)
        same(expression, *draw.arrays, **options)

    compare()


# Operations that the sweep cannot reach, and where they are tested.
ELSEWHERE = {
    **APART,
    "elman": "tests/nn/test_recurrent",
    "lstm": "tests/nn/test_recurrent",
    "gru": "tests/nn/test_recurrent",
    "erfinv": "test_triangular",
}


def operations() -> set:
    """Every operation of `minigen.ops` that has gradient rules."""
    found = set()
    for module in pkgutil.iter_modules(minigen.ops.__path__):
        for value in vars(importlib.import_module(f"minigen.ops.{module.name}")).values():
            operation = getattr(value, "operation", None)
            if isinstance(operation, Operation) and operation.rules:
                found.add(operation)
    return found


def test_no_operation_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is recorded when the cases, and their first two derivatives, run once more."""
    recorded = set()
    record = autograd._record

    def note(operation: object, *args: object) -> None:
        recorded.add(operation)
        record(operation, *args)

    monkeypatch.setattr(autograd, "_record", note)
    rng = np.random.default_rng(0)
    for make, options in CASES.values():
        for _ in range(3):
            draw = Maker(
                lambda given: given[rng.integers(len(given))], 1, options.get("stretched", True)
            )
            expression = make(draw)
            leaves = [minigen.from_numpy(a).requires_grad_() for a in draw.arrays]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outputs = function(expression, minigen)(*leaves)
                _differentiate(outputs, leaves)
    missing = {operation.name for operation in operations() - recorded}
    assert missing == set(ELSEWHERE)


def _differentiate(outputs: object, leaves: list) -> None:
    flat = outputs if isinstance(outputs, tuple | list) else [outputs]
    total = sum((y * y).sum() for y in flat if y.requires_grad)
    if isinstance(total, minigen.Tensor):
        first = autograd.grad(total, leaves, create_graph=True, allow_unused=True)
        again = sum((g * g).sum() for g in first if g is not None and g.requires_grad)
        if isinstance(again, minigen.Tensor):  # recorded, for what only third derivatives need
            autograd.grad(again, leaves, create_graph=True, allow_unused=True)
