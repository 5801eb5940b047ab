"""`checkpoint`: the same gradients, from less memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint as torch_checkpoint

import minigen
from minigen import func, nn
from minigen.autograd import Function
from minigen.utils.checkpoint import checkpoint, checkpoint_sequential
from tests.expressions import normal
from tests.oracle import check


def plain(f: Callable, *args: Any, **kwargs: Any) -> Any:
    return f(*args, **kwargs)


def leaf(*shape: int) -> Any:
    return minigen.from_numpy(normal(*shape)).requires_grad_()


@settings(max_examples=20, deadline=None)
@given(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, min_side=0, max_side=3),
               elements=st.floats(-2, 2, width=32)),
)  # fmt: skip
def test_the_same_as_torch_to_second_order(x: np.ndarray) -> None:
    def f(m: Any) -> Callable:
        return lambda x, y: (x.exp() * y, [x.sin()])

    def ours(x: Any, y: Any) -> Any:
        a, (b,) = checkpoint(f(minigen), x, y)
        return a * b

    def theirs(x: Any, y: Any) -> Any:
        a, (b,) = torch_checkpoint(f(torch), x, y, use_reentrant=False)
        return a * b

    check(ours, theirs, x, np.asarray(x * 0.5 + 1))


@pytest.mark.parametrize("create_graph", [False, True])
def test_closures_structures_and_constants(create_graph: bool) -> None:
    w, c = leaf(3), leaf(3)
    inner = c * 2  # not a leaf

    def f(p: dict, n: int, *, scale: Any) -> Any:
        return {"a": (p["x"] * w * inner).sum() * n, "b": [p["y"].long(), scale * p["x"]]}

    found = []
    for run in (plain, checkpoint):
        x, y, s = (minigen.ones(3).double().requires_grad_() for _ in range(3))
        out = run(f, {"x": x * 1, "y": y}, 3, scale=s)
        assert not out["b"][0].requires_grad
        loss = out["a"] ** 2 + (out["b"][1] ** 3).sum()
        targets = [x, s, w, c]
        first = minigen.autograd.grad(loss, targets, create_graph=create_graph)
        found += [first]
        if create_graph:
            found[-1] += minigen.autograd.grad(sum((g**2).sum() for g in first), targets)
    for a, b in zip(*found):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy())


def test_a_network_with_dropout_draws_the_same_numbers() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, 8)).double()
    gradients, after = [], []
    for run in (plain, checkpoint):
        minigen.manual_seed(3)
        model.zero_grad()
        x = minigen.ones(4, 8).double().requires_grad_()
        loss = (run(model, x) ** 2).sum()
        between = minigen.rand(2).tolist()
        loss.backward()
        after.append((between, minigen.rand(2).tolist()))
        gradients.append([x.grad, *(p.grad for p in model.parameters())])
    assert after[0] == after[1]  # the second run does not disturb the stream
    for a, b in zip(*gradients):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_without_the_random_state_other_numbers_are_drawn() -> None:
    seen: list = []

    def f(x: Any) -> Any:
        seen.append(minigen.rand(4).tolist())
        return x * 2

    for preserve in (True, False):
        checkpoint(f, leaf(2), preserve_rng_state=preserve).sum().backward()
    assert seen[0] == seen[1]
    assert seen[2] != seen[3]


def test_less_memory_is_held() -> None:
    """Arrays that are alive between forward and backward: all of them, or one a segment."""

    def held(run: Callable) -> int:
        alive: list[weakref.ref] = []

        def step(x: Any) -> Any:
            scaled = x * 1.01
            alive.append(weakref.ref(scaled.array))  # which sin saves
            return scaled.sin()

        def segment(x: Any) -> Any:
            for _ in range(10):
                x = step(x)
            return x

        y = leaf(4)
        for _ in range(5):
            y = run(segment, y)
        count = sum(each() is not None for each in alive)
        y.sum().backward()
        return count

    gc.collect()
    gc.disable()
    try:
        assert held(plain) == 50
        assert held(checkpoint) == 0  # the arguments of five segments are kept, none of these
    finally:
        gc.enable()


def test_nested_checkpoints() -> None:
    runs = []

    def inner(x: Any) -> Any:
        runs.append("inner")
        return x.sin() * x

    def outer(x: Any) -> Any:
        runs.append("outer")
        return checkpoint(inner, checkpoint(inner, x)).exp()

    x = leaf(3)
    y = checkpoint(outer, x)
    assert runs == ["outer", "inner", "inner"]
    (slope,) = minigen.autograd.grad(y.sum(), x, create_graph=True)
    (curve,) = minigen.autograd.grad(slope.sum(), x)
    f = lambda x: ((x.sin() * x).sin() * (x.sin() * x)).exp().sum()  # noqa: E731
    np.testing.assert_allclose(slope.detach().numpy(), func.grad(f)(x.detach()).numpy())
    expected = func.grad(lambda x: func.grad(f)(x).sum())(x.detach())
    np.testing.assert_allclose(curve.numpy(), expected.numpy())


def test_modes_and_flags() -> None:
    flags = []

    def f(x: Any) -> Any:
        flags.append(minigen.is_grad_enabled())
        return x * 2

    x = leaf(2)
    with minigen.no_grad():
        assert not checkpoint(f, x).requires_grad
    checkpoint(f, x).sum().backward()
    assert flags == [False, True, True]
    assert minigen.is_grad_enabled()

    def fails_later(x: Any) -> Any:
        return (x - x.detach()).sqrt()  # 0/0 in its gradient

    with minigen.autograd.detect_anomaly():
        y = checkpoint(fails_later, x).sum()
    with pytest.raises(RuntimeError, match="the gradient of sqrt became"):
        y.backward()


def test_hooks_are_called_once() -> None:
    calls = []
    w, c = leaf(2), leaf(2)
    inner = c * 1
    w.register_hook(lambda g: calls.append("leaf"))
    inner.register_hook(lambda g: calls.append("node"))
    checkpoint(lambda x: x * w * inner, leaf(2)).sum().backward()
    assert sorted(calls) == ["leaf", "node"]


def test_inside_other_transforms() -> None:
    f = lambda x: (checkpoint(lambda x: x.sin() * x, x) ** 2).sum()  # noqa: E731
    g = lambda x: ((x.sin() * x) ** 2).sum()  # noqa: E731
    x = minigen.from_numpy(normal(3))
    rows = minigen.from_numpy(normal(2, 3))
    for t in (func.grad, func.hessian, lambda f: lambda x: func.jvp(f, (x,), (x,))[1],
              lambda f: lambda x: func.vmap(func.grad(f))(rows)):  # fmt: skip
        np.testing.assert_allclose(t(f)(x).numpy(), t(g)(x).numpy())


def test_what_is_refused() -> None:
    x = leaf(2)
    with pytest.raises(RuntimeError, match=r"changed its argument float64 \(2,\) in place"):
        checkpoint(lambda x: x.mul_(2), x * 1)
    y = x * 1
    z = checkpoint(lambda y: y * y, y).sum()
    y.add_(1)
    with pytest.raises(RuntimeError, match="Checkpoint saved its 'argument 0'"):
        z.backward()
    w = leaf(2)
    z = checkpoint(lambda x: x * w, x).sum()
    with minigen.no_grad():
        w.add_(1)  # as an optimizer does
    with pytest.raises(RuntimeError, match="Checkpoint saved its 'tensor float64"):
        z.backward()
    z = checkpoint(lambda x: x * x, x).sum()
    z.backward()
    with pytest.raises(RuntimeError, match="second time through Checkpoint"):
        z.backward()
    sizes = iter([2, 1])
    z = checkpoint(lambda x: x[: next(sizes)] * 2, x).sum()
    with pytest.raises(RuntimeError, match="must do the same every time"):
        z.backward()
    with pytest.raises(ValueError, match="context_fn"):
        checkpoint(lambda x: x, x, context_fn=3)
    with pytest.raises(ValueError, match="determinism_check"):
        checkpoint(lambda x: x, x, determinism_check="maybe")
    with pytest.raises(ValueError, match="segments"):
        checkpoint_sequential([minigen.sin], 2, x)
    with pytest.raises(ValueError, match="Unexpected keyword"):
        checkpoint_sequential([minigen.sin], 1, x, color="red")


@pytest.mark.parametrize("segments", [1, 2, 3, 5])
def test_a_sequence_in_segments(segments: int) -> None:
    steps = [nn.Linear(3, 3).double() for _ in range(5)]
    runs: list = []
    for step in steps:
        step.register_forward_hook(lambda module, args, output: runs.append(module))
    for functions in (steps, nn.Sequential(*steps)):
        x = leaf(2, 3)
        y = x
        for step in steps:
            y = step(y)
        runs.clear()
        z = checkpoint_sequential(functions, segments, x, use_reentrant=False)
        (a,) = minigen.autograd.grad((y**2).sum(), x)
        (b,) = minigen.autograd.grad((z**2).sum(), x)
        np.testing.assert_allclose(a.numpy(), b.numpy())
        assert len(runs) == 5 + 5 // segments * (segments - 1)  # all but the last segment twice


def test_with_a_function_of_the_users_own() -> None:
    class Cube(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 3 * ctx.saved_tensors[0] ** 2 * g

    x = minigen.from_numpy(normal(3))
    for f in (Cube.apply, lambda x: checkpoint(Cube.apply, x)):
        np.testing.assert_allclose(
            func.grad(lambda x: func.grad(lambda x: f(x).sum())(x).sum())(x).numpy(),  # noqa: B023
            6 * x.numpy(),
        )
        value, tangent = func.jvp(f, (x,), (x,))
        np.testing.assert_allclose(tangent.numpy(), 3 * value.numpy())
