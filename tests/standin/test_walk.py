"""Every operation, layer, loss and optimizer on the stand-in for CuPy, beside the CPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from minigen import nn
from tests import walk
from tests.standin.install import installed

CASES = {
    "operations": list(walk.operations(draws=3)),
    "layers": list(walk.all_layers()),
    "losses": list(walk.all_losses()),
    "optimizers": list(walk.all_optimizers()),
}
PARTS = 8  # of the operations, to be run side by side


@pytest.fixture(autouse=True)
def gpu() -> Iterator[None]:
    with installed():
        yield


@pytest.mark.parametrize("part", range(PARTS))
def test_operations(part: int) -> None:
    told = walk.report(CASES["operations"][part::PARTS], "cuda")
    assert not told, told


@pytest.mark.parametrize("kind", ["layers", "losses", "optimizers"])
def test_the_rest(kind: str) -> None:
    told = walk.report(CASES[kind], "cuda")
    assert not told, told


ABSTRACT = {"Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "RNNBase",
            "RNNCellBase", "Sequential", "TransformerEncoder", "TransformerDecoder"}  # fmt: skip


def test_no_layer_is_missing() -> None:
    """The containers are parts of others: of Transformer, say."""
    walked = {case.name.partition("(")[0] for kind in ("layers", "losses") for case in CASES[kind]}
    offered = {
        name
        for name, value in vars(nn).items()
        if isinstance(value, type) and issubclass(value, nn.Module)
    }
    assert offered - walked - ABSTRACT == set()
