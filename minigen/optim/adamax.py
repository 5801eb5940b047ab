"""Adamax: Adam with the largest gradient in place of the mean square (Kingma & Ba 2014)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen.optim.optimizer import (
    Optimizer,
    advance,
    at_least,
    average,
    blocks,
    check_betas,
    followed,
)
from minigen.tensor import Tensor

__all__ = ["Adamax"]


class Adamax(Optimizer):
    """Adam in the infinity norm.  With g the gradient, t the number of the step:

        g <- g + λ θ                           λ weight_decay
        m <- β₁ m + (1 - β₁) g                 state["exp_avg"]
        u <- max(β₂ u, |g| + ε)                state["exp_inf"],  ε eps
        θ <- θ - γ / (1 - β₁ᵗ) · m / u         γ lr

    maximize: go up the gradient.  Raises ValueError for options out of range.
    Sources: arXiv:1412.6980, algorithm 2; `torch.optim.Adamax`.

    >>> import minigen
    >>> w = minigen.tensor([1.0, 1.0], requires_grad=True)
    >>> optimizer = Adamax([w], lr=0.1)
    >>> w.grad = minigen.tensor([1.0, -100.0])
    >>> optimizer.step()
    >>> w
    tensor([0.9000, 1.1000], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, options)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        at_least(0.0, "eps", group["eps"])
        at_least(0.0, "weight_decay", group["weight_decay"])
        check_betas(group["betas"])

    def update(self, p: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        averages = advance(state, p, "exp_avg", "exp_inf")
        beta1, beta2 = group["betas"]
        step_size = group["lr"] / (1 - beta1 ** state["step"])
        for x, g, m, u, a, b in blocks(2, p.array, grad, *averages):
            g = followed(x, g, group, a, b)
            average(m, g, beta1, b)
            np.abs(g, out=b)
            b += group["eps"]
            u *= beta2
            np.maximum(u, b, out=u)
            np.divide(m, u, out=b)
            b *= step_size
            x -= b
