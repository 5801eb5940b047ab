"""Adadelta: steps in the parameter's own units, without a rate to tune (Zeiler 2012)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen.optim.optimizer import (
    Optimizer,
    advance,
    at_least,
    average_square,
    blocks,
    followed,
)
from minigen.tensor import Tensor

__all__ = ["Adadelta"]


class Adadelta(Optimizer):
    """The size of a step is that of the steps before.  With g the gradient:

        g <- g + λ θ                           λ weight_decay
        v <- ρ v + (1 - ρ) g²                  state["square_avg"],  ρ rho
        Δ <- g √(u + ε) / √(v + ε)             ε eps
        u <- ρ u + (1 - ρ) Δ²                  state["acc_delta"]
        θ <- θ - γ Δ                           γ lr, 1 in the paper

    maximize: go up the gradient.  Raises ValueError for options out of range.
    Sources: arXiv:1212.5701, algorithm 1; `torch.optim.Adadelta`.

    >>> import minigen
    >>> w = minigen.tensor([1.0], requires_grad=True)
    >>> optimizer = Adadelta([w], rho=0.5, eps=0.01)
    >>> w.grad = minigen.tensor([3.0])
    >>> optimizer.step()  # 3 √0.01 / √(4.5 + 0.01)
    >>> w
    tensor([0.8587], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        options = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, options)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        at_least(0.0, "eps", group["eps"])
        at_least(0.0, "weight_decay", group["weight_decay"])
        if not 0 <= group["rho"] <= 1:
            raise ValueError(f"invalid rho: {group['rho']}; it must be in [0, 1]")

    def update(self, p: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        averages = advance(state, p, "square_avg", "acc_delta")
        rho, eps = group["rho"], group["eps"]
        for x, g, v, u, a, b, delta in blocks(3, p.array, grad, *averages):
            g = followed(x, g, group, a, b)
            average_square(v, g, rho, b)
            np.sqrt(np.add(u, eps, out=delta), out=delta)
            delta /= np.sqrt(np.add(v, eps, out=b), out=b)
            delta *= g
            average_square(u, delta, rho, b)
            delta *= group["lr"]
            x -= delta
