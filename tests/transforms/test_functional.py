"""`minigen.autograd.functional` against torch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minigen.autograd.functional as functional
import numpy as np
import pytest
import torch

import minigen
from tests.expressions import normal
from tests.oracle import close

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

x0, y0, v0, w0 = (normal(3) for _ in range(4))
S: Callable = lambda m: lambda x: (x**3).sum() * x.sin().sum()  # noqa: E731
S2: Callable = lambda m: lambda x, y: (x**2 * y).sum()  # noqa: E731
V: Callable = lambda m: lambda x: x.exp() * x.sum()  # noqa: E731
V2: Callable = lambda m: lambda x, y: (x * y, m.outer(x, y))  # noqa: E731
C: Callable = lambda m: lambda x: m.ones(2, dtype=m.float64)  # noqa: E731
L: Callable = lambda m: lambda x: x.sum()  # noqa: E731

CASES: list[tuple[str, Callable, Any, dict]] = [
    ("jacobian", V, x0, {}), ("jacobian", V2, (x0, y0), {}), ("jacobian", C, x0, {}),
    ("jacobian", V, x0, {"vectorize": True}), ("jacobian", S, x0, {"strict": True}),
    ("jacobian", V2, (x0, y0), {"vectorize": True, "strategy": "forward-mode"}),
    ("jacobian", V, x0, {"create_graph": True}),
    ("hessian", S, x0, {}), ("hessian", S2, (x0, y0), {}), ("hessian", S, x0, {"strict": True}),
    ("hessian", S2, (x0, y0), {"create_graph": True}), ("hessian", L, x0, {}),
    ("hessian", S, x0, {"vectorize": True, "outer_jacobian_strategy": "forward-mode"}),
    ("vjp", S, x0, {}), ("vjp", V, x0, {"v": v0}), ("vjp", C, x0, {"v": v0[:2]}),
    ("vjp", V2, (x0, y0), {"v": (v0, np.outer(v0, w0)), "create_graph": True}),
    ("jvp", V, x0, {"v": v0}), ("jvp", V2, (x0, y0), {"v": (v0, w0)}), ("jvp", C, x0, {"v": v0}),
    ("jvp", lambda m: lambda x: x * 2, x0[:1], {}),
    ("hvp", S, x0, {"v": v0}), ("hvp", S2, (x0, y0), {"v": (v0, w0)}), ("hvp", L, x0, {"v": v0}),
    ("vhp", S, x0, {"v": v0}), ("vhp", S2, (x0, y0), {"v": (v0, w0)}),
    ("vhp", S, x0, {"v": v0, "create_graph": True, "strict": True}),
]  # fmt: skip


def converted(value: Any, m: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(converted(each, m) for each in value)
    return m.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value


def run(m: Any, case: tuple, leaf: bool = False) -> Any:
    name, f, inputs, options = case
    given = converted(inputs, m)
    if leaf:
        for each in given if isinstance(given, tuple) else (given,):
            each.requires_grad_()
    kwargs = {key: converted(value, m) for key, value in options.items()}
    return getattr(m.autograd.functional, name)(f(m), given, **kwargs)


def compare(ours: Any, theirs: Any, graph: bool) -> None:
    if isinstance(theirs, tuple | list):  # torch returns lists in forward mode
        assert isinstance(ours, tuple)
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            compare(a, b, graph)
    else:
        close(ours, theirs, 1e-9, "value")
        if graph:
            assert ours.requires_grad == theirs.requires_grad


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[3]}"[:60])
def test_values(case: tuple) -> None:
    strategy = any("strategy" in option for option in case[3])  # torch leaves a graph behind there
    graph = not strategy and "create_graph" not in case[3]
    compare(run(minigen, case), run(torch, case), graph)
    compare(run(minigen, case, leaf=True), run(torch, case, leaf=True), not strategy)


def test_create_graph_can_be_differentiated() -> None:
    for case in (
        ("jacobian", V, x0, {"create_graph": True}),
        ("hessian", S, x0, {"create_graph": True}),
        ("vjp", V, x0, {"v": v0, "create_graph": True}),
        ("jvp", V, x0, {"v": v0, "create_graph": True}),
        ("hvp", S, x0, {"v": v0, "create_graph": True}),
        ("vhp", S, x0, {"v": v0, "create_graph": True}),
    ):
        found = []
        for m in (minigen, torch):
            name, f, inputs, options = case
            x = m.from_numpy(inputs.copy()).requires_grad_()
            kwargs = {key: converted(value, m) for key, value in options.items()}
            out = getattr(m.autograd.functional, name)(f(m), x, **kwargs)
            parts = out if isinstance(out, tuple) else (out,)
            found.append(m.autograd.grad(sum((p**2).sum() for p in parts), x)[0])
        close(*found, 1e-8, case[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda F, m, x: F.vjp(lambda x: x * 2, x), "v can only be left out"),
        (lambda F, m, x: F.jvp(lambda x: x * 2, x), "v can only be left out"),
        (lambda F, m, x: F.jvp(lambda x: x * 2, x, m.ones(2)), "invalid size"),
        (lambda F, m, x: F.vjp(lambda x: x * 2, x, (x, x)), "v has 2 tensors"),
        (lambda F, m, x: F.hessian(lambda x: x, x), "single element"),
        (lambda F, m, x: F.jacobian(lambda x: 3, x), "outputs of the function"),
        (lambda F, m, x: F.jacobian(lambda x: x, 3), "the inputs must be"),
        (lambda F, m, x: F.jacobian(lambda x: m.ones(2), x, strict=True), "does not depend"),
        (lambda F, m, x: F.jvp(lambda x: m.ones(2), x, x, strict=True), "does not depend"),
        (lambda F, m, x: F.vjp(lambda x: m.ones(3), x, x, strict=True), "does not depend"),
        (lambda F, m, x: F.hessian(lambda x: x.sum(), x, strict=True), "independent"),
        (lambda F, m, x: F.hvp(lambda x: x.sum(), x, x, strict=True), "independent"),
        (lambda F, m, x: F.vhp(lambda x: x.sum(), x, x, strict=True), "independent"),
        (lambda F, m, x: F.jacobian(lambda x, y: x, (x, x), strict=True), "input 1"),
        (lambda F, m, x: F.jacobian(lambda x: x, x, strategy="forward-mode"), "vectorize=True"),
        (lambda F, m, x: F.jacobian(lambda x: x, x, strict=True, vectorize=True), "together"),
        (
            lambda F, m, x: F.jacobian(
                lambda x: x, x, create_graph=True, vectorize=True, strategy="forward-mode"
            ),
            "create_graph=True",
        ),
    ],
)
def test_what_torch_rejects(call: Callable, message: str) -> None:
    with pytest.raises((RuntimeError, TypeError)):
        call(torch.autograd.functional, torch, torch.ones(3))
    with pytest.raises((RuntimeError, TypeError), match=message):
        call(functional, minigen, minigen.ones(3))


def test_an_unknown_strategy() -> None:
    with pytest.raises(ValueError, match="strategy"):
        functional.jacobian(lambda x: x, minigen.ones(3), strategy="sideways")
