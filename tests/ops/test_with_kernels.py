"""Operations that hand large arrays to a kernel, through every rung and on small ones, by `use`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import minigen
from minigen import kernels
from tests.oracle import check

RUNGS = ["reference", "numpy", "numba"]

EXPRESSIONS: dict[str, Callable] = {
    "exp": lambda m, x: x.exp(),
    "tanh": lambda m, x: x.tanh(),
    "sigmoid": lambda m, x: x.sigmoid(),
    "softplus": lambda m, x: m.nn.functional.softplus(x),
    "softplus with options": lambda m, x: m.nn.functional.softplus(x, 2.0, 1.0),
    "silu": lambda m, x: m.nn.functional.silu(x),
    "gelu": lambda m, x: m.nn.functional.gelu(x),
    "relu": lambda m, x: x.relu(),
    "leaky_relu": lambda m, x: m.nn.functional.leaky_relu(x, 0.2),
    "softmax": lambda m, x: x.softmax(-1),
    "softmax of the first dimension": lambda m, x: x.softmax(0),
    "softmax of one in the middle": lambda m, x: x.softmax(1),
    "log_softmax": lambda m, x: x.log_softmax(-1),
    "log_softmax of the first dimension": lambda m, x: x.log_softmax(0),
    "log_softmax of one in the middle": lambda m, x: x.log_softmax(1),
    "rms_norm": lambda m, x: m.nn.functional.rms_norm(x, (4, 5), x[0], 1e-5),
    "rms_norm without weight": lambda m, x: m.nn.functional.rms_norm(x, (x.shape[-1],)),
    "bce": lambda m, x: m.nn.functional.binary_cross_entropy_with_logits(x, (x > 0.3).to(x.dtype)),
    "bce of each": lambda m, x: m.nn.functional.binary_cross_entropy_with_logits(
        x, (x > 0.3).to(x.dtype), reduction="none"
    ),
    "bce with a gradient for the target": lambda m, x: (
        m.nn.functional.binary_cross_entropy_with_logits(x[0], x[1].sigmoid(), reduction="sum")
    ),
    "batch_norm": lambda m, x: m.nn.functional.batch_norm(
        x, None, None, x[0, :, 0], x[0, :, 1], training=True
    ),
    "an index": lambda m, x: x[m.tensor([2, 0, 2, 2])],
    "an embedding": lambda m, x: m.nn.functional.embedding(m.tensor([[2, 0], [2, 2]]), x[0]),
    "gather": lambda m, x: x.gather(1, m.tensor([0, 1, 1, 0, 3]).expand(3, 5, 5)[:, :, :2]),
}

SMOOTH = {name for name in EXPRESSIONS if "relu" not in name}


def everywhere(rung: str) -> Any:
    names = [n for n in kernels.operations() if "attention" not in n and n != "matmul"]
    return kernels.use(**dict.fromkeys(names, rung))


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_first_and_second_derivatives_against_torch(name: str, rung: str) -> None:
    expression = EXPRESSIONS[name]
    x = np.random.default_rng(7).standard_normal((3, 4, 5))
    with everywhere(rung):
        check(lambda x: expression(minigen, x), lambda x: expression(torch, x), x)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_large_arrays(name: str) -> None:
    """The same at a size at which Numba is the default, in float32."""
    expression = EXPRESSIONS[name]
    shape = (3, 4, 5) if name == "rms_norm" else (70, 60, 50)
    values = np.random.default_rng(7).standard_normal(shape).astype(np.float32)
    cotangent = None
    found = []
    for module in (minigen, torch):
        x = module.from_numpy(values.copy()).requires_grad_()
        y = expression(module, x)
        if cotangent is None:
            cotangent = np.random.default_rng(8).standard_normal(tuple(y.shape)).astype("f4")
        y.backward(module.from_numpy(np.asarray(cotangent)))
        found.append([y.detach().numpy(), x.grad.numpy()])
    for ours, theirs in zip(*found):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5 * max(scale, 1e-3))


def test_a_swapped_kernel_is_used_on_small_arrays_too() -> None:
    calls = []

    def mine(x: np.ndarray) -> np.ndarray:
        calls.append(x.shape)
        return np.exp(x)

    with kernels.use(exp=mine):
        minigen.ones(2, 3).exp()
    minigen.ones(2, 3).exp()
    assert calls == [(2, 3)]


def test_dropout_draws_what_it_drew() -> None:
    """The mask follows from the seed alone, whichever kernel applies it."""
    found = []
    for size in (900, 90_000):
        minigen.manual_seed(3)
        found.append(minigen.nn.functional.dropout(minigen.ones(size), 0.3).numpy())
    np.testing.assert_array_equal(found[0], found[1][:900])
    assert set(np.unique(found[1])) == {0.0, np.float32(1 / 0.7)}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "softplus", "silu", "softmax"])
def test_every_precision(name: str, dtype: Any) -> None:
    values = np.random.default_rng(0).standard_normal((40, 50, 5)).astype(dtype)
    x = minigen.from_numpy(values).requires_grad_()
    y = EXPRESSIONS[name](minigen, x)
    y.backward(y)
    wanted = EXPRESSIONS[name](torch, torch.from_numpy(values.astype("f8"))).numpy()
    assert y.dtype == x.dtype == x.grad.dtype
    rtol = {np.float16: 5e-3, np.float32: 1e-6, np.float64: 1e-13}[dtype]
    np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=rtol, atol=rtol)
