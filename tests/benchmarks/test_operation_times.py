"""The table of operations: all are seen, none is counted twice, and nothing is left changed."""

from __future__ import annotations

import operation_times
import pytest
from operation_times import Clock, operations, render, table, timing

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


def test_the_table_adds_up() -> None:
    clock = Clock()
    clock.seconds = {("a", "forward"): 0.2, ("a", "backward"): 0.4, ("b", "forward"): 1.0}
    clock.calls = {("a", "forward"): 20, ("a", "backward"): 20, ("b", "forward"): 40}
    lines = render(clock, total=2.0, steps=10).splitlines()
    assert lines[1].split() == ["b", "4", "100.000", "0.000", "100.000", "50.0%"]
    assert lines[2].split() == ["a", "2", "20.000", "40.000", "60.000", "30.0%"]
    assert lines[3].split() == ["everything", "else", "40.000", "20.0%"]
    assert lines[4].split() == ["a", "step", "200.000"]


def test_table_of_a_step() -> None:
    x = minigen.rand(3, requires_grad=True)
    text = table(lambda: (x * x).sum().backward(), steps=2)
    assert [line.split()[0] for line in text.splitlines()][-2:] == ["everything", "a"]
    assert {"mul", "sum"} <= {line.split()[0] for line in text.splitlines()}
