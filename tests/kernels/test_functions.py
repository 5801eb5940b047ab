"""exp and its kin: every rung inside its error bound, over all exponents that float32 has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from minigen.kernels import parallel

from minigen import kernels

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
SMALLEST = {"float32": 2.0**-126, "float64": 2.0**-1022}
RUNGS = ["numpy", "numba"]
ALL = ["reference", *RUNGS]
both = pytest.mark.parametrize("dtype", UNIT)
every_rung = pytest.mark.parametrize("rung", RUNGS)

BOUNDS = {  # (|x|, |y|, unit, smallest) -> how far a result may be from the formula
    "exp": lambda x, y, u, s: 5 * u * y + s * u,
    "tanh": lambda x, y, u, s: 8 * u * y + s * u,
    "sigmoid": lambda x, y, u, s: 8 * u * y + s,
    "softplus": lambda x, y, u, s: 12 * u * y + s,
    "silu": lambda x, y, u, s: 10 * u * y + s * np.maximum(x, 1),
}
GRADIENTS = {"tanh_backward": 4, "sigmoid_backward": 4, "relu_backward": 4, "silu_backward": 20}


def every_exponent(mantissas: int = 64) -> np.ndarray:
    """float32 numbers of every exponent and both signs, subnormal ones, 0 and infinity too."""
    rng = np.random.default_rng(0)
    exponents = np.arange(256, dtype=np.uint32)[:, None] << 23
    drawn = rng.integers(0, 2**23, mantissas, dtype=np.uint32)
    ends = np.array([0, 1, 2, 2**22 - 1, 2**22, 2**23 - 2, 2**23 - 1], np.uint32)
    bits = exponents | np.concatenate([ends, drawn])
    numbers = bits.reshape(-1).view(np.float32)
    numbers = numbers[~np.isnan(numbers)]
    return np.concatenate([numbers, -numbers])


def compare(operation, rung, x, dtype, *options) -> None:
    """|rung - reference| <= bound; infinities and NaN where the reference has them."""
    before = x.copy()
    exact = kernels.get(operation, "reference")(x, *options)
    ours = kernels.get(operation, rung)(x, *options)
    assert ours.dtype == dtype
    assert ours.shape == x.shape
    assert ours.flags.c_contiguous
    np.testing.assert_array_equal(x, before)
    top = np.finfo(dtype).max
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(exact))
    with np.errstate(invalid="ignore", over="ignore"):
        bound = BOUNDS[operation](
            np.abs(x.astype("f8")), np.abs(exact), UNIT[dtype], SMALLEST[dtype]
        )
        close = np.abs(ours - exact) <= bound
        overflow = (np.abs(exact) > top * (1 - 1e-6)) & (np.sign(ours) == np.sign(exact))
    assert (close | (ours == exact) | overflow | np.isnan(exact)).all()


@every_rung
@pytest.mark.parametrize("operation", BOUNDS)
def test_over_all_exponents_of_float32(rung, operation, poisoned) -> None:
    compare(operation, rung, every_exponent(), "float32")
    compare(operation, rung, np.linspace(-110, 110, 200_001).astype(np.float32), "float32")
    compare(operation, rung, np.linspace(-1, 1, 20_001).astype(np.float32), "float32")


@both
@every_rung
@pytest.mark.parametrize("operation", BOUNDS)
def test_of_any_size(rung, operation, dtype, rng, poisoned) -> None:
    for size in (0, 1, 2, 3, 5, 17, 33, 65, 1000, 4095, 4097):
        compare(operation, rung, (5 * rng.standard_normal(size)).astype(dtype), dtype)


@both
@every_rung
@pytest.mark.parametrize("operation", [*BOUNDS, *GRADIENTS, "dropout"])
def test_any_strides(rung, operation, dtype, rng, poisoned) -> None:
    base = rng.standard_normal((4, 6, 8)).astype(dtype)
    views = [
        np.asfortranarray(base), base[::-1, ::2], base.transpose(2, 0, 1),
        np.broadcast_to(base[:1], base.shape), base[0, 0, :1].reshape(()), base[..., :0],
    ]  # fmt: skip
    function = kernels.get(operation, rung)
    for x in map(np.asarray, views):
        x.flags.writeable = False
        arguments = (x, x) if operation in GRADIENTS else (x,)
        if operation == "dropout":
            arguments = (x, x > 0, 2.0)
        plain = [np.ascontiguousarray(a).reshape(a.shape) if i < 2 and hasattr(a, "shape") else a
                 for i, a in enumerate(arguments)]  # fmt: skip
        np.testing.assert_array_equal(function(*arguments), function(*plain))


@every_rung
def test_exp_is_right_at_its_ends_in_any_block(rung) -> None:
    """One number near the ends among thousands of moderate ones, at any place of a block."""
    ends = [np.nan, np.inf, -np.inf, 88.9, -104.5, -95.0, 1e-40, -3e38]
    for place in (0, 1, 31, 32, 4064, 4095, 4096, 4099):
        for end in ends:
            x = np.full(4100, 0.5, np.float32)
            x[place] = end
            with np.errstate(over="ignore"):
                exact = np.exp(x.astype(np.float64)).astype(np.float32)
            ours = kernels.get("exp", rung)(x)
            np.testing.assert_allclose(ours, exact, rtol=3e-7, atol=2.0**-149)


@both
@every_rung
@pytest.mark.parametrize("operation", GRADIENTS)
def test_gradients(rung, operation, dtype, rng, poisoned) -> None:
    for size in (0, 1, 2, 3, 17, 65, 1000):
        x, grad = (4 * rng.standard_normal((2, size))).astype(dtype)
        y = {"tanh_backward": np.tanh(x), "sigmoid_backward": np.abs(np.tanh(x))}.get(operation, x)
        for options in [(), (0.2,), (-1.5,)] if operation == "relu_backward" else [()]:
            exact = kernels.get(operation, "reference")(grad, y, *options)
            ours = kernels.get(operation, rung)(grad, y, *options)
            assert ours.dtype == dtype
            assert (
                np.abs(ours - exact) <= 2 * GRADIENTS[operation] * UNIT[dtype] * abs(grad)
            ).all()


@pytest.mark.parametrize("rung", ALL)
@pytest.mark.parametrize("operation", ["tanh", "sigmoid", "silu", "relu"])
def test_gradients_against_torch(rung, operation, rng) -> None:
    x, grad = rng.standard_normal((2, 50))
    tensor = torch.from_numpy(x).requires_grad_()
    theirs = getattr(torch.nn.functional, operation)(tensor)
    (wanted,) = torch.autograd.grad(theirs, tensor, torch.from_numpy(grad))
    given = x if operation == "silu" else theirs.detach().numpy()
    found = kernels.get(f"{operation}_backward", rung)(grad, given)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-12, atol=1e-15)


@every_rung
@pytest.mark.parametrize("options", [(2.0, 20.0), (0.5, 3.0), (1.0, 1.0)])
def test_softplus_with_options(rung, options, rng) -> None:
    x = rng.standard_normal(1000) * 10
    theirs = torch.nn.functional.softplus(torch.from_numpy(x), *options).numpy()
    np.testing.assert_allclose(kernels.get("softplus", rung)(x, *options), theirs, rtol=1e-13)


@pytest.mark.parametrize("rung", ALL)
@pytest.mark.parametrize("operation", BOUNDS)
def test_nan_and_infinity(rung, operation) -> None:
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0] * 5, np.float32)
    tensor = torch.from_numpy(special)
    theirs = getattr(torch.nn.functional, operation, None) or getattr(torch, operation)
    ours = kernels.get(operation, rung)(special)
    np.testing.assert_allclose(ours, theirs(tensor).numpy(), rtol=1e-6)


@pytest.mark.parametrize("operation", [*BOUNDS, *GRADIENTS, "gelu", "gelu_backward", "erf"])
def test_the_same_on_any_number_of_threads(operation, rng) -> None:
    x = rng.standard_normal(1_100_003).astype(np.float32)
    arguments = (x, x) if operation.endswith("backward") else (x,)
    function, before = kernels.get(operation, "numba"), parallel.threads()
    try:
        parallel.set_threads(1)
        alone = function(*arguments)
        parallel.set_threads(3)
        np.testing.assert_array_equal(function(*arguments), alone)
    finally:
        parallel.set_threads(before)
    exact = kernels.get(operation, "numpy")(*arguments)
    np.testing.assert_allclose(alone, exact, rtol=1e-4, atol=1e-5)


@both
@every_rung
def test_dropout(rung, dtype, rng) -> None:
    for shape in [(0,), (1,), (17,), (33, 5)]:
        x, mask = rng.standard_normal(shape).astype(dtype), rng.random(shape) < 0.7
        ours = kernels.get("dropout", rung)(x, mask, 1 / 0.7)
        np.testing.assert_array_equal(ours, x * mask * np.dtype(dtype).type(1 / 0.7))
    special = np.array([np.nan, np.inf, -np.inf], dtype)
    kept = np.ones(3, bool)
    np.testing.assert_array_equal(kernels.get("dropout", rung)(special, kept, 2.0), special)
    assert np.isnan(kernels.get("dropout", rung)(special, ~kept, 2.0)).all()


# ----------------------------------------------------------------------- binary cross-entropy


@both
@every_rung
def test_binary_cross_entropy(rung, dtype, rng, poisoned) -> None:
    unit, smallest = UNIT[dtype], SMALLEST[dtype]
    loss, slope = (kernels.get(f"binary_cross_entropy{end}", rung) for end in ("", "_backward"))
    for size in (0, 1, 2, 17, 65, 1000):
        for spread in (1, 40):
            x = (spread * rng.standard_normal(size)).astype(dtype)
            y = rng.choice([0.0, 1.0, 0.3], size).astype(dtype)
            exact = kernels.get("binary_cross_entropy", "reference")(x, y)
            linear = np.abs(np.maximum(x, 0) - x * y) + np.abs(x) * y * (1 - y) * 4
            bound = 4 * unit * linear + 8 * unit * np.exp(-np.abs(x)) + smallest
            assert (np.abs(loss(x, y) - exact) <= bound).all()
            for grad in (rng.standard_normal(size), np.array(0.25), np.ones(1)):
                g = grad.astype(dtype)
                if g.size != x.size and g.size != 1:
                    continue
                exact = kernels.get("binary_cross_entropy_backward", "reference")(g, x, y)
                ours = slope(g, x, y)
                assert ours.dtype == dtype
                assert ours.shape == x.shape
                assert (np.abs(ours - exact) <= 10 * unit * np.abs(g) * (1 + y)).all()


@every_rung
def test_a_small_loss_is_not_rounded_away(rung) -> None:
    """x - x y cancels at y = 1, and the logarithm, 1e-13, is the whole loss."""
    x, y = np.full(100, 30.0, np.float32), np.ones(100, np.float32)
    ours = kernels.get("binary_cross_entropy", rung)(x, y)
    np.testing.assert_allclose(ours, np.exp(-30.0), rtol=1e-6)
