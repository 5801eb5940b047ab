"""`vmap`: equal to a loop, for every operation that has a rule, an error for every other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from minigen import func, nn
from minigen.autograd import Function
from minigen.ops.resizing import Phases, _reduced
from minigen.transforms import batch_rules
from tests.expressions import listed, normal
from tests.transforms.test_transforms import same

rng = np.random.default_rng(5)
B = 3  # examples

# Expressions of x, y, z, s, integers n, booleans b, images u, filters v, sequences w; F is
# nn.functional.
ELEMENTS = """
x + y | x - z | x * s | x / (y * y + 1) | -x | x ** 2 | x.abs() ** y | x.square() | x.abs()
x.sign() | x.maximum(y) | x.minimum(z) | x.clamp(-0.5, 0.5) | x.clamp(z, s) | x.clone()
x.float() | x.double() | x.sigmoid() | x.tanh() | x.erf() | x.exp() | x.abs().log() | x.exp2()
x.expm1() | x.abs().log1p() | x.abs().log2() | x.abs().log10() | x.abs().sqrt() | x.abs().rsqrt()
x.sin() | x.cos() | x.tan() | (x / 9).asin() | (x / 9).acos() | x.atan() | x.sinh() | x.cosh()
x.asinh() | (x.abs() + 1).acosh() | (x / 9).atanh() | x.erfc() | x.abs().lgamma()
x.abs().digamma() | x.reciprocal() | x // y | x % y | m.fmod(x, y)
m.div(x, y, rounding_mode="trunc") | m.lerp(x, y, 0.3) | m.lerp(x, z, y)
m.addcmul(x, y, z, value=2) | m.addcdiv(x, z, y.abs() + 1) | m.logaddexp(x, y) | m.hypot(x, z)
m.atan2(x, y) | m.xlogy(x, y.abs()) | x == y | x != s | x < y | x <= z | x > y | x >= y
m.where(b, x, z) | m.where(x > 0, s, y) | b & b[0] | ~b | b.logical_and(x) | b.logical_or(b[1])
b.logical_xor(b[:1]) | b.logical_not() | b ^ b[0] | b.bitwise_or(b[0]) | ~n | n & 1 | n << 1
n >> n | x.isnan()
x.isinf() | x.isfinite() | m.isclose(x, y) | x.floor() | x.ceil() | x.trunc() | x.round()
x.frac() | x.nan_to_num() | x.masked_fill(b, s) | x.masked_fill(b, 2.0) | x + n | n * s | n / 2
x.to(m.int64) | n + x[0, 0] | x.int() | F.gelu(x) | F.logsigmoid(x) | F.mish(x) | F.silu(x)
F.softplus(x) | F.elu(x) | F.selu(x) | F.hardsigmoid(x) | F.hardswish(x) | x.relu()
F.threshold(x, 0.1, 7.0) | F.leaky_relu(x, 0.1) | F.leaky_relu(x, -0.1) | F.relu6(x)
F.prelu(x, z[:1]) | F.prelu(x, z) | s + s | s * z[0] | s.exp() | (s > 0) | x.type_as(n)
F.gelu(s) | F.dropout(x, 0.0) | F.alpha_dropout(x, 0.5, training=False)
"""
DIMENSIONS = """
x.sum() | x.sum(0) | x.sum((0, 1), keepdim=True) | x.mean(1) | x.mean() | x.amax(0) | x.amin()
x.max(1).values | x.min(0, keepdim=True).indices | x.max() | x.argmax() | x.argmax(1)
x.argmin(0, keepdim=True) | x.argmax(keepdim=True) | b.all() | b.any(0) | x.count_nonzero()
x.nansum(1) | x.var() | x.var(0) | x.std(1) | x.std((0, 1), keepdim=True) | x.logsumexp(1)
x.logsumexp((0, 1)) | x.norm() | x.norm(3, 1) | x.norm(dim=(0, 1)) | x.norm(0, 1) | x.norm(1, 0)
x.cumsum(0) | x.cumsum(-1) | x.cumprod(1) | x.prod() | x.prod(0) | x.softmax(0) | x.softmax(-1)
x.log_softmax(1) | s.sum() | s.mean() | s.amax() | s.cumsum(0) | s.softmax(0) | s.sum(0)
s.prod() | s.argmax() | s.var(correction=0) | x.sort(0).values | x.argsort(1, descending=True)
x.topk(2).values | x.median(1).values | x.tril() | x.triu(1) | s.sum(keepdim=True) | s.argmax(0)
n.sum() | n.max(1).values | F.softmin(x, 1) | F.normalize(x) | n.cumsum(1) | F.layer_norm(x, [3])
F.layer_norm(x, [3], z, z) | F.layer_norm(x, [2, 3], y, y) | F.rms_norm(x, [3], z)
F.group_norm(u, 2, z[0].expand(4), z[1].expand(4)) | F.instance_norm(u)
F.batch_norm(u, None, None, training=True) | F.batch_norm(x, z * 0, z * 0 + 1, z, z)
F.group_norm(u, 4) | m.var_mean(x, 1)[1] | m.std_mean(x)[0]
"""
SHAPES = """
x.reshape(3, 2) | x.reshape(-1) | x.view(6) | x.flatten() | x.T | x.mT | x.transpose(0, 1)
x.permute(1, 0) | x.t() | s.reshape(1) | s.expand(2) | z.expand(2, 3)
x.unsqueeze(1).expand(-1, 4, -1) | x.unsqueeze(-1) | x.squeeze() | x.movedim(0, -1) | x.diagonal()
x.diagonal(1) | m.diag_embed(x) | m.diag(z) | x.flip(0) | x.flip(0, 1) | x.roll(1, 1)
x.repeat(2, 1) | z.repeat(2, 2) | x.unfold(1, 2, 1) | m.cat([x, y, x], 1) | m.stack([x, y], -1)
m.cat([z, z + 1]) | x.split(2, 1)[0] | x.chunk(2, 1)[1] | x.unbind(1)[2] | m.vstack([x, z])
x.select(1, -1) | x.narrow(1, 1, 2) | x[0] | x[:, 1:] | x[..., None, 1] | x[-1, ::2] | s[None]
F.pad(x, (1, 2)) | F.pad(x, (-1, 1), value=3.0) | x.roll(2) | m.broadcast_tensors(x, z)[1]
x.unflatten(1, (3, 1)) | m.rot90(x) | m.kron(x, z) | m.tile(z, (2,)) | s.flip(0) | s.t()
F.pad(u, (1, 1, 2, 2), mode="reflect") | x.repeat_interleave(2, 1)
m.meshgrid(z, z, indexing="ij")[0]
"""
INDICES = """
x[m.tensor([1, 0])] | x[:, m.tensor([[2, 0], [1, 1]])] | x[m.tensor([1, 0]), m.tensor([0, 2])]
x[n[0] - 1] | x[:, n[1]] | u[m.tensor([0, 1]), :, m.tensor([2, 2])] | x[m.tensor([True, False])]
z[n] | x[:, n] | u[:, m.tensor([1, 0]), m.tensor([2, 2])] | x.gather(1, n)
x.gather(0, n[:1] * 0) | x.take_along_dim(n, 1) | x.index_select(1, m.tensor([0, 0]))
x.scatter(1, m.tensor([[0], [2]]), y) | x.scatter(1, m.tensor([[0]]), 3.0)
x.scatter_add(1, m.tensor([[0, 0, 1]]), y) | x.index_add(0, m.tensor([1, 1]), y)
x.index_copy(1, m.tensor([2]), y[:, :1]) | x.index_fill(1, m.tensor([0]), 3.0)
x.index_put((m.tensor([0, 1]), m.tensor([2, 0])), z[:2])
x.index_put((m.tensor([0, 0]),), z, accumulate=True)
m.searchsorted(m.tensor([-1.0, 0.0, 1.0]).double(), x)
x.masked_select(m.tensor([True, False, True])) | F.embedding(n, m.eye(4).double())
F.embedding(n, y.expand(2, 3).T) | F.embedding(n, x.T, padding_idx=1) | x.sort(1).indices
z[n - 3]
"""
PRODUCTS = """
x @ z | z @ x.T | z @ z | x @ y.T | x.matmul(y.T) | (x[None] @ y.T) | x.mv(z) | m.dot(z, z)
m.outer(z, z) | m.trace(x @ y.T) | F.linear(x, y) | F.linear(x, y, z[:2]) | F.linear(z, y)
m.einsum("ij,kj->ik", x, y) | m.einsum("ij,j->i", x, z) | m.inner(x, z) | m.addmm(x @ y.T, x, y.T)
u @ u.mT | m.cdist(x, y) | u[0] @ u | F.scaled_dot_product_attention(w, w, w)
F.scaled_dot_product_attention(w, w, w, is_causal=True) | m.bmm(u[0], u[1])
F.conv2d(u, v.transpose(0, 1)[:, :].reshape(2, 4, 3, 3))
F.conv2d(u, v[:, :1], groups=4, padding=1)
F.conv2d(u, v.reshape(2, 4, 3, 3), z[:2], stride=2, padding=1)
F.conv_transpose2d(u, v, z[:2], stride=2) | F.conv1d(w, v[0, 0][None, :1, :].expand(2, 4, 3))
F.conv2d(u, m.ones(2, 4, 3, 3).double(), m.zeros(2).double()) | F.max_pool2d(u, 2)
F.avg_pool2d(u, 3, 2, 1) | F.adaptive_avg_pool2d(u, 4)
F.max_pool2d(u, 2, return_indices=True)[1] | F.adaptive_max_pool2d(u, 4) | F.avg_pool1d(w, 2)
F.max_pool1d(w, 2) | F.unfold(u, 3) | F.fold(F.unfold(u, 3), 6, 3)
F.interpolate(u, scale_factor=2, mode="bilinear") | rows_reduced(u)
F.interpolate(u, scale_factor=2) | F.adaptive_avg_pool2d(u, 2) | F.pixel_shuffle(u, 2)
"""
LOSSES = """
F.mse_loss(x, y) | F.mse_loss(x, y, reduction="none") | F.l1_loss(x, y) | F.smooth_l1_loss(x, y)
F.huber_loss(x, y, reduction="sum") | F.cross_entropy(x, n[:, 0]) | F.cross_entropy(z, n[0, 0])
F.cross_entropy(x, n[:, 0], reduction="none")
F.cross_entropy(x, n[:, 0], ignore_index=1, reduction="sum")
F.cross_entropy(x, n[:, 0], z.detach().abs() + 1)
F.cross_entropy(x, n[:, 0], label_smoothing=0.2) | F.cross_entropy(x, y.softmax(1))
F.nll_loss(x.log_softmax(1), n[:, 0], reduction="sum")
F.kl_div(x, y.softmax(1), reduction="batchmean")
F.binary_cross_entropy_with_logits(x, y.sigmoid())
F.binary_cross_entropy(x.sigmoid(), y.sigmoid()) | F.cosine_similarity(x, y)
F.binary_cross_entropy_with_logits(x, y.sigmoid(), reduction="none")
F.poisson_nll_loss(x, y.abs()) | F.pairwise_distance(x, y) | F.triplet_margin_loss(x, y, x + z)
F.hinge_embedding_loss(x, y.sign()) | F.margin_ranking_loss(z, z + 1, z.sign())
"""
TABLES = (ELEMENTS, DIMENSIONS, SHAPES, INDICES, PRODUCTS, LOSSES)
TABLE = [expression for table in TABLES for expression in listed(table)]

SIZES = {
    "x": (2, 3), "y": (2, 3), "z": (3,), "s": (), "n": (2, 3), "b": (2, 3),
    "u": (2, 4, 6, 6), "v": (4, 2, 3, 3), "w": (2, 4, 3),
}  # fmt: skip


def example_values(name: str, count: int) -> Any:
    """`count` examples of a variable, stacked."""
    shape = (count, *SIZES[name])
    if name == "n":
        return minigen.from_numpy(rng.integers(0, 3, shape))
    values = minigen.from_numpy(rng.standard_normal(shape))
    return values > 0 if name == "b" else values


def rows_reduced(u: Any) -> Any:
    """The adjoint of making bilinear rows twice as many, which no function of the library is."""
    return _reduced(u, Phases(2, (-1, 0), ((0.25, 0.75), (0.75, 0.25))))


def compiled(expression: str, names: list[str]) -> Callable:
    code = compile(expression, expression, "eval")
    scope = {"m": minigen, "F": nn.functional, "rows_reduced": rows_reduced}
    return lambda *args: eval(code, {**scope, **dict(zip(names, args))})


def used(expression: str) -> list[str]:
    code = compile(expression, expression, "eval")
    return [name for name in SIZES if name in code.co_names]


def patterns(count: int) -> list[tuple]:
    """Which arguments are batched: all of them, or one of several."""
    ones = [tuple(int(i == j) for j in range(count)) for i in range(count)] if count > 1 else []
    return [(1,) * count, *ones]


def assert_same_as_loop(f: Callable, args: list, batched: tuple) -> None:
    in_dims = tuple(0 if each else None for each in batched)
    rows = [f(*(a[i] if each else a for a, each in zip(args, batched))) for i in range(B)]
    together = func.vmap(f, in_dims)(*args)
    expected = minigen.stack(rows).detach().numpy()
    found = together.detach().numpy()
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("expression", TABLE)
def test_vmap_is_a_loop(expression: str) -> None:
    names = used(expression)
    f = compiled(expression, names)
    for batched in patterns(len(names)):
        args = [
            example_values(name, B) if each else example_values(name, 1)[0]
            for name, each in zip(names, batched)
        ]
        assert_same_as_loop(f, args, batched)
        floats = [i for i, a in enumerate(args) if a.is_floating_point()]
        sample = f(*(a[0] if each else a for a, each in zip(args, batched)))
        if not sample.is_floating_point() or not floats:
            continue
        for i in floats:  # the gradient for each example, with respect to each argument
            assert_same_as_loop(
                func.grad(lambda *args: (f(*args).double() ** 2).sum(), i), args, batched
            )


def test_every_rule_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table above reaches each rule, so none can be wrong unnoticed."""
    reached = set()

    def watched(name: str, rule: Callable) -> Callable:
        def run(*args: Any) -> Any:
            reached.add(name)
            return rule(*args)

        return run

    for name, rule in batch_rules.RULES.items():
        monkeypatch.setitem(batch_rules.RULES, name, watched(name, rule))
    for expression in TABLE:
        names = used(expression)
        func.vmap(compiled(expression, names))(*(example_values(name, 2) for name in names))
    untested = set(batch_rules.RULES) - reached
    assert untested <= {
        "casting.to_device",  # needs a GPU
        "dropout.alpha_dropout", "dropout.dropout", "softmax.one_hot_of_largest",  # random; below
        "history.overwrite",  # an error; below
    }, untested  # fmt: skip


# ---------------------------------------------------------------------------- dims and structures


def test_dims_as_torch_has_them() -> None:
    x, y = normal(3, 4, 5), normal(4, 3)
    for in_dims, out_dims in [((0, 1), 0), ((1, 0), 1), ((-2, 0), -1), ((0, -1), 1)]:
        if x.shape[in_dims[0]] == y.shape[in_dims[1]]:
            same(
                lambda m, t, x, y, i=in_dims, o=out_dims: t.vmap(
                    lambda a, b: a * b.sum() + 1, in_dims=i, out_dims=o
                )(x, y),
                x, y,
            )  # fmt: skip
    same(lambda m, t, x: t.vmap(lambda x: (x, x.sum()), out_dims=(1, 0))(x), x)
    same(lambda m, t, x: t.vmap(lambda x: {"a": x.sum(), "b": [x]})(x), x)
    same(lambda m, t, x, y: t.vmap(lambda p: p["x"].sum() * p["y"][0], ({"x": 0, "y": (1,)},))(
        {"x": x, "y": (y,)}), x, y)  # fmt: skip
    same(lambda m, t, x, y: t.vmap(lambda x, *, k: x.sum() + k)(x, k=y), x, normal(3, 2))
    same(lambda m, t, x: t.vmap(lambda x: m.ones(2, dtype=m.float64))(x), x)
    same(lambda m, t, x: t.vmap(lambda x: (x, m.ones(2)), out_dims=(0, None))(x), x)
    same(lambda m, t, x: t.vmap(lambda x: x * 2, chunk_size=2)(x), x)
    same(lambda m, t, x: t.vmap(t.vmap(lambda x: x.sum(), 1, 0), 2)(x), x)


def test_examples_that_are_numbers_promote_as_numbers_do() -> None:
    """A 0-d tensor does not raise the dtype of others; a batch of them must not either."""

    def run(m: Any, t: Any, s: Any, x: Any) -> Any:
        x = x.to(m.float32)
        return (
            t.vmap(lambda s: s * x)(s),
            t.vmap(lambda s, x: x - s)(s, x),
            t.vmap(lambda x: x.sum() * s[0])(x),
            t.vmap(lambda s: (s > 0) + x)(s),
        )

    same(run, normal(2), normal(2), tolerance=1e-6)
    s, x = minigen.ones(B).double(), minigen.ones(2)
    assert func.vmap(lambda s: minigen.where(x > 0, s, x))(s).dtype == minigen.float32


@settings(max_examples=25, deadline=None)
@given(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3),
               elements=st.floats(-2, 2, width=32)),
    st.data(),
)  # fmt: skip
def test_vmap_of_any_shape(x: np.ndarray, data: Any) -> None:
    dim = data.draw(st.integers(-x.ndim, x.ndim - 1))
    f = lambda x: (x.exp() * x).sum() + x.flatten().cumsum(0).tanh().sum()  # noqa: E731
    if not x.shape[dim]:
        return
    at = minigen.from_numpy(x)
    for g in (f, func.grad(f), lambda x: func.jvp(f, (x,), (x,))[1]):
        found = func.vmap(g, in_dims=dim)(at).numpy()
        np.testing.assert_allclose(found, np.stack([g(a).numpy() for a in at.movedim(dim, 0)]))


# --------------------------------------------------------------------------------------- nesting


def test_nested_batches_in_any_order() -> None:
    x, y = minigen.from_numpy(normal(4, 3)), minigen.from_numpy(normal(5, 3))
    dot = minigen.dot
    pairs = func.vmap(func.vmap(dot, (None, 0)), (0, None))(x, y)
    np.testing.assert_allclose(pairs.numpy(), (x @ y.T).numpy())
    slopes = func.vmap(func.vmap(func.grad(dot, (0, 1)), (None, 0)), (0, None))(x, y)
    assert [tuple(s.shape) for s in slopes] == [(4, 5, 3), (4, 5, 3)]
    np.testing.assert_allclose(slopes[1][:, 2].numpy(), x.numpy())


def test_gradients_through_vmap_reach_everything() -> None:
    def run(m: Any, t: Any, x: Any, w: Any) -> Any:
        x.requires_grad_()
        w.requires_grad_()
        y = t.vmap(lambda a: (w @ a).tanh())(x)
        return y, m.autograd.grad((y**2).sum(), (x, w))

    same(run, normal(4, 3), normal(2, 3))


def test_per_example_gradients_of_networks() -> None:
    """vmap(grad) over a batch is the gradients of a loop over its examples."""
    _ = minigen.manual_seed(0)
    networks = {
        "convolution": (nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(),
                                      nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)),
                        minigen.randn(B, 1, 2, 6, 6)),
        "transposed": (nn.Sequential(nn.ConvTranspose2d(2, 3, 2, stride=2), nn.GELU(),
                                     nn.AdaptiveAvgPool2d(1), nn.Flatten()),
                       minigen.randn(B, 1, 2, 3, 3)),
        "sequence": (nn.Sequential(nn.Embedding(5, 4, padding_idx=0), nn.LayerNorm(4),
                                   nn.Linear(4, 3)),
                     minigen.randint(0, 5, (B, 4))),
    }  # fmt: skip
    for module, x in networks.values():
        module.double()
        x = x.double() if x.is_floating_point() else x
        y = minigen.randint(0, 3, (B, *module(x[0]).shape[:-1]))
        parameters = {k: p.detach() for k, p in module.named_parameters()}

        def loss(p: Any, x: Any, y: Any, module: Any = module) -> Any:
            return nn.functional.cross_entropy(func.functional_call(module, p, (x,)), y)

        found = func.vmap(func.grad(loss), (None, 0, 0))(parameters, x, y)
        for i in range(B):
            expected = func.grad(loss)(parameters, x[i], y[i])
            for name in parameters:
                np.testing.assert_allclose(
                    found[name][i].numpy(), expected[name].numpy(), atol=1e-12, err_msg=name
                )


def test_an_ensemble_is_one_model() -> None:
    models = [nn.Linear(3, 2) for _ in range(4)]
    parameters, buffers = func.stack_module_state(models)
    x = minigen.randn(5, 3)
    f = lambda p, b, x: func.functional_call(models[0], (p, b), (x,))  # noqa: E731
    found = func.vmap(f, (0, 0, None))(parameters, buffers, x)
    expected = minigen.stack([model(x) for model in models])
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-5)
    assert parameters["weight"].is_leaf
    assert parameters["weight"].requires_grad


def test_a_function_of_the_users_own() -> None:
    class Double(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    with pytest.raises(RuntimeError, match="Double has no batching rule; give it"):
        func.vmap(Double.apply)(minigen.ones(3))

    class Mapped(Double):
        @staticmethod
        def vmap(info: Any, in_dims: tuple, x: Any) -> Any:
            assert (info.batch_size, in_dims) == (3, (0,))
            return Mapped.apply(x.T), 1

    x = minigen.from_numpy(normal(3, 2))
    np.testing.assert_array_equal(func.vmap(Mapped.apply)(x).numpy(), 2 * x.numpy())
    slopes = func.vmap(func.grad(lambda x: (Mapped.apply(x) ** 2).sum()))(x)
    np.testing.assert_allclose(slopes.numpy(), 8 * x.numpy())


# ---------------------------------------------------------------------------- what is refused


def test_what_reads_values_or_has_no_rule_is_named() -> None:
    x = minigen.ones(3, 2)
    for expected, f in {
        "vmap: item reads the values": lambda x: x.sum().item(),
        "vmap: to_bool reads the values": lambda x: x if x.sum() > 0 else -x,
        "vmap: median has no batching rule": lambda x: x.median(),
        "vmap: bincount reads the values": lambda x: x.long().bincount(),
        "vmap: unique reads": lambda x: x.unique(),
        "vmap: nonzero reads": lambda x: x.nonzero(),
        "has to be the same for all": lambda x: x[x > 0],
        "vmap: to_array": lambda x: minigen.from_numpy(np.asarray(x)),
        "vmap: one_hot reads": lambda x: nn.functional.one_hot(x.long()),
        "running statistics": lambda x: nn.functional.batch_norm(
            x[None].expand(2, 2), minigen.zeros(2), minigen.ones(2), training=True
        ),
        "in place": lambda x: x.add_(1),
        "change reads the values": lambda x: minigen.zeros(2).add_(x),
        "random numbers are drawn": lambda x: x + minigen.randn(2),
        "random numbers": lambda x: nn.functional.dropout(x),
        r"minigen\.func\.grad": lambda x: x.sum().backward(),
        "has to return tensors": lambda x: 3,
    }.items():
        with pytest.raises(RuntimeError, match=expected):
            func.vmap(f)(x)
    kept: list = []
    func.vmap(lambda x: kept.append(x) or x)(x)
    with pytest.raises(RuntimeError, match="kept and used after it"):
        kept[0] + 1


def test_dims_that_do_not_fit() -> None:
    x = minigen.ones(3, 2)
    for expected, run in {
        "different numbers of examples": lambda: func.vmap(minigen.add)(x, x.T),
        "at least one argument": lambda: func.vmap(minigen.sin, in_dims=None)(x),
        "in_dims is 2": lambda: func.vmap(minigen.sin, in_dims=2)(x),
        "which is no tensor": lambda: func.vmap(lambda x, n: x * n)(x, 3),
        "as the values are nested": lambda: func.vmap(minigen.add, in_dims=(0,))(x, x),
        "out_dims is 3": lambda: func.vmap(minigen.sin, out_dims=3)(x),
        "differs between examples": lambda: func.vmap(minigen.sin, out_dims=None)(x),
        "randomness is": lambda: func.vmap(minigen.sin, randomness="different"),
        "chunk_size": lambda: func.vmap(minigen.sin, chunk_size=0),
    }.items():
        with pytest.raises(ValueError, match=expected):
            run()
    with pytest.raises(RuntimeError, match="shape"):
        func.vmap(lambda x: x.reshape(3))(x)
    with pytest.raises(IndexError):
        func.vmap(lambda x: x.sum(1))(x)


def test_the_same_random_numbers_for_all() -> None:
    x = minigen.zeros(3, 50)
    noise = func.vmap(lambda x: x + minigen.randn(50), randomness="same")(x)
    assert (noise[0] == noise[1]).all()
    dropped = func.vmap(lambda x: nn.functional.dropout(x + 1), randomness="same")(x)
    assert (dropped[0] == dropped[2]).all()
    assert set(dropped.flatten().tolist()) == {0.0, 2.0}
    kept = func.vmap(
        lambda x: nn.functional.alpha_dropout(x + 1, training=True), randomness="same"
    )(x)
    assert (kept[0] == kept[1]).all()
    logits = minigen.zeros(3, 4)
    hard = func.vmap(lambda x: nn.functional.gumbel_softmax(x, hard=True), randomness="same")(
        logits
    )
    assert hard.sum(1).tolist() == [1, 1, 1]
    assert (hard[0] == hard[1]).all()
    minigen.randn(1)  # and it is allowed again afterwards
