"""What is promised of a GPU: no sum by atomics, and no wrong number from an index outside."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from minigen.kernels.fused.scatter import add_rows_by_halves, add_rows_reference

import minigen
from minigen import nn
from tests import walk
from tests.standin import rules
from tests.standin.install import installed, traffic


@pytest.fixture(autouse=True)
def gpu() -> Iterator[None]:
    with installed():
        yield


SUMMING = ("embedding", "index", "scatter", "gather", "take", "[m.tensor", "unfold", "sort", "pad(")


def test_no_sum_is_made_by_atomics(monkeypatch: pytest.MonkeyPatch) -> None:
    """`np.add.at` of CuPy is atomic: without it everything still runs."""
    monkeypatch.setitem(rules.UFUNC_METHODS, "at", set())
    cases = [c for c in walk.operations(draws=2) if any(word in c.name for word in SUMMING)]
    assert len(cases) > 50
    told = walk.report(cases, "cuda")
    assert not told, told


@pytest.mark.parametrize(("n", "count", "width"), [(1, 1, 1), (7, 3, 2), (1000, 13, 40), (5, 9, 1)])
def test_sums_by_halves(n: int, count: int, width: int) -> None:
    """Runs of every length, empty places, rows counted from the end."""
    rng = np.random.default_rng(n)
    rows, values = rng.integers(-count, count, n), rng.standard_normal((n, width))
    expected = add_rows_reference(values, rows, count)
    np.testing.assert_allclose(
        add_rows_by_halves(values, rows, count), expected, rtol=1e-12, atol=1e-12
    )
    in_single = add_rows_by_halves(values.astype(np.float32), rows, count)
    assert in_single.dtype == np.float32
    np.testing.assert_allclose(in_single, expected, rtol=1e-5, atol=1e-5)


def test_what_is_outside_becomes_nan_and_nothing_waits() -> None:
    table = nn.Embedding(5, 3).to("cuda")
    ids = minigen.tensor([1, 5, -1], device="cuda")
    classes = minigen.tensor([1, 4], device="cuda")
    scores = minigen.zeros(2, 4, device="cuda")
    chances, truth = minigen.tensor([0.5, 1.5]).to("cuda"), minigen.ones(2, device="cuda")
    functional = nn.functional
    with traffic.without_synchronisation():
        found = {
            "embedding": table(ids).sum(1),
            "cross_entropy": functional.cross_entropy(scores, classes, reduction="none"),
            "nll_loss": functional.nll_loss(scores, classes, reduction="none"),
            "gather": scores.gather(1, classes[:, None]).reshape(-1),
            "bce": functional.binary_cross_entropy(chances, truth, reduction="none"),
        }
    outside = {
        name: np.isnan(value.detach().cpu().numpy()).tolist() for name, value in found.items()
    }
    assert outside.pop("embedding") == [False, True, True]
    assert set(map(tuple, outside.values())) == {(False, True)}
