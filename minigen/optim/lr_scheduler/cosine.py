"""Schedules that follow a cosine."""

from __future__ import annotations

import math

from minigen.optim.lr_scheduler.base import LRScheduler, repeated
from minigen.optim.lr_scheduler.factors import LambdaLR
from minigen.optim.optimizer import Optimizer

__all__ = ["CosineAnnealingLR", "CosineAnnealingWarmRestarts", "cosine_with_warmup"]


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


class CosineAnnealingWarmRestarts(LRScheduler):
    """η = eta_min + (η₀ - eta_min) (1 + cos(π T_cur / T_i)) / 2, again and again.

    T_cur counts the steps since the last restart.  The first run takes T_i = T_0 steps, each later
    one T_mult times as many as the one before.  Source: Loshchilov & Hutter 2016, arXiv:1608.03983,
    eq. 5.  Raises ValueError unless T_0 and T_mult are positive integers.

    >>> import minigen
    >>> optimizer = minigen.optim.SGD([minigen.zeros(1)], lr=1.0)
    >>> scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
    >>> rates = []
    >>> for _ in range(7):
    ...     rates += [round(rate, 3) for rate in scheduler.get_last_lr()]
    ...     optimizer.step(); scheduler.step()
    >>> rates
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ValueError(f"expected a positive integer T_0, got {T_0}")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"expected an integer T_mult >= 1, got {T_mult}")
        if not isinstance(eta_min, int | float):
            raise ValueError(f"eta_min must be a number, got {type(eta_min).__name__}")
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    @repeated
    def step(self, epoch: float | None = None) -> None:
        """Go on by one step, or to `epoch`, which may be a fraction: `epoch + batch / batches`."""
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = 0 if epoch is None else epoch
            if epoch < 0:
                raise ValueError(f"expected an epoch >= 0, got {epoch}")
            self._find(epoch)
        self._move_to(math.floor(epoch))

    def _find(self, epoch: float) -> None:
        """Set T_cur and T_i to where `epoch` lies: after the n runs that are complete by then."""
        if self.T_mult == 1:
            self.T_i, self.T_cur = self.T_0, epoch % self.T_0
        else:  # n runs take T_0 (T_mult^n - 1) / (T_mult - 1) steps
            n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            before = self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_i, self.T_cur = self.T_0 * self.T_mult**n, epoch - before
