"""Every rung of the fused operations against the formula in float64, and against torch."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch

from minigen import kernels

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
RUNGS = ["numpy", "numba"]
ALL = ["reference", *RUNGS]
SIZES = [0, 1, 2, 3, 5, 17, 33, 64, 65, 1000]
ROWS = [(0, 3), (1, 1), (1, 2), (3, 1), (5, 17), (17, 5), (33, 64), (2, 65), (65, 33)]
both = pytest.mark.parametrize("dtype", UNIT)
every_rung = pytest.mark.parametrize("rung", RUNGS)

functional = torch.nn.functional


def reference(operation, *arguments):
    """The reference rung's result as a tuple."""
    result = kernels.get(operation, "reference")(*arguments)
    return result if isinstance(result, tuple) else (result,)


def compare(operation, rung, bounds, *arguments):
    """|rung - reference| <= bound in every element of every result; inputs stay as they were."""
    arrays = [a for a in arguments if isinstance(a, np.ndarray)]
    before = [a.copy() for a in arrays]
    result = kernels.get(operation, rung)(*arguments)
    results = result if isinstance(result, tuple) else (result,)
    for ours, exact, bound in zip(results, reference(operation, *arguments), bounds, strict=True):
        assert ours.dtype == arrays[0].dtype
        assert ours.shape == exact.shape
        assert ours.flags.c_contiguous
        assert (np.abs(ours - exact) <= bound).all()
    for array, copy in zip(arrays, before):
        np.testing.assert_array_equal(array, copy)


# ------------------------------------------------------------------------------ elementwise


@both
@every_rung
def test_erf(rung, dtype, rng, poisoned) -> None:
    for size in SIZES:
        x = (3 * rng.standard_normal(size)).astype(dtype)
        compare("erf", rung, [10 * UNIT[dtype] * np.abs(reference("erf", x)[0])], x)
    dense = np.concatenate([np.linspace(-7, 7, 20001), np.geomspace(1e-30, 1, 500)]).astype(dtype)
    compare("erf", rung, [10 * UNIT[dtype] * np.abs(reference("erf", dense)[0])], dense)


@both
@every_rung
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(rung, dtype, approximate, rng, poisoned) -> None:
    unit = UNIT[dtype]
    for size in SIZES:
        x, grad = (4 * rng.standard_normal((2, size))).astype(dtype)
        compare("gelu", rung, [10 * unit * np.abs(x)], x, approximate)
        compare("gelu_backward", rung, [40 * unit * np.abs(grad)], grad, x, approximate)
    x = np.linspace(-15, 15, 30001).astype(dtype)
    compare("gelu", rung, [10 * unit * np.abs(x)], x, approximate)
    compare("gelu_backward", rung, [np.full(x.shape, 40 * unit)], np.ones_like(x), x, approximate)


@both
@every_rung
@pytest.mark.parametrize("operation", ["erf", "gelu", "gelu_backward"])
def test_elementwise_takes_any_strides(rung, dtype, operation, rng, poisoned) -> None:
    base = rng.standard_normal((4, 6, 8)).astype(dtype)
    views = [
        np.asfortranarray(base),
        base[::-1, ::2],
        base.transpose(2, 0, 1),
        np.broadcast_to(base[:1], base.shape),
        base[0, 0, 0],
        base[..., :0],
    ]
    for x in map(np.asarray, views):
        arguments = (x[..., ::-1] if x.ndim else x, x) if operation == "gelu_backward" else (x,)
        compare(operation, rung, [np.full(x.shape, 100 * UNIT[dtype])], *arguments)


@both
@pytest.mark.parametrize("rung", ALL)
def test_nan_and_infinity_in_elementwise(rung, dtype) -> None:
    special = np.array([np.nan, np.inf, -np.inf, -0.0, 1e30, -1e30, 1e-40], dtype)
    erf = kernels.get("erf", rung)(special)
    np.testing.assert_array_equal(erf[:6], [np.nan, 1, -1, 0, 1, -1])
    assert np.signbit(erf[3])
    for approximate in ("none", "tanh"):
        ours = kernels.get("gelu", rung)(special, approximate)
        # As in torch; but on some CPUs that has NaN for +inf, too, in float32.
        np.testing.assert_array_equal(np.isnan(ours), [True, False, True, *[False] * 4])
        np.testing.assert_allclose(ours[[1, 3, 4, 5]], [np.inf, 0, 1e30, 0], rtol=1e-6)
        slope = kernels.get("gelu_backward", rung)(np.ones_like(special), special, approximate)
        assert np.isnan(slope[:3]).all()
        assert slope[3] == 0.5


# ---------------------------------------------------------------------------- normalisation


def draw_rows(rng, shape, dtype):
    """x, grad (rows, features), weight, bias (features,), with a mean that is not zero."""
    x = rng.standard_normal(shape) * 2 + 1
    return [
        a.astype(dtype)
        for a in (x, rng.standard_normal(shape), *rng.standard_normal((2, shape[1])))
    ]


@both
@every_rung
@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm(rung, dtype, affine, rng, poisoned) -> None:
    unit = UNIT[dtype]
    for shape in ROWS:
        x, grad, weight, bias = draw_rows(rng, shape, dtype)
        w, b = (weight, bias) if affine else (None, None)
        _, mean, rstd = reference("layer_norm", x, w, b, 1e-5)
        gain = np.abs(weight) if affine else 1.0
        size = np.abs(x).mean(axis=1)
        spread = (np.abs(x) + size[:, None]) * rstd[:, None]
        bound = 16 * unit * (spread * gain + (np.abs(bias) if affine else 0))
        crooked = 16 * unit * rstd * (1 + (size * rstd) ** 2)
        compare("layer_norm", rung, [bound, 4 * unit * size, crooked], x, w, b, 1e-5)

        mean, rstd = mean.astype(dtype), rstd.astype(dtype)
        normal, h = np.abs((x - mean[:, None]) * rstd[:, None]), np.abs(grad) * gain
        dx = h + h.mean(1, keepdims=True) + normal * (h * normal).mean(1, keepdims=True)
        normal = (np.abs(x) + np.abs(mean)[:, None]) * rstd[:, None]
        dx = h + h.mean(1, keepdims=True) + normal * (h * normal).mean(1, keepdims=True)
        rows = max(1, shape[0])
        bounds = [
            32 * unit * dx * rstd[:, None],
            (32 + rows) * unit * (np.abs(grad) * normal).sum(0),
            (32 + rows) * unit * np.abs(grad).sum(0),
        ]
        compare("layer_norm_backward", rung, bounds, grad, x, w, mean, rstd)


@every_rung
def test_layer_norm_takes_any_strides(rung, rng, poisoned) -> None:
    x, grad, weight, bias = draw_rows(rng, (9, 12), "float64")
    plain = kernels.get("layer_norm", rung)(x, weight, bias, 1e-5)
    strided = kernels.get("layer_norm", rung)(np.asfortranarray(x), weight[::-1][::-1], bias, 1e-5)
    for one, other in zip(plain, strided):
        np.testing.assert_allclose(one, other, rtol=1e-14, atol=1e-14)
    _, mean, rstd = plain
    backward = kernels.get("layer_norm_backward", rung)
    flat = np.broadcast_to(grad[:1], grad.shape)
    plain = backward(flat.copy(), x, weight, mean, rstd)
    strided = backward(flat, np.asfortranarray(x), weight, mean, rstd)
    for one, other in zip(plain, strided):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("rung", ALL)
def test_layer_norm_gradient_against_torch(rung, rng) -> None:
    x, grad, weight, bias = draw_rows(rng, (7, 13), "float64")
    y, mean, rstd = kernels.get("layer_norm", rung)(x, weight, bias, 1e-5)
    found = kernels.get("layer_norm_backward", rung)(grad, x, weight, mean, rstd)
    tensors = [torch.from_numpy(a).requires_grad_() for a in (x, weight, bias)]
    theirs = functional.layer_norm(tensors[0], (13,), tensors[1], tensors[2], 1e-5)
    np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=1e-10, atol=1e-12)
    for ours, wanted in zip(found, torch.autograd.grad(theirs, tensors, torch.from_numpy(grad))):
        np.testing.assert_allclose(ours, wanted.numpy(), rtol=1e-10, atol=1e-12)


@every_rung
def test_layer_norm_backward_repeats_bit_by_bit(rung, rng) -> None:
    x, grad, weight, bias = draw_rows(rng, (300, 70), "float32")
    _, mean, rstd = kernels.get("layer_norm", rung)(x, weight, bias, 1e-5)
    runs = [kernels.get("layer_norm_backward", rung)(grad, x, weight, mean, rstd) for _ in "ab"]
    for first, second in zip(*runs):
        np.testing.assert_array_equal(first, second)


@every_rung
def test_nan_stays_in_its_row(rung, rng) -> None:
    x, _, weight, bias = draw_rows(rng, (4, 33), "float32")
    x[1, 7], x[2, 32] = np.nan, np.inf
    target = np.array([0, 5, 3, 32])
    y, _, _ = kernels.get("layer_norm", rung)(x, weight, bias, 1e-5)
    losses, logsumexp = kernels.get("cross_entropy", rung)(x, target)
    dlogits = kernels.get("cross_entropy_backward", rung)(np.ones(4, "f4"), x, target, logsumexp)
    for result in (y, losses, dlogits):
        assert np.isnan(result[1]).all()
        assert np.isnan(result[2]).any()
        assert np.isfinite(result[[0, 3]]).all()


# ---------------------------------------------------------------------------- cross-entropy


@both
@every_rung
def test_cross_entropy(rung, dtype, rng, poisoned) -> None:
    unit = UNIT[dtype]
    for rows, classes in ROWS:
        for spread in (1, 30):
            x = (spread * rng.standard_normal((rows, classes))).astype(dtype)
            target, grad = rng.integers(0, classes, rows), rng.standard_normal(rows).astype(dtype)
            bound = 16 * unit * (1 + np.abs(x).max(1))
            compare("cross_entropy", rung, [bound, bound], x, target)
            logsumexp = reference("cross_entropy", x, target)[1].astype(dtype)
            bounds = [np.broadcast_to((bound * np.abs(grad))[:, None], x.shape)]
            compare("cross_entropy_backward", rung, bounds, grad, x, target, logsumexp)
            strided = np.asfortranarray(x), np.repeat(target, 2)[::2]
            compare("cross_entropy", rung, [bound, bound], *strided)
            compare("cross_entropy_backward", rung, bounds, grad, *strided, logsumexp)


@pytest.mark.parametrize("rung", ALL)
def test_cross_entropy_against_torch(rung, rng) -> None:
    logits, grad, target = rng.standard_normal((9, 6)), rng.standard_normal(9), np.arange(9) % 6
    losses, logsumexp = kernels.get("cross_entropy", rung)(logits, target)
    found = kernels.get("cross_entropy_backward", rung)(grad, logits, target, logsumexp)
    x = torch.from_numpy(logits).requires_grad_()
    theirs = functional.cross_entropy(x, torch.from_numpy(target), reduction="none")
    np.testing.assert_allclose(losses, theirs.detach().numpy(), rtol=1e-12)
    (wanted,) = torch.autograd.grad(theirs, x, torch.from_numpy(grad))
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-10, atol=1e-14)


@every_rung
@pytest.mark.parametrize("wrong", [-1, 3, 2**40])
def test_a_target_that_is_no_class(rung, wrong) -> None:
    logits, target = np.zeros((2, 3)), np.array([0, wrong])
    with pytest.raises(IndexError, match=f"target {wrong} of row 1"):
        kernels.get("cross_entropy", rung)(logits, target)
    with pytest.raises(IndexError, match=f"target {wrong} of row 1"):
        kernels.get("cross_entropy_backward", rung)(np.ones(2), logits, target, np.ones(2))


@every_rung
def test_a_class_that_is_impossible(rung) -> None:
    logits = np.array([[-np.inf, 0.0, 1.0]], np.float32)
    losses, logsumexp = kernels.get("cross_entropy", rung)(logits, np.array([0]))
    assert losses[0] == np.inf
    np.testing.assert_allclose(logsumexp, math.log(1 + math.e), rtol=1e-6)


# ---------------------------------------------------------------- gradients by differences

GELU = [("gelu", "none"), ("gelu", "tanh")]


@pytest.mark.parametrize("rung", ALL)
@pytest.mark.parametrize(("operation", "approximate"), GELU)
def test_gelu_gradient_against_differences_and_torch(rung, operation, approximate, rng) -> None:
    x, grad, direction = rng.standard_normal((3, 40))
    forward = functools.partial(kernels.get(operation, rung), approximate=approximate)
    found = kernels.get(f"{operation}_backward", rung)(grad, x, approximate)
    step = 1e-6
    slope = (forward(x + step * direction) - forward(x - step * direction)) / (2 * step)
    assert abs((slope * grad).sum() - (found * direction).sum()) < 1e-7
    tensor = torch.from_numpy(x).requires_grad_()
    theirs = functional.gelu(tensor, approximate=approximate)
    np.testing.assert_allclose(forward(x), theirs.detach().numpy(), rtol=1e-10, atol=1e-13)
    (wanted,) = torch.autograd.grad(theirs, tensor, torch.from_numpy(grad))
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rung", ALL)
def test_row_gradients_against_differences(rung, rng) -> None:
    x, grad, weight, bias = draw_rows(rng, (5, 7), "float64")
    direction, row_grad, target = rng.standard_normal((5, 7)), rng.standard_normal(5), np.arange(5)
    norm, entropy = (kernels.get(name, rung) for name in ("layer_norm", "cross_entropy"))
    step = 1e-6
    ahead, behind = x + step * direction, x - step * direction
    _, mean, rstd = norm(x, weight, bias, 1e-5)
    dx, _, _ = kernels.get("layer_norm_backward", rung)(grad, x, weight, mean, rstd)
    slope = (norm(ahead, weight, bias, 1e-5)[0] - norm(behind, weight, bias, 1e-5)[0]) / (2 * step)
    assert abs((slope * grad).sum() - (dx * direction).sum()) < 1e-7
    _, logsumexp = entropy(x, target)
    dlogits = kernels.get("cross_entropy_backward", rung)(row_grad, x, target, logsumexp)
    slope = (entropy(ahead, target)[0] - entropy(behind, target)[0]) / (2 * step)
    assert abs((slope * row_grad).sum() - (dlogits * direction).sum()) < 1e-7
