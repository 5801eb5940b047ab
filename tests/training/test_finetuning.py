"""Fine-tuning: both phases against torch, what each way of adapting changes, resuming in the second
phase, and going on from a run of a GPT."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch_recipes
import twins

import minigen
from minigen.cli import main
from minigen.training import Interrupted, Run, Settings, train
from minigen.training.recipes import RECIPES, default_settings, finetune
from minigen.training.recipes.manuals import TextPairs

TINY = {"layers": 2, "heads": 2, "width": 16, "context": 16}


def small(adapt: str = "full", steps: int = 10, **own: object) -> Settings:
    own = {"adapt": adapt, "rank": 2, "pretraining_share": 0.4, **own}
    model = {} if own.get("base") else TINY
    settings = default_settings("finetune", True, {**model, **own}, steps=steps, seed=3)
    return dataclasses.replace(settings, batch_size=4, log_every=2, save_every=10)


def endless(job: object) -> itertools.cycle:
    return itertools.cycle(job.loader)  # type: ignore[attr-defined]


@pytest.mark.parametrize("adapt", finetune.ADAPTATIONS)
def test_both_phases_equal_torch(adapt: str) -> None:
    """Four steps on old text, six on new, in float64: losses, weights, and the losses between."""
    settings = small(adapt)
    assert settings.options["pretraining"] == 4
    minigen.set_default_dtype(minigen.float64)
    try:
        minigen.manual_seed(0)
        ours = RECIPES["finetune"](settings)
        theirs = torch_recipes.RECIPES["finetune"](settings)
        for name, module in ours.modules.items():
            twins.copy_weights(module.double(), theirs.modules[name])
        for batch in itertools.islice(endless(ours), 10):
            a, b = ours.step(batch)["loss"], theirs.step(twins.to_torch(batch))["loss"]
            assert a.item() == pytest.approx(b.item(), rel=1e-9)
        for name, module in ours.modules.items():
            twins.same_weights(module, theirs.modules[name])
    finally:
        minigen.set_default_dtype(minigen.float32)
    assert (ours.modules["before"].losses > 2).all()


@pytest.mark.parametrize("adapt", finetune.ADAPTATIONS)
def test_what_is_trained_when(adapt: str) -> None:
    """In the first phase the plain GPT, all of it, however it is to be adapted; then what the way
    of adapting names, and nothing else."""
    job = RECIPES["finetune"](small(adapt))
    gpt, batches = job.modules["gpt"], endless(job)
    names = [name for name, _ in gpt.named_parameters()]
    wanted = {
        "full": set(names),
        "frozen": {name for name in names if name.startswith(("h.1.", "ln_f."))},
        "lora": {name for name in names if ".lora_" in name},
    }[adapt]
    plain = {name for name in names if ".lora_" not in name}
    for steps, expected in ((4, plain), (6, wanted)):
        before = {name: p.detach().numpy().copy() for name, p in gpt.named_parameters()}
        for batch in itertools.islice(batches, steps):
            job.step(batch)
        moved = {
            name
            for name, p in gpt.named_parameters()
            if not np.array_equal(p.detach().numpy(), before[name])
        }
        assert moved == expected
    assert job.evaluate(True)["trained"] == sum(gpt.get_parameter(n).numel() for n in wanted)


@pytest.mark.parametrize("adapt", ["frozen", "lora"])
def test_a_run_resumes_within_the_second_phase(adapt: str, tmp_path: Path) -> None:
    settings, build = small(adapt), RECIPES["finetune"]
    whole, parts = (Run.create(tmp_path / name, settings) for name in ("whole", "parts"))
    train(whole, build)
    for stop in (4, 7):
        with pytest.raises(Interrupted):
            train(parts, build, stop_after=stop)
        parts = Run.open(parts.path)
    train(parts, build)
    a, b = whole.load().tensors, parts.load().tensors
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[name].numpy(), b[name].numpy()) for name in a)
    metrics = [r["metrics"] for r in whole.records() if "metrics" in r]
    assert metrics == [r["metrics"] for r in parts.records() if "metrics" in r]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short run of a small GPT."""
    settings = default_settings("gpt", True, TINY, steps=20)
    run = Run.create(tmp_path_factory.mktemp("runs") / "gpt", settings)
    train(run, RECIPES["gpt"])
    return run


def test_a_run_of_a_gpt_is_gone_on_from(base: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(base.path.parent)
    settings = small("lora", base="gpt")
    assert settings.model == base.settings.model
    assert settings.options["pretraining"] == 0
    assert settings.options["base"] == str(base.path)  # wherever it goes on
    job = RECIPES["finetune"](settings)
    held = base.load().tensors
    for name, tensor in job.modules["gpt"].state_dict().items():
        if ".lora_" not in name:
            np.testing.assert_array_equal(tensor.numpy(), held[f"model.gpt.{name}"].numpy())
    at_first = job.evaluate(False)
    job.step(next(endless(job)))
    found = job.evaluate(True)
    assert found["old_before"] == pytest.approx(at_first["old_loss"], rel=1e-6)
    assert found["new_before"] == pytest.approx(at_first["new_loss"], rel=1e-6)
    assert found["new_loss"] != at_first["new_loss"]


def test_what_cannot_be_fine_tuned(
    base: Run, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    text = tmp_path / "letters.txt"
    text.write_text("Dear reader, " * 10)
    other = Run.create(tmp_path / "lstm", default_settings("lstm", True))
    for option, words in (
        ("adapt=half", ["full, frozen or lora", "'half'"]),
        (f"base={tmp_path / 'nowhere'}", ["base", "there is no run folder"]),
        (f"base={other.path}", ["run of lstm", "gpt"]),
        ("data=nowhere.txt", ["data", "nowhere.txt"]),
        (f"data={text}", ["only 130 characters"]),
        ("rank=40", None),  # not used by full: no mistake
    ):
        code = ["train", "finetune", "--fast", "--out", str(tmp_path / "run"), "--set", option]
        if words is None:
            continue
        with pytest.raises(SystemExit) as caught:
            main(code)
        err = capsys.readouterr().err
        assert caught.value.code == 2
        for word in words:
            assert word in err
        assert not (tmp_path / "run").exists()


def test_another_text_than_the_run_began_with_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "letters.txt"
    text.write_text("Dear reader, " * 300)
    settings = small(data=str(text))
    RECIPES["finetune"](settings)
    text.write_text("Dear writer, " * 300)
    with pytest.raises(ValueError, match="not the text that this run began with"):
        RECIPES["finetune"](settings)


def test_pairs_hold_every_stretch_of_both_texts() -> None:
    pairs = TextPairs(np.arange(9), 100 + np.arange(5), 3)
    assert len(pairs) == 7
    found = np.stack([pairs[i] for i in range(7)])
    assert sorted(found[:, 0, 0].tolist()) == list(range(7))
    assert set(found[:, 1, 0].tolist()) == {100, 101, 102}
    assert (np.diff(found, axis=2) == 1).all()
