"""The loop: a run that stops anywhere and goes on is the run that never stopped."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigen
from minigen.training import (
    Checkpoint,
    Diverged,
    Interrupted,
    Job,
    Run,
    RunError,
    Settings,
    Silent,
    restore_weights,
    train,
)
from minigen.training.recipes import RECIPES
from tests.training.recipes_for_tests import small


def make(tmp_path: Path, settings: Settings, name: str = "run") -> Run:
    return Run.create(tmp_path / name, settings)


def without_time(run: Run) -> list[dict]:
    return [{k: v for k, v in r.items() if k != "seconds"} for r in run.records()]


def assert_same(a: Checkpoint, b: Checkpoint) -> None:
    assert sorted(a.tensors) == sorted(b.tensors)
    for name, tensor in a.tensors.items():
        np.testing.assert_array_equal(tensor.numpy(), b.tensors[name].numpy(), err_msg=name)
    for state in (a.state, b.state):
        assert state.pop("seconds") > 0
    assert a.state == b.state


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_twenty_steps_at_once_equal_ten_and_resume_and_ten(recipe: str, tmp_path: Path) -> None:
    """Step 10 lies between two lines of the log and two checkpoints, and so does 3."""
    settings, build = small(recipe), RECIPES[recipe]
    whole, parts = make(tmp_path, settings, "whole"), make(tmp_path, settings, "parts")
    train(whole, build)
    for stop in (3, 10):
        with pytest.raises(Interrupted):
            train(parts, build, stop_after=stop)
        assert parts.load().step == stop
        parts = Run.open(parts.path)  # nothing survives in memory
        minigen.manual_seed(999)
    train(parts, build)
    for name in ("last", "best"):
        assert_same(whole.load(name), parts.load(name))
    assert without_time(whole) == without_time(parts)
    for sample in sorted((whole.path / "samples").iterdir()):
        assert sample.read_bytes() == (parts.path / "samples" / sample.name).read_bytes()


def test_the_run_depends_on_the_seed_and_on_nothing_around_it(tmp_path: Path) -> None:
    minigen.manual_seed(5)
    before = minigen.default_generator.state
    weights = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run = make(tmp_path, small("vae", steps=3, seed=seed), name)
        train(run, RECIPES["vae"])
        weights.append(run.load().tensors["model.vae.fc1.weight"].numpy())
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()
    assert minigen.default_generator.state == before


def test_training_lowers_the_loss_and_logs_it(tmp_path: Path) -> None:
    run = make(tmp_path, small("vae", steps=60, batch_size=64, lr=3e-3, save_every=30))
    train(run, RECIPES["vae"])
    losses = [r["loss"] for r in run.records() if "loss" in r]
    assert len(losses) == 15
    assert losses[-1] < 0.6 * losses[0]
    tests = [r["metrics"]["test_loss"] for r in run.records() if "metrics" in r]
    assert tests[-1] < tests[0]
    seconds = [r["seconds"] for r in run.records()]
    assert seconds == sorted(seconds)


def test_a_log_line_is_the_mean_since_the_last_one(tmp_path: Path) -> None:
    seen: list[float] = []

    class Watch(Silent):
        def update(self, step: int, losses: Any) -> None:
            seen.append(losses["loss"])

    run = make(tmp_path, small("vae", steps=10))  # a line at 4, 8 and, being the last, 10
    train(run, RECIPES["vae"], progress=Watch())
    logged = [(r["step"], r["loss"]) for r in run.records() if "loss" in r]
    means = [sum(seen[:4]) / 4, sum(seen[4:8]) / 4, sum(seen[8:]) / 2]
    assert logged == list(zip((4, 8, 10), means))


def test_best_is_the_checkpoint_with_the_smallest_metric(tmp_path: Path) -> None:
    metrics = iter([3.0, 1.0, 2.0])

    def build(settings: Settings) -> Job:
        job = RECIPES["vae"](settings)
        job.evaluate = lambda thorough: {"test_loss": next(metrics)}
        return job

    run = make(tmp_path, small("vae", steps=20))  # evaluated at 7, 14 and 20
    train(run, build)
    assert run.load("best").step == 14
    assert run.load("last").step == 20


def after(step: int, what: Callable[[Job], dict]) -> Callable[[Settings], Job]:
    """The recipe of the VAE, whose step `step` is followed by `what`, which gives other losses."""

    def build(settings: Settings) -> Job:
        job = RECIPES["vae"](settings)
        usual, count = job.step, iter(range(1, 1000))

        def spoiled(batch: Any) -> dict:
            losses = usual(batch)
            return what(job) if next(count) == step else losses

        job.step = spoiled
        return job

    return build


@pytest.mark.parametrize(("value", "word"), [(float("nan"), "NaN"), (float("inf"), "infinite")])
def test_a_loss_that_is_no_number_stops_the_run(value: float, word: str, tmp_path: Path) -> None:
    run = make(tmp_path, small("vae"))
    with pytest.raises(Diverged) as caught:
        train(run, after(12, lambda job: {"loss": minigen.tensor(value)}))
    assert f"loss became {word} at step 12" in str(caught.value)
    assert f"of step 7, is {run.checkpoint_path('last')}" in str(caught.value)
    assert run.load().step == 7  # as good as it was


def test_weights_that_are_no_numbers_are_never_saved(tmp_path: Path) -> None:
    def ruin(job: Job) -> dict:
        job.modules["vae"].fc3.weight.data = job.modules["vae"].fc3.weight.data * float("nan")
        return {"loss": minigen.tensor(1.0)}

    run = make(tmp_path, small("vae"))
    with pytest.raises(Diverged, match=r"fc3\.weight is not finite at step 10.*of step 7"):
        train(run, after(10, ruin), stop_after=10)
    assert run.load().step == 7


def test_there_is_a_good_checkpoint_from_the_start(tmp_path: Path) -> None:
    run = make(tmp_path, small("vae"))
    with pytest.raises(Diverged, match=r"at step 1, .*of step 0"):
        train(run, after(1, lambda job: {"loss": minigen.tensor(float("nan"))}))
    assert run.load().step == 0


class PressesCtrlC(Silent):
    def __init__(self, at: int, times: int = 1) -> None:
        self.at, self.times = at, times
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def update(self, step: int, losses: Any) -> None:
        if step == self.at:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


def test_ctrl_c_saves_and_the_run_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    whole = make(tmp_path, small("vae"), "whole")
    train(whole, RECIPES["vae"])
    run = make(tmp_path, small("vae"), "with a space")
    handler = signal.getsignal(signal.SIGINT)
    progress = PressesCtrlC(at=5)
    with pytest.raises(Interrupted, match="stopped at step 5"):
        train(run, RECIPES["vae"], progress=progress)
    assert signal.getsignal(signal.SIGINT) is handler
    assert "saving" in progress.lines[0]
    assert run.load().step == 5
    assert run.resume_command == f"minigen train vae --resume '{run.path}'"
    train(run, RECIPES["vae"])
    assert_same(whole.load(), run.load())


def test_ctrl_c_twice_stops_at_once_and_what_was_not_saved_is_done_again(tmp_path: Path) -> None:
    whole = make(tmp_path, small("vae"), "whole")
    train(whole, RECIPES["vae"])
    run = make(tmp_path, small("vae"))
    with pytest.raises(KeyboardInterrupt):
        train(run, RECIPES["vae"], progress=PressesCtrlC(at=9, times=2))
    assert run.load().step == 7
    assert run.records()[-1]["step"] == 8  # logged, then lost
    train(run, RECIPES["vae"])
    assert_same(whole.load(), run.load())
    assert without_time(whole) == without_time(run)


def test_ctrl_c_in_the_last_step_completes_the_run_and_nothing_more(tmp_path: Path) -> None:
    run = make(tmp_path, small("vae"))
    with pytest.raises(KeyboardInterrupt):
        train(run, RECIPES["vae"], progress=PressesCtrlC(at=20))
    assert run.load().step == 20


def test_a_run_goes_on_to_a_later_end(tmp_path: Path) -> None:
    whole = make(tmp_path, small("gan", steps=12, save_every=100), "whole")
    train(whole, RECIPES["gan"])
    run = make(tmp_path, small("gan", steps=5, save_every=100))
    train(run, RECIPES["gan"])
    run.extend(12)
    run = Run.open(run.path)
    train(run, RECIPES["gan"])
    for name, tensor in whole.load().tensors.items():
        np.testing.assert_array_equal(tensor.numpy(), run.load().tensors[name].numpy(), name)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    run = make(tmp_path, small("vae", steps=1))
    train(run, RECIPES["vae"])
    config = json.loads((run.path / "config.json").read_text())
    config["settings"]["model"]["hidden"] = 30
    (run.path / "config.json").write_text(json.dumps(config))
    other = Run.open(run.path)
    with pytest.raises(RunError, match="does not fit its config"):
        restore_weights(RECIPES["vae"](other.settings), other.load(), other)


def test_frames_of_an_animation_change_nothing_else(tmp_path: Path) -> None:
    """Also when the run is stopped between two of them and goes on."""
    settings = small("vae")
    plain, filmed = make(tmp_path, settings, "plain"), make(tmp_path, settings, "filmed")
    train(plain, RECIPES["vae"])
    with pytest.raises(Interrupted):
        train(filmed, RECIPES["vae"], frames=5, stop_after=10)
    train(Run.open(filmed.path), RECIPES["vae"], frames=5)
    assert_same(plain.load("last"), filmed.load("last"))
    frames = sorted((filmed.path / "samples" / "frames").iterdir())
    assert [frame.name for frame in frames] == [f"step-{n:06d}.png" for n in (4, 8, 12, 16, 20)]
    last = filmed.path / "samples" / "step-000020.png"
    assert frames[-1].read_bytes() == last.read_bytes()
    assert (filmed.path / "samples" / "training.gif").read_bytes().startswith(b"GIF89a")
    assert not (plain.path / "samples" / "training.gif").exists()
