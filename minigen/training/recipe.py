"""What `minigen train NAME` trains: how the job is made, with which settings, and how it is told.

A recipe's module declares its recipes in a table `RECIPES`; `minigen.training.recipes` joins them.
All that the command line and the reports know of a model is declared here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from minigen.training.job import Job, Settings


@dataclass(frozen=True)
class Figure:
    """How a metric of the finished model is told, and what it is compared with.

    key:     the metric's name among those of `Job.evaluate`.
    beside:  the name of a second metric to read it against, and `against`, what that is in words.
    torch:   what PyTorch reached with the same model, data and steps, the mean over the seeds that
             benchmarks/results records under the same names.
    goal:    which of the two the value should at least equal, within `slack`, or None where there
             is nothing to win. `higher` is for metrics whose larger values are the better ones.
    count:   the name of the metric that says how many samples it was measured on.
    digits:  decimal places.
    """

    key: str
    label: str
    note: str
    unit: str = ""
    beside: str = ""
    against: str = ""
    torch: float | None = None
    goal: Literal["beside", "torch"] | None = None
    slack: float = 0.0
    higher: bool = False
    count: str = ""
    digits: int = 1

    def without_torch(self) -> Figure:
        """The same with nothing said of PyTorch, which was measured with other settings."""
        goal = None if self.goal == "torch" else self.goal
        return dataclasses.replace(self, torch=None, goal=goal)

    def reached(self, metrics: Mapping[str, float]) -> bool | None:
        """Whether the goal is reached; None if there is none, or nothing to read it against.

        >>> loss = Figure("loss", "loss", "", torch=1.5, goal="torch", slack=0.1)
        >>> loss.reached({"loss": 1.55}), loss.reached({"loss": 1.7})
        (True, False)
        """
        if self.goal is None or (self.goal == "beside" and self.beside not in metrics):
            return None
        goal = metrics[self.beside] if self.goal == "beside" else self.torch
        assert goal is not None
        ahead = metrics[self.key] - goal if self.higher else goal - metrics[self.key]
        return ahead >= -self.slack


@dataclass(frozen=True)
class LossCurve:
    """How the losses of a run are drawn over its steps.

    losses:    (name in the log, label) of what every step reports; empty: all, under their names.
    measured:  (metric, label) of what is measured at each evaluation.
    level:     (label, value) of a line to compare with; the value may be the name of a metric.
    """

    ylabel: str
    caption: str
    losses: tuple[tuple[str, str], ...] = ()
    measured: tuple[tuple[str, str], ...] = ()
    level: tuple[str, float | str] | None = None


@dataclass(frozen=True)
class Recipe:
    """A model, the way it is trained, and how its results are told. Called, it makes the job.

    settings:  of a whole run, or, given True, of one of seconds that shows that everything works.
    title, lead: what it is, and what it does, in a sentence or two for a newcomer.
    captions:  of the pictures in the run's `samples` folder, by name; "samples" of what it makes.
    follow:    fills in the settings that follow from others: the horizon of a schedule, say.
    """

    build: Callable[[Settings], Job]
    settings: Callable[[bool], Settings]
    title: str
    lead: str
    figures: tuple[Figure, ...]
    curve: LossCurve
    captions: Mapping[str, str] = field(default_factory=dict)
    follow: Callable[[Settings], Settings] = lambda settings: settings

    def __call__(self, settings: Settings) -> Job:
        return self.build(settings)

    def usual(self, settings: Settings) -> bool:
        """Whether these are the recipe's own settings of a whole run, whatever the seed and the
        device: only such a run can be compared with what PyTorch reached.

        Settings that a run of an older version does not have are those of today.
        """
        own = self.follow(self.settings(False))
        plain = ("steps", "batch_size", "lr", "precision")
        return all(getattr(settings, name) == getattr(own, name) for name in plain) and all(
            _same(given[name], value)
            for given, known in ((settings.model, own.model), (settings.options, own.options))
            for name, value in known.items()
            if name in given
        )


def _same(a: Any, b: Any) -> bool:
    """Equal, where a list, as JSON knows it, is as good as a tuple."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return list(a) == list(b)
    return bool(a == b)
