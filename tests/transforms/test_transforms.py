"""Identities between grad, vjp, jvp, Jacobians and Hessians, and torch.func's functions."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from minigen import func, nn, transforms
from minigen.transforms.batching import BatchTrace
from minigen.transforms.structure import flatten, unflatten
from tests.oracle import close

# torch's forward mode compiles its own rules on first use, in a deprecated way
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

F: dict[Any, Any] = {minigen: minigen.func, torch: torch.func}
rng = np.random.default_rng(11)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape))


def tensors(arrays: Any, module: Any) -> Any:
    leaves, structure = flatten(arrays)
    return unflatten(
        [module.from_numpy(a.copy()) if isinstance(a, np.ndarray) else a for a in leaves], structure
    )


def same(run: Callable, *arrays: Any, tolerance: float = 1e-9) -> Any:
    """run(module, torch.func or ours, *tensors) gives the same structure of tensors in both."""
    ours, form = flatten(run(minigen, F[minigen], *tensors(arrays, minigen)))
    theirs, other = flatten(run(torch, F[torch], *tensors(arrays, torch)))
    assert form == other
    for i, (a, b) in enumerate(zip(ours, theirs)):
        close(a, b, tolerance, f"part {i}")
        assert a.requires_grad == b.requires_grad
    return ours


# Functions from R^n to a number, to R^n, to a matrix; m is the module.
SCALAR: dict[str, Callable] = {
    "exp": lambda m, x: (x.exp() * x.sin()).sum(),
    "norm": lambda m, x: (x * x).sum().sqrt() + x.tanh().sum(),
    "logsumexp": lambda m, x: m.logsumexp(x.flatten(), 0) * x.sum(),
    "softmax": lambda m, x: (x.flatten().softmax(0) * x.flatten() ** 3).sum(),
    "matmul": lambda m, x: (x.flatten() @ x.flatten()) ** 2 + (x.mT @ x).cos().sum(),
    "branch": lambda m, x: (x**3).sum() if float(x.detach().sum()) > 0 else (x**2).sum(),
    "cumulative": lambda m, x: (x.flatten().cumsum(0) * x.flatten().sigmoid()).sum(),
    "view": lambda m, x: (x.reshape(-1)[:1] * x.reshape(-1)).sum() * x.mean(),
}  # fmt: skip
VECTOR: dict[str, Callable] = {
    "elementwise": lambda m, x: x.exp() * x,
    "stack": lambda m, x: m.stack([x.sum(), (x * x).sum(), x.flatten()[0].sin()]),
    "cat": lambda m, x: m.cat([x.flatten(), x.flatten() ** 2]),
    "log_softmax": lambda m, x: x.flatten().log_softmax(0),
    "several": lambda m, x: {"a": x * x, "b": (x.sum(), [x.flatten()[:1].cos()])},
    "constant": lambda m, x: (x * 2, m.ones(2, dtype=m.float64)),
}
inputs = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=3),
    elements=st.floats(-1.5, 1.5, width=32),
)


def dot(a: Any, b: Any) -> float:
    pairs = zip(flatten(a)[0], flatten(b)[0])
    return sum(float((x.detach().numpy() * y.detach().numpy()).sum()) for x, y in pairs)


def random_like(value: Any, seed: int = 0) -> Any:
    leaves, form = flatten(value)
    draw = np.random.default_rng(seed).standard_normal
    made = [minigen.from_numpy(np.asarray(draw(tuple(x.shape)))) for x in leaves]
    return unflatten(made, form)


# ------------------------------------------------------------------------------ against torch.func


@pytest.mark.parametrize("name", SCALAR)
def test_gradients_and_hessians(name: str) -> None:
    f = SCALAR[name]
    for x in (normal(1, 3), normal(2, 2)):
        same(lambda m, t, x: t.grad(lambda x: f(m, x))(x), x)
        same(lambda m, t, x: t.grad_and_value(lambda x: f(m, x))(x), x)
        if name != "branch":  # torch cannot look at values under vmap, nor can we
            same(lambda m, t, x: t.hessian(lambda x: f(m, x))(x), x, tolerance=1e-8)


@pytest.mark.parametrize("name", VECTOR)
def test_products_and_jacobians(name: str) -> None:
    f = VECTOR[name]
    for x in (normal(3), normal(2, 2)):
        v = normal(*x.shape)
        same(lambda m, t, x, v: t.jvp(lambda x: f(m, x), (x,), (v,)), x, v)
        same(lambda m, t, x: t.jacrev(lambda x: f(m, x))(x), x)
        same(lambda m, t, x: t.jacfwd(lambda x: f(m, x))(x), x)


def test_structures_argnums_and_aux() -> None:
    x, y, w = normal(3), normal(3), normal()

    def f(m: Any) -> Callable:
        return lambda p, z: ((p["x"] * p["y"][0]).sum() * z, {"aux": p["x"] * 2, "n": z * z})

    def first(m: Any) -> Callable:
        return lambda p, z: f(m)(p, z)[0]

    p = {"x": x, "y": [y]}
    for argnums in (0, 1, (0, 1), (1, 0), -1, (1,)):
        same(lambda m, t, p, w: t.grad(first(m), argnums=argnums)(p, w), p, w)  # noqa: B023
    same(lambda m, t, p, w: t.grad(f(m), has_aux=True)(p, w), p, w)
    same(lambda m, t, p, w: t.grad_and_value(f(m), has_aux=True)(p, w), p, w)
    same(lambda m, t, x, y: t.jacrev(lambda x, y: x * y, argnums=(0, 1))(x, y), x, y)
    same(lambda m, t, x, y: t.jacfwd(lambda x, y: x * y, argnums=(1, 0))(x, y), x, y)
    same(lambda m, t, x, y: t.jacfwd(lambda x, y: (x * y, x), has_aux=True)(x, y), x, y)
    same(lambda m, t, x, y: t.jacrev(lambda x, y: (x * y, x), has_aux=True)(x, y), x, y)
    same(lambda m, t, x, y: t.hessian(lambda x, y: (x * x * y).sum(), argnums=(0, 1))(x, y), x, y)
    same(lambda m, t, x, y: t.jvp(lambda x, y: (x * y, x), (x, y), (y, x), has_aux=True), x, y)
    same(lambda m, t, p, q: t.jvp(lambda p: p["x"] * p["y"][0], (p,), (q,)), p, {"x": y, "y": [x]})


def test_vjp_of_structures() -> None:
    def run(m: Any, t: Any, x: Any, y: Any, u: Any, v: Any) -> Any:
        out, pull, aux = t.vjp(lambda x, y: ({"p": x * y, "q": (x.sum(),)}, y), x, y, has_aux=True)
        return out, aux, pull({"p": u, "q": (v,)}), pull({"p": u * 2, "q": (v,)})

    same(run, normal(3), normal(3), normal(3), normal())


def test_named_tuples_keep_their_type() -> None:
    class Pair(NamedTuple):
        a: Any
        b: Any

    p = Pair(minigen.ones(2), minigen.ones(2))
    gradient = func.grad(lambda p: (p.a * p.b).sum())(p)
    assert isinstance(gradient, Pair)
    extremes = func.vmap(lambda x: x.max(0))(minigen.eye(3))
    assert extremes.indices.tolist() == [0, 1, 2]


# ------------------------------------------------------------------------------- the identities


@settings(max_examples=20, deadline=None)
@given(inputs, st.sampled_from(sorted(VECTOR)))
def test_forward_and_reverse_are_adjoint(x: np.ndarray, name: str) -> None:
    """<u, J v> = <Jᵀ u, v>."""
    at, v = minigen.from_numpy(x), random_like(minigen.from_numpy(x), 1)
    f = lambda x: VECTOR[name](minigen, x)  # noqa: E731
    output, jv = func.jvp(f, (at,), (v,))
    again, pull = func.vjp(f, at)
    u = random_like(output, 2)
    assert abs(dot(u, jv) - dot(pull(u), (v,))) < 1e-9 * (1 + abs(dot(u, jv)))
    assert dot(output, u) == dot(again, u)


@settings(max_examples=20, deadline=None)
@given(inputs, st.sampled_from(sorted(set(SCALAR) - {"branch"})))
def test_hessians_by_all_ways(x: np.ndarray, name: str) -> None:
    if name == "norm" and np.abs(x).max() < 0.1:
        return  # a cone has no second derivative at its tip
    at = minigen.from_numpy(x)
    f = lambda x: SCALAR[name](minigen, x)  # noqa: E731
    n = x.size
    h = func.hessian(f)(at).numpy().reshape(n, n)
    v = random_like(at, 3)
    scale = 1 + np.abs(h).max()
    for way in (
        func.jacfwd(func.jacrev(f))(at),
        func.jacrev(func.jacrev(f))(at),
        func.jacrev(func.jacfwd(f))(at),
        func.jacfwd(func.jacfwd(f))(at),
    ):
        np.testing.assert_allclose(way.numpy().reshape(n, n), h, atol=1e-9 * scale)
    np.testing.assert_allclose(h, h.T, atol=1e-9 * scale)
    product = (h @ v.numpy().ravel()).reshape(x.shape)
    for way in (
        transforms.hvp(f, at, v),
        func.jvp(func.grad(f), (at,), (v,))[1],  # forward over reverse
        func.grad(lambda x: func.jvp(f, (x,), (v,))[1])(at),  # reverse over forward
        func.grad(lambda x: (func.grad(f)(x) * v).sum())(at),  # reverse over reverse
    ):
        np.testing.assert_allclose(way.numpy(), product, atol=1e-9 * scale)
    twice = func.jvp(lambda x: func.jvp(f, (x,), (v,))[1], (at,), (v,))[1]  # forward over forward
    np.testing.assert_allclose(twice.item(), (product * v.numpy()).sum(), atol=1e-9 * scale)


@pytest.mark.parametrize("name", VECTOR)
def test_jacobians_by_rows_and_by_columns(name: str) -> None:
    f = lambda x: VECTOR[name](minigen, x)  # noqa: E731
    x = minigen.from_numpy(normal(2, 2))
    by_rows, form = flatten(transforms.jacobian(f)(x))
    by_columns, other = flatten(transforms.jacobian(f, mode="forward")(x))
    assert form == other
    for a, b in zip(by_rows, by_columns):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-12)


def test_a_jacobian_is_vmap_of_vjp_and_of_jvp() -> None:
    f = lambda x: VECTOR["cat"](minigen, x)  # noqa: E731
    x = minigen.from_numpy(normal(3))
    _, pull = func.vjp(f, x)
    jacobian = func.jacrev(f)(x).numpy()
    np.testing.assert_allclose(func.vmap(pull)(minigen.eye(6).double())[0].numpy(), jacobian)
    columns = func.vmap(lambda v: func.jvp(f, (x,), (v,))[1], out_dims=1)(minigen.eye(3).double())
    np.testing.assert_allclose(columns.numpy(), jacobian)


def test_columns_are_computed_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one after the other, which would be as right, but slow."""

    def refuse(*args: Any) -> Any:
        raise AssertionError("one example at a time")

    monkeypatch.setattr(BatchTrace, "example", refuse)
    w = minigen.from_numpy(normal(2, 3))
    jacobian = func.jacfwd(lambda x: w @ x)(minigen.from_numpy(normal(3)))
    np.testing.assert_allclose(jacobian.numpy(), w.numpy())


def test_third_derivatives_in_every_nesting() -> None:
    f = lambda x: (x.sin() * x**4).sum()  # noqa: E731
    x, v = minigen.from_numpy(normal(2)), minigen.from_numpy(normal(2))

    def forward(g: Callable) -> Callable:
        return lambda x: func.jvp(g, (x,), (v,))[1]

    def reverse(g: Callable) -> Callable:
        return lambda x: (func.grad(g)(x) * v).sum()

    values = []
    for a in (forward, reverse):
        for b in (forward, reverse):
            for c in (forward, reverse):
                values.append(a(b(c(f)))(x).item())
    np.testing.assert_allclose(values, values[0], rtol=1e-9)


def test_no_perturbation_is_confused_with_another() -> None:
    """d/dx (x d/dy (x + y)) = 1, and d/dx (x d/dy (x y)) = 2 x (Siskind & Pearlmutter 2005)."""
    x, one = minigen.tensor(3.0), minigen.tensor(1.0)

    def d(f: Callable, x: Any) -> Any:
        return func.jvp(f, (x,), (one,))[1]

    for outer in (d, lambda f, x: func.grad(f)(x)):
        for inner in (d, lambda f, x: func.grad(f)(x)):
            assert outer(lambda x: x * inner(lambda y: x + y, one), x).item() == 1  # noqa: B023
            assert outer(lambda x: x * inner(lambda y: x * y, one), x).item() == 6  # noqa: B023


# ------------------------------------------------------------------------ with the graph outside


def test_gradients_go_on_to_what_requires_grad_outside() -> None:
    def run(m: Any, t: Any, x: Any, w: Any) -> Any:
        w.requires_grad_()
        slope = t.grad(lambda x: (w * x**3).sum())(x)
        value, tangent = t.jvp(lambda x: (w * x**3).sum(), (x,), (x,))
        _, pull = t.vjp(lambda x: w * x, x)
        jacobian = t.jacrev(lambda x: w * x * x)(x)
        total = (slope * slope).sum() + value * tangent + pull(x)[0].sum() + jacobian.sum()
        return m.autograd.grad(total, w)[0], slope, value, tangent, jacobian

    same(run, normal(3), normal(3))


def test_gradients_of_inputs_that_require_grad() -> None:
    def run(m: Any, t: Any, x: Any) -> Any:
        y = (x.requires_grad_() * 2).sin()
        slope = t.grad(lambda y: (y**3).sum())(y)
        plain = t.grad(lambda y: (y**3).sum())(y.detach())
        tangent = t.jvp(lambda y: y**3, (y,), (y,))[1]
        return slope, plain, tangent, m.autograd.grad((slope * tangent).sum(), x)[0]

    same(run, normal(3))


def test_nothing_is_left_behind() -> None:
    """No graph where nothing outside requires grad; a leaf's .grad is not touched."""
    x, w = minigen.from_numpy(normal(2)), minigen.ones(2).double().requires_grad_()
    value, slope = transforms.value_and_grad(lambda x: (x**2).sum())(x)
    output, tangent = func.jvp(lambda x: x**2, (x,), (x,))
    assert not any(t.requires_grad for t in (value, slope, output, tangent, x))
    func.grad(lambda w: (w**2).sum())(w)
    assert w.grad is None
    with minigen.no_grad():
        assert not func.grad(lambda w: (w**2).sum())(w).requires_grad
        assert not func.jvp(lambda x: x * w, (x,), (x,))[1].requires_grad


def test_no_grad_and_detach_inside() -> None:
    def stopped(m: Any) -> Callable:
        def f(x: Any) -> Any:
            with m.no_grad():
                c = x * x
            return (c * x).sum() + (x.detach() * x).sum()

        return f

    same(lambda m, t, x: t.grad(stopped(m))(x), normal(3))
    same(lambda m, t, x: t.jvp(lambda x: x.detach() * x, (x,), (x,)), normal(3))


def test_modules_through_functional_call() -> None:
    layer = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    other = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    other = other.double()
    weights = {k: normal(*v.shape) for k, v in other.named_parameters()}
    models = {minigen: layer, torch: other}

    def loss(m: Any, t: Any) -> Callable:
        return lambda p, x, y: ((t.functional_call(models[m], p, (x,)) - y) ** 2).mean()

    x, y = normal(5, 3), normal(5, 1)
    same(lambda m, t, p, x, y: t.grad(loss(m, t))(p, x, y), weights, x, y)
    same(
        lambda m, t, p, x, y: t.vmap(t.grad(loss(m, t)), in_dims=(None, 0, 0))(p, x, y),
        weights, x, y,
    )  # fmt: skip
    same(lambda m, t, p, x, y: t.jvp(lambda p: loss(m, t)(p, x, y), (p,), (p,)), weights, x, y)


# ------------------------------------------------------------------------------------- memory


def test_forward_mode_keeps_nothing() -> None:
    """While a jvp runs, no more arrays are alive after 200 steps than after 20."""
    alive: list[weakref.ref] = []
    counts = []

    def f(x: Any) -> Any:
        for step in range(200):
            x = (x * 1.01).sin()
            alive.extend([weakref.ref(x.array), weakref.ref(x.components[1].array)])
            if step in (20, 199):
                counts.append(sum(each() is not None for each in alive))
        return x

    gc.disable()
    try:
        func.jvp(f, (minigen.ones(3),), (minigen.ones(3),))
    finally:
        gc.enable()
    assert counts[1] <= counts[0] <= 4


# ------------------------------------------------------------------------------------- errors


def test_what_is_refused() -> None:
    x = minigen.ones(3)
    for expected, run in {
        "single number": lambda: func.grad(lambda x: x)(x),
        "has to return tensors": lambda: func.grad(lambda x: 3.0)(x),
        r"\(output, aux\)": lambda: func.grad(lambda x: x.sum(), has_aux=True)(x),
        "floating-point tensors, got int64": lambda: func.grad(lambda x: x.sum())(x.long()),
        "floating-point tensors, got 2": lambda: func.grad(lambda x: x.sum())(2),
        "argnums 1 names none of 1": lambda: func.grad(lambda x: x.sum(), 1)(x),
        "each once": lambda: func.grad(lambda x, y: x.sum(), (0, 0))(x, x),
        "primals is a tuple": lambda: func.jvp(lambda x: x, x, x),
        "both need one form": lambda: func.jvp(lambda x: x, (x,), (x, x)),
        "shape and dtype of its primal": lambda: func.jvp(lambda x: x, (x,), (x[:2],)),
        "primals and tangents are floating": lambda: func.jvp(lambda x: x, (x.long(),), (x,)),
        "does not depend on the primals": lambda: func.jvp(lambda y: x, (x,), (x,), strict=True),
        "at least one primal": lambda: func.vjp(lambda: x),
        "the cotangent": lambda: func.vjp(lambda x: x, x)[1](x[:2]),
        "the output is": lambda: func.vjp(lambda x: (x, x), x)[1](x),
    }.items():
        with pytest.raises(RuntimeError, match=expected):
            run()
    with pytest.raises(ValueError, match="chunk_size"):
        func.jacrev(lambda x: x, chunk_size=0)
    with pytest.raises(ValueError, match="mode is"):
        transforms.jacobian(lambda x: x, mode="backward")


def test_what_cannot_be_done_inside_jvp() -> None:
    x = minigen.ones(3)

    def in_place(x: Any) -> Any:
        x += 1
        return x

    def into_another(x: Any) -> Any:
        y = minigen.zeros(3)
        y[0] = x[0]
        return y

    def added_to_another(x: Any) -> Any:
        return minigen.zeros(3).add_(x)

    for f in (in_place, into_another, added_to_another):
        with pytest.raises(RuntimeError, match="in place"):
            func.jvp(f, (x,), (x,))
    with pytest.raises(RuntimeError, match=r"minigen\.func\.grad"):
        func.jvp(lambda x: (x * x).sum().backward(), (x,), (x,))
    with pytest.raises(RuntimeError, match=r"requires_grad_"):
        func.jvp(lambda x: x.requires_grad_(), (x,), (x,))
    kept = []
    func.jvp(lambda x: kept.append(x) or x, (x,), (x,))
    with pytest.raises(RuntimeError, match="kept and used after it"):
        kept[0] * 2
    assert "Dual" in repr(kept[0])
