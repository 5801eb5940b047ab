"""clip_norm: every rung against the formula and against torch; lists, views, what is not finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from minigen.kernels import KernelError, parallel

from minigen import kernels

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
RUNGS = ["numpy", "numba"]
ALL = ["reference", *RUNGS]
SHAPES = [(4, 3), (3,), (), (2, 1, 2), (3, 0), (150, 150), (2048,), (257,), (1,)]
both = pytest.mark.parametrize("dtype", UNIT)
every_rung = pytest.mark.parametrize("rung", RUNGS)


def drawn(rng: np.random.Generator, dtype: str, shapes: list = SHAPES) -> list[np.ndarray]:
    return [np.asarray(rng.standard_normal(shape), dtype) for shape in shapes]


@both
@every_rung
@pytest.mark.parametrize("max_norm", [0.0, 1.0, 1e6])
def test_clip_norm(rung, dtype, max_norm, rng) -> None:
    for size in (0, 1, 2, 17, 255, 256, 257, 1000, 600_000):
        grads = drawn(rng, dtype, [(size,)])
        exact, before = [g.astype(np.float64) for g in grads], grads[0].copy()
        found = kernels.get("clip_norm", rung)(grads, max_norm)
        for ours, theirs in zip(found, kernels.get("clip_norm", "reference")(exact, max_norm)):
            assert ours.dtype == dtype
            assert ours.shape == ()
            assert np.abs(ours - theirs) <= 140 * UNIT[dtype] * theirs
        assert (np.abs(grads[0] - exact[0]) <= 140 * UNIT[dtype] * np.abs(exact[0])).all()
        if found[1] == 1:
            np.testing.assert_array_equal(grads[0], before)


@pytest.mark.parametrize("rung", ALL)
@pytest.mark.parametrize("max_norm", [0.5, 1e6])
def test_against_torch(rung, max_norm, rng) -> None:
    grads = drawn(rng, "float64")
    theirs = [torch.zeros(g.shape, dtype=torch.float64) for g in grads]
    for leaf, g in zip(theirs, grads):
        leaf.grad = torch.from_numpy(g.copy())
    norm, _ = kernels.get("clip_norm", rung)(grads, max_norm)
    np.testing.assert_allclose(norm, torch.nn.utils.clip_grad_norm_(theirs, max_norm), rtol=1e-13)
    for g, leaf in zip(grads, theirs):
        np.testing.assert_allclose(g, leaf.grad.numpy(), rtol=1e-12)


@every_rung
def test_views_are_scaled_in_place(rung, rng) -> None:
    """And one that is listed twice, or a part of another, as often as it is listed."""
    for view in (lambda a: a[:, ::2], lambda a: a[::-1], lambda a: a.T, lambda a: a[3:, 1]):
        whole = rng.standard_normal((60, 70))
        before, grads = whole.copy(), [view(whole), view(whole), view(whole)[:2]]
        _, factor = kernels.get("clip_norm", rung)(grads, 1.0)
        view(before)[...] *= factor**2
        view(before)[:2] *= factor
        np.testing.assert_allclose(whole, before, rtol=1e-12)


@both
@pytest.mark.parametrize("rung", ALL)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite(rung, dtype, value, rng) -> None:
    grads = [np.array([1.0, value], dtype), np.ones(300, dtype)]
    with np.errstate(all="ignore"):
        norm, factor = kernels.get("clip_norm", rung)(grads, 1.0)
    np.testing.assert_array_equal(norm, value)
    np.testing.assert_array_equal(factor, np.nan if np.isnan(value) else 0)
    np.testing.assert_array_equal(grads[0], [factor, np.nan])
    np.testing.assert_array_equal(grads[1], np.broadcast_to(factor, 300))


def test_the_same_on_any_number_of_threads(rng) -> None:
    grads, before = drawn(rng, "float32", [(1000, 700), (3,), (400, 900)]), parallel.threads()
    results = []
    try:
        for threads in (1, 2, 4):
            parallel.set_threads(threads)
            copies = [g.copy() for g in grads]
            results.append([*kernels.get("clip_norm", "numba")(copies, 1.0), *copies])
    finally:
        parallel.set_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


def test_a_users_kernel_is_told_of_its_mistake() -> None:
    with kernels.use(clip_norm=lambda grads, max_norm: np.float32(1)):
        mine = kernels.select("clip_norm", np.ones(3))
        told = (
            r"used for clip_norm of \[float64\(3,\), ...\] of 2: "
            r"expected \(float64\(\), float64\(\)\), but it returned float32\(\)$"
        )
        with pytest.raises(KernelError, match=told):
            mine([np.ones(3), np.ones(2)], 1.0)
