"""Learning rates that change as training goes on.

`scheduler.step()` is called after each `optimizer.step()` (or epoch) and sets the "lr" of every
parameter group.  As in PyTorch a schedule multiplies the rate that it finds, so that several may
act on one optimizer; t below is `last_epoch`, the number of `step()` calls, η₀ the initial rate.

>>> import minigen
>>> optimizer = minigen.optim.SGD([minigen.zeros(1)], lr=1.0)
>>> from minigen.optim.lr_scheduler import ExponentialLR, LinearLR, SequentialLR
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

from minigen.optim.lr_scheduler.base import LRScheduler
from minigen.optim.lr_scheduler.composition import ChainedScheduler, SequentialLR
from minigen.optim.lr_scheduler.cosine import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    cosine_with_warmup,
)
from minigen.optim.lr_scheduler.cyclic import CyclicLR, OneCycleLR
from minigen.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from minigen.optim.lr_scheduler.noam import noam
from minigen.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "cosine_with_warmup",
    "noam",
]
