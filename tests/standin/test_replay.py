"""Steps captured as CUDA graphs, on the stand-in: replaying is the same as running, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigen
from minigen.capturing import capturing
from minigen.cuda import CaptureError, CUDAGraph, graph
from minigen.training import Interrupted, Run, replay, train
from minigen.training.recipes import RECIPES
from minigen.training.replay import WARM_UP, Replayed
from tests.standin.install import installed
from tests.training.recipes_for_tests import small
from tests.training.replayed import check_replays


@pytest.fixture(autouse=True)
def gpu() -> Iterator[None]:
    with installed(), minigen.kernels.use(adam=adam):
        yield


def adam(p: Any, g: Any, m: Any, v: Any, *options: Any) -> None:
    """Adam by ufuncs, with its numbers in memory of the GPU: what the kernel in CUDA C++ does."""
    from minigen.kernels import uploads

    def numbers() -> tuple[float, ...]:
        lr, beta1, beta2, eps, decay, decoupled, step = map(uploads.now, options)
        shrink, decay = (1 - lr * decay, 0.0) if decoupled else (1.0, decay)
        root, rate = (1 - beta2**step) ** 0.5, lr / (1 - beta1**step)
        return shrink, decay, 1 - beta1, beta2, 1 - beta2, root, eps, rate

    n = uploads.fed(numbers, p)
    p *= n[0]
    d = g + n[1] * p
    m += n[2] * (d - m)
    v *= n[3]
    v += n[4] * d * d
    p -= n[7] * (m / (np.sqrt(v) / n[5] + n[6]))


@pytest.mark.parametrize("recipe", RECIPES)
def test_replays_are_the_steps_themselves(recipe: str, tmp_path: Any) -> None:
    check_replays(recipe, tmp_path)


def test_a_run_replays_and_an_eager_one_does_not(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same run folder in the end, whether or not it was interrupted on the way."""
    made: list[CUDAGraph] = []
    begin = CUDAGraph.capture_begin
    monkeypatch.setattr(CUDAGraph, "capture_begin", lambda g: (made.append(g), begin(g))[1])
    settings = small("lstm", device="cuda", steps=12, save_every=6, log_every=4)
    runs = {}
    for name, eager in (("eager", True), ("replayed", False)):
        runs[name] = Run.create(tmp_path / name, settings)
        train(runs[name], RECIPES["lstm"], eager=eager)
        assert bool(made) != eager
    parts = Run.create(tmp_path / "parts", settings)
    with pytest.raises(Interrupted):
        train(parts, RECIPES["lstm"], stop_after=5)
    train(Run.open(parts.path), RECIPES["lstm"])
    want = runs["eager"].load()
    for got in (runs["replayed"].load(), Run.open(parts.path).load()):
        assert got.state["random"] == want.state["random"]
        for name, tensor in want.tensors.items():
            np.testing.assert_array_equal(got.tensors[name].numpy(), tensor.numpy(), err_msg=name)


# ------------------------------------------------------------------- what a graph cannot hold


def replayed_by_hand(step: Callable[[], Any], times: int) -> list[Any]:
    """What step() returns in each of so many replays."""
    g = CUDAGraph()
    with graph(g):
        result = step()
    found = []
    for _ in range(times):
        g.replay()
        found.append(result.cpu().tolist())
    return found


def test_nothing_happens_before_the_first_replay() -> None:
    x = minigen.ones(2, device="cuda")
    g = CUDAGraph()
    with graph(g):
        x += 1
        assert minigen.cuda.is_current_stream_capturing()
    assert not minigen.cuda.is_current_stream_capturing()
    assert x.tolist() == [1, 1]
    g.replay()
    g.replay()
    assert x.tolist() == [3, 3]


def test_random_numbers_are_those_of_the_steps() -> None:
    """Of every kind, in the order of the default generator, whose state goes on."""

    def step() -> Any:
        shape, there = (3, 4), minigen.device("cuda")
        drawn = [
            minigen.rand(*shape, device=there), minigen.randn(*shape, device=there),
            minigen.randint(1, 9, shape, device=there).float(),
            minigen.randperm(12, device=there).reshape(shape).float(),
            minigen.bernoulli(minigen.full(shape, 0.5, device=there)),
            minigen.normal(1.0, 2.0, shape, device=there),
            minigen.zeros(*shape, device=there).normal_(),
            minigen.zeros(*shape, device=there).random_(9),
            minigen.nn.functional.dropout(minigen.ones(*shape, device=there), 0.5),
            minigen.nn.functional.alpha_dropout(minigen.ones(*shape, device=there), 0.5, True),
            minigen.nn.functional.rrelu(-minigen.ones(*shape, device=there), training=True),
            minigen.nn.functional.gumbel_softmax(minigen.zeros(*shape, device=there)),
            minigen.nn.functional.scaled_dot_product_attention(
                *(minigen.ones(3, 4, device=there),) * 3, dropout_p=0.5
            ),
        ]  # fmt: skip
        return minigen.stack(drawn)

    minigen.manual_seed(3)
    want = [step().tolist() for _ in range(3)]
    state = minigen.default_generator.state
    minigen.manual_seed(3)
    assert replayed_by_hand(step, 3) == want
    assert minigen.default_generator.state == state


def test_what_python_decides_by_a_number_of_the_gpu_is_refused() -> None:
    x = minigen.ones(3, device="cuda")
    for step in (lambda: x.sum().item(), lambda: x[x > 0], lambda: float(x[0])):
        with pytest.raises(CaptureError, match="D2H"), graph(CUDAGraph()):
            step()
        assert capturing() is None


def test_random_numbers_of_the_host_are_refused() -> None:
    """They would be the same in every replay."""
    minigen.manual_seed(0)
    state = minigen.default_generator.state

    def step() -> None:
        minigen.rand(3, device="cuda")
        minigen.rand(3).to("cuda")

    with pytest.raises(CaptureError, match="draws random numbers"), graph(CUDAGraph()):
        step()
    assert minigen.default_generator.state == state


def test_a_failed_capture_counts_nothing() -> None:
    """Optimizer, schedule, averages and generator are as if it had not been tried."""
    model = minigen.nn.Linear(2, 1).to("cuda")
    optimizer = minigen.optim.Adam(model.parameters(), lr=0.1)
    schedule = minigen.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    average = minigen.optim.swa_utils.AveragedModel(model)

    def step(fail: bool) -> None:
        model(minigen.rand(3, 2, device="cuda")).sum().backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        if fail:
            model.weight.sum().item()

    step(False)

    def state() -> Any:
        counts = [optimizer.state[p]["step"] for p in model.parameters()]
        return (
            counts, optimizer.steps_taken, optimizer.param_groups[0]["lr"], schedule.state_dict(),
            average.n_averaged.item(), minigen.default_generator.state,
        )  # fmt: skip

    before = state()
    with pytest.raises(CaptureError), graph(CUDAGraph()):
        step(True)
    assert state() == before
    g = CUDAGraph()
    with graph(g):
        step(False)
    after = state()
    assert after[:2] == ([2, 2], 2)
    assert after[2] == 0.025
    assert after[4] == 2
    g.replay()
    assert state() == after  # the first replay is the step that was captured
    g.replay()
    assert state()[:2] == ([3, 3], 3)
    assert state()[4] == 3


@pytest.mark.parametrize("name", ["Adagrad", "RMSprop", "NAdam", "Adadelta", "Adamax", "RAdam"])
def test_an_optimizer_that_computes_on_the_host_is_refused(name: str) -> None:
    w = minigen.ones(2, device="cuda").requires_grad_()
    optimizer = getattr(minigen.optim, name)([w])
    w.sum().backward()
    optimizer.step()
    with pytest.raises(CaptureError, match=name), graph(CUDAGraph()):
        optimizer.step()
    assert optimizer.steps_taken == 1


def test_a_first_step_is_refused() -> None:
    """It makes the state with zeros, and so would every replay."""
    for make in (minigen.optim.Adam, lambda p: minigen.optim.SGD(p, momentum=0.9)):
        w = minigen.ones(2, device="cuda").requires_grad_()
        w.sum().backward()
        with pytest.raises(CaptureError, match="first step"), graph(CUDAGraph()):
            make([w]).step()


def test_every_shape_of_batch_has_a_graph_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MOST", 2)
    step = Replayed(lambda x: {"loss": (x * 2).sum()})
    for _ in range(WARM_UP + 2):
        for n in (1, 2, 3):
            assert step(minigen.full((n,), 3.0, device="cuda"))["loss"].item() == 6 * n
    assert len(step._captured) == 2
    assert not step.refused


def test_losses_of_a_replay_are_not_those_of_the_next() -> None:
    """They are read together some steps later."""
    step = Replayed(lambda x: {"loss": x.sum(), "other": x.mean()})
    kept = [step(minigen.full((4,), float(n), device="cuda")) for n in range(WARM_UP + 3)]
    assert [each["loss"].item() for each in kept] == [4.0 * n for n in range(WARM_UP + 3)]
    assert kept[-1]["other"].item() == WARM_UP + 2


def test_a_step_that_is_refused_goes_on_as_it_is() -> None:
    said: list[str] = []
    step = Replayed(lambda x: {"loss": x.sum() * x.sum().item()}, said.append)
    found = [step(minigen.full((2,), float(n), device="cuda"))["loss"].item() for n in range(6)]
    assert found == [4.0 * n * n for n in range(6)]
    assert len(said) == 1
    assert "D2H" in said[0]


def test_a_step_that_no_memory_is_left_for_goes_on_as_it_is() -> None:
    said: list[str] = []

    def full(x: Any) -> dict[str, Any]:
        if capturing() is not None:
            raise MemoryError("Out of memory allocating 1,024 bytes")
        return {"loss": x.sum()}

    step = Replayed(full, said.append)
    found = [step(minigen.full((2,), float(n), device="cuda"))["loss"].item() for n in range(6)]
    assert found == [2.0 * n for n in range(6)]
    assert said == [f"every step is launched kernel by kernel: {step.refused}"]


def test_an_error_of_the_step_is_its_own() -> None:
    with pytest.raises(ZeroDivisionError), graph(CUDAGraph()):
        1 / 0  # noqa: B018
    assert capturing() is None
    with pytest.raises(RuntimeError, match="nothing to replay"):
        CUDAGraph().replay()


def test_a_value_that_is_replaced_in_place_of_written_to_is_seen() -> None:
    """The stand-in tells a step that leaves its result elsewhere: the second replay begins anew."""
    box = {"x": minigen.ones(1, device="cuda")}

    def step() -> Any:
        box["x"] = box["x"] * 2
        return box["x"]

    assert replayed_by_hand(step, 3) == [[2.0]] * 3  # not 2, 4, 8
