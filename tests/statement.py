"""What this suite has checked, in one table: `python tests/statement.py`, or the end of `pytest`.

The oracle notes which operations stand in the graph of each case that it compares with torch, and
to which order; the test of planted mistakes notes what it caught and named. Processes of a parallel
run hand their notes to the one that prints. A run of the whole suite fails if an operation that has
a gradient rule was not checked to the second order.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# Operations that cannot be compared with torch's in one expression; where they are tested.
APART = {
    "to_device": "needs a GPU",
    "dropout": "random: test_dropout",
    "alpha_dropout": "random: test_dropout",
    "one_hot_of_largest": "random (gumbel_softmax): test_activation",
    "bernoulli": "random: test_creation",
    "hardsigmoid": "torch rounds its 1/6 to single precision: test_activation",
}
SETS = {
    "tuned": "the first set",
    "second": "the second set (tuned on, too)",
    "unseen": "the set never used for tuning",
}


def key(operation: Any) -> str:
    return f"{operation.forward.__module__.removeprefix('minigen.')}.{operation.forward.__name__}"


class Statement:
    """Notes of one process, or of several together."""

    def __init__(self) -> None:
        self.order: dict[str, int] = {}  # operation -> to which order it was checked
        self.inner: set[str] = set()  # operations that gradients are made of
        self.counts: Counter[str] = Counter()

    def note_case(self, outputs: Iterable, order: int) -> None:
        """A comparison with torch: of values (order 0), of first and of second derivatives."""
        self.counts["cases"] += 1
        self.counts[f"cases of order {order}"] += 1
        if order:
            for operation in operations_behind(outputs):
                self.order[operation] = max(order, self.order.get(operation, 0))

    def note_gradients(self, gradients: Iterable) -> None:
        """What first derivatives are made of, when second ones are compared: an operation that
        stands here alone, as the adjoint of another, is checked to the first order by that."""
        for operation in operations_behind(gradients):
            self.inner.add(operation)
            self.order[operation] = max(1, self.order.get(operation, 0))

    def note_mutant(self, name: str, caught: bool, named: float, told: float) -> None:
        """A planted mistake: whether it was caught at every seed, the share of seeds at which it
        was named in one of the words put down for it, and told apart at all."""
        self.counts[f"{name} mistakes"] += 1
        self.counts[f"{name} caught"] += caught
        self.counts[f"{name} named"] += round(100 * named)
        self.counts[f"{name} told"] += round(100 * told)

    def to_dict(self) -> dict[str, Any]:
        return {
            "order": self.order, "inner": sorted(self.inner), "counts": dict(self.counts),
        }  # fmt: skip

    def merge(self, notes: dict[str, Any]) -> None:
        for operation, order in notes["order"].items():
            self.order[operation] = max(order, self.order.get(operation, 0))
        self.inner.update(notes["inner"])
        self.counts.update(notes["counts"])

    def missing(self) -> list[str]:
        """Operations with a gradient rule that were not checked as far as they have to be."""
        return sorted(
            name
            for name in differentiable_operations()
            if self.order.get(name, 0) < (1 if name in self.inner else 2)
            and name.rpartition(".")[2].strip("_") not in APART
        )

    def table(self) -> list[tuple[str, str]]:
        rules = differentiable_operations()
        reached = {n: sum(self.order.get(name, 0) >= n for name in rules) for n in (1, 2)}
        rows = [
            ("functions and layers offered", str(len(offered()))),
            ("operations with a gradient rule", str(len(rules))),
            ("  checked to the second order", str(reached[2])),
            ("  adjoints of others, to the first order", str(reached[1] - reached[2])),
            ("  random, or on a GPU: tested apart", str(len(rules) - reached[1])),
            ("cases compared with torch", f"{self.counts['cases']:,}"),
            ("  with first derivatives", f"{self.counts['cases of order 1']:,}"),
            ("  with first and second derivatives", f"{self.counts['cases of order 2']:,}"),
        ]
        for name, words in SETS.items():
            total = self.counts[f"{name} mistakes"]
            if total:
                named, told = (self.counts[f"{name} {what}"] / total for what in ("named", "told"))
                rows += [
                    (f"planted wrong gradients, {words}", str(total)),
                    ("  caught at every one of 20 seeds", str(self.counts[f"{name} caught"])),
                    ("  told apart, not only by entries", f"{told:.0f} %"),
                    ("  named in words put down beforehand", f"{named:.0f} %"),
                ]
        return rows


STATEMENT = Statement()


def operations_behind(outputs: Iterable) -> set[str]:
    """The operations in the graph that leads to these tensors."""
    stack = [y.grad_fn for y in outputs if y is not None and y.requires_grad]
    seen, found = set(), set()
    while stack:
        node = stack.pop()
        if hasattr(node, "operation") and node not in seen:
            seen.add(node)
            if hasattr(node.operation, "forward"):  # not a Function of a test, nor a checkpoint
                found.add(key(node.operation))
            stack += [parent for parent, _ in node.next_functions]
    return found


def _modules(package: str) -> Iterator[Any]:
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        yield importlib.import_module(f"{package}.{info.name}")


def differentiable_operations() -> set[str]:
    """Every operation under minigen.ops that has a gradient rule."""
    from minigen.operation import Operation

    found = set()
    for module in _modules("minigen.ops"):
        for value in vars(module).values():
            operation = getattr(value, "operation", None)
            if isinstance(operation, Operation) and operation.rules:
                found.add(key(operation))
    return found


def offered() -> set[str]:
    """Public functions of tensors and layers, by the names that users write."""
    import minigen
    from minigen import nn

    found = set()
    for place, module in (("minigen", minigen), ("F", nn.functional), ("nn", nn)):
        for name in dir(module):
            value = getattr(module, name)
            origin = getattr(value, "__module__", "") or ""
            if (
                name[0] != "_"
                and callable(value)
                and origin.startswith(("minigen.ops", "minigen.nn"))
            ):
                found.add(f"{place}.{name}")
    return found


def main() -> int:
    """Run the tests that the statement is about; they print it at their end.  With --record it
    becomes benchmarks/results/statement.json, too, for the page of results."""
    import pytest

    root = Path(__file__).parent
    folders = [root / name for name in ("ops", "nn", "distributions", "transforms", "testing")]
    outcome = pytest.main(["-q", "-n", "auto", *map(str, folders)])
    if outcome == 0 and "--record" in sys.argv:
        sys.path.insert(0, str(root.parent / "benchmarks"))
        harness = importlib.import_module("harness")
        noted = importlib.import_module("tests.statement").STATEMENT  # this file runs as __main__
        print("written to", harness.record("statement", {"table": noted.table()}))
    return int(outcome)


if __name__ == "__main__":
    sys.exit(main())
