"""The Transformer's parts against torch: every option, mask and order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import minigen
from minigen import nn
from minigen.nn import functional as F
from tests.expressions import normal
from tests.nn.functional_call import check_layer
from tests.nn.masks import as_numbers, hidden, later
from tests.nn.parity import assert_same, randomised_state
from tests.oracle import close

pytestmark = [
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True"),  # torch's advice
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors"),
]


@pytest.fixture(autouse=True)
def formula() -> Iterator[None]:
    """Let torch compute attention by its formula, which it can differentiate twice."""
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        yield


def both(name: str, *args: Any, **options: Any) -> tuple[Any, Any]:
    """The layer in minigen and in torch; an activation may be named as an attribute of nn."""
    layers = []
    for module in (minigen, torch):
        given = dict(options)
        activation = given.get("activation")
        if activation is not None and activation not in ("relu", "gelu"):
            given["activation"] = eval(activation, {"m": module})
        layers.append(getattr(module.nn, name)(*args, **given))
    return layers[0], layers[1]


# ------------------------------------------------------------------------------------- layers

STYLES = [
    {},
    {"norm_first": True, "activation": "gelu"},
    {"bias": False, "activation": "m.tanh", "layer_norm_eps": 0.1},
    {"activation": "m.nn.GELU()", "batch_first": True},
    {"norm_first": True, "batch_first": True, "activation": "m.nn.SiLU()"},
]
SIZES = {"d_model": 4, "nhead": 2, "dim_feedforward": 5, "dropout": 0.0}


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_encoder_layer(style: dict) -> None:
    ours, theirs = both("TransformerEncoderLayer", **SIZES, **style)
    check_layer(ours, theirs, normal(3, 3, 4))
    masks = {"src_mask": hidden(3, 3), "src_key_padding_mask": hidden(3, 3)}
    check_layer(ours, theirs, normal(3, 3, 4), order=1, **masks)
    check_layer(ours, theirs, normal(3, 4), order=1, src_mask=as_numbers(later(3)), is_causal=True)
    assert_same(ours, theirs, normal(3, 2, 4))


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_decoder_layer(style: dict) -> None:
    ours, theirs = both("TransformerDecoderLayer", **SIZES, **style)
    check_layer(ours, theirs, normal(3, 3, 4), normal(3, 3, 4))
    masks = {
        "tgt_mask": as_numbers(later(3)), "tgt_is_causal": True, "memory_mask": hidden(3, 3),
        "memory_key_padding_mask": hidden(3, 3),
    }  # fmt: skip
    check_layer(ours, theirs, normal(3, 3, 4), normal(3, 3, 4), order=1, **masks)
    check_layer(ours, theirs, normal(3, 4), normal(2, 4), order=1)


def test_attention_runs_on_the_kernels() -> None:
    calls = []

    def mine(q: Any, k: Any, v: Any, *mask: Any, **options: Any) -> Any:
        calls.append((q.shape, k.shape))
        return q, q[..., 0]

    x, memory = minigen.zeros(3, 2, 4), minigen.zeros(5, 2, 4)
    with minigen.kernels.use(attention=mine), minigen.no_grad():
        nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0)(x)
        nn.TransformerDecoderLayer(4, 2, 8, dropout=0.0)(x, memory)
    own, other = (2, 2, 3, 2), (2, 2, 5, 2)
    assert calls == [(own, own), (own, own), (own, other)]


def test_dropout_of_layers() -> None:
    """What is dropped whole is left out of the sum; each of the dropouts is told apart."""
    for name in ("TransformerEncoderLayer", "TransformerDecoderLayer"):
        ours, theirs = both(name, 4, 2, 5, dropout=0.0)
        for which in [n for n, _ in theirs.named_children() if n.startswith("dropout")]:
            for layer in (ours, theirs):
                for child, module in layer.named_children():
                    if child.startswith("dropout"):
                        module.p = 1.0 if child == which else 0.0
            decoder = name == "TransformerDecoderLayer"
            inputs = [normal(3, 2, 4)] * (2 if decoder else 1)
            assert_same(ours, theirs, *inputs, rounds=1)


# ------------------------------------------------------------------------------------- stacks


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"norm_first": True}], ids=str)
def test_stacks(options: dict, norm: bool) -> None:
    def stack(module: Any, kind: str) -> Any:
        layer = getattr(module.nn, f"Transformer{kind}Layer")(**SIZES, **options)
        final = module.nn.LayerNorm(4) if norm else None
        return getattr(module.nn, f"Transformer{kind}")(layer, 2, final)

    x, memory = normal(3, 3, 4), normal(3, 3, 4)
    ours, theirs = stack(minigen, "Encoder"), stack(torch, "Encoder")
    causal = {"mask": as_numbers(later(3))}
    for given in (
        {}, causal, {**causal, "is_causal": True}, {**causal, "is_causal": False},
        {"mask": hidden(3, 3)}, {"mask": later(3)}, {"src_key_padding_mask": hidden(3, 3)},
    ):  # fmt: skip
        check_layer(ours, theirs, x, order=1, **given)
    ours, theirs = stack(minigen, "Decoder"), stack(torch, "Decoder")
    for given in ({}, {"tgt_mask": as_numbers(later(3)), "memory_mask": hidden(3, 3)},
                  {"tgt_mask": later(3), "memory_key_padding_mask": hidden(3, 3)},
                  {"tgt_mask": hidden(6, 3, 3)}):  # fmt: skip
        check_layer(ours, theirs, x, memory, order=1, **given)


def test_a_causal_mask_is_recognised() -> None:
    """Only then may the kernels skip what it hides."""
    seen: list = []

    class Spy(nn.TransformerEncoderLayer):
        def forward(self, src: Any, **options: Any) -> Any:
            seen.append(options["is_causal"])
            return super().forward(src, **options)

    encoder = nn.TransformerEncoder(Spy(4, 2, 8), 1)
    x, mask = minigen.zeros(3, 1, 4), nn.Transformer.generate_square_subsequent_mask(3)
    later = ~minigen.ones(3, 3, dtype=minigen.bool).tril()
    other = mask.clone()
    other[0, 0] = -1.0
    for given in (mask, later, other, None):
        encoder(x, mask=given)
    encoder(x, mask=mask, is_causal=False)
    assert seen == [True, True, False, False, False]
    nn.TransformerEncoder(Spy(4, 2, 8, batch_first=True), 1)(x.transpose(0, 1), mask=mask)
    assert seen[-1]


@pytest.mark.parametrize("options", [{}, {"batch_first": True, "norm_first": True}], ids=str)
def test_transformer(options: dict) -> None:
    ours, theirs = both("Transformer", 4, 2, 2, 1, 5, dropout=0.0, activation="gelu", **options)
    source, target = normal(3, 3, 4), normal(3, 3, 4)
    check_layer(ours, theirs, source, target)
    masks = {
        "src_mask": hidden(3, 3), "tgt_mask": later(3),
        "src_key_padding_mask": hidden(3, 3), "tgt_key_padding_mask": hidden(3, 3),
        "memory_key_padding_mask": hidden(3, 3),
    }  # fmt: skip
    check_layer(ours, theirs, source, target, order=1, **masks)
    assert_same(ours, theirs, source, target)


def test_transformer_of_custom_parts() -> None:
    encoder, decoder = nn.Identity(), nn.Identity()
    model = nn.Transformer(4, 2, custom_encoder=encoder, custom_decoder=decoder)
    assert model.encoder is encoder
    assert model.decoder is decoder


def test_matrices_start_from_xavier_and_layers_differ() -> None:
    minigen.manual_seed(0)
    model = nn.Transformer(32, 2, 2, 2, 64)
    bound = math.sqrt(6 / (32 + 64))
    first, second = (layer.linear1.weight.numpy(force=True) for layer in model.encoder.layers)
    assert 0.9 * bound < np.abs(first).max() <= bound
    assert (first != second).any()
    copies = nn.TransformerEncoder(model.encoder.layers[0], 2).layers
    np.testing.assert_array_equal(*(c.linear1.weight.numpy(force=True) for c in copies))
    assert copies[0].linear1.weight is not copies[1].linear1.weight


def test_the_causal_mask() -> None:
    for dtype in ("float32", "float64"):
        masks = [
            m.nn.Transformer.generate_square_subsequent_mask(3, dtype=getattr(m, dtype))
            for m in (minigen, torch)
        ]
        close(*masks, 0, "mask")
    close(F.softmax(minigen.zeros(3, 3) + masks[0].float(), -1)[0], np.float32([1, 0, 0]), 0, "row")


# ------------------------------------------------- torch's own paths in evaluation without graph

LEFT_ALIGNED = np.array([[False, False, True], [False, True, True], [False, False, False]])


@pytest.mark.parametrize("given", [
    {}, {"batch_first": False}, {"norm_first": True}, {"bias": False}, {"activation": "m.tanh"},
    {"activation": "m.nn.GELU()"}, {"nhead": 1}, {"enable_nested_tensor": False}, {"train": True},
    {"mask": as_numbers(later(3))}, {"padding": np.array([[True, False, False]] * 3)},
    {"grad": True}, {"different_eps": True},
], ids=str)  # fmt: skip
def test_evaluation_without_gradients(given: dict) -> None:
    """Where torch takes nested tensors, and only there, padding comes out as zeros."""
    outputs = []
    options = {**SIZES, "batch_first": True}
    options |= {k: v for k, v in given.items() if k in ("batch_first", "norm_first", "bias")}
    options["nhead"] = given.get("nhead", 2)
    x, state = normal(3, 3, 4), {}
    for module in (torch, minigen):
        activation = eval(given.get("activation", "'relu'"), {"m": module})
        layer = module.nn.TransformerEncoderLayer(**options, activation=activation)
        if "different_eps" in given:
            layer.norm2.eps = 0.1
        nested = given.get("enable_nested_tensor", True)
        encoder = module.nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested).double()
        if module is torch:
            state = randomised_state(encoder, np.random.default_rng(7))
        encoder.load_state_dict(
            {k: torch.from_numpy(v) for k, v in state.items()} if module is torch else state
        )
        encoder.train("train" in given)
        mask = module.from_numpy(given["mask"]) if "mask" in given else None
        hide = np.where(given.get("padding", LEFT_ALIGNED), -np.inf, 0.0)
        with module.set_grad_enabled("grad" in given):
            outputs.append(
                encoder(module.from_numpy(x), mask, src_key_padding_mask=module.from_numpy(hide))
            )
    close(outputs[1], outputs[0], 1e-8, "encoder")
    padded = outputs[1].numpy(force=True)[LEFT_ALIGNED]
    zero = given == {} or given.get("activation") == "m.nn.GELU()"
    assert (padded == 0).all() == zero


BAD = [
    ("m.nn.TransformerEncoderLayer(4, 2, activation='elu')", RuntimeError, "'relu', 'gelu'"),
    ("m.nn.Transformer(4, 2, 1, 1, 8)(x, x[:, :1])", ValueError, "same batch size"),
    ("m.nn.Transformer(4, 2, 1, 1, 8)(x, x[:, :, :3])", ValueError, "need d_model = 4"),
    (
        "m.nn.TransformerEncoder(m.nn.TransformerEncoderLayer(4, 2), 2)(x, is_causal=True)",
        ValueError,
        "so give attn_mask too",
    ),
    ("m.nn.TransformerEncoder(m.nn.TransformerEncoderLayer(4, 2), 0)(x)", IndexError, "range"),
]


@pytest.mark.parametrize(("expression", "kind", "message"), BAD)
def test_rejected(expression: str, kind: type, message: str) -> None:
    with pytest.raises(Exception):  # noqa: B017
        eval(expression, {"m": torch, "x": torch.ones(3, 2, 4)})
    with pytest.raises(kind, match=message):
        eval(expression, {"m": minigen, "x": minigen.ones(3, 2, 4)})


def test_mismatched_masks_are_warned_of() -> None:
    x = minigen.zeros(3, 2, 4)
    with pytest.warns(UserWarning, match="mismatched dtypes of src_key_padding_mask"):
        nn.TransformerEncoderLayer(4, 2, 8)(
            x, minigen.zeros(3, 3), minigen.zeros(2, 3, dtype=minigen.bool)
        )
