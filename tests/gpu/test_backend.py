"""The CuPy backend on a GPU: `pytest -n 12 tests/gpu/test_backend.py`, under 90 seconds.

Most of the time goes into compiling CuPy's kernels, some thousand, which processes do side by side
(the compiled ones are kept in ~/.cupy, so that a second run is fast). The same walk as on the
stand-in, `tests/standin`. Each test reports all differences at once, as a GPU may be at hand for
one run only.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from minigen.kernels.examples import EXAMPLES
from minigen.kernels.registry import operation

import minigen
from minigen import cuda, kernels, nn
from minigen.training import Run, make_job, train
from minigen.training.loop import moved
from minigen.training.recipes import RECIPES
from tests import walk
from tests.training.recipes_for_tests import small

pytestmark = pytest.mark.skipif(not cuda.is_available(), reason="needs a GPU")

# Of float64. CUDA's functions are good to a few units of roundoff, and second derivatives magnify.
TOLERANCE = 1e-7
PARTS = 12  # of a list of cases, for as many processes


def told(report: str) -> str:
    """The report, which pytest shows whole only where it is printed."""
    if report:
        print(report)
    return report.partition("\n")[0]


def test_tf32_is_off() -> None:
    """With it products of float32 would be of 10 bits, and nothing below would agree."""
    assert os.environ.get("CUPY_TF32", "0") == "0"


@pytest.mark.parametrize("part", range(PARTS))
def test_operations(part: int) -> None:
    cases = list(walk.operations(draws=2))[part::PARTS]
    assert told(walk.report(cases, "cuda", TOLERANCE)) == ""


@pytest.mark.parametrize("part", range(PARTS))
def test_layers_losses_and_optimizers(part: int) -> None:
    cases = [*walk.all_layers(), *walk.all_losses(), *walk.all_optimizers()][part::PARTS]
    assert told(walk.report(cases, "cuda", TOLERANCE)) == ""


@pytest.mark.parametrize("part", range(PARTS))
def test_kernels(part: int) -> None:
    """Every rung that runs there, at two sizes and in both dtypes, against float64 on the CPU."""
    found = []
    for name, kinds in list(EXAMPLES.items())[part::PARTS]:
        for kind, dtype, size in itertools.product(kinds, ("float32", "float64"), (700, 40_000)):
            arguments = kinds[kind](size, normal_numbers(dtype))
            for rung in kernels.rungs(name):
                if rung.takes("cuda", np.dtype(dtype)) and rung.name != "reference":
                    found += kernel_differences(name, rung, arguments, dtype)
    assert told("\n".join(found)) == ""


def normal_numbers(dtype: str) -> Any:
    """A function of a shape, as the examples take it."""
    rng = np.random.default_rng(7)
    return lambda *shape: np.asarray(rng.standard_normal(shape), dtype)


def kernel_differences(name: str, rung: Any, arguments: tuple, dtype: str) -> list[str]:
    """What one rung does otherwise than the CPU's plain one."""
    tolerance = {"float32": 1e-4, "float64": 1e-10}[dtype]
    in_place = not operation(name).expected(*arguments)
    own = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    there = [to_gpu(a) for a in arguments]
    where = f"{name}, {rung.name}, {dtype}, {np.size(arguments[0])} elements"
    try:
        expected = flat(kernels.get(name, "numpy")(*own))
        result = flat(rung.function(*there))
    except Exception as error:
        return [f"{where}: {type(error).__name__}: {error}"]
    lines = []
    for ours, theirs in zip(there, own) if in_place else zip(result, expected):
        if isinstance(theirs, np.ndarray):
            scale = max(1.0, float(np.abs(theirs).max(initial=0)))
            off = float(np.abs(ours.get() - theirs).max(initial=0)) / scale
            if ours.dtype != theirs.dtype or not off <= tolerance:
                lines.append(f"{where}: {ours.dtype}, off by {off:.3g}")
    return lines


def to_gpu(value: Any) -> Any:
    there = isinstance(value, np.ndarray)
    return minigen.from_numpy(np.ascontiguousarray(value)).to("cuda").array if there else value


def flat(result: Any) -> list:
    return [r for r in (result if isinstance(result, tuple) else (result,)) if r is not None]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_first_losses_of_a_recipe(recipe: str, tmp_path: Path) -> None:
    """From the same weights, batches and noise; what is computed differs by rounding."""
    losses: dict[str, list] = {}
    for device in ("cpu", "cuda"):
        run = Run.create(tmp_path / device, small(recipe, device=device))
        minigen.manual_seed(run.settings.seed)
        job = make_job(run, RECIPES[recipe])
        batches = itertools.chain.from_iterable(itertools.repeat(job.loader))
        records = [job.step(moved(next(batches), minigen.device(device))) for _ in range(3)]
        losses[device] = [float(v) for record in records for v in record.values()]
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-3)


@pytest.mark.parametrize("recipe", ["gan", "gpt"])
def test_a_run_to_its_end(recipe: str, tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", small(recipe, device="cuda", steps=6, save_every=3))
    train(run, RECIPES[recipe])
    assert run.load().step == 6


def test_sums_into_places_are_the_same_bits_in_every_run() -> None:
    """1,000 rows, each named some 60 times, in float32: atomics would show."""
    rng = np.random.default_rng(0)
    rows = minigen.from_numpy(rng.integers(0, 1000, 60_000)).to("cuda")
    g = minigen.from_numpy(rng.standard_normal((60_000, 32)).astype(np.float32)).to("cuda")
    seen = set()
    for _ in range(20):
        table = nn.Embedding(1000, 32).to("cuda")
        (table(rows) * g).sum().backward()
        seen.add(table.weight.grad.cpu().numpy().tobytes())
    assert len(seen) == 1
    exact = np.zeros((1000, 32))
    np.add.at(exact, rows.cpu().numpy(), g.cpu().numpy().astype(np.float64))
    found = table.weight.grad.cpu().numpy()
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-4)


def test_what_is_outside_becomes_nan() -> None:
    table = nn.Embedding(5, 3).to("cuda")
    rows = table(minigen.tensor([1, 5, -1], device="cuda")).detach().cpu().numpy()
    assert np.isnan(rows).all(1).tolist() == [False, True, True]
    logits = minigen.zeros(2, 4, device="cuda")
    losses = nn.functional.cross_entropy(
        logits, minigen.tensor([1, 4], device="cuda"), reduction="none"
    )
    assert np.isnan(losses.cpu().numpy()).tolist() == [False, True]
