"""MultiheadAttention against torch: every option, mask and order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import minigen
from minigen import nn
from tests.expressions import normal
from tests.nn.functional_call import check_layer, joined
from tests.nn.masks import as_numbers, hidden, later
from tests.nn.parity import assert_same
from tests.oracle import VALUE, close


@pytest.fixture(autouse=True)
def formula() -> Iterator[None]:
    """Let torch compute attention by its formula, which it can differentiate twice."""
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        yield


def both(*args: Any, **options: Any) -> tuple[Any, Any]:
    return nn.MultiheadAttention(*args, **options), torch.nn.MultiheadAttention(*args, **options)


LAYERS = [
    {},
    {"bias": False},
    {"batch_first": True},
    {"kdim": 3, "vdim": 5},
    {"vdim": 2, "bias": False},
    {"add_bias_kv": True, "add_zero_attn": True},
    {"add_zero_attn": True, "batch_first": True},
]


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("options", LAYERS, ids=str)
def test_attention_to_others(options: dict, need_weights: bool) -> None:
    ours, theirs = both(6, 2, **options)
    batch = 2
    shapes = [(3, batch, 6), (4, batch, options.get("kdim", 6)), (4, batch, options.get("vdim", 6))]
    if options.get("batch_first"):
        shapes = [(n, length, e) for length, n, e in shapes]
    inputs = [normal(*shape) for shape in shapes]
    check_layer(ours, theirs, *inputs, need_weights=need_weights)
    check_layer(
        ours, theirs, *inputs, need_weights=need_weights, attn_mask=hidden(3, 4),
        key_padding_mask=hidden(batch, 4), order=1,
    )  # fmt: skip


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("shape", [(3, 2, 4), (3, 4), (1, 1, 4), (2, 0, 4), (0, 2, 4)])
def test_attention_to_itself(shape: tuple, need_weights: bool, batch_first: bool) -> None:
    """One tensor as query, key and value takes the way of one projection."""
    ours, theirs = both(4, 2, batch_first=batch_first)
    check_layer(
        ours, theirs, normal(*shape), prepare=lambda x: (x, x, x), need_weights=need_weights
    )


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_attention_to_a_memory(batch_first: bool, bias: bool) -> None:
    """One tensor as key and value takes the way of two projections."""
    ours, theirs = both(4, 2, batch_first=batch_first, bias=bias)
    check_layer(ours, theirs, normal(2, 2, 4), normal(2, 2, 4), prepare=lambda x, y: (x, y, y))


MASKS = [
    {"attn_mask": hidden(3, 3)},
    {"attn_mask": hidden(4, 3, 3)},
    {"attn_mask": normal(3, 3)},
    {"attn_mask": normal(4, 3, 3)},
    {"key_padding_mask": hidden(2, 3)},
    {"key_padding_mask": normal(2, 3)},
    {"key_padding_mask": hidden(2, 3), "attn_mask": hidden(3, 3)},
    {"key_padding_mask": normal(2, 3), "attn_mask": normal(4, 3, 3)},
    {"attn_mask": as_numbers(later(3)), "is_causal": True},
    {"attn_mask": normal(3, 3), "is_causal": True},  # which is believed without weights only
    {
        "attn_mask": as_numbers(later(3)),
        "is_causal": True,
        "key_padding_mask": as_numbers(hidden(2, 3)),
    },
]


@pytest.mark.parametrize("options", [{}, {"add_bias_kv": True}, {"add_zero_attn": True}], ids=str)
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("masks", MASKS, ids=lambda masks: "-".join(masks))
def test_masks(masks: dict, need_weights: bool, options: dict) -> None:
    ours, theirs = both(4, 2, **options)
    for average in (True, False):
        check_layer(
            ours, theirs, normal(3, 2, 4), prepare=lambda x: (x, x, x), order=1,
            need_weights=need_weights, average_attn_weights=average, **masks,
        )  # fmt: skip
        if not need_weights:
            break


@pytest.mark.parametrize("average", [True, False])
def test_masks_without_a_batch(average: bool) -> None:
    ours, theirs = both(4, 2)
    for mask in (hidden(3, 3), hidden(2, 3, 3)):
        check_layer(
            ours, theirs, normal(3, 4), prepare=lambda x: (x, x, x), order=1, attn_mask=mask,
            key_padding_mask=np.array([False, True, False]), average_attn_weights=average,
        )  # fmt: skip


def test_the_weights_are_those_of_each_query() -> None:
    ours, theirs = (f.double() for f in both(4, 2))
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x = normal(3, 2, 4)
    for average in (True, False):
        y = ours(*[minigen.from_numpy(x)] * 3, average_attn_weights=average)[1]
        z = theirs(*[torch.from_numpy(x)] * 3, average_attn_weights=average)[1]
        close(y, z, VALUE, "weights")
        np.testing.assert_allclose(y.numpy(force=True).sum(-1), 1)
    assert ours(*[minigen.from_numpy(x)] * 3, need_weights=False)[1] is None


def test_a_query_that_may_look_nowhere() -> None:
    """NaN with weights, as in torch, and zeros from the kernels without."""
    ours, theirs = (f.double() for f in both(4, 2))
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x, mask = normal(3, 2, 4), np.array([[False] * 3, [True] * 3, [False] * 3])
    for need in (True, False):
        outputs = []
        for layer, module in ((ours, minigen), (theirs, torch)):
            given = module.from_numpy(x)
            m = module.from_numpy(mask)
            outputs.append(layer(given, given, given, need_weights=need, attn_mask=m)[0])
        close(*outputs, VALUE, "output")


def test_attention_without_weights_runs_on_the_kernels() -> None:
    seen = []

    def mine(q: Any, k: Any, v: Any, mask: Any = None, is_causal: bool = False, scale: Any = None):
        seen.append((q.shape, None if mask is None else mask.shape, is_causal))
        return q, q[..., 0]

    layer, x = nn.MultiheadAttention(4, 2), minigen.zeros(3, 5, 4)
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    padded = minigen.zeros(5, 3, dtype=minigen.bool)
    with minigen.kernels.use(attention=mine), minigen.no_grad():
        layer(x, x, x)
        assert seen == []
        layer(x, x, x, need_weights=False)
        layer(x, x, x, need_weights=False, attn_mask=mask, is_causal=True)
        layer(x, x, x, need_weights=False, key_padding_mask=padded)
    shape = (5, 2, 3, 2)
    assert seen == [(shape, None, False), (shape, None, True), (shape, (5, 1, 1, 3), False)]


@pytest.mark.parametrize("need_weights", [True, False])
def test_dropout_of_weights(need_weights: bool) -> None:
    options = {"dropout": 1.0, "batch_first": True}
    assert_same(
        *both(4, 2, **options), normal(2, 3, 4),
        forward=lambda f, x: joined(f(x, x, x, need_weights=need_weights)),
    )  # fmt: skip
    minigen.manual_seed(0)
    layer = nn.MultiheadAttention(4, 2, dropout=0.5)
    x = minigen.ones(20, 30, 4)
    if need_weights:
        weights = layer(x, x, x, average_attn_weights=False)[1].numpy(force=True)
        assert 0.45 < (weights == 0).mean() < 0.55
        assert weights.max() == pytest.approx(2 / 20)


def test_initial_values() -> None:
    minigen.manual_seed(0)
    layer = nn.MultiheadAttention(64, 4, add_bias_kv=True)
    bound = math.sqrt(6 / (64 + 3 * 64))
    values = layer.in_proj_weight.numpy(force=True)
    assert 0.95 * bound < np.abs(values).max() <= bound
    assert (layer.in_proj_bias.numpy(force=True) == 0).all()
    assert (layer.out_proj.bias.numpy(force=True) == 0).all()
    assert 0.7 < layer.bias_k.std().item() / math.sqrt(2 / (64 + 64)) < 1.3
    extremes = minigen.cat([layer.bias_k, layer.bias_v]).abs().max().item()
    assert extremes > math.sqrt(6 / (64 + 64)), "normal, not uniform"
    apart = nn.MultiheadAttention(64, 4, kdim=32)
    bound = math.sqrt(6 / (64 + 32))
    assert 0.95 * bound < apart.k_proj_weight.abs().max().item() <= bound


BAD = [
    ("f(x, x, x, attn_mask=m.zeros(3, 3).double())", TypeError, "float64"),
    ("f(x, x, x, attn_mask=m.zeros(3, 3).double(), need_weights=False)", TypeError, "attn_mask"),
    ("f(x, x, x, attn_mask=m.zeros(3, 3).long())", TypeError, "attn_mask must be bool"),
    ("f(x, x, x, key_padding_mask=m.zeros(2, 3).long())", TypeError, "key_padding_mask must be"),
    ("f(x, x, x, key_padding_mask=m.zeros(3, 2))", ValueError, r"\(N, S\) = \(2, 3\)"),
    ("f(x, x, x, key_padding_mask=m.zeros(3))", ValueError, r"has to be \(N, S\)"),
    ("f(u, u, u, key_padding_mask=m.zeros(1, 3))", ValueError, r"has to be \(S,\)"),
    ("f(x, x, x, attn_mask=m.zeros(2, 3))", ValueError, r"of shape \(3, 3\)"),
    ("f(x, x, x, attn_mask=m.zeros(1, 3, 3))", ValueError, r"of shape \(4, 3, 3\)"),
    ("f(u, u, u, attn_mask=m.zeros(1, 3, 3))", ValueError, r"of shape \(2, 3, 3\)"),
    ("f(x, x, x, attn_mask=m.zeros(3))", ValueError, r"attn_mask has to be \(L, S\)"),
    ("f(x, x, x, is_causal=True)", ValueError, "so give attn_mask too"),
    ("f(x, u, u)", ValueError, "key and value need as many"),
    ("f(m.zeros(4), u, u)", ValueError, "query has to be"),
    ("f(x, x, x[:2])", ValueError, "need the same shape"),
    ("f(x[:, :1], x, x)", ValueError, "same batch size"),
    ("f(x[:, :, :3], x, x)", ValueError, "embed_dim = 4 features"),
    ("f(x, x[:, :, :3], x[:, :, :3])", ValueError, "do not fit"),
    ("f(x, x, x.double())", ValueError, "same dtype"),
    ("m.nn.MultiheadAttention(5, 2)", AssertionError, "divisible"),
    ("m.nn.MultiheadAttention(0, 2)", ValueError, "greater than 0"),
    ("g(x, x, x, 4, 3, w, None, None, None, False, 0.0, o, None)", ValueError, "divisible"),
    ("g(x, x, x, 4, 2, w, None, b, None, False, 0.0, o, None)", ValueError, "both bias_k and"),
    (
        "g(x, x, x, 4, 2, w, None, b, b, False, 0.0, o, None, static_k=x)",
        ValueError,
        "cannot be added to static_k",
    ),
    (
        "g(x, x, x, 4, 2, w, None, None, None, False, 0.0, o, None, static_v=x)",
        ValueError,
        r"\(N h, S, d\) = \(4, S, 2\)",
    ),
    (
        "g(x, x, x, 4, 2, w, None, None, None, False, 0, o, None, use_separate_proj_weight=True)",
        ValueError,
        "needs q_, k_ and v_proj_weight",
    ),
]


@pytest.mark.parametrize(("expression", "kind", "message"), BAD)
def test_rejected(expression: str, kind: type, message: str) -> None:
    def evaluate(m: Any) -> Any:
        names = {
            "m": m, "f": m.nn.MultiheadAttention(4, 2), "x": m.ones(3, 2, 4), "u": m.ones(3, 4),
            "g": m.nn.functional.multi_head_attention_forward, "w": m.ones(12, 4),
            "o": m.ones(4, 4), "b": m.ones(1, 1, 4),
        }  # fmt: skip
        return eval(expression, names)

    with pytest.raises(Exception):  # noqa: B017
        evaluate(torch)
    with pytest.raises(kind, match=message):
        evaluate(minigen)


def test_mismatched_masks_are_warned_of() -> None:
    layer, x = nn.MultiheadAttention(4, 2), minigen.zeros(3, 2, 4)
    with pytest.warns(UserWarning, match="mismatched dtypes of key_padding_mask"):
        layer(x, x, x, minigen.zeros(2, 3, dtype=minigen.bool), attn_mask=minigen.zeros(3, 3))


FAST = [
    {},
    {"attn_mask": hidden(3, 3)},
    {"attn_mask": hidden(4, 3, 3)},
    {"key_padding_mask": hidden(2, 3)},
]


@pytest.mark.parametrize("masks", FAST, ids=lambda masks: "-".join(masks))
def test_evaluation_without_gradients(masks: dict) -> None:
    """Where torch takes another path."""
    ours, theirs = (f.double().eval() for f in both(4, 2, batch_first=True))
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x = normal(2, 3, 4)
    outputs = []
    for layer, module in ((ours, minigen), (theirs, torch)):
        t = module.from_numpy(x)
        given = {name: module.from_numpy(mask) for name, mask in masks.items()}
        with module.no_grad():
            outputs.append(
                joined([layer(t, t, t, **given), layer(t, t, t, need_weights=False, **given)])
            )
    close(*outputs, VALUE, "output")
