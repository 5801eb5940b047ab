"""`use(...="reference")`: the formula in float64 under a float32 model, which stays float32."""

from __future__ import annotations

import numpy as np
import pytest

import minigen
from minigen import kernels
from minigen.nn import functional as F


def gradients() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    x = minigen.from_numpy(rng.standard_normal((2, 3, 8, 4)).astype(np.float32)).requires_grad_()
    w = minigen.from_numpy(rng.standard_normal((4, 4)).astype(np.float32)).requires_grad_()
    y = F.scaled_dot_product_attention(x @ w, x, x, is_causal=True)
    y = F.gelu(F.layer_norm(y, (4,)))
    loss = F.cross_entropy(y.reshape(-1, 4), minigen.zeros(48, dtype=minigen.int64))
    loss.backward()
    tensors = [y, loss, x.grad, w.grad]
    assert all(t.dtype is minigen.float32 for t in tensors)
    return [t.detach().numpy() for t in tensors]


@pytest.mark.parametrize("step", [0, 1, -1], ids=["reference", "numpy", "fastest"])
def test_every_rung_runs_under_a_float32_model(step: int) -> None:
    expected = gradients()
    names = [name for name in kernels.operations() if name not in ("adam", "erf")]
    chosen = {name: kernels.rungs(name)[step].name for name in names}
    with kernels.use(**chosen):
        assert all(rung in kernels.why(name) for name, rung in chosen.items())
        swapped = gradients()
    for a, b in zip(expected, swapped):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
