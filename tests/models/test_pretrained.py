"""Checkpoints written by torch in the layout of `transformers`: what the models compute, and one
clear error for everything that can be wrong with a folder."""

from __future__ import annotations

import copy
import importlib.util
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigen
from minigen.models import GPT, GPTConfig, load_pretrained, save_pretrained
from minigen.models.sampling import evaluating

_spec = importlib.util.spec_from_file_location("folders", Path(__file__).parent / "folders.py")
assert _spec is not None
assert _spec.loader is not None
folders = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(folders)

KINDS = ["gpt2", "llama", "bert"]
IDS = np.random.default_rng(0).integers(0, folders.V, (2, 7))


def doubled(tensors: dict) -> dict:
    return {name: tensor.double() for name, tensor in tensors.items()}


def logits_of(model: Any) -> np.ndarray:
    with minigen.no_grad():
        out = model(minigen.from_numpy(IDS))
        return (model.logits(out) if hasattr(model, "logits") else out).numpy()


def expected(kind: str, tensors: dict) -> np.ndarray:
    ids = torch.from_numpy(IDS)
    if kind == "bert":
        whole = torch.zeros_like(ids)
        return folders.bert(doubled(tensors), ids, whole, whole + 1)[2].numpy()
    return getattr(folders, kind)(doubled(tensors), ids).numpy()


# ------------------------------------------------------------------------------ what is computed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_logits_are_those_of_torch(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = folders.weights(kind, dtype)
    model = load_pretrained(folders.write(tmp_path, kind, tensors))
    assert not model.training
    assert {str(p.dtype) for p in model.parameters()} == {str(minigen.float32)}
    as_read = {name: tensor.float() for name, tensor in tensors.items()}
    np.testing.assert_allclose(logits_of(model.double()), expected(kind, as_read), atol=1e-12)


def test_bert_with_padding_segments_and_pooler(tmp_path: Path) -> None:
    tensors = folders.weights("bert")
    model = load_pretrained(folders.write(tmp_path, "bert", tensors)).double()
    rng = np.random.default_rng(1)
    segments, there = rng.integers(0, 2, IDS.shape), np.arange(7) < np.array([[7], [4]])
    states, summary, logits = folders.bert(
        doubled(tensors), *map(torch.from_numpy, (IDS, segments, there.astype(np.int64)))
    )
    with minigen.no_grad():
        ours = model(*map(minigen.from_numpy, (IDS, segments, there)))
        np.testing.assert_allclose(ours.numpy(), states, atol=1e-12)
        np.testing.assert_allclose(model.pool(ours).numpy(), summary, atol=1e-12)
        np.testing.assert_allclose(model.logits(ours).numpy(), logits, atol=1e-12)


@pytest.mark.parametrize("steps", [[1] * 9, [4, 1, 3, 1], [9]])
def test_llama_with_a_cache_equals_reading_anew(steps: list[int], tmp_path: Path) -> None:
    model = load_pretrained(folders.write(tmp_path, "llama", folders.weights("llama"))).double()
    ids = minigen.from_numpy(np.random.default_rng(2).integers(0, folders.V, (2, 9)))
    read = model.reader()
    end = 0
    for step in steps:
        logits = read(ids[:, end : end + step])
        end += step
        with evaluating(model):
            anew = model(ids[:, :end])[:, -1]
        np.testing.assert_allclose(logits.numpy(), anew.numpy(), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="10 tokens do not fit into a context of 9"):
        read(ids[:, :1])


def test_llama_writes(tmp_path: Path) -> None:
    model = load_pretrained(folders.write(tmp_path, "llama", folders.weights("llama")))
    written = model.generate(minigen.tensor([[3]]), 8, temperature=0).numpy()
    ids = torch.tensor([[3]])
    for _ in range(8):
        logits = folders.llama(doubled(folders.weights("llama")), ids)
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
    np.testing.assert_array_equal(written, ids.numpy())


@pytest.mark.parametrize(
    ("changes", "base"),
    [
        ({"rope_theta": 500.0}, 500.0),
        ({"rope_parameters": {"rope_theta": 500.0, "rope_type": "default"}}, 500.0),
    ],
)
def test_the_rotary_base_is_read(changes: dict, base: float, tmp_path: Path) -> None:
    tensors = folders.weights("llama")
    model = load_pretrained(folders.write(tmp_path, "llama", tensors, **changes)).double()
    theirs = folders.llama(doubled(tensors), torch.from_numpy(IDS), base)
    np.testing.assert_allclose(logits_of(model), theirs, atol=1e-12)


# ------------------------------------------------------------------------------ names


def test_names_may_lack_the_prefix_and_buffers_do_not_matter(tmp_path: Path) -> None:
    mask = {"h.0.attn.bias": torch.ones(1, 1, 9, 9), "h.1.attn.masked_bias": torch.tensor(-1e4)}
    frequencies = {"layers.0.self_attn.rotary_emb.inv_freq": torch.ones(3)}
    places = {"embeddings.position_ids": torch.arange(9)[None]}
    next_sentence = {"cls.seq_relationship.bias": torch.ones(2)}
    for kind, prefix, extra in (
        ("gpt2", "transformer.", mask),
        ("llama", "model.", frequencies),
        ("bert", "bert.", places | next_sentence),
    ):
        tensors = folders.weights(kind)
        bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        model = load_pretrained(folders.write(tmp_path / kind, kind, bare | extra))
        np.testing.assert_allclose(logits_of(model.double()), expected(kind, tensors), atol=1e-12)


def test_old_names_of_layer_norms(tmp_path: Path) -> None:
    tensors = folders.weights("bert")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("Norm.bias", "Norm.beta"): t
        for name, t in tensors.items()
    }
    model = load_pretrained(folders.write(tmp_path, "bert", old))
    np.testing.assert_allclose(logits_of(model.double()), expected("bert", tensors), atol=1e-12)


def test_a_bert_without_pooler_and_head(tmp_path: Path) -> None:
    tensors = {k: v for k, v in folders.weights("bert").items() if ".layer." in k or "emb" in k}
    model = load_pretrained(folders.write(tmp_path, "bert", tensors))
    assert not model.config.pooler
    assert not model.config.masked_language_model


def test_tied_weights_must_be_equal(tmp_path: Path) -> None:
    tensors = folders.weights("gpt2")
    head = {"lm_head.weight": tensors["transformer.wte.weight"].clone()}
    load_pretrained(folders.write(tmp_path, "gpt2", tensors | head))
    head["lm_head.weight"][3, 3] += 1
    folders.write(tmp_path, "gpt2", tensors | head)
    with pytest.raises(ValueError, match=r"lm_head.weight is not equal to wte.weight"):
        load_pretrained(tmp_path)
    tensors = folders.weights("llama")
    tied = {k: v for k, v in tensors.items() if k != "lm_head.weight"}
    model = load_pretrained(folders.write(tmp_path, "llama", tied, tie_word_embeddings=True))
    np.testing.assert_allclose(logits_of(model.double()), expected("llama", tied), atol=1e-12)
    folders.write(tmp_path, "llama", tensors, tie_word_embeddings=True)
    with pytest.raises(ValueError, match=r"lm_head.weight is not equal to embed_tokens.weight"):
        load_pretrained(tmp_path)


def test_missing_and_unexpected_tensors_are_all_listed(tmp_path: Path) -> None:
    tensors = folders.weights("gpt2")
    lost = ["transformer.h.1.ln_1.bias", "transformer.ln_f.weight"]
    tensors = {name: t for name, t in tensors.items() if name not in lost}
    tensors |= {"transformer.h.0.more": torch.ones(1), "other": torch.ones(1)}
    tensors["transformer.h.0.ln_1.weight"] = torch.ones(3)
    tensors["transformer.h.0.ln_2.weight"] = torch.ones(16, dtype=torch.int32)
    with pytest.raises(ValueError) as caught:
        load_pretrained(folders.write(tmp_path, "gpt2", tensors))
    assert str(caught.value) == (
        f"{tmp_path}: missing: h.1.ln_1.bias, ln_f.weight; unexpected: h.0.more, other; "
        "h.0.ln_1.weight has shape (3,), not (16,); h.0.ln_2.weight is int32, not floating-point"
    )


def test_a_tensor_under_two_names_is_refused(tmp_path: Path) -> None:
    tensors = folders.weights("gpt2")
    tensors["wte.weight"] = tensors["transformer.wte.weight"].clone()
    with pytest.raises(ValueError, match=r"wte.weight is there twice"):
        load_pretrained(folders.write(tmp_path, "gpt2", tensors))


# ------------------------------------------------------------------------------ writing


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shard_bytes", [None, 5000, 1])
def test_what_is_written_is_what_was_read(
    kind: str, shard_bytes: int | None, tmp_path: Path
) -> None:
    tensors = folders.weights(kind)
    model = load_pretrained(folders.write(tmp_path / "theirs", kind, tensors))
    out = tmp_path / "ours"
    save_pretrained(model, out, shard_bytes=shard_bytes)
    files = sorted(path.name for path in out.glob("*.safetensors"))
    written = {}
    for file in files:
        held = safetensors.torch.load_file(out / file)
        written |= held
        with safetensors.safe_open(out / file, "pt") as opened:
            assert opened.metadata() == {"format": "pt"}
        if len(files) > 1:
            index = json.loads((out / "model.safetensors.index.json").read_text())
            assert {n for n, f in index["weight_map"].items() if f == file} == set(held)
    assert len(files) == {None: 1, 5000: len(files), 1: len(tensors)}[shard_bytes]
    assert (shard_bytes is None) == (files == ["model.safetensors"])
    assert written.keys() == tensors.keys()
    assert all(torch.equal(written[name], tensors[name]) for name in tensors)
    again = json.loads((out / "config.json").read_text())
    theirs = folders.CONFIGS[kind]
    assert {k: again[k] for k in theirs if k in again and theirs[k] is not None} == {
        k: v for k, v in theirs.items() if k in again and v is not None
    }
    np.testing.assert_array_equal(logits_of(load_pretrained(out)), logits_of(model))


def test_an_older_checkpoint_in_the_folder_is_not_read(tmp_path: Path) -> None:
    model = load_pretrained(folders.write(tmp_path / "a", "gpt2", folders.weights("gpt2")))
    save_pretrained(model, tmp_path / "b", shard_bytes=5000)
    with minigen.no_grad():
        model.wte.weight += 1
    save_pretrained(model, tmp_path / "b")
    np.testing.assert_array_equal(logits_of(load_pretrained(tmp_path / "b")), logits_of(model))
    with minigen.no_grad():
        model.wte.weight += 1
    save_pretrained(model, tmp_path / "b", shard_bytes=5000)
    np.testing.assert_array_equal(logits_of(load_pretrained(tmp_path / "b")), logits_of(model))


def test_what_is_no_such_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="got Linear"):
        save_pretrained(minigen.nn.Linear(2, 2), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bias=False"):
        save_pretrained(GPT(GPTConfig(vocabulary=5, context=4, layers=1, width=8)), tmp_path)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------ broken folders


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict]]:
    """A folder of each kind, and the state of its model; tests write a damaged file into it."""
    made = {}
    for kind in KINDS:
        folder = folders.write(tmp_path_factory.mktemp(kind), kind, folders.weights(kind))
        state = {n: t.numpy().copy() for n, t in load_pretrained(folder).state_dict().items()}
        made[kind] = (folder, state)
    return made


def damaged(good: tuple[Path, dict], file: str, content: bytes) -> str | None:
    """The message with which a folder is refused in which one file is replaced; None if it loads,
    in which case it must be the very same model."""
    folder, state = good
    path = folder / file
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        model = load_pretrained(folder)
    except ValueError as error:
        if str(folder) not in str(error):
            raise
        return str(error)
    finally:
        path.write_bytes(before)
    assert all(np.array_equal(t.numpy(), state[n]) for n, t in model.state_dict().items())
    return None


def test_truncated_files(good: dict) -> None:
    content = (good["gpt2"][0] / "model.safetensors").read_bytes()
    for length in [*range(0, 64), *range(64, len(content), 997), len(content) - 1]:
        message = damaged(good["gpt2"], "model.safetensors", content[:length])
        assert message is not None, length
        assert "complete safetensors" in message, length
    assert damaged(good["gpt2"], "model.safetensors", content + b"\0") is not None


@pytest.mark.parametrize("length", [0, 1, 7, 2**20, 2**31, 2**40, 2**63, 2**64 - 1])
def test_wrong_lengths_of_the_header(length: int, good: dict) -> None:
    content = (good["gpt2"][0] / "model.safetensors").read_bytes()
    changed = struct.pack("<Q", length) + content[8:]
    assert "complete safetensors" in str(damaged(good["gpt2"], "model.safetensors", changed))


def with_header(content: bytes, change: Any) -> bytes:
    """The file with its header changed by a function."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    changed = json.dumps(change(copy.deepcopy(header))).encode()
    return struct.pack("<Q", len(changed)) + changed + content[8 + size :]


NAME = "transformer.h.0.attn.c_attn.weight"


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("overlap", {"data_offsets": [0, 16 * 48 * 4]}),
        ("backwards", {"data_offsets": [3072, 0]}),
        ("beyond the end", {"data_offsets": [2**40, 2**40 + 3072]}),
        ("negative", {"data_offsets": [-3072, 0]}),
        ("fractions", {"data_offsets": [0.5, 3072.5]}),
        ("huge shape", {"shape": [2**40, 2**40]}),
        ("a shape that overflows to the right size", {"shape": [2**63, 2, 768]}),
        ("negative shape", {"shape": [-16, -48]}),
        ("a zero in the shape", {"shape": [0, 48]}),
        ("another shape of this size", {"shape": [48, 16]}),
        ("one dimension", {"shape": [768]}),
        ("an integer type", {"dtype": "I32"}),
        ("a type of half the size", {"dtype": "F16"}),
        ("no type", {"dtype": "X7"}),
        ("no shape", {"shape": None}),
    ],
)
def test_headers_that_lie(name: str, entry: dict, good: dict) -> None:
    content = (good["gpt2"][0] / "model.safetensors").read_bytes()

    def change(header: dict) -> dict:
        header[NAME] |= entry
        return header

    assert damaged(good["gpt2"], "model.safetensors", with_header(content, change)) is not None
    assert damaged(good["gpt2"], "model.safetensors", with_header(content, lambda h: h)) is None


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_other_byte_in_the_header(good: dict, data: st.DataObject) -> None:
    """An error, or the same model: never a crash, another error or another model."""
    kind = data.draw(st.sampled_from(KINDS))
    content = bytearray((good[kind][0] / "model.safetensors").read_bytes())
    end = 8 + struct.unpack("<Q", content[:8])[0]
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, end - 1))] = data.draw(
            st.integers(0, 255) | st.sampled_from(list(b'0123456789{}[]",:'))
        )
    damaged(good[kind], "model.safetensors", bytes(content))


REQUIRED = {
    "gpt2": ["vocab_size", "n_positions", "n_embd", "n_layer", "n_head"],
    "llama": [
        "vocab_size", "max_position_embeddings", "hidden_size", "intermediate_size",
        "num_hidden_layers", "num_attention_heads", "rms_norm_eps",
    ],
    "bert": [
        "vocab_size", "max_position_embeddings", "hidden_size", "intermediate_size",
        "num_hidden_layers", "num_attention_heads",
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_missing_settings_are_all_listed(kind: str, good: dict) -> None:
    config = folders.CONFIGS[kind]
    for name in REQUIRED[kind]:
        without = {key: value for key, value in config.items() if key != name}
        message = damaged(good[kind], "config.json", json.dumps(without).encode())
        assert str(message).endswith(f"lacks {name}")
    message = damaged(good[kind], "config.json", json.dumps({"model_type": kind}).encode())
    assert str(message).endswith("lacks " + ", ".join(REQUIRED[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_settings(kind: str, good: dict) -> None:
    """Sizes that the tensors do not have, and values of other types; none asks for memory."""
    others = [None, "3", [4], {}, True, float("nan"), float("inf"), -1, -0.5]
    sizes = [0, 5, 7, 10**9, 10**18, 1.5]
    for name in REQUIRED[kind]:
        # A rotary context is in no tensor, and costs nothing before it is used.
        free = name == "rms_norm_eps" or (kind, name) == ("llama", "max_position_embeddings")
        for value in others if free else others + sizes:
            config = json.dumps({**folders.CONFIGS[kind], name: value}).encode()
            assert damaged(good[kind], "config.json", config) is not None, (name, value)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("gpt2", {"model_type": "gpt5"}, "model_type is 'gpt5'; there are gpt2, llama, bert"),
        ("gpt2", {"model_type": ["gpt2"]}, "model_type is"),
        ("gpt2", {"activation_function": "relu"}, "only 'gelu_new' or"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "only False is offered"),
        ("gpt2", {"n_inner": 65}, r"h.0.mlp.c_fc.weight has shape \(16, 64\), the config says"),
        ("gpt2", {"n_head": 3}, "3 equal heads"),
        ("gpt2", {"n_layer": 3}, "tensors of 2 layers, the config says 3"),
        ("gpt2", {"resid_pdrop": "a"}, "resid_pdrop must be a number"),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 2}}, "rope_scaling is"),
        ("llama", {"rope_parameters": {"rope_type": "llama3"}}, "rope_type is 'llama3'"),
        ("llama", {"rope_parameters": 3}, "rope_parameters is no object"),
        ("llama", {"rope_theta": 0}, "rope_theta must be above 0"),
        ("llama", {"attention_bias": True}, "only False is offered"),
        ("llama", {"num_key_value_heads": 3}, "4 heads cannot share 3"),
        ("llama", {"num_key_value_heads": 4}, "k_proj.weight has shape"),
        ("llama", {"head_dim": 5}, "cannot be rotated in pairs"),
        ("llama", {"tie_word_embeddings": 1}, "must be true or false"),
        ("bert", {"hidden_act": "relu"}, "only 'gelu' is offered"),
        ("bert", {"is_decoder": True}, "only False"),
        ("bert", {"position_embedding_type": "relative_key"}, "only 'absolute'"),
        ("bert", {"type_vocab_size": 3}, "token_type_embeddings.weight has shape"),
        ("bert", {"hidden_dropout_prob": 2.0}, "ropout"),
    ],
)
def test_settings_that_cannot_be_followed(
    kind: str, changes: dict, message: str, good: dict
) -> None:
    config = json.dumps({**folders.CONFIGS[kind], **changes}).encode()
    told = damaged(good[kind], "config.json", config)
    assert told is not None
    with pytest.raises(ValueError, match=message):
        raise ValueError(told)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b"null"])
def test_configs_that_are_none(content: bytes, good: dict) -> None:
    assert "no JSON" in str(damaged(good["gpt2"], "config.json", content))


def test_missing_files(good: dict, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(folders.CONFIGS["gpt2"]))
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"weight_map": None}, ValueError, "no weight_map"),
        ({"weight_map": {"a": 3}}, ValueError, "no weight_map"),
        ({"weight_map": {"a": "../other/model.safetensors"}}, ValueError, "outside of its folder"),
        ({"weight_map": {"a": "/etc/passwd"}}, ValueError, "outside of its folder"),
        ({"weight_map": {"a": "none.safetensors"}}, FileNotFoundError, "none.safetensors"),
        ({"weight_map": {"a": "model.safetensors"}}, ValueError, "disagree on a, "),
        ({"weight_map": {}}, ValueError, "layers, the config says 2"),
    ],
)
def test_indices_that_lie(
    change: dict, error: type[Exception], message: str, good: dict, tmp_path: Path
) -> None:
    folders.write(tmp_path, "gpt2", folders.weights("gpt2"))
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(change))
    with pytest.raises(error, match=message):
        load_pretrained(tmp_path)
