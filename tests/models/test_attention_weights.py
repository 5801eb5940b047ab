"""The weights that are watched are those that torch returns, and watching changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minigen
from minigen import kernels, nn
from minigen.models import (
    GPT,
    EncoderDecoder,
    EncoderDecoderConfig,
    GPTConfig,
    Llama,
    LlamaConfig,
)
from minigen.models.attention_weights import watch_attention
from minigen.models.encoder_decoder import MultiHeadAttention


@pytest.mark.parametrize("cross", [False, True])
def test_weights_are_those_of_torch(cross: bool) -> None:
    rng = np.random.default_rng(0)
    attention = MultiHeadAttention(EncoderDecoderConfig(heads=2, width=8)).double()
    twin = torch.nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    state = {k.replace("in_proj.", "in_proj_"): v for k, v in attention.state_dict().items()}
    twin.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in state.items()})
    x, memory = rng.normal(size=(3, 4, 8)), rng.normal(size=(3, 6, 8))
    hidden = np.arange(6) >= np.array([[2], [6], [5]])
    with watch_attention(attention) as weights:
        if cross:
            visible = minigen.from_numpy(~hidden.reshape(3, 1, 1, 6))
            attention(minigen.from_numpy(x), minigen.from_numpy(memory), visible)
        else:
            attention(minigen.from_numpy(x), is_causal=True)
    keys = torch.from_numpy(memory if cross else x)
    later = torch.from_numpy(~np.tri(4, dtype=bool))
    masks = {"key_padding_mask": torch.from_numpy(hidden)} if cross else {"attn_mask": later}
    _, theirs = twin(torch.from_numpy(x), keys, keys, average_attn_weights=False, **masks)
    (ours,) = weights[""]
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-9, atol=1e-12)


def small_models() -> dict[str, tuple[nn.Module, tuple, dict[str, tuple[int, ...]]]]:
    """Models, what they read, and the shapes of the weights by the names of their modules."""
    ids = minigen.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 1]])
    source = minigen.tensor([[3, 4, 5], [6, 7, 0]])
    size = {"vocabulary": 10, "context": 8, "layers": 2, "width": 16}
    seq2seq = EncoderDecoderConfig(vocabulary=10, layers=1, heads=2, width=16)
    return {
        "gpt": (GPT(GPTConfig(**size, heads=2)), (ids,), {
            "h.0.attn": (2, 2, 5, 5), "h.1.attn": (2, 2, 5, 5)}),
        "encoder-decoder": (EncoderDecoder(seq2seq), (source, ids), {
            "encoder.0.self_attn": (2, 2, 3, 3), "decoder.0.self_attn": (2, 2, 5, 5),
            "decoder.0.cross_attn": (2, 2, 5, 3)}),
        "llama": (Llama(LlamaConfig(**size, heads=4, key_value_heads=4, hidden=24)), (ids,), {
            "layers.0.self_attn": (2, 4, 5, 5), "layers.1.self_attn": (2, 4, 5, 5)}),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["gpt", "encoder-decoder", "llama"])
def test_every_attention_of_a_model_is_seen(name: str) -> None:
    model, given, shapes = small_models()[name]
    model.eval()
    before = model(*given).detach().numpy()
    with watch_attention(model) as weights:
        during = model(*given).detach().numpy()
    np.testing.assert_allclose(during, before, rtol=1e-5, atol=1e-6)
    assert {name: a.shape for name, (a,) in weights.items()} == shapes
    for (array,) in weights.values():
        np.testing.assert_allclose(array.sum(axis=-1), 1, rtol=1e-5)
        assert (array >= 0).all()


def test_what_is_hidden_has_no_weight() -> None:
    model, given, _ = small_models()["encoder-decoder"]
    with watch_attention(model) as weights:
        model(*given)
    (written,), (read,) = weights["decoder.0.self_attn"], weights["decoder.0.cross_attn"]
    assert (written[..., ~np.tri(5, dtype=bool)] == 0).all()
    assert (read[1, :, :, 2] == 0).all()  # padding of the second source
    assert (read[0] > 0).all()


def test_nothing_stays_when_the_watch_is_over() -> None:
    model, given, _ = small_models()["gpt"]
    with pytest.raises(RuntimeError, match="stop"), watch_attention(model) as weights:
        raise RuntimeError("stop")
    model(*given)
    assert weights == {}
    assert not kernels.overriding()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
