"""Weights in files: what is written is read, other readers agree, damage is reported as such."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import minigen
from minigen import nn
from minigen.serialization import load_file, load_metadata, save_file

DTYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]


def assert_same(a: dict, b: dict) -> None:
    assert list(a) == list(b)
    for name in b:
        x = a[name].numpy()
        y = b[name].numpy() if hasattr(b[name], "numpy") else b[name]
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        np.testing.assert_array_equal(x, y)


def everything() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {name: (rng.standard_normal((3, 4)) * 50).astype(name) for name in sorted(DTYPES)}


def test_every_dtype_and_shape(tmp_path: Path) -> None:
    arrays = everything() | {
        "scalar": np.full((), 2.5),
        "empty": np.ones((0, 3)),
        "ünïcode.名前": np.ones(1),
    }
    path = tmp_path / "weights.safetensors"
    save_file({name: minigen.from_numpy(a) for name, a in arrays.items()}, path)
    loaded = load_file(path)
    assert_same({k: loaded[k] for k in arrays}, arrays)
    assert set(loaded) == set(arrays)
    assert all(t.array.flags.writeable for t in loaded.values())
    assert all(isinstance(t, minigen.Tensor) and not t.requires_grad for t in loaded.values())


def test_strides_and_byte_order_do_not_matter(tmp_path: Path) -> None:
    base = np.arange(24.0).reshape(4, 6)
    arrays = {
        "transposed": base.T,
        "sliced": base[::2, 1::3],
        "reversed": base[::-1],
        "broadcast": np.broadcast_to(np.float32(3), (2, 2)),
        "big endian": base.astype(">f8"),
    }
    path = str(tmp_path / "w")
    save_file(arrays, path)
    loaded = load_file(path)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name].numpy(), array)


def test_torch_reads_ours_and_we_read_torchs(tmp_path: Path) -> None:
    arrays = everything()
    save_file(arrays, tmp_path / "ours", {"format": "pt"})
    theirs = safetensors.torch.load_file(tmp_path / "ours")
    assert_same({k: theirs[k] for k in arrays}, arrays)
    tensors = {name: torch.from_numpy(a) for name, a in arrays.items()}
    safetensors.torch.save_file(tensors, tmp_path / "theirs", {"made": "there"})
    loaded = load_file(tmp_path / "theirs")
    assert_same({k: loaded[k] for k in arrays}, arrays)
    assert load_metadata(tmp_path / "theirs") == {"made": "there"}


def test_a_model_with_tied_weights(tmp_path: Path) -> None:
    def build() -> Any:
        model = nn.Sequential(nn.Embedding(5, 3), nn.BatchNorm1d(3), nn.Linear(3, 5, bias=False))
        model[2].weight = model[0].weight
        return model

    model, other = build(), build()
    model[1](minigen.randn(4, 3))
    save_file(model.state_dict(), tmp_path / "w")
    state = load_file(tmp_path / "w")
    assert set(state) == set(model.state_dict()), "every reader finds every name"
    other.load_state_dict(state)
    assert other[2].weight is other[0].weight
    assert_same(
        {k: t.detach() for k, t in other.state_dict().items()},
        {k: t.detach() for k, t in model.state_dict().items()},
    )


def test_metadata(tmp_path: Path) -> None:
    path = tmp_path / "w"
    save_file({}, path, {"epoch": "3", "note": "größer"})
    assert load_metadata(path) == {"epoch": "3", "note": "größer"}
    assert load_file(path) == {}
    save_file({"w": np.ones(1)}, path)
    assert load_metadata(path) == {}


def test_what_cannot_be_stored_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "w"
    save_file({"w": np.ones(1)}, path)
    before = path.read_bytes()
    for tensors, metadata, text in (
        ({"w": [1.0]}, None, "w is no tensor but list"),
        ({3: np.ones(1)}, None, "names of tensors are text"),
        ({"w": np.ones(1, complex)}, None, "complex"),
        ({"w": np.array(["a"])}, None, "not offered"),
        ({"w": np.ones(1)}, {"step": 3}, "metadata maps text to text"),
    ):
        with pytest.raises(TypeError, match=text):
            save_file(tensors, path, metadata)  # type: ignore[arg-type]
    with pytest.raises(OSError):
        save_file({"w": np.ones(1)}, tmp_path / "missing" / "w")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w"]


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w"
    save_file({"w": np.ones(1)}, path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_file({"w": np.zeros(100)}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w"]


def test_a_new_file_takes_the_place_of_the_old_one_whole(tmp_path: Path) -> None:
    """Whoever has the old file open goes on reading the old file."""
    path = tmp_path / "w"
    save_file({"w": np.ones(1)}, path)
    before = path.read_bytes()
    os.link(path, tmp_path / "old")
    save_file({"w": np.zeros(100)}, path)
    assert (tmp_path / "old").read_bytes() == before
    assert load_file(path)["w"].shape == (100,)


def test_every_truncation_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "w"
    save_file({"a": np.ones((2, 3)), "b": np.arange(4)}, path, {"k": "v"})
    content = path.read_bytes()
    for length in [*range(0, len(content), 7), len(content) - 1]:
        path.write_bytes(content[:length])
        for read in (load_file, load_metadata):
            with pytest.raises(ValueError, match="not a complete safetensors file"):
                read(path)


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"PK\x03\x04 this is a zip file, as torch.save writes",
        b"\xff" * 64,
        (10).to_bytes(8, "little") + b'{"a":1}   ',
        (4).to_bytes(8, "little") + b"\xff\xfe{}",
    ],
)
def test_other_files_are_one_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.pt"
    path.write_bytes(content)
    for read in (load_file, load_metadata):
        with pytest.raises(ValueError, match=r"other\.pt is not a complete safetensors file"):
            read(path)


def test_other_errors_keep_their_own_names(tmp_path: Path) -> None:
    for read in (load_file, load_metadata):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "nothing")
    eight_bits = {"w": torch.ones(2, dtype=torch.float8_e4m3fn)}
    safetensors.torch.save_file(eight_bits, tmp_path / "f8")
    with pytest.raises(ValueError, match="'w' has element type F8_E4M3, which is not offered"):
        load_file(tmp_path / "f8")


def test_every_bfloat16_is_read_as_the_float32_it_is(tmp_path: Path) -> None:
    """All 65,536 of them, infinities and NaN included."""
    bits = torch.arange(-(2**15), 2**15).to(torch.int16).reshape(2, 128, 256)
    safetensors.torch.save_file({"w": bits.view(torch.bfloat16)}, tmp_path / "bf16")
    ours = load_file(tmp_path / "bf16")["w"]
    assert ours.dtype == minigen.float32
    np.testing.assert_array_equal(ours.numpy(), bits.view(torch.bfloat16).float().numpy())


# ------------------------------------------------------------------------- nested states


def test_a_checkpoint_of_everything(tmp_path: Path) -> None:
    def build() -> tuple:
        minigen.manual_seed(0)
        model = minigen.nn.Sequential(minigen.nn.Linear(2, 3), minigen.nn.BatchNorm1d(3))
        optimizer = minigen.optim.Adam(model.parameters(), betas=(0.8, 0.9))
        schedule = minigen.optim.lr_scheduler.StepLR(optimizer, 1)
        return model, optimizer, schedule

    def step(model: Any, optimizer: Any, schedule: Any) -> None:
        optimizer.zero_grad()
        model(minigen.ones(4, 2) * minigen.arange(4.0).reshape(4, 1)).pow(2).sum().backward()
        optimizer.step()
        schedule.step()

    whole, resumed = build(), build()
    step(*whole)
    state = {
        "parts": [part.state_dict() for part in whole], "epoch": 1, "best": float("inf"),
        "notes": ("a", None, True), "rng": minigen.get_rng_state(), 3: "a key that is no text",
    }  # fmt: skip
    minigen.save(state, tmp_path / "checkpoint.pt")
    step(*whole)
    loaded = minigen.load(str(tmp_path / "checkpoint.pt"))
    assert loaded["notes"] == ("a", None, True)
    assert (loaded["epoch"], loaded["best"], loaded[3]) == (1, float("inf"), state[3])
    assert loaded["parts"][1]["param_groups"] == state["parts"][1]["param_groups"]
    minigen.set_rng_state(loaded["rng"])
    for part, saved in zip(resumed, loaded["parts"]):
        part.load_state_dict(saved)
    step(*resumed)
    for name, value in whole[0].state_dict().items():
        np.testing.assert_array_equal(value.numpy(), resumed[0].state_dict()[name].numpy())


def test_a_models_state_is_an_ordinary_file(tmp_path: Path) -> None:
    model = minigen.nn.Linear(2, 3)
    minigen.save(model.state_dict(), tmp_path / "model.pt")
    assert sorted(minigen.load_file(tmp_path / "model.pt")) == ["bias", "weight"]
    loaded = minigen.load(tmp_path / "model.pt")
    assert list(loaded) == ["weight", "bias"], "the order is kept"
    assert not loaded["weight"].requires_grad
    minigen.save_file(loaded, tmp_path / "plain.safetensors")
    assert sorted(minigen.load(tmp_path / "plain.safetensors", map_location="cpu")) == [
        "bias", "weight"
    ]  # fmt: skip
    nested = {"a": {"b": minigen.ones(1)}, "a.b": minigen.zeros(1), "a.b_": minigen.ones(2)}
    minigen.save(nested, tmp_path / "clash.pt")
    again = minigen.load(tmp_path / "clash.pt")
    assert again["a"]["b"].tolist() == [1.0]
    assert again["a.b"].tolist() == [0.0]
    assert again["a.b_"].tolist() == [1.0, 1.0]
    for value in (minigen.ones(2), 3, [minigen.zeros(1), "x"], {"$tensor": minigen.ones(1)}, {}):
        minigen.save(value, tmp_path / "value.pt")
        assert str(minigen.load(tmp_path / "value.pt")) == str(value)


def test_nothing_is_pickled(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with pytest.raises(TypeError, match="save its state_dict"):
        minigen.save(minigen.nn.Linear(1, 1), path)
    with pytest.raises(TypeError, match="cannot hold f, a function"):
        minigen.save({"f": test_nothing_is_pickled}, path)
    with pytest.raises(TypeError, match="path of a file, got BytesIO"):
        minigen.save({}, io.BytesIO())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path of a file, got BytesIO"):
        minigen.load(io.BytesIO())  # type: ignore[arg-type]
    assert not path.exists()
    for content in ({"w": torch.ones(1)}, torch.ones(1)):
        for legacy in (False, True):
            torch.save(content, path, _use_new_zipfile_serialization=not legacy)
            with pytest.raises(ValueError, match="is a pickle"):
                minigen.load(path)
    minigen.save({"w": minigen.ones(1)}, path)
    with pytest.raises(TypeError, match="weights_only=False"):
        minigen.load(path, weights_only=False)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        minigen.load(path)
    with pytest.raises(FileNotFoundError):
        minigen.load(tmp_path / "absent.pt")
