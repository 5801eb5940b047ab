"""The suite's account of itself can say no: what was not checked is listed, and notes add up."""

from __future__ import annotations

import numpy as np

import minigen
from minigen.nn import functional as F
from tests.statement import APART, Statement, differentiable_operations, offered, operations_behind


def leaf(*shape: int) -> minigen.Tensor:
    return minigen.from_numpy(np.ones(shape)).requires_grad_()


def test_everything_is_missing_at_first_but_what_is_tested_apart() -> None:
    missing = set(Statement().missing())
    apart = differentiable_operations() - missing
    assert {name.rpartition(".")[2].strip("_") for name in apart} == set(APART)
    assert "ops.softmax._softmax" in missing


def test_a_case_counts_for_the_operations_in_its_graph() -> None:
    y = F.softmax(leaf(2, 3), -1).exp()
    assert operations_behind([y]) >= {"ops.softmax._softmax", "ops.functions.exp"}
    notes = Statement()
    notes.note_case([y], 1)
    assert "ops.softmax._softmax" in notes.missing(), "the first order is not enough"
    notes.note_case([y], 2)
    assert not {"ops.softmax._softmax", "ops.functions.exp"} & set(notes.missing())
    assert "ops.softmax._log_softmax" in notes.missing()
    assert notes.counts["cases"] == 2


def test_an_adjoint_counts_to_the_first_order() -> None:
    x = leaf(3)
    y = x[minigen.tensor([0, 0, 1])]
    (gradient,) = minigen.autograd.grad((y * y).sum(), x, create_graph=True)
    notes = Statement()
    notes.note_case([y], 2)
    before = set(notes.missing())
    notes.note_gradients([gradient])
    assert before - set(notes.missing())


def test_notes_of_several_processes_add_up() -> None:
    first, second = Statement(), Statement()
    first.note_case([leaf(2).exp()], 1)
    second.note_case([leaf(2).exp()], 2)
    second.note_mutant("tuned", True, 1.0, 1.0)
    first.merge(second.to_dict())
    assert first.order["ops.functions.exp"] == 2
    assert first.counts["cases"] == 2
    assert dict(first.table())["  caught at every one of 20 seeds"] == "1"


def test_what_is_offered_is_counted_by_the_names_that_users_write() -> None:
    assert {"minigen.exp", "F.softmax", "nn.LSTM"} <= offered()
