"""The training loop: one for all models. What is particular to a model is in its recipe.

A run can stop at any step, because it is told to, because the machine is, or because the loss is no
number any more, and goes on from its last checkpoint exactly as if it had never stopped: model,
optimizer, schedule, place in the data and random state are all in there.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minigen import Generator, Tensor, backend, default_generator, device, manual_seed, stack
from minigen.data import DataLoader
from minigen.dispatch import take_over_threads
from minigen.models.sampling import Sampling
from minigen.nested import join, split
from minigen.precision import at_precision
from minigen.training.job import DataError, Job, Settings
from minigen.training.progress import Progress, Silent
from minigen.training.replay import Replayed
from minigen.training.run import Checkpoint, Run, RunError, write_file

SAMPLE_SEED = 12345  # samples of all steps come from the same noise, so that they can be compared
BUILD = Callable[[Settings], Job]


class Interrupted(Exception):
    """The run was stopped, and saved: it can go on."""

    def __init__(self, run: Run, step: int) -> None:
        super().__init__(f"stopped at step {step}, saved in {run.path}")
        self.run, self.step = run, step


class Diverged(RuntimeError):
    """A loss, or a weight, is no finite number any more."""

    def __init__(self, run: Run, step: int, what: str, last_good: int) -> None:
        super().__init__(
            f"{what} at step {step}, so training has stopped. The last good checkpoint, of step "
            f"{last_good}, is {run.checkpoint_path('last')}; a lower --lr is the usual remedy"
        )
        self.step, self.last_good = step, last_good


def train(
    run: Run,
    build: BUILD,
    *,
    progress: Progress | None = None,
    stop_after: int | None = None,
    frames: int = 0,
    eager: bool = False,
) -> Job:
    """Train to the last step of the run's settings, from its last checkpoint if it has one.

    `build` is a recipe. `stop_after` a step saves there and raises Interrupted, as Ctrl-C does.
    `frames` is of how many pictures samples/training.gif is to consist, which shows what the model
    makes while it learns, always from the same noise. On a GPU steps are replayed as a CUDA graph;
    if `eager`, or if no graph can hold them, Python launches every kernel: the same numbers, later.
    Returns the job with the trained model. Raises Diverged when a loss turns NaN or infinite,
    RunError when the run's checkpoint does not fit its recipe.
    """
    progress = progress or Silent()
    # What overflows shows in the losses, and is dealt with there: NumPy need not warn of it.
    with _undisturbed(), backend.quiet(), _interruptions(progress) as interrupted:
        manual_seed(run.settings.seed)
        job = make_job(run, build)
        job.step = at_precision(job.step, run.settings.precision)
        if device(run.settings.device).type == "cuda" and not eager:
            job.step = Replayed(job.step, progress.line)
        loop = _Loop(run, job)
        progress.start(run.settings.recipe, run.settings.steps, loop.step)
        try:
            while loop.step < run.settings.steps:
                losses = loop.advance()
                if losses:
                    progress.update(loop.step, losses)
                if frames and loop.step % max(1, run.settings.steps // frames) == 0:
                    loop.show()
                if loop.step % run.settings.save_every == 0 or loop.step == run.settings.steps:
                    loop.evaluate()
                elif interrupted or loop.step == stop_after:
                    loop.save(best=False)
                if (interrupted or loop.step == stop_after) and loop.step < run.settings.steps:
                    raise Interrupted(run, loop.step)
            write_animation(run.path / "samples")
        finally:
            progress.stop()
        if interrupted:  # in the last step: the run is complete, but what follows is not wanted
            raise KeyboardInterrupt
    return job


def make_job(run: Run, build: BUILD) -> Job:
    """What `build` makes of the run's settings. Raises RunError if it can make nothing of them."""
    take_over_threads(False)  # its layers ask for them, whatever ran in this process before
    try:
        return build(run.settings)
    except (DataError, OSError) as error:  # something is wrong with the data, not with the run
        raise RunError(str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise RunError(f"{run.path / 'config.json'} is damaged: {reason}") from error


def restore(job: Job, checkpoint: Checkpoint, run: Run) -> None:
    """Put a job, and the default random stream, into the state that the checkpoint holds.

    Raises RunError if the two do not belong together.
    """
    _load(job.parts(), checkpoint, run)
    default_generator.state = checkpoint.state["random"]


def restore_weights(job: Job, checkpoint: Checkpoint, run: Run) -> None:
    """Only the models: to use them. Raises RunError if the two do not belong together."""
    parts = {name: p for name, p in job.parts().items() if name.startswith("model.")}
    _load(parts, checkpoint, run)


def _load(parts: dict[str, Any], checkpoint: Checkpoint, run: Run) -> None:
    try:
        for name, part in parts.items():
            part.load_state_dict(join(checkpoint.state["parts"][name], checkpoint.tensors))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"the checkpoint in {run.path} does not fit its config: {reason}") from error


class _Loop:
    """The state of a run between two steps, and what can happen to it."""

    def __init__(self, run: Run, job: Job) -> None:
        self.run, self.job = run, job
        self.step, self.seconds, self.best = 0, 0.0, math.inf
        self.pending: list[dict[str, float]] = []  # losses since the last line of the log
        self.unread: list[Mapping[str, Any]] = []  # losses of the last steps, still on a GPU
        self.device = device(run.settings.device)
        self.patience = 1 if self.device.type == "cpu" else run.settings.read_every
        self.last_good = 0
        if run.checkpoint_path("last").exists():
            self._resume(run.load("last"))
        else:
            self.save(best=False)  # so that there is something to go back to, whatever happens
        self._clock = time.perf_counter()
        self._batches = _endless(job.loader)

    def _resume(self, checkpoint: Checkpoint) -> None:
        restore(self.job, checkpoint, self.run)
        state = checkpoint.state
        self.step = self.last_good = state["step"]
        self.seconds, self.pending = state["seconds"], state["pending"]
        self.best = math.inf if state["best"] is None else state["best"]
        self.run.rewind_log(self.step)

    def advance(self) -> dict[str, float]:
        """One step: a batch, an update.  Returns its losses if they were read, else nothing.

        Nothing in a step waits for a GPU, which can so be given the next one before it has done
        this one; it is waited for when the losses of some steps are read together.
        """
        self.unread.append(self.job.step(moved(next(self._batches), self.device)))
        self.step += 1
        to_log = self.step % self.run.settings.log_every == 0
        to_log = to_log or self.step == self.run.settings.steps
        if not to_log and self.step % self.patience:
            return {}
        losses = self.read()
        if to_log:
            self._log(_mean(self.pending))
            self.pending = []
        return losses

    def read(self) -> dict[str, float]:
        """Fetch the losses of the steps since the last time, and check that they are numbers.

        Returns the newest of them.  Raises Diverged for the first step with one that is none.
        """
        records, self.unread = numbers(self.unread), []
        for step, losses in enumerate(records, self.step - len(records) + 1):
            for name, value in losses.items():
                if not math.isfinite(value):
                    what = f"{name} became {'NaN' if math.isnan(value) else 'infinite'}"
                    raise Diverged(self.run, step, what, self.last_good)
            self.pending.append(losses)
        return records[-1] if records else {}

    def _log(self, values: Mapping[str, float]) -> None:
        self._tick()
        record = {"step": self.step, "seconds": round(self.seconds, 3), **values}
        for name, schedule in self.job.schedules.items():
            record[f"lr_{name}" if len(self.job.schedules) > 1 else "lr"] = schedule.get_last_lr()[
                0
            ]
        self.run.log(record)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.seconds, self._clock = self.seconds + now - self._clock, now

    def evaluate(self) -> None:
        """Metrics and samples into the run folder; then a checkpoint."""
        final = self.step == self.run.settings.steps
        with _undisturbed():
            metrics = self.job.evaluate(final)
            write_samples(self.job, self.run.path / "samples", self.step, final)
        self._tick()
        self.run.log({"step": self.step, "seconds": round(self.seconds, 3), "metrics": metrics})
        value = metrics[self.job.best]
        better = value < self.best
        self.best = min(self.best, value)
        self.save(best=better)

    def show(self) -> None:
        """A frame of the animation: what the model makes at this step."""
        with _undisturbed():
            picture = drawn(self.job)
        if picture is not None:
            folder = self.run.path / "samples" / "frames"
            folder.mkdir(exist_ok=True)
            light = picture[0] if isinstance(picture, tuple) else picture
            write_file(folder / f"step-{self.step:06d}.png", light)

    def save(self, best: bool) -> None:
        self.read()
        tensors: dict[str, Any] = {}
        parts = {
            name: split(part.state_dict(), name, tensors) for name, part in self.job.parts().items()
        }
        tensors = {name: tensor.cpu() for name, tensor in tensors.items()}
        for name, tensor in tensors.items():
            if not backend.all_finite(tensor.array):
                raise Diverged(self.run, self.step, f"{name} is not finite", self.last_good)
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "pending": self.pending,
            "best": self.best if math.isfinite(self.best) else None,
            "parts": parts,
            "random": default_generator.state,
        }
        self.run.save(tensors, state, best)
        self.last_good = self.step


def write_samples(job: Job, folder: Path, step: int, final: bool) -> None:
    """What the model makes now, into `folder`: a picture or a text, and at the end all pictures."""
    name = f"step-{step:06d}"
    picture = drawn(job)
    if picture is not None:
        write_picture(folder / f"{name}.png", picture)
    if job.write is not None:
        length = 600 if final else 200
        generator = Generator().manual_seed(SAMPLE_SEED)
        how = Sampling(temperature=job.temperature)
        text = "".join(job.write(job.prompt, length, how, generator))
        write_file(folder / f"{name}.txt", text.lstrip("\n") + "\n")
    if final:
        for caption, make in job.pictures.items():
            write_picture(folder / f"{caption}.png", make())


def write_picture(path: Path, made: Any, columns: int | None = None) -> None:
    """A picture of a job; of a pair, the second, for dark pages, goes to NAME-dark.png."""
    if isinstance(made, tuple):
        made, dark = made
        write_file(path.with_stem(f"{path.stem}-dark"), dark)
    write_file(path, _picture(made, columns))


def drawn(job: Job) -> bytes | tuple[bytes, bytes] | None:
    """A picture of what the model makes from the noise of SAMPLE_SEED, perhaps a second one for
    dark pages; None if it makes none."""
    generator = Generator().manual_seed(SAMPLE_SEED)
    if job.images is not None:
        return _picture(job.images(job.shown, generator)[None], columns=8)
    if job.draw is not None and job.plot is not None:
        return job.plot(job.draw(job.shown, generator))
    return None


def write_animation(folder: Path) -> None:
    """training.gif of the frames in samples/frames, if there are any."""
    frames = sorted((folder / "frames").glob("step-*.png"))
    if frames:
        from minigen.viz.animation import gif

        write_file(folder / "training.gif", gif([frame.read_bytes() for frame in frames]))


def _picture(made: bytes | Any, columns: int | None = None) -> bytes:
    """A PNG file's bytes as they are; of a grid (rows, columns, height, width[, 3]) its picture."""
    if isinstance(made, bytes):
        return made
    from minigen.viz.grid import png, tile

    grid = np.asarray(made)
    return png(tile(grid.reshape(-1, *grid.shape[2:]), columns=columns or grid.shape[1]))


def moved(batch: Any, where: device) -> Any:
    """A batch, a tensor or nested tuples, lists or dictionaries of tensors, on that device."""
    if isinstance(batch, Tensor):
        return batch.to(where)
    if isinstance(batch, Mapping):
        return {name: moved(part, where) for name, part in batch.items()}
    if isinstance(batch, tuple | list):
        return type(batch)(moved(part, where) for part in batch)
    return batch


def numbers(records: list[Mapping[str, Any]]) -> list[dict[str, float]]:
    """The same records of Python floats; from a GPU all of them come in one copy.

    >>> numbers([{"loss": Tensor([2.0]).sum()}, {"loss": 1}])
    [{'loss': 2.0}, {'loss': 1.0}]
    """
    values = [value for record in records for value in record.values()]
    if values and all(isinstance(v, Tensor) and v.is_cuda for v in values):
        values = stack([v.detach().reshape(()) for v in values]).tolist()
    flat = iter(values)
    return [{name: float(next(flat)) for name in record} for record in records]


def _mean(records: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(r[name] for r in records) / len(records) for name in records[0]}


def _endless(loader: DataLoader) -> Iterator[Any]:
    while True:
        yield from loader


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Whatever draws from the default random stream inside, afterwards it is as it was."""
    state, seed = default_generator.state, default_generator.initial_seed()
    try:
        yield
    finally:
        manual_seed(seed)
        default_generator.state = state


@contextmanager
def _interruptions(progress: Progress) -> Iterator[list[int]]:
    """A list that Ctrl-C makes non-empty: the loop ends its step and saves. A second one kills."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received  # Python delivers signals to the main thread only
        return

    def note(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        progress.line("Ctrl-C: finishing this step, then saving (again to stop at once)")

    before = signal.signal(signal.SIGINT, note)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)
