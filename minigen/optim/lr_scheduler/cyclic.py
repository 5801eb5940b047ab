"""Schedules that raise the rate and lower it again, and the momentum the other way round."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from minigen.optim.lr_scheduler.base import LRScheduler, momentum_name, per_group, set_momentum
from minigen.optim.optimizer import Optimizer

__all__ = ["CyclicLR", "OneCycleLR"]


def _prepare_momentum(
    optimizer: Optimizer, base: float | list[float], largest: float | list[float], set_it: bool
) -> tuple[list[float], list[float]]:
    """The bounds of each group's momentum; they are also written into the groups if `set_it`."""
    momentum_name(optimizer)
    bases = per_group("base_momentum", optimizer, base)
    tops = per_group("max_momentum", optimizer, largest)
    if set_it:
        for group, low, high in zip(optimizer.param_groups, bases, tops):
            set_momentum(group, high)
            group["max_momentum"], group["base_momentum"] = high, low
    return bases, tops


class CyclicLR(LRScheduler):
    """The rate goes up and down between two bounds, in straight lines.

    In cycle c = 1, 2, ... it rises for `step_size_up` steps and falls for `step_size_down`, by
    default as many.  With h from 0 up to 1 and down to 0 along a cycle, and a factor s,

        η = base_lr + (max_lr - base_lr) h s
        μ = max_momentum - (max_momentum - base_momentum) h s        if cycle_momentum

    mode: "triangular" (s = 1), "triangular2" (s = 1 / 2^(c - 1)) or "exp_range" (s = gamma^t).
    scale_fn: s as a function of c, or of t if scale_mode is "iterations"; `mode` is ignored then.
    base_lr, max_lr and the bounds of the momentum are for all groups, or one for each.
    Source: Smith 2015, arXiv:1506.01186, section 3.  Raises ValueError for an unknown mode, or if
    the optimizer has no momentum to cycle.

    >>> import minigen
    >>> optimizer = minigen.optim.SGD([minigen.zeros(1)], momentum=0.9)
    >>> scheduler = CyclicLR(optimizer, base_lr=0.0, max_lr=1.0, step_size_up=2)
    >>> for _ in range(5):
    ...     print(*scheduler.get_last_lr(), end=" ")
    ...     optimizer.step(); scheduler.step()
    0.0 0.5 1.0 0.5 0.0
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(
                f"mode {mode!r} is unknown; choose 'triangular', 'triangular2' or 'exp_range', or "
                "pass a scale_fn"
            )
        if scale_mode not in ("cycle", "iterations"):
            raise ValueError(f"scale_mode must be 'cycle' or 'iterations', got {scale_mode!r}")
        bases = per_group("base_lr", optimizer, base_lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, bases):
                group["lr"] = lr
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma, self._scale = mode, gamma, scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums, self.max_momentums = _prepare_momentum(
                optimizer, base_momentum, max_momentum, set_it=last_epoch == -1
            )
        super().__init__(optimizer, last_epoch)
        self.base_lrs = bases

    def scale_fn(self, x: float) -> float:
        """The factor s, of the cycle or of the step as `scale_mode` says."""
        if self._scale is not None:
            return self._scale(x)
        if self.mode == "triangular2":
            return 1 / 2.0 ** (x - 1)
        return self.gamma**x if self.mode == "exp_range" else 1.0

    def get_lr(self) -> list[float]:
        """The rates; moves the momentum, too."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1 + self.last_epoch / self.total_size - cycle  # from 0 to 1 along the cycle
        up = x <= self.step_ratio
        height = x / self.step_ratio if up else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            bounds = zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums)
            for group, low, high in bounds:
                set_momentum(group, high - (high - low) * height * scale)
        return [
            low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs)
        ]


class OneCycleLR(LRScheduler):
    """One rise to `max_lr` and a long fall to next to nothing, over all of the training.

    With T = total_steps, or epochs · steps_per_epoch, and each phase following half a cosine (or a
    straight line, if anneal_strategy is "linear"), rates go

        from max_lr / div_factor up to max_lr              in the first pct_start of the steps,
        down to (max_lr / div_factor) / final_div_factor   in the rest;

    with `three_phase` down to max_lr / div_factor first, in as many steps as it took to rise.  If
    cycle_momentum, the momentum (or β₁) goes from max_momentum to base_momentum and back meanwhile.
    Call `step` after every batch.  Source: Smith & Topin 2017, arXiv:1708.07120, section 2.
    Raises ValueError for more than T steps and for options that make no sense.

    >>> import minigen
    >>> optimizer = minigen.optim.SGD([minigen.zeros(1)], momentum=0.9)
    >>> scheduler = OneCycleLR(optimizer, max_lr=1.0, total_steps=5, pct_start=0.5)
    >>> for _ in range(5):
    ...     print(round(scheduler.get_last_lr()[0], 4), end=" ")
    ...     optimizer.step(); scheduler.step()
    0.04 0.76 0.9045 0.3455 0.0
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.total_steps = _total(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"expected a float between 0 and 1 as pct_start, got {pct_start!r}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        self.anneal_strategy = anneal_strategy
        self._phases = _phases(self.total_steps, pct_start, three_phase)
        tops = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, top in zip(optimizer.param_groups, tops):
                group["initial_lr"], group["max_lr"] = top / div_factor, top
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            _prepare_momentum(optimizer, base_momentum, max_momentum, set_it=last_epoch == -1)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates; moves the momentum, too."""
        t = self.last_epoch
        if t > self.total_steps:
            raise ValueError(
                f"OneCycleLR: step {t} of {self.total_steps}; make total_steps the number of "
                "batches of the whole training"
            )
        ends = [end for end, _, _ in self._phases]
        number = min(bisect_left(ends, t), len(ends) - 1)  # the first phase that ends at t or later
        begin = ends[number - 1] if number else 0.0
        end, rates, momenta = self._phases[number]
        part = (t - begin) / (end - begin)
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                set_momentum(group, self._between(group[momenta[0]], group[momenta[1]], part))
        return [
            self._between(group[rates[0]], group[rates[1]], part)
            for group in self.optimizer.param_groups
        ]

    def _between(self, start: float, end: float, part: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * part
        return end + (start - end) / 2 * (1 + math.cos(math.pi * part))


def _total(total_steps: Any, epochs: Any, steps_per_epoch: Any) -> int:
    if total_steps is None and (epochs is None or steps_per_epoch is None):
        raise ValueError("OneCycleLR needs total_steps, or both epochs and steps_per_epoch")
    given = {"total_steps": total_steps}
    if total_steps is None:
        given = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"expected a positive integer as {name}, got {value}")
    return math.prod(given.values())


def _phases(total: int, pct_start: float, three: bool) -> list:
    """(last step, (rate before, rate after), (momentum before, after)), rates by their names."""
    slower, faster = ("max_momentum", "base_momentum"), ("base_momentum", "max_momentum")
    up = [pct_start * total - 1, ("initial_lr", "max_lr"), slower]
    if not three:
        return [up, [total - 1, ("max_lr", "min_lr"), faster]]
    down = [2 * pct_start * total - 2, ("max_lr", "initial_lr"), faster]
    still = ("max_momentum", "max_momentum")
    return [up, down, [total - 1, ("initial_lr", "min_lr"), still]]
