"""Averages of the weights a model had during training, which often do better than the last ones.

SWA: the plain average (Izmailov et al. 2018, arXiv:1803.05407).  EMA: an exponential moving average
(Polyak & Juditsky 1992), as used for samples of diffusion models and GANs.

An `avg_fn(average, current, n)` returns the new average of one tensor after n models; a
`multi_avg_fn(averages, currents, n)` changes a list of tensors of one dtype in place.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from minigen import backend
from minigen.autograd import wrap
from minigen.capturing import on_replay, refuse
from minigen.dtypes import int64
from minigen.modes import no_grad
from minigen.nn.module import Module
from minigen.nn.normalization import _BatchNorm
from minigen.ops.creation import tensor
from minigen.optim.lr_scheduler.base import LRScheduler, per_group
from minigen.optim.optimizer import Optimizer
from minigen.tensor import Tensor

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

AverageOne = Callable[[Any, Any, Any], Any]
AverageMany = Callable[[Sequence[Any], Sequence[Any], Any], None]


def _check_decay(decay: float) -> None:
    if not 0 <= decay <= 1:
        raise ValueError(f"invalid decay: {decay}; it must be in [0, 1]")


def get_ema_avg_fn(decay: float = 0.999) -> AverageOne:
    """w̄ <- decay w̄ + (1 - decay) w.  Raises ValueError for a decay outside [0, 1].

    >>> import minigen
    >>> get_ema_avg_fn(0.75)(minigen.tensor(1.0), minigen.tensor(5.0), 1)
    tensor(2.)
    """
    _check_decay(decay)

    @no_grad
    def ema_update(ema_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> AverageOne:
    """w̄ <- w̄ + (w - w̄) / (n + 1): the plain average of n + 1 models."""

    @no_grad
    def swa_update(averaged_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def _in_place(average: AverageOne) -> AverageMany:
    """The same for lists of tensors, in place."""

    @no_grad
    def update(averages: Sequence[Any], currents: Sequence[Any], num_averaged: Any) -> None:
        for averaged, current in zip(averages, currents, strict=True):
            averaged.copy_(average(averaged, current, num_averaged))

    return update


def get_ema_multi_avg_fn(decay: float = 0.999) -> AverageMany:
    """As `get_ema_avg_fn`, for lists of tensors, in place."""
    return _in_place(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> AverageMany:
    """As `get_swa_avg_fn`, for lists of tensors, in place."""
    return _in_place(get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of a model whose weights are averages of those the model had at `update_parameters`.

    device: where the copy is kept, if not where the model is.
    avg_fn, multi_avg_fn: how to average (at most one of them), plainly if None; see
        `get_ema_avg_fn` and `get_ema_multi_avg_fn`.
    use_buffers: average the buffers as well, in place of copying them.

    The state_dict has the keys of the model behind "module.", and "n_averaged".  Statistics of
    batch norms do not fit averaged weights: call `update_bn`, or choose `use_buffers`.

    >>> import minigen
    >>> model = minigen.nn.Linear(1, 1, bias=False)
    >>> averaged = AveragedModel(model)
    >>> for value in (1.0, 2.0, 6.0):
    ...     _ = minigen.nn.init.constant_(model.weight, value)
    ...     averaged.update_parameters(model)
    >>> averaged(minigen.ones(1, 1)).item()
    3.0
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: AverageOne | None = None,
        multi_avg_fn: AverageMany | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("AveragedModel takes avg_fn or multi_avg_fn, not both")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(backend.device(device))
        self.register_buffer("n_averaged", tensor(0, dtype=int64, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the weights that the model has now into the average; the first are copied."""
        pairs = list(zip(_values(self.module, self.use_buffers), _values(model, self.use_buffers)))
        pairs = [(mean, now.to(mean.device)) for mean, now in pairs]
        if self.n_averaged.item() == 0:
            refuse("the first update of averaged weights copies them; make one before")
            _copy(pairs)
        elif self.multi_avg_fn is not None:
            groups: dict[Any, list] = {}
            for pair in pairs:
                groups.setdefault((pair[0].device, pair[0].dtype), []).append(pair)
            for (device, _), members in groups.items():
                means, values = zip(*members)
                self.multi_avg_fn(list(means), list(values), self._number(device))
        else:
            average = self.avg_fn or get_swa_avg_fn()
            _copy((mean, average(mean, now, self._number(mean.device))) for mean, now in pairs)
        if not self.use_buffers:
            _copy(zip(self.module.buffers(), model.buffers(), strict=True))
        on_replay(partial(self._count, 1), undo=partial(self._count, -1))

    def _count(self, by: int) -> None:
        self.n_averaged += by

    def _number(self, where: Any) -> Tensor:
        """How many models are in the average, on that device."""
        if self.n_averaged.is_cuda:
            return self.n_averaged.to(where)
        return wrap(backend.drawn(lambda: self.n_averaged.array.copy(), where))


def _values(module: Module, buffers: bool) -> Iterable[Tensor]:
    """The parameters, perhaps the buffers, outside the graph."""
    found = itertools.chain(module.parameters(), module.buffers() if buffers else ())
    return (member.detach() for member in found)


@no_grad
def _copy(pairs: Iterable[tuple[Any, Any]]) -> None:
    for target, value in pairs:
        target.detach().copy_(value.detach().to(target.device))


@no_grad
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the statistics of all batch norms anew, as averages over the batches of `loader`.

    A batch is what `model` is called with, or a list or tuple whose first element is.  The modes
    and momenta of the model are afterwards what they were.

    >>> import minigen
    >>> model = minigen.nn.BatchNorm1d(1)
    >>> update_bn([minigen.tensor([[1.0], [3.0]]), minigen.tensor([[6.0], [6.0]])], model)
    >>> model.running_mean
    tensor([4.])
    """
    momenta: dict[_BatchNorm, float | None] = {}
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.momentum = None  # a plain average over the batches
    for batch in loader:
        given = batch[0] if isinstance(batch, list | tuple) else batch
        model(given if device is None else given.to(backend.device(device)))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the rate at hand to the constant rate of the averaging phase, in `anneal_epochs` steps.

    η = swa_lr a + η_before (1 - a), with a from 0 to 1 along half a cosine, or a straight line if
    anneal_strategy is "linear".  swa_lr may be one rate for each parameter group.
    Raises ValueError for a strategy of another name, or negative epochs.

    >>> import minigen
    >>> optimizer = minigen.optim.SGD([minigen.zeros(1)], lr=1.0)
    >>> scheduler = SWALR(optimizer, swa_lr=0.2, anneal_epochs=2, anneal_strategy="linear")
    >>> for _ in range(4):
    ...     print(round(scheduler.get_last_lr()[0], 4), end=" ")
    ...     optimizer.step(); scheduler.step()
    1.0 0.6 0.2 0.2
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be an integer >= 0, got {anneal_epochs}")
        for group, rate in zip(optimizer.param_groups, per_group("swa_lr", optimizer, swa_lr)):
            group["swa_lr"] = rate
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        self._begin = last_epoch + 1
        super().__init__(optimizer, last_epoch)

    def _restart(self) -> None:
        self._move_to(0)  # from the rate that it finds

    def get_lr(self) -> list[float]:
        """From one step to the next, since another schedule may act on the rate as well."""
        step = self.last_epoch - self._begin
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._part(step - 1), self._part(step)
        rates = []
        for group in self.optimizer.param_groups:
            lr, final = group["lr"], group["swa_lr"]
            start = final if before == 1 else (lr - before * final) / (1 - before)
            rates.append(final * now + start * (1 - now))
        return rates

    def _part(self, step: int) -> float:
        """How far the rate has come after so many steps, from 0 to 1."""
        t = max(0, min(1, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self.anneal_strategy == "cos" else t
