"""The run folder: whole at any moment, and clear about what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from minigen.nested import join, split
from minigen.training import Run, RunError, Settings
from minigen.training import run as run_module
from minigen.training.run import free_path, write_file
from tests.training.recipes_for_tests import small


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", small("vae"))


TENSORS = {"b": minigen.arange(5), "a": minigen.ones(2, 3)}


def test_settings_read_back_as_they_were(run: Run) -> None:
    assert Run.open(run.path).settings == run.settings


def test_checkpoints_read_back_as_they_were(run: Run) -> None:
    state = {"step": 3, "x": 0.1, "big": 2**100}
    run.save(TENSORS, state, best=False)
    saved = run.load()
    assert saved.state == state
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(saved.tensors[name].numpy(), tensor.numpy())
    with pytest.raises(RunError, match="has no checkpoint best"):
        run.load("best")


def test_no_flipped_byte_goes_unnoticed(run: Run) -> None:
    run.save(TENSORS, {"step": 3}, best=False)
    path = run.checkpoint_path("last")
    good = path.read_bytes()
    tensor_bytes = 5 * 8 + 6 * 4
    for position in range(len(good) - tensor_bytes, len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(RunError, match="corrupt"):
            run.load()
    for length in (0, 7, 100, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(RunError, match="corrupt") as caught:
            run.load()
        assert "\n" not in str(caught.value)
    path.write_bytes(good)
    assert run.load().step == 3


def test_a_crash_while_writing_leaves_the_old_file(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.save(TENSORS, {"step": 1}, best=True)

    def crash(*args: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("os.replace", crash)
    with pytest.raises(OSError, match="full"):
        run.save(TENSORS, {"step": 2}, best=True)
    with pytest.raises(OSError, match="full"):
        write_file(run.path / "config.json", "nonsense")
    assert run.load().step == run.load("best").step == 1
    assert Run.open(run.path).settings == run.settings


def test_the_log_forgives_a_line_cut_short_and_rewinds(run: Run) -> None:
    for step in (1, 2, 3):
        run.log({"step": step, "loss": 1 / 3 / step})
    with (run.path / "log.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert [r["step"] for r in run.records()] == [1, 2, 3]
    assert run.records()[1]["loss"] == 1 / 6
    run.rewind_log(2)
    assert [r["step"] for r in run.records()] == [1, 2]
    assert (run.path / "log.jsonl").read_text().count("\n") == 2


def test_what_is_there_is_never_overwritten(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not empty"):
        Run.create(run.path, small("vae"))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="is a file"):
        Run.create(tmp_path / "file", small("vae"))
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    Run.create(tmp_path / "empty", small("vae"))
    with pytest.raises(RunError, match="cannot make the run folder"):
        Run.create(tmp_path / "file" / "below", small("vae"))


def test_free_path_counts_up(tmp_path: Path) -> None:
    assert free_path(tmp_path / "a") == tmp_path / "a"
    (tmp_path / "a").mkdir()
    assert free_path(tmp_path / "a") == tmp_path / "a"  # empty
    (tmp_path / "a" / "x").touch()
    (tmp_path / "a-2").touch()
    assert free_path(tmp_path / "a") == tmp_path / "a-3"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "not the configuration"),
        ('{"a": 1}', "not the configuration"),
        ('{"format": 99, "minigen": "9.9"}', "format 99, made by minigen 9.9"),
        ('{"format": 1}', "damaged"),
        ('{"format": 1, "settings": {"recipe": "vae"}}', "batch_size is missing"),
        ('{"format": 1, "settings": 3}', "damaged"),
    ],
)
def test_a_config_that_is_not_ours(config: str, message: str, run: Run) -> None:
    (run.path / "config.json").write_text(config)
    with pytest.raises(RunError, match=message) as caught:
        Run.open(run.path)
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_runs(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no run folder"):
        Run.open(tmp_path / "nowhere")
    with pytest.raises(RunError, match="has no config"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"steps": 2.5},
        {"steps": True},
        {"batch_size": -1},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"lr": float("inf")},
        {"lr": "fast"},
        {"seed": -1},
        {"seed": 2**63},
        {"log_every": 0},
    ],
)
def test_settings_out_of_range(change: dict) -> None:
    saved = {**small("vae").to_dict(), **change}
    with pytest.raises(ValueError, match=next(iter(change))):
        Settings.from_dict(saved)


def test_config_names_version_and_format(run: Run) -> None:
    config = json.loads((run.path / "config.json").read_text())
    assert config["format"] == run_module.FORMAT
    assert config["minigen"] == minigen.__version__


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers()), inner, max_size=3),
    ),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_a_state_goes_through_json_and_back(tree: Any) -> None:
    again = join(json.loads(json.dumps(split(tree, "x", {}))), {})
    assert again == tree
    assert repr(again) == repr(tree)  # tuples stay tuples, keys that are numbers stay numbers


def test_tensors_in_a_state_are_kept_apart() -> None:
    tensors: dict[str, minigen.Tensor] = {}
    state = {"state": {0: {"step": 3, "exp_avg": minigen.ones(2)}}, "groups": [minigen.zeros(1)]}
    plain = json.loads(json.dumps(split(state, "adam", tensors)))
    assert sorted(tensors) == ["adam.groups.0", "adam.state.0.exp_avg"]
    again = join(plain, tensors)
    assert again["state"][0]["exp_avg"] is tensors["adam.state.0.exp_avg"]
    with pytest.raises(TypeError, match=r"cannot hold x\.f"):
        split({"f": object()}, "x", {})
