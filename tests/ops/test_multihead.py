"""multi_head_attention_forward where `nn.MultiheadAttention` does not call it, and masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minigen
from minigen.ops.multihead import added_mask
from tests.expressions import normal
from tests.nn.functional_call import joined
from tests.oracle import VALUE, check, close


def test_functional_with_static_heads() -> None:
    q, k = normal(3, 2, 4), normal(5, 2, 4)
    w, o, static_k, static_v = normal(12, 4), normal(4, 4), normal(4, 5, 2), normal(4, 5, 2)
    outputs = []
    for module in (minigen, torch):
        t = [module.from_numpy(a) for a in (q, k, w, o, static_k, static_v)]
        functional = module.nn.functional.multi_head_attention_forward
        head = (t[0], t[1], t[1], 4, 2, t[2], None, None, None, False, 0.0, t[3], None)
        outputs.append(joined([
            functional(*head, static_k=t[4]), functional(*head, static_v=t[5]),
            functional(*head, static_k=t[4], static_v=t[5], need_weights=False),
        ]))  # fmt: skip
    close(*outputs, VALUE, "static")


@pytest.mark.parametrize("training", [True, False])
def test_plain_call(training: bool) -> None:
    """All by position, with dropout in training only, and a mask that is learned."""

    def function(module):
        def run(x, mask, w, b, o):
            forward = module.nn.functional.multi_head_attention_forward
            p = 0.0 if training else 1.0
            return forward(
                x, x, x, 4, 2, w, b, None, None, False, p, o, None, training, None, True, mask
            )

        return run

    inputs = normal(3, 2, 4), normal(3, 3), normal(12, 4), normal(12), normal(4, 4)
    check(function(minigen), function(torch), *inputs)


def test_float32_masks_go_with_any_query() -> None:
    outputs = []
    x, w, o = normal(3, 2, 4), normal(12, 4), normal(4, 4)
    mask = normal(3, 3).astype(np.float32)
    for module in (minigen, torch):
        t, w_in, w_out, m = (module.from_numpy(a) for a in (x, w, o, mask))
        outputs.append(
            module.nn.functional.multi_head_attention_forward(
                t, t, t, 4, 2, w_in, None, None, None, False, 0.0, w_out, None,
                need_weights=False, attn_mask=m,
            )[0]
        )  # fmt: skip
    close(*outputs, VALUE, "output")


def test_added_mask() -> None:
    numbers = minigen.tensor([1.0, 2.0])
    assert added_mask(None, "m", minigen.float32) is None
    assert added_mask(numbers, "m", minigen.float64) is numbers
    made = added_mask(minigen.tensor([True, False]), "m", minigen.float64)
    assert made.dtype is minigen.float64
    assert made.tolist() == [-np.inf, 0.0]
    with pytest.raises(TypeError, match="m must be bool or floating-point"):
        added_mask(minigen.tensor([1]), "m", minigen.float32)
