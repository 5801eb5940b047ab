"""Schedules made of schedules: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from minigen.optim.lr_scheduler.base import LRScheduler, repeated
from minigen.optim.lr_scheduler.plateau import ReduceLROnPlateau
from minigen.optim.optimizer import Optimizer

__all__ = ["ChainedScheduler", "SequentialLR"]


class _Composite(LRScheduler):
    """A schedule that only calls others."""

    _schedulers: list[LRScheduler]

    def _take(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler]) -> None:
        """Check the schedules and keep them."""
        for number, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(
                    f"{type(self).__name__}: {type(scheduler).__name__} at index {number} is no "
                    "schedule"
                )
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"{type(self).__name__}: ReduceLROnPlateau at index {number} needs a metric in "
                    "each step; step it by itself"
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError("all schedulers must belong to the same optimizer")
        self.optimizer, self._schedulers = optimizer, list(schedulers)

    def _undo(self) -> None:
        """Take back the first step of every schedule: each is started when it is its turn."""
        for scheduler in self._schedulers:
            if isinstance(scheduler, _Composite):
                scheduler._undo()
            else:
                scheduler.last_epoch -= 1
                scheduler._step_count = 0

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)
        own = {name: value for name, value in state_dict.items() if name != "_schedulers"}
        super().load_state_dict(own)


class SequentialLR(_Composite):
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
        self._take(optimizer, schedulers)
        if any(isinstance(scheduler, _Composite) for scheduler in schedulers[1:]):
            raise ValueError(
                "SequentialLR: a schedule that is made of others cannot be begun anew at a "
                "milestone; let it come first, or list its parts here"
            )
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._undo()
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._start()
        self._last_lr = first.get_last_lr()

    @repeated
    def step(self) -> None:
        self.last_epoch += 1
        number = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[number]
        if number > 0 and self._milestones[number - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Composite):
    """Several schedules in one: each step is one of all of them, in order.

    Raises ValueError for no schedule, for `ReduceLROnPlateau` among them, and for schedules of
    different optimizers.

    >>> import minigen
    >>> from minigen.optim.lr_scheduler import ConstantLR, ExponentialLR
    >>> optimizer = minigen.optim.SGD([minigen.zeros(1)], lr=1.0)
    >>> parts = [ConstantLR(optimizer, factor=0.5, total_iters=2), ExponentialLR(optimizer, 0.5)]
    >>> scheduler = ChainedScheduler(parts)
    >>> for _ in range(3):
    ...     print(*scheduler.get_last_lr(), end=" ")
    ...     optimizer.step(); scheduler.step()
    0.5 0.25 0.25
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        if len(schedulers) < 1:
            raise ValueError("ChainedScheduler: expected at least one scheduler, got none")
        given = optimizer or getattr(schedulers[0], "optimizer", None)
        self._take(given, schedulers)  # type: ignore[arg-type]
        self._last_lr = self._now()

    @repeated
    def step(self) -> None:
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._now()
