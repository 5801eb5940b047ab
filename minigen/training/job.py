"""What the loop needs to know: `Settings` determine a run, a `Job` is a model in training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minigen import Tensor, device
from minigen.data import DataLoader
from minigen.nn import Module
from minigen.optim import Optimizer
from minigen.precision import TRAINING


@dataclass(frozen=True)
class Settings:
    """All that determines a run: equal settings give equal weights, bit for bit, on one machine.

    `config.json` of a run folder holds them.
    """

    recipe: str
    steps: int
    batch_size: int
    lr: float
    seed: int = 0
    log_every: int = 50  # steps between lines of the log
    save_every: int = 500  # steps between checkpoints, each with an evaluation and samples
    device: str = "cpu"  # or "cuda"; data, weights and noise are drawn on the CPU for either
    read_every: int = 10  # steps between looks at losses that are on a GPU: each waits for it
    precision: str = "fp32"  # or "bf16": what matrix products of a step round their operands to
    model: Mapping[str, Any] = field(default_factory=dict)  # of the model's config dataclass
    options: Mapping[str, Any] = field(default_factory=dict)  # what only this recipe knows

    def __post_init__(self) -> None:
        """Raises ValueError for what no run can be made of, with the name of the setting."""
        for name in ("steps", "batch_size", "log_every", "save_every", "read_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a whole number, 1 or more, got {value!r}")
        if self.precision not in TRAINING:
            raise ValueError(f"precision must be fp32 or bf16, got {self.precision!r}")
        if not isinstance(self.lr, int | float) or not 0 < self.lr < float("inf"):
            raise ValueError(f"lr must be a positive number, got {self.lr!r}")
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be a whole number from 0 to 2^63 - 1, got {self.seed!r}")
        try:
            device(self.device)
        except RuntimeError as error:
            raise ValueError(str(error)) from None

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Settings:
        """Raises ValueError if a setting is missing, unknown, or out of range.

        Runs of older versions know of neither device nor precision: theirs are the defaults.
        """
        known: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(cls)}
        later = ("device", "read_every", "precision")
        saved = {name: known[name] for name in later} | dict(saved)
        for name in sorted(set(known) ^ set(saved)):
            raise ValueError(f"{name} is {'missing' if name in known else 'no setting'}")
        return cls(**saved)


class DataError(ValueError):
    """The data that a run's settings name are not there, or are not those it was started with."""


@dataclass
class Job:
    """A model in training. A recipe makes one; the loop runs it and never looks inside.

    step:      one update of the parameters from a batch; returns losses, scalars, to be logged.
    evaluate:  metrics of the model as it is. `thorough` asks for all of them on all of the test
               data, else for what can be afforded every few hundred steps.
    best:      the metric whose smallest value marks the best checkpoint.

    What it makes, each only if it does:
    images:    (count, generator) -> float array (count, height, width) or, in colour,
               (count, height, width, 3), in [0, 1].
    illustrate: (prompt, count, generator) -> images of what the prompt asks for; raises ValueError
               for a prompt it does not understand.
    write:     (prompt, count, sampling, generator, stop) -> pieces of the text after the prompt;
               `prompt` begins the texts that are written while it learns, at `temperature`,
               which is also that of `minigen sample` unless it is told another.
    look:      (prompt, count, sampling, generator) -> a `viz.attention.Look`: where the model
               looks while it writes, and what it finds likely.
    draw:      (count, generator) -> array (count, ...) in the data's own units: points, series.
    plot:      such an array -> the bytes of a PNG file that shows it, or two: for a light and a
               dark page.
    chosen:    whether `draw` also takes temperature, top_k and top_p by name (see `Sampling`).
    columns:   what the numbers of a draw are called in a CSV file.
    shown:     how many images or draws a picture of samples holds.

    pictures:  more of them, by name: a grid (rows, columns, height, width[, 3]) or what `plot`
               gives.
    scores:    the metrics of `evaluate` -> further figures by heading, for `minigen evaluate`.
    """

    settings: Settings
    modules: dict[str, Module]
    optimizers: dict[str, Optimizer]
    loader: DataLoader
    step: Callable[[Any], dict[str, Tensor]]
    evaluate: Callable[[bool], dict[str, float]]
    best: str
    schedules: dict[str, Any] = field(default_factory=dict)
    images: Callable[..., Any] | None = None
    illustrate: Callable[[str, int, Any], Any] | None = None
    write: Callable[..., Iterator[str]] | None = None
    draw: Callable[..., Any] | None = None
    plot: Callable[[Any], bytes | tuple[bytes, bytes]] | None = None
    chosen: bool = False
    columns: tuple[str, ...] = ("value",)
    shown: int = 64
    look: Callable[..., Any] | None = None
    prompt: str = "\n"
    temperature: float = 0.8
    pictures: dict[str, Callable[[], Any]] = field(default_factory=dict)
    scores: Callable[[Mapping[str, float]], Mapping[str, Sequence[Any]]] | None = None

    def parameters(self) -> int:
        """How many numbers are learned."""
        return sum(p.numel() for m in self.modules.values() for p in m.parameters())

    def parts(self) -> dict[str, Any]:
        """Everything with a state_dict, by the name it has in a checkpoint."""
        return {
            **{f"model.{name}": part for name, part in self.modules.items()},
            **{f"optimizer.{name}": part for name, part in self.optimizers.items()},
            **{f"schedule.{name}": part for name, part in self.schedules.items()},
            "loader": self.loader,
        }
