"""LRScheduler: counts steps and sets the rates that a subclass computes."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from minigen.capturing import capturing, on_replay
from minigen.optim.optimizer import Optimizer

__all__ = ["LRScheduler", "momentum_name", "per_group", "repeated", "set_momentum"]


def repeated(step: Callable[..., None]) -> Callable[..., None]:
    """A `step` that is also taken before every replay of a captured training step."""

    @functools.wraps(step)
    def wrapped(self: LRScheduler, *args: Any, **kwargs: Any) -> None:
        if capturing() is None:
            step(self, *args, **kwargs)
        else:
            on_replay(functools.partial(step, self, *args, **kwargs), undo=_going_back(self))

    return wrapped


def _going_back(schedule: LRScheduler) -> Callable[[], None]:
    """What leaves a schedule, those it is made of, and its optimizer's options as they are now."""
    schedules, groups = [schedule], schedule.optimizer.param_groups
    for each in schedules:
        schedules += getattr(each, "_schedulers", ())
    saved = [(vars(each), dict(vars(each))) for each in schedules]
    saved += [(group, dict(group)) for group in groups]

    def go_back() -> None:
        for there, before in saved:
            there.update(before)

    return go_back


class LRScheduler:
    """Base class: a subclass defines `get_lr`, the rates at step `self.last_epoch`.

    last_epoch: the step to go on from; -1 starts anew and remembers each group's rate as its
        "initial_lr", which must be there otherwise.
    """

    _initial = False  # while the constructor sets the first rates

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{number}]: to go on from "
                    f"last_epoch={last_epoch}, load the optimizer's state first"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._start()

    def _start(self) -> None:
        """Set the rates of the first step."""
        self._step_count = 0
        self._initial = True
        self.step()
        del self._initial

    def _restart(self) -> None:
        """Begin anew from the initial rates."""
        for group, lr in zip(self.optimizer.param_groups, self.base_lrs):
            group["lr"] = lr
        self._initial = True
        self._move_to(0)
        del self._initial

    def get_lr(self) -> list[float]:
        """The rate of each group at step `last_epoch`."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The rates that were set last."""
        return self._last_lr

    @repeated
    def step(self) -> None:
        """Go on by one step, and set the rates."""
        if self._step_count == 1 and not _has_stepped(self.optimizer):
            warnings.warn(
                "scheduler.step() before optimizer.step(): the first learning rate of the schedule "
                "is skipped; call optimizer.step() first",
                stacklevel=3,
            )
        self._step_count += 1
        self._move_to(self.last_epoch + 1)

    def _move_to(self, epoch: int) -> None:
        self.last_epoch = epoch
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr
        self._last_lr = self._now()

    def _now(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[float]:
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands, in plain numbers and lists; functions are left out."""
        left_out = ("optimizer", "lr_lambdas", "_scale", "_schedulers")
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the schedule stood that gave this state (the rates are the optimizer's)."""
        self.__dict__.update(state_dict)


def _has_stepped(optimizer: Optimizer) -> bool:
    """Whether `step` was called; an optimizer with a `step` of its own does not count."""
    return optimizer.steps_taken > 0 or type(optimizer).step is not Optimizer.step


def per_group(name: str, optimizer: Optimizer, value: Any) -> list:
    """One value for each parameter group: the given ones, or one for all of them."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, Sequence):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups: it has {len(value)} "
            f"values for {groups} groups"
        )
    return list(value)


def momentum_name(optimizer: Optimizer) -> str:
    """Which option is the momentum: "momentum", or "betas", whose first number is meant."""
    for name in ("betas", "momentum"):
        if name in optimizer.defaults:
            return name
    raise ValueError(
        f"cycle_momentum needs an optimizer with a momentum or betas, {type(optimizer).__name__} "
        "has neither; pass cycle_momentum=False"
    )


def set_momentum(group: dict[str, Any], momentum: float) -> None:
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum
