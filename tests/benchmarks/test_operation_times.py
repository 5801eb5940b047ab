"""Clocks around operations: all are seen, none counts twice, and nothing is left changed."""

from __future__ import annotations

import operation_times
import pytest
from operation_times import Clock, operations, profile, shares, timing

import minigen
from minigen.nn import functional as F


def test_every_operation_of_a_step_is_counted() -> None:
    w = minigen.rand(5, 3, requires_grad=True)
    x = minigen.rand(4, 3)
    clock = Clock()
    with timing(clock):
        for _ in range(2):
            F.softplus(x @ w.T).mean().backward()
    for name in ("matmul", "softplus", "mean"):
        assert clock.calls[name, "forward"] == 2, name
        assert clock.calls[name, "backward"] == 2, name
        assert clock.seconds[name, "forward"] > 0, name
    calls = dict(clock.calls)
    F.softplus(x @ w.T).mean().backward()
    assert clock.calls == calls, "the clock is off again"


def test_an_operation_inside_another_is_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(100))
    monkeypatch.setattr(operation_times.time, "perf_counter", lambda: next(ticks))
    clock = Clock()
    inner = clock.around("inner", "forward", lambda: None)
    outer = clock.around("outer", "backward", lambda: [inner(), inner()])
    outer()
    inner()
    assert clock.calls == {("outer", "backward"): 1, ("inner", "forward"): 1}
    assert clock.seconds == {("outer", "backward"): 1, ("inner", "forward"): 1}


def test_a_failing_operation_stops_its_clock() -> None:
    clock = Clock()
    with pytest.raises(ZeroDivisionError):
        clock.around("bad", "forward", lambda: 1 / 0)()
    assert not clock.busy


def test_clocks_are_put_around_most_operations() -> None:
    found = operations()
    names = {f.operation.name for f in found}
    assert {"add", "matmul", "softmax"} <= names
    outside = [f.operation.name for f in found if "compute" not in f.__code__.co_freevars]
    inside = {f.operation.name for f in found if "compute" in f.__code__.co_freevars}
    assert set(outside) <= inside, "an operation whose forward nobody times"


def test_kernels_and_optimizers_are_counted() -> None:
    """Kernels under the operation that asked for them, and those of an update under that."""
    w = minigen.rand(64, 64, requires_grad=True)
    x, adam = minigen.rand(32, 64), minigen.optim.Adam([w])

    def step() -> None:
        F.gelu(x @ w).sum().backward()
        adam.step()

    step()
    clock = Clock()
    with timing(clock):
        step()
    found = {(place, kernel.split()[0]) for place, kernel in clock.kernels}
    assert found == {
        (("matmul", "forward"), "matmul"),
        (("matmul", "backward"), "matmul"),
        (("gelu", "forward"), "gelu"),
        (("gelu", "backward"), "gelu_backward"),
        (("optimizer", "update"), "adam"),
    }
    assert all(kernel.split()[1] in ("numpy", "numba") for _, kernel in clock.kernels)
    assert clock.calls["optimizer", "update"] == 1
    for (place, _), seconds in clock.kernels.items():
        assert 0 < seconds < clock.seconds[place]
    before = dict(clock.kernels)
    step()
    assert clock.kernels == before, "the clock is off again"


def test_a_kernel_inside_another_is_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(100))
    monkeypatch.setattr(operation_times.time, "perf_counter", lambda: next(ticks))
    clock = Clock()
    inner = clock.around_kernel("inner numpy", lambda: None)
    outer = clock.around_kernel("outer numba", lambda: [inner(), inner()])
    inner()
    assert not clock.kernels, "outside of operations nothing is counted"
    clock.around("op", "forward", lambda: [outer(), inner()])()
    place = ("op", "forward")
    assert clock.kernels == {(place, "outer numba"): 1, (place, "inner numpy"): 1}
    assert clock.seconds == {place: 5}


def test_the_shares_add_up() -> None:
    clock = Clock()
    clock.seconds |= {("a", "forward"): 0.2, ("a", "backward"): 0.4, ("b", "forward"): 1.0}
    clock.seconds["optimizer", "update"] = 0.3
    clock.calls |= {("a", "forward"): 20, ("a", "backward"): 30, ("b", "forward"): 40}
    clock.kernels |= {(("a", "forward"), "k numba"): 0.1, (("a", "backward"), "k numba"): 0.1}
    clock.kernels[("optimizer", "update"), "adam numba"] = 0.2
    found = shares(clock, total=2.0, steps=10)
    assert found["seconds"] == 0.2
    assert found["phases"] == pytest.approx(
        {"forward": 60, "backward": 20, "update": 15, "between": 5}
    )
    assert found["kernels"] == pytest.approx(20)
    assert list(found["operations"]) == ["b", "a"], "the costliest first"
    a = found["operations"]["a"]
    assert (a["calls"], a["kernels"]) == (2, {"k numba": pytest.approx(10)})
    assert (a["forward"], a["backward"]) == (pytest.approx(10), pytest.approx(20))


def test_the_profile_of_a_step() -> None:
    x = minigen.rand(3, requires_grad=True)
    found = profile(lambda: (x * x).sum().backward(), steps=2)
    assert {"mul", "sum"} <= set(found["operations"])
    assert found["operations"]["mul"]["calls"] == 1
    assert sum(found["phases"].values()) == pytest.approx(100)
    assert found["phases"]["between"] > 0
