"""Folders that the transformers library wrote, with random weights: minigen computes the same from
them, and transformers the same from what minigen writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import minigen
from minigen.models import (
    GPT,
    Bert,
    BertConfig,
    GPTConfig,
    Llama,
    LlamaConfig,
    load_pretrained,
    save_pretrained,
)

V, T = 61, 32
# Wide enough initial weights that the logits differ by units, not by thousandths.
SHAPES: dict[str, Any] = {
    "gpt2": transformers.GPT2Config(
        vocab_size=V, n_positions=T, n_embd=48, n_layer=3, n_head=4, initializer_range=0.2,
        bos_token_id=0, eos_token_id=None, pad_token_id=0,
    ),
    "gpt2 with another width and GELU": transformers.GPT2Config(
        vocab_size=V, n_positions=T, n_embd=48, n_layer=2, n_head=3, n_inner=80,
        activation_function="gelu", layer_norm_epsilon=1e-3, initializer_range=0.2,
        bos_token_id=0, eos_token_id=None, pad_token_id=0,
    ),
    "llama": transformers.LlamaConfig(
        vocab_size=V, max_position_embeddings=T, hidden_size=48, intermediate_size=80,
        num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2,
        bos_token_id=0, eos_token_id=None, pad_token_id=None,
    ),
    "llama, tied, other heads and base": transformers.LlamaConfig(
        vocab_size=V, max_position_embeddings=T, hidden_size=40, intermediate_size=64,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1, head_dim=16,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0}, rms_norm_eps=1e-4,
        tie_word_embeddings=True, initializer_range=0.2,
        bos_token_id=0, eos_token_id=None, pad_token_id=None,
    ),
    "bert": transformers.BertConfig(
        vocab_size=V, max_position_embeddings=T, hidden_size=48, intermediate_size=80,
        num_hidden_layers=3, num_attention_heads=4, initializer_range=0.2,
    ),
}  # fmt: skip
CLASSES = {
    "gpt2": transformers.GPT2LMHeadModel,
    "llama": transformers.LlamaForCausalLM,
    "bert": transformers.BertForMaskedLM,
}
WRITERS = [name for name in SHAPES if name != "bert"]
IDS = np.random.default_rng(0).integers(1, V, (3, 20))


def theirs(name: str) -> Any:
    """A model of transformers with random weights."""
    torch.manual_seed(1)
    model = CLASSES[SHAPES[name].model_type](SHAPES[name]).eval()
    with torch.no_grad():
        for tensor in model.parameters():  # biases and gains, too, are at random
            if tensor.ndim == 1:
                tensor += 0.2 * torch.randn(tensor.shape)
    return model


def their_logits(model: Any, ids: np.ndarray = IDS, **options: Any) -> np.ndarray:
    with torch.no_grad():
        return model(torch.from_numpy(ids), **options).logits.numpy()


def our_logits(model: Any, ids: np.ndarray = IDS, **options: Any) -> np.ndarray:
    with minigen.no_grad():
        out = model(minigen.from_numpy(ids), **options)
        return (model.logits(out) if isinstance(model, Bert) else out).numpy()


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("shard_size", ["5GB", "20kB"])
def test_logits_are_those_of_transformers(name: str, shard_size: str, tmp_path: Path) -> None:
    model = theirs(name)
    expected = their_logits(model)
    assert expected.std() > 0.5
    model.save_pretrained(tmp_path, max_shard_size=shard_size)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shard_size == "20kB")
    np.testing.assert_allclose(our_logits(load_pretrained(tmp_path)), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", WRITERS)
def test_greedy_text_is_that_of_transformers(name: str, tmp_path: Path) -> None:
    model = theirs(name)
    model.save_pretrained(tmp_path)
    prompt = IDS[:, :5]
    expected = model.generate(torch.from_numpy(prompt), do_sample=False, max_new_tokens=T - 5)
    ours = load_pretrained(tmp_path)
    assert isinstance(ours, GPT | Llama)
    written = ours.generate(minigen.from_numpy(prompt), T - 5, temperature=0).numpy()
    np.testing.assert_array_equal(written, expected.numpy())
    assert len({tuple(row) for row in written[:, 5:]}) == 3  # each its own text


def test_bert_with_segments_and_padding(tmp_path: Path) -> None:
    model = theirs("bert")
    model.save_pretrained(tmp_path)
    segments = np.random.default_rng(1).integers(0, 2, IDS.shape)
    there = np.arange(IDS.shape[1]) < np.array([[20], [11], [3]])
    expected = their_logits(
        model,
        token_type_ids=torch.from_numpy(segments),
        attention_mask=torch.from_numpy(there.astype(np.int64)),
    )
    found = our_logits(
        load_pretrained(tmp_path),
        segments=minigen.from_numpy(segments),
        attention_mask=minigen.from_numpy(there),
    )
    np.testing.assert_allclose(found[there], expected[there], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(found[there].argmax(-1), expected[there].argmax(-1))


def test_bert_without_a_head(tmp_path: Path) -> None:
    torch.manual_seed(2)
    model = transformers.BertModel(SHAPES["bert"]).eval()
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = model(torch.from_numpy(IDS))
    ours = load_pretrained(tmp_path)
    assert isinstance(ours, Bert)
    with minigen.no_grad():
        states = ours(minigen.from_numpy(IDS))
        summary = ours.pool(states).numpy()
    np.testing.assert_allclose(states.numpy(), expected.last_hidden_state, rtol=0, atol=1e-4)
    np.testing.assert_allclose(summary, expected.pooler_output, rtol=0, atol=1e-4)


# ------------------------------------------------------------------------------ and back

OWN: dict[str, Any] = {
    "gpt2": lambda: GPT(GPTConfig(V, context=T, layers=2, heads=4, width=32, bias=True)),
    "llama": lambda: Llama(LlamaConfig(V, context=T)),
    "bert": lambda: Bert(BertConfig(V, context=T, masked_language_model=True, pooler=False)),
}


def read_by_transformers(kind: str, folder: Path) -> Any:
    """The model as transformers loads it, which must miss nothing and leave nothing over."""
    model, found = CLASSES[kind].from_pretrained(folder, output_loading_info=True)
    assert not any(found.values()), found
    return model.eval()


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("shard_bytes", [None, 20_000])
def test_transformers_reads_what_minigen_writes(
    kind: str, shard_bytes: int | None, tmp_path: Path
) -> None:
    minigen.manual_seed(3)
    model = OWN[kind]().eval()
    with minigen.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * minigen.randn(*parameter.shape)
    save_pretrained(model, tmp_path, shard_bytes=shard_bytes)
    loaded = read_by_transformers(kind, tmp_path)
    expected = our_logits(model)
    assert expected.std() > 0.5
    np.testing.assert_allclose(their_logits(loaded), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", SHAPES)
def test_there_and_back_again(name: str, tmp_path: Path) -> None:
    """transformers -> minigen -> transformers: every weight is what it was, to the bit."""
    model = theirs(name)
    model.save_pretrained(tmp_path / "theirs")
    save_pretrained(load_pretrained(tmp_path / "theirs"), tmp_path / "ours")
    again = read_by_transformers(SHAPES[name].model_type, tmp_path / "ours").state_dict()
    before = model.state_dict()
    assert again.keys() == before.keys()
    assert all(torch.equal(again[key], before[key]) for key in before)
