"""RMSprop: steps divided by the root mean square of recent gradients (Tieleman & Hinton 2012)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen.optim.optimizer import (
    Optimizer,
    advance,
    at_least,
    average,
    average_square,
    blocks,
    followed,
)
from minigen.tensor import Tensor

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Steps whose size forgets old gradients.  With g the gradient:

        g <- g + λ θ                           λ weight_decay
        v <- α v + (1 - α) g²                  state["square_avg"],  α alpha
        d =  √v + ε                            ε eps
        θ <- θ - γ g / d                       γ lr

    centered: ḡ <- α ḡ + (1 - α) g in state["grad_avg"], and d = √(v - ḡ²) + ε, with the variance in
        place of the mean square (Graves 2013, arXiv:1308.0850, eq. 38 to 45).
    momentum: b <- μ b + g / d in state["momentum_buffer"], and θ <- θ - γ b.
    maximize: go up the gradient.
    Raises ValueError for negative options.  Sources: Tieleman & Hinton 2012, lecture 6.5 of "Neural
    networks for machine learning"; `torch.optim.RMSprop`.

    >>> import minigen
    >>> w = minigen.tensor([1.0], requires_grad=True)
    >>> optimizer = RMSprop([w], lr=0.1, alpha=0.75)
    >>> w.grad = minigen.tensor([7.0])
    >>> optimizer.step()  # the first root mean square is half the gradient
    >>> w
    tensor([0.8000], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, options)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        for name in ("eps", "momentum", "weight_decay", "alpha"):
            at_least(0.0, name, group[name])

    def update(self, p: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        alpha, momentum, centered = group["alpha"], group["momentum"], group["centered"]
        names = ["square_avg"]
        names += ["momentum_buffer"] if momentum > 0 else []
        names += ["grad_avg"] if centered else []
        arrays = advance(state, p, *names)
        for x, g, v, *others, a, b, d in blocks(3, p.array, grad, *arrays):
            g = followed(x, g, group, a, b)
            average_square(v, g, alpha, b)
            if centered:
                mean = others[-1]
                average(mean, g, alpha, b)
                np.subtract(v, np.multiply(mean, mean, out=b), out=d)
                np.sqrt(d, out=d)
            else:
                np.sqrt(v, out=d)
            d += group["eps"]
            step = np.divide(g, d, out=d)
            if momentum > 0:
                others[0] *= momentum
                others[0] += step
                step = others[0]
            x -= np.multiply(step, group["lr"], out=b)
