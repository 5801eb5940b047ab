"""The schedule of the first Transformers, known by the name of its author, Noam Shazeer."""

from __future__ import annotations

from minigen.optim.lr_scheduler.factors import LambdaLR
from minigen.optim.optimizer import Optimizer

__all__ = ["noam"]


def noam(optimizer: Optimizer, warmup_steps: int, width: int | None = None) -> LambdaLR:
    """A rise in `warmup_steps` steps, then a fall with the inverse square root of their number.

    Of the step s = t + 1, with the width C of the model:

        η / η₀ = C^(-1/2) min(s^(-1/2), s warmup_steps^(-3/2))

    with η₀ = 1 in the paper.  Without `width` the rate is measured by its highest, η₀, which it has
    in step `warmup_steps`:

        η / η₀ = min((warmup_steps / s)^(1/2), s / warmup_steps)

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 3.
    Raises ValueError unless warmup_steps and width are positive.

    >>> import minigen
    >>> optimizer = minigen.optim.SGD([minigen.zeros(1)], lr=1.0)
    >>> scheduler = noam(optimizer, warmup_steps=4)
    >>> rates = []
    >>> for _ in range(16):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step(); scheduler.step()
    >>> rates[:4], rates[15]
    ([0.25, 0.5, 0.75, 1.0], 0.5)
    """
    if warmup_steps <= 0 or (width is not None and width <= 0):
        raise ValueError(
            f"expected positive warmup_steps and width, got {warmup_steps} and {width}"
        )
    highest = 1.0 if width is None else (width * warmup_steps) ** -0.5

    def ratio(t: int) -> float:
        step = t + 1
        return highest * min((warmup_steps / step) ** 0.5, step / warmup_steps)

    return LambdaLR(optimizer, ratio)
