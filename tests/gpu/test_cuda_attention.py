"""FlashAttention in CUDA C++ on a GPU: what the emulator checks, and sizes that it cannot do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from minigen.kernels.attention.cuda import heads

from minigen import kernels

cupy = pytest.importorskip("cupy")
pytestmark = pytest.mark.skipif(not cupy.cuda.is_available(), reason="needs a GPU")

BOUNDS = {"cuda_flash": 1e-5, "cuda_flash_tf32x3": 2e-6, "cuda_flash_bf16": 1e-2}
ALL = pytest.mark.parametrize("rung", BOUNDS)

# leading dimensions of q, of k and v, L, S, E, Ev, causal
CASES = {
    "one of each": ((1,), (1,), 1, 1, 64, 64, True),
    "several tiles": ((2, 3), (2, 3), 517, 517, 64, 64, True),
    "several tiles, all seen": ((2, 3), (2, 3), 517, 389, 64, 64, False),
    "more queries than keys": ((2,), (2,), 700, 129, 128, 128, True),
    "more keys than queries": ((2,), (2,), 65, 1030, 128, 128, True),
    "wide, all seen": ((2,), (2,), 300, 333, 128, 128, False),
    "three quarters wide": ((3,), (3,), 200, 200, 96, 96, True),
    "narrow": ((3,), (3,), 100, 257, 32, 32, True),
    "narrower": ((3,), (3,), 100, 257, 16, 16, False),
    "a width that no kernel has": ((2,), (2,), 90, 130, 50, 41, True),
    "grouped queries": ((2, 2, 4), (2, 2, 1), 200, 200, 64, 64, True),
}


def error(result: Any, truth: np.ndarray) -> float:
    """By norm, relative."""
    assert result.shape == truth.shape
    return float(np.linalg.norm(cupy.asnumpy(result) - truth) / np.linalg.norm(truth))


@ALL
@pytest.mark.parametrize("case", CASES)
def test_forward_and_backward(rung: str, case: str) -> None:
    """Against the formula in float64; twenty runs give the same bits."""
    rng = np.random.default_rng(0)
    lead, key_lead, queries, keys, width, value_width, causal = CASES[case]
    shapes = ((*lead, queries, width), (*key_lead, keys, width), (*key_lead, keys, value_width),
              (*lead, queries, value_width))  # fmt: skip
    q, k, v, grad = (rng.standard_normal(s).astype(np.float32) for s in shapes)
    truth, logsumexp = kernels.get("attention", "reference")(q, k, v, is_causal=causal)
    wanted = kernels.get("attention_backward", "reference")(
        grad, q, k, v, truth, logsumexp, is_causal=causal
    )
    arrays = [cupy.asarray(x) for x in (q, k, v)]

    def run() -> tuple[Any, ...]:
        out = kernels.get("attention", rung)(*arrays, is_causal=causal)
        backward = kernels.get("attention_backward", rung)
        return *out, *backward(cupy.asarray(grad), *arrays, *out, is_causal=causal)

    out, sums, *gradients = run()
    assert error(out, truth) < BOUNDS[rung]
    np.testing.assert_allclose(cupy.asnumpy(sums), logsumexp, atol=2 * BOUNDS[rung])
    for name, gradient, right in zip(("dq", "dk", "dv"), gradients, wanted):
        if queries > 1 or name == "dv":  # softmax of one number has no gradient
            assert error(gradient, right) < 2 * BOUNDS[rung], name
    for _ in range(19):
        again = run()
        assert all((a == b).all() for a, b in zip((out, sums, *gradients), again))


@pytest.mark.parametrize("width", [32, 64, 128])
def test_tf32x3_is_as_accurate_as_float32(width: int) -> None:
    """Of tensor cores, which round toward zero, beside the float32 units: every result."""
    rng = np.random.default_rng(0)
    q, k, v, grad = rng.standard_normal((4, 2, 1000, width)).astype(np.float32)
    truth = kernels.get("attention", "reference")(q, k, v)
    wanted = kernels.get("attention_backward", "reference")(grad, q, k, v, *truth)
    arrays = [cupy.asarray(x) for x in (q, k, v)]

    def errors(rung: str) -> list[float]:
        out = kernels.get("attention", rung)(*arrays)
        backward = kernels.get("attention_backward", rung)
        results = (*out, *backward(cupy.asarray(grad), *arrays, *out))
        return [error(*each) for each in zip(results, (*truth, *wanted))]

    units, cores = errors("cuda_flash"), errors("cuda_flash_tf32x3")
    assert all(c < 1.5 * u for u, c in zip(units, cores)), (units, cores)


@ALL
def test_strided_views(rung: str) -> None:
    """Heads as a projection of queries, keys and values at once leaves them: the bits of copies."""
    joint = np.random.default_rng(0).standard_normal((2, 100, 3, 2, 64)).astype(np.float32)
    q, k, v = (joint[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
    placed = cupy.asarray(joint)
    views = [placed[:, :, i].transpose(0, 2, 1, 3) for i in range(3)]
    out, sums = kernels.get("attention", rung)(*views)
    assert error(out, kernels.get("attention", "reference")(q, k, v)[0]) < BOUNDS[rung]
    backward = kernels.get("attention_backward", rung)
    found = (out, sums, *backward(views[0], *views, out, sums))
    side_by_side = [x.copy() for x in views]
    wanted = kernels.get("attention", rung)(*side_by_side)
    wanted += backward(side_by_side[0], *side_by_side, *wanted)
    assert all((a == b).all() for a, b in zip(found, wanted))


@ALL
def test_nothing_is_copied(rung: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """GPT's attention, there and back: it reads and writes arrays as the model has them."""
    monkeypatch.setattr(heads, "filled_copy", lambda *given: pytest.fail("an array was copied"))
    placed = cupy.random.standard_normal((2, 100, 3, 2, 64), dtype=cupy.float32)
    views = [placed[:, :, i].transpose(0, 2, 1, 3) for i in range(3)]
    out, sums = kernels.get("attention", rung)(*views)
    rows = out.swapaxes(1, 2).reshape(2, 100, 128)
    assert rows.data.ptr == out.data.ptr
    gradients = kernels.get("attention_backward", rung)(views[0], *views, out, sums)
    # thirds of one array, as the operands are, and so the gradient of the split as it is
    assert all(x.strides == view.strides for x, view in zip(gradients, views))
    assert gradients[1].data.ptr - gradients[0].data.ptr == 2 * 64 * 4
    assert all(x.base is gradients[0].base for x in gradients)
