"""softmax, log_softmax and rms_norm of rows: every rung against the formula, and against torch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from minigen.kernels import parallel
from minigen.kernels.fused.parts import PART, row_parts

from minigen import kernels

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
SMALLEST = {"float32": 2.0**-126, "float64": 2.0**-1022}
RUNGS = ["numpy", "numba"]
ALL = ["reference", *RUNGS]
ROWS = [(0, 3), (1, 1), (1, 2), (3, 1), (5, 17), (17, 5), (33, 64), (2, 65), (65, 33), (3, 1000)]
both = pytest.mark.parametrize("dtype", UNIT)
every_rung = pytest.mark.parametrize("rung", RUNGS)

functional = torch.nn.functional


def run(operation, rung, *arguments):
    """The results as a tuple; inputs stay as they were."""
    arrays = [a for a in arguments if isinstance(a, np.ndarray)]
    before = [a.copy() for a in arrays]
    result = kernels.get(operation, rung)(*arguments)
    for array, copy in zip(arrays, before):
        np.testing.assert_array_equal(array, copy)
    return result if isinstance(result, tuple) else (result,)


def within(operation, rung, bounds, *arguments) -> None:
    """|rung - reference| <= bound in every element of every result."""
    ours, exact = run(operation, rung, *arguments), run(operation, "reference", *arguments)
    for mine, wanted, bound in zip(ours, exact, bounds, strict=True):
        assert mine.dtype == arguments[0].dtype
        assert mine.shape == wanted.shape
        assert mine.flags.c_contiguous
        assert (np.abs(mine - wanted) <= bound).all()


@both
@every_rung
def test_softmax(rung, dtype, rng, poisoned) -> None:
    unit, smallest = UNIT[dtype], SMALLEST[dtype]
    for shape in ROWS:
        for spread in (1, 50):
            x = (spread * rng.standard_normal(shape)).astype(dtype)
            grad = rng.standard_normal(shape).astype(dtype)
            scale = 16 * unit * (1 + np.abs(x).max(axis=1, keepdims=True))
            (y,) = run("softmax", "reference", x)
            within("softmax", rung, [scale * y + smallest], x)
            within("log_softmax", rung, [np.broadcast_to(scale, shape)], x)
            y = y.astype(dtype)
            reach = np.abs(grad) + (np.abs(grad) * y).sum(axis=1, keepdims=True)
            bound = (shape[1] + 4) * unit * y * reach + 4 * smallest
            within("softmax_backward", rung, [bound], grad, y)
            y = run("log_softmax", "reference", x)[0].astype(dtype)
            total = np.abs(grad).sum(axis=1, keepdims=True)
            terms = (shape[1] + 8 + np.abs(y)) * unit * (np.exp(y) + smallest) * total
            bound = 2 * unit * np.abs(grad) + terms + smallest * total
            within("log_softmax_backward", rung, [bound], grad, y)


@every_rung
@pytest.mark.parametrize("operation", ["softmax", "log_softmax"])
def test_softmax_takes_any_strides(rung, operation, rng) -> None:
    x, grad = rng.standard_normal((2, 12, 9))
    forward, backward = kernels.get(operation, rung), kernels.get(f"{operation}_backward", rung)
    for view in (np.asfortranarray(x), x[::-1, ::2], x.T, np.broadcast_to(x[:1], x.shape)):
        view.flags.writeable = False
        np.testing.assert_allclose(forward(view), forward(view.copy()), rtol=1e-14)
        y, g = forward(view), grad.T if view.shape == (9, 12) else grad[:, : view.shape[1]]
        found = backward(g, np.asfortranarray(y))
        np.testing.assert_allclose(found, backward(g.copy(), y), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rung", ALL)
@pytest.mark.parametrize("operation", ["softmax", "log_softmax"])
def test_softmax_against_torch(rung, operation, rng) -> None:
    x, grad = rng.standard_normal((2, 7, 13))
    tensor = torch.from_numpy(x).requires_grad_()
    theirs = getattr(functional, operation)(tensor, 1)
    y = kernels.get(operation, rung)(x)
    np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=1e-12)
    (wanted,) = torch.autograd.grad(theirs, tensor, torch.from_numpy(grad))
    found = kernels.get(f"{operation}_backward", rung)(grad, y)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-10, atol=1e-13)


@both
@pytest.mark.parametrize("rung", ALL)
@pytest.mark.parametrize("operation", ["softmax", "log_softmax"])
def test_rows_that_are_not_finite(rung, operation, dtype) -> None:
    x = np.zeros((5, 20), dtype)
    x[1, 3], x[2, 19], x[3, 0], x[4] = np.nan, np.inf, -np.inf, -np.inf
    ours = kernels.get(operation, rung)(x)
    theirs = getattr(functional, operation)(torch.from_numpy(x), 1).numpy()
    np.testing.assert_array_equal(np.isnan(ours[[0, 1, 3, 4]]), np.isnan(theirs[[0, 1, 3, 4]]))
    assert np.isnan(ours[2, 19])
    np.testing.assert_allclose(ours[[0, 3]], theirs[[0, 3]], rtol=1e-6)


# --------------------------------------------------------------------------------- rms_norm


@both
@every_rung
@pytest.mark.parametrize("affine", [True, False])
def test_rms_norm(rung, dtype, affine, rng, poisoned) -> None:
    unit = UNIT[dtype]
    for rows, n in ROWS:
        x, grad = (rng.standard_normal((2, rows, n)) + 1).astype(dtype)
        weight = rng.standard_normal(n).astype(dtype) if affine else None
        gain = np.abs(weight) if affine else 1.0
        y, rrms = run("rms_norm", "reference", x, weight, 1e-5)
        within(
            "rms_norm", rung, [(n / 2 + 8) * unit * f for f in (np.abs(y), rrms)], x, weight, 1e-5
        )
        rrms = rrms.astype(dtype)
        normal, h = np.abs(x) * rrms[:, None], np.abs(grad) * gain
        dx = (h + normal * (h * normal).mean(axis=1, keepdims=True)) * rrms[:, None]
        dweight = (np.abs(grad) * normal).sum(axis=0)
        bounds = [(32 + n) * unit * dx, (32 + rows) * unit * dweight]
        within("rms_norm_backward", rung, bounds, grad, x, weight, rrms)


@pytest.mark.parametrize("rung", ALL)
def test_rms_norm_against_torch(rung, rng) -> None:
    x, grad, weight = *rng.standard_normal((2, 7, 13)), rng.standard_normal(13)
    tensors = [torch.from_numpy(a).requires_grad_() for a in (x, weight)]
    theirs = functional.rms_norm(tensors[0], (13,), tensors[1], 1e-5)
    y, rrms = kernels.get("rms_norm", rung)(np.asfortranarray(x), weight, 1e-5)
    np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=1e-12)
    found = kernels.get("rms_norm_backward", rung)(np.asfortranarray(grad), x, weight, rrms)
    for ours, wanted in zip(found, torch.autograd.grad(theirs, tensors, torch.from_numpy(grad))):
        np.testing.assert_allclose(ours, wanted.numpy(), rtol=1e-10, atol=1e-12)


# ---------------------------------------------------------------------------- several cores


def test_parts_cover_every_row_once() -> None:
    for rows, width in [(0, 5), (1, 10**7), (3, PART), (5000, 300), (2 * PART, 1), (7, 0)]:
        parts = row_parts(rows, width)
        assert parts[0][0] == 0
        assert parts[-1][1] == rows
        assert all(a[1] == b[0] for a, b in itertools.pairwise(parts))
        assert len(parts) == 1 or rows * width >= 2 * PART


@pytest.mark.parametrize("shape", [(1500, 701), (3, 400_000), (700_000, 1)])
def test_rows_on_any_number_of_threads(shape, rng) -> None:
    x, grad = rng.standard_normal((2, *shape)).astype(np.float32)
    weight, target = np.ones(shape[1], "f4"), rng.integers(0, shape[1], shape[0])

    def everything() -> list[np.ndarray]:
        found = []
        for name, saved in (("layer_norm", 2), ("rms_norm", 1)):
            options = (weight, weight, 1e-5) if saved == 2 else (weight, 1e-5)
            y, *stats = run(name, "numba", x, *options)
            found += [y, *stats, *run(f"{name}_backward", "numba", grad, x, weight, *stats)]
        for name in ("softmax", "log_softmax"):
            found += run(name, "numba", x)
            found += run(f"{name}_backward", "numba", grad, found[-1])
        found += run("cross_entropy", "numba", x, target)
        row = grad[:, 0].copy()
        found += run("cross_entropy_backward", "numba", row, x, target, found[-1])
        return found

    before = parallel.threads()
    try:
        parallel.set_threads(1)
        alone = everything()
        for threads in (2, 5):
            parallel.set_threads(threads)
            for one, other in zip(alone, everything(), strict=True):
                np.testing.assert_array_equal(one, other)
    finally:
        parallel.set_threads(before)
    exact = run("layer_norm_backward", "reference", grad, x, weight, *alone[1:3])
    for ours, wanted in zip(alone[3:6], exact):
        np.testing.assert_allclose(ours, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())
