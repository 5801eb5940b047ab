"""Learning rates that change as training goes on.

`scheduler.step()` is called after each `optimizer.step()` (or epoch) and sets the "lr" of every
parameter group.  As in PyTorch a schedule multiplies the rate that it finds, so that several may
act on one optimizer; t below is `last_epoch`, the number of `step()` calls, η₀ the initial rate.

>>> import minigen
>>> optimizer = minigen.optim.SGD([minigen.zeros(1)], lr=1.0)
>>> warmup = LinearLR(optimizer, start_factor=0.25, total_iters=3)
>>> schedule = SequentialLR(optimizer, [warmup, ExponentialLR(optimizer, gamma=0.5)], [3])
>>> rates = []
>>> for step in range(6):
...     rates += schedule.get_last_lr()
...     optimizer.step()
...     schedule.step()
>>> rates
[0.25, 0.5, 0.75, 1.0, 0.5, 0.25]
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from minigen.optim.optimizer import Optimizer

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "SequentialLR",
    "StepLR",
    "cosine_with_warmup",
]


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

    def step(self) -> None:
        """Go on by one step, and set the rates."""
        if self._step_count == 1 and not _has_stepped(self.optimizer):
            warnings.warn(
                "scheduler.step() before optimizer.step(): the first learning rate of the schedule "
                "is skipped; call optimizer.step() first",
                stacklevel=2,
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
        left_out = ("optimizer", "lr_lambdas", "_schedulers")
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the schedule stood that gave this state (the rates are the optimizer's)."""
        self.__dict__.update(state_dict)


def _has_stepped(optimizer: Optimizer) -> bool:
    """Whether `step` was called; an optimizer with a `step` of its own does not count."""
    return optimizer.steps_taken > 0 or type(optimizer).step is not Optimizer.step


class LambdaLR(LRScheduler):
    """η = η₀ f(t), with one function f for all groups or one for each.

    >>> import minigen
    >>> optimizer = minigen.optim.SGD([minigen.zeros(1)], lr=2.0)
    >>> scheduler = LambdaLR(optimizer, lambda t: 1 / (t + 1))
    >>> optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        groups = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"expected {groups} lr_lambdas, but got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base * f(self.last_epoch) for base, f in zip(self.base_lrs, self.lr_lambdas)]


def cosine_with_warmup(
    optimizer: Optimizer, warmup_steps: int, total_steps: int, min_ratio: float = 0.0
) -> LambdaLR:
    """A rise to the full rate in `warmup_steps` steps, then half a cosine to `min_ratio` of it.

    η / η₀ = (t + 1) / (warmup_steps + 1)                              for t < warmup_steps, then
             min_ratio + (1 - min_ratio) (1 + cos π s) / 2,  s = (t - warmup) / (total - warmup)

    From `total_steps` on it stays at `min_ratio`.  Sources: Loshchilov & Hutter 2016,
    arXiv:1608.03983, eq. 5; Goyal et al. 2017, arXiv:1706.02677, section 2.2.
    Raises ValueError unless 0 <= warmup_steps < total_steps.

    >>> import minigen
    >>> optimizer = minigen.optim.SGD([minigen.zeros(1)], lr=1.0)
    >>> scheduler = cosine_with_warmup(optimizer, warmup_steps=3, total_steps=5, min_ratio=0.1)
    >>> rates = []
    >>> for _ in range(6):
    ...     rates += [round(rate, 3) for rate in scheduler.get_last_lr()]
    ...     optimizer.step(); scheduler.step()
    >>> rates
    [0.25, 0.5, 0.75, 1.0, 0.55, 0.1]
    """
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"expected 0 <= warmup_steps < total_steps, got {warmup_steps} and {total_steps}"
        )

    def ratio(t: int) -> float:
        if t < warmup_steps:
            return (t + 1) / (warmup_steps + 1)
        progress = min(1.0, (t - warmup_steps) / (total_steps - warmup_steps))
        return min_ratio + (1 - min_ratio) * (1 + math.cos(math.pi * progress)) / 2

    return LambdaLR(optimizer, ratio)


class StepLR(LRScheduler):
    """η <- η gamma every `step_size` steps.

    >>> import minigen
    >>> optimizer = minigen.optim.SGD([minigen.zeros(1)], lr=1.0)
    >>> schedule = StepLR(optimizer, step_size=2, gamma=0.1)
    >>> for _ in range(2):
    ...     optimizer.step(); schedule.step()
    >>> schedule.get_last_lr()
    [0.1]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return self._scaled(self.gamma) if due else self._now()


class MultiStepLR(LRScheduler):
    """η <- η gamma at each of the milestones."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return self._scaled(self.gamma ** self.milestones.count(self.last_epoch))


class ExponentialLR(LRScheduler):
    """η <- η gamma every step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return self._now() if self._initial else self._scaled(self.gamma)


class ConstantLR(LRScheduler):
    """η = factor η₀ for `total_iters` steps, then η₀."""

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < factor <= 1:
            raise ValueError(f"factor has to be greater than 0 and at most 1, got {factor}")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        return self._scaled(1 / self.factor) if self.last_epoch == self.total_iters else self._now()


class LinearLR(LRScheduler):
    """η / η₀ goes from start_factor to end_factor in a straight line of `total_iters` steps."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(
                f"start_factor has to be greater than 0 and at most 1, got {start_factor}"
            )
        if not 0 <= end_factor <= 1:
            raise ValueError(f"end_factor has to be between 0 and 1, got {end_factor}")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self._initial or self.last_epoch > self.total_iters:
            return self._now()
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return self._scaled(1 + rise / before)


class CosineAnnealingLR(LRScheduler):
    """η = eta_min + (η₀ - eta_min) (1 + cos(π t / T_max)) / 2, and up again after T_max steps.

    Source: Loshchilov & Hutter 2016, arXiv:1608.03983, eq. 5, without the restarts.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """From one step to the next, since another schedule may act on the rate as well."""
        if self._initial:
            return self._now()
        t, low = self.last_epoch, self.eta_min

        def height(step: int) -> float:
            return (1 + math.cos(math.pi * step / self.T_max)) / 2

        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # from the bottom: height(t - 1) is 0
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [now + (base - low) * rise for base, now in zip(self.base_lrs, self._now())]
        return [low + (now - low) * height(t) / height(t - 1) for now in self._now()]


class SequentialLR(LRScheduler):
    """One schedule after the other: schedule i + 1 takes over, from its start, at milestone i.

    Raises ValueError unless there is one more schedule than milestones, all of this optimizer.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        if not schedulers or len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "expected one more scheduler than milestones, "
                f"got {len(schedulers)} schedulers and {len(milestones)} milestones"
            )
        if any(scheduler.optimizer is not optimizer for scheduler in schedulers):
            raise ValueError("all schedulers must belong to the same optimizer")
        self.optimizer = optimizer
        self._schedulers, self._milestones = list(schedulers), list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._undo()
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._start()
        self._last_lr = first.get_last_lr()

    def _undo(self) -> None:
        """Take back the first step of every schedule: each is started when it is its turn."""
        for scheduler in self._schedulers:
            if isinstance(scheduler, SequentialLR):
                scheduler._undo()
            else:
                scheduler.last_epoch -= 1
                scheduler._step_count = 0

    def step(self) -> None:
        self.last_epoch += 1
        number = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[number]
        if number > 0 and self._milestones[number - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)
        own = {name: value for name, value in state_dict.items() if name != "_schedulers"}
        super().load_state_dict(own)
