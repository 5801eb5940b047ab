"""bfloat16 on the CPU: the rounding bit for bit torch's, and what is computed with it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from minigen.kernels.bfloat16 import rounded

import minigen
from minigen import kernels
from minigen.nn import functional as F

U = 2.0**-24


@pytest.fixture
def medium() -> Iterator[None]:
    minigen.set_float32_matmul_precision("medium")
    yield
    minigen.set_float32_matmul_precision("highest")


def theirs(x: np.ndarray) -> np.ndarray:
    return torch.from_numpy(np.ascontiguousarray(x)).bfloat16().float().numpy()


def test_rounding_is_torchs_bit_for_bit() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 200_000, np.uint32)
    halves = np.arange(2**16, dtype=np.uint32) << 16  # every bfloat16, and on either side of ties
    bits = np.concatenate([bits, halves, halves + 0x7FFF, halves + 0x8000, halves + 0x8001])
    x = bits.view(np.float32)
    ours, exact = rounded(x), theirs(x)
    nan = np.isnan(x)
    np.testing.assert_array_equal(np.isnan(ours), nan)
    np.testing.assert_array_equal(ours[~nan].view(np.uint32), exact[~nan].view(np.uint32))


def test_rounding_takes_any_strides_and_leaves_its_input() -> None:
    base = np.random.default_rng(0).standard_normal((4, 6, 8)).astype(np.float32)
    before = base.copy()
    for x in (base.T, base[::-1, ::2], base[..., :0], base[0, 0, 0].reshape(())):
        np.testing.assert_array_equal(rounded(x), theirs(x))
    np.testing.assert_array_equal(base, before)


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def test_matmul_is_the_product_of_rounded_operands() -> None:
    for a, b in [(draw(33, 65), draw(65, 17)), (draw(2, 3, 5, 7), draw(7, 4)), (draw(5), draw(5))]:
        found = kernels.get("matmul", "bf16")(a, b)
        exact = np.matmul(theirs(a).astype(float), theirs(b).astype(float))
        size = np.matmul(np.abs(a).astype(float), np.abs(b).astype(float))
        assert found.dtype == np.float32
        assert (np.abs(found - exact) <= 2 * a.shape[-1] * U * size).all()
        assert (np.abs(found - a @ b) > 2 * a.shape[-1] * U * size).any()


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_near_the_formula_and_not_nearer_than_bfloat16(causal: bool) -> None:
    q, k, v, grad = draw(2, 33, 16), draw(2, 40, 16), draw(2, 40, 8), draw(2, 33, 8)
    out, logsumexp = kernels.get("attention", "bf16")(q, k, v, is_causal=causal)
    exact, exact_logsumexp = kernels.get("attention", "reference")(q, k, v, is_causal=causal)
    error = np.abs(out - exact).max()
    assert 1e-4 < error < 0.02
    assert np.abs(logsumexp - exact_logsumexp).max() < 0.02
    arguments = (grad, q, k, v, out, logsumexp, None, causal)
    found = kernels.get("attention_backward", "bf16")(*arguments)
    exact = kernels.get("attention_backward", "reference")(
        grad, q, k, v, exact, exact_logsumexp, None, causal
    )
    for ours, other in zip(found, exact):
        assert ours.dtype == np.float32
        error = np.abs(ours - other).max() / np.abs(other).max()
        assert 1e-4 < error < 0.02


def test_attention_of_numbers_that_bfloat16_has_is_exact_but_for_p() -> None:
    """One key: P is 1, so the output is v itself, rounded."""
    q, k, v = draw(1, 3, 4), draw(1, 1, 4), draw(1, 1, 4)
    out, _ = kernels.get("attention", "bf16")(q, k, v)
    np.testing.assert_array_equal(out, np.broadcast_to(theirs(v), out.shape))


def test_the_level_decides_what_computes(medium: None) -> None:
    a, b = draw(8, 8), draw(8, 8)
    assert kernels.select("matmul", a, b) is kernels.get("matmul", "bf16")
    assert kernels.select("matmul", a.astype(float), b.astype(float)) is not kernels.get(
        "matmul", "bf16"
    )
    assert (
        kernels.why("matmul", a, b)
        == "matmul: bf16, as the precision of float32 products is 'medium'"
    )
    q = draw(1, 8, 4)
    assert kernels.select("attention", q, q, q) is kernels.get("attention", "bf16")
    backward = kernels.select("attention_backward", q, q)
    assert backward is kernels.get("attention_backward", "bf16")
    with kernels.use(matmul="numpy"):
        assert kernels.select("matmul", a, b) is kernels.get("matmul", "numpy")
    for level in ("high", "highest"):
        minigen.set_float32_matmul_precision(level)
        assert kernels.select("matmul", a, b) is kernels.get("matmul", "numpy")
    minigen.set_float32_matmul_precision("medium")
    assert kernels.select("matmul", a, b) is kernels.get("matmul", "bf16")


def test_linear_layers_convolutions_and_their_gradients_round(medium: None) -> None:
    x, w = minigen.tensor(draw(9, 16)), minigen.tensor(draw(4, 16), requires_grad=True)
    y = F.linear(x, w)
    rx, rw = theirs(x.numpy()), theirs(w.detach().numpy())
    np.testing.assert_allclose(y.detach().numpy(), rx @ rw.T, rtol=1e-5, atol=1e-5)
    g = draw(9, 4)
    y.backward(minigen.tensor(g))
    np.testing.assert_allclose(w.grad.numpy(), theirs(g).T @ rx, rtol=1e-5, atol=1e-5)

    images, filters = draw(2, 3, 8, 8), draw(4, 3, 3, 3)
    found = F.conv2d(minigen.tensor(images), minigen.tensor(filters)).numpy()
    exact = torch.nn.functional.conv2d(*map(torch.from_numpy, (theirs(images), theirs(filters))))
    np.testing.assert_allclose(found, exact.numpy(), rtol=1e-4, atol=1e-4)
    minigen.set_float32_matmul_precision("highest")
    assert (
        np.abs(F.conv2d(minigen.tensor(images), minigen.tensor(filters)).numpy() - found).max()
        > 1e-3
    )


def test_levels_that_there_are() -> None:
    assert minigen.get_float32_matmul_precision() == "highest"
    with pytest.raises(ValueError, match="one of highest, high, medium; got 'low'"):
        minigen.set_float32_matmul_precision("low")
    with pytest.raises(TypeError, match="expects a string, got int"):
        minigen.set_float32_matmul_precision(16)
    assert minigen.get_float32_matmul_precision() == "highest"
