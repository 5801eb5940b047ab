"""Batch normalisation: every rung against the formula, and against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from minigen.kernels import parallel

from minigen import kernels

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
RUNGS = ["numpy", "numba"]
ALL = ["reference", *RUNGS]
SHAPES = [
    (2, 1, 1),
    (5, 3, 1),
    (1, 2, 7),
    (4, 3, 5),
    (17, 65, 1),
    (3, 129, 1),
    (6, 4, 33),
    (9, 1, 2),
]
both = pytest.mark.parametrize("dtype", UNIT)


def draw(rng: np.random.Generator, shape: tuple, dtype: str) -> list[np.ndarray]:
    """grad, x, weight, bias, with means that are not zero."""
    drawn = [rng.standard_normal(shape), 2 * rng.standard_normal(shape) + 1]
    return [a.astype(dtype) for a in (*drawn, *rng.standard_normal((2, shape[1])))]


@both
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm(rung, dtype, affine, rng, poisoned) -> None:
    unit = UNIT[dtype]
    for shape in SHAPES:
        grad, x, weight, bias = draw(rng, shape, dtype)
        w, b = (weight, bias) if affine else (None, None)
        n = shape[0] * shape[2]
        exact = kernels.get("batch_norm", "reference")(x, w, b, 1e-5)
        ours = kernels.get("batch_norm", rung)(x, w, b, 1e-5)
        _, mean, var, rstd = (a[:, None] for a in exact)
        gain = np.abs(weight[:, None]) if affine else 1.0
        size = np.abs(x).mean(axis=(0, 2), keepdims=True)[0]
        y = (n + 16) * unit * ((np.abs(x) + size) * rstd * gain + np.abs(bias[:, None]))
        crooked = (1 + (size * rstd) ** 2)[:, 0] * (n + 16) * unit
        bounds = [
            y * (1 + size * rstd),
            (n + 4) * unit * size[:, 0],
            crooked * (var[:, 0] + size[:, 0] ** 2),
        ]
        bounds.append(crooked * rstd[:, 0])
        for mine, wanted, bound in zip(ours, exact, bounds, strict=True):
            assert mine.dtype == dtype
            assert mine.shape == wanted.shape
            assert mine.flags.c_contiguous
            assert (np.abs(mine - wanted) <= bound).all()

        mean, rstd = exact[1].astype(dtype), exact[3].astype(dtype)
        exact = kernels.get("batch_norm_backward", "reference")(grad, x, w, mean, rstd)
        found = kernels.get("batch_norm_backward", rung)(grad, x, w, mean, rstd)
        normal = (np.abs(x) + np.abs(mean[:, None])) * rstd[:, None]
        dweight, dbias = (np.abs(grad) * normal).sum((0, 2)), np.abs(grad).sum((0, 2))
        inner = np.abs(grad) + (dbias / n)[:, None] + normal * (dweight / n)[:, None]
        bounds = [inner * rstd[:, None] * gain, dweight, dbias]
        for mine, wanted, bound in zip(found, exact, bounds, strict=True):
            assert mine.dtype == dtype
            assert mine.shape == wanted.shape
            assert (np.abs(mine - wanted) <= (n + 32) * unit * bound).all()


@pytest.mark.parametrize("rung", ALL)
@pytest.mark.parametrize("shape", [(7, 5, 1), (6, 5, 9)])
def test_batch_norm_against_torch(rung, shape, rng) -> None:
    grad, x, weight, bias = draw(rng, shape, "float64")
    tensors = [torch.from_numpy(a).requires_grad_() for a in (x, weight, bias)]
    theirs = torch.nn.functional.batch_norm(tensors[0], None, None, *tensors[1:], training=True)
    crooked = np.asfortranarray(x), np.repeat(weight, 2)[::2], bias
    y, mean, _, rstd = kernels.get("batch_norm", rung)(*crooked, 1e-5)
    np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=1e-11, atol=1e-13)
    found = kernels.get("batch_norm_backward", rung)(
        np.asfortranarray(grad), x[::-1].copy()[::-1], weight, mean, rstd
    )
    for ours, wanted in zip(found, torch.autograd.grad(theirs, tensors, torch.from_numpy(grad))):
        np.testing.assert_allclose(ours, wanted.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rung", RUNGS)
def test_nan_stays_in_its_channel(rung, rng) -> None:
    _, x, weight, bias = draw(rng, (4, 70, 1), "float32")
    x[1, 66] = np.nan
    y, *_ = kernels.get("batch_norm", rung)(x, weight, bias, 1e-5)
    assert np.isnan(y[:, 66]).all()
    assert np.isfinite(np.delete(y, 66, axis=1)).all()


@pytest.mark.parametrize("shape", [(1000, 701, 1), (40, 64, 300)])
def test_the_same_on_any_number_of_threads(shape, rng) -> None:
    grad, x, weight, bias = draw(rng, shape, "float32")
    before, results = parallel.threads(), []
    try:
        for threads in (1, 2, 4):
            parallel.set_threads(threads)
            y, mean, var, rstd = kernels.get("batch_norm", "numba")(x, weight, bias, 1e-5)
            found = kernels.get("batch_norm_backward", "numba")(grad, x, weight, mean, rstd)
            results.append([y, mean, var, rstd, *found])
    finally:
        parallel.set_threads(before)
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)
