"""RAdam: Adam that waits until it knows the variance of its step sizes (Liu et al. 2019)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigen.optim.optimizer import (
    Optimizer,
    advance,
    at_least,
    average,
    average_square,
    blocks,
    check_betas,
    followed,
)
from minigen.tensor import Tensor

__all__ = ["RAdam"]


class RAdam(Optimizer):
    """Adam with a warm-up that follows from β₂.  With g the gradient, t the number of the step:

        g <- g + λ θ                                   λ weight_decay
        m <- β₁ m + (1 - β₁) g                         state["exp_avg"]
        v <- β₂ v + (1 - β₂) g²                        state["exp_avg_sq"]
        m̂ = m / (1 - β₁ᵗ)
        ρ_∞ = 2 / (1 - β₂) - 1,  ρ = ρ_∞ - 2 t β₂ᵗ / (1 - β₂ᵗ)
        if ρ > 5:   r = √((ρ - 4)(ρ - 2) ρ_∞ / ((ρ_∞ - 4)(ρ_∞ - 2) ρ))
                    θ <- θ - γ r m̂ √(1 - β₂ᵗ) / (√v + ε)       γ lr, ε eps
        otherwise:  θ <- θ - γ m̂

    decoupled_weight_decay: θ <- θ - γ λ θ in place of the first line, as in AdamW.
    maximize: go up the gradient.  Raises ValueError for options out of range.
    Sources: arXiv:1908.03265, algorithm 2 (with 5 in place of 4); `torch.optim.RAdam`.

    >>> import minigen
    >>> w = minigen.tensor([1.0], requires_grad=True)
    >>> optimizer = RAdam([w], lr=0.1)
    >>> w.grad = minigen.tensor([2.0])
    >>> optimizer.step()  # momentum alone, at first
    >>> w
    tensor([0.8000], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, options)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        at_least(0.0, "eps", group["eps"])
        at_least(0.0, "weight_decay", group["weight_decay"])
        check_betas(group["betas"])

    def update(self, p: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        averages = advance(state, p, "exp_avg", "exp_avg_sq")
        beta1, beta2 = group["betas"]
        step_size = group["lr"] / (1 - beta1 ** state["step"])
        rectified = _rectification(beta2, state["step"])
        for x, g, m, v, a, b in blocks(2, p.array, grad, *averages):
            g = followed(x, g, group, a, b)
            average(m, g, beta1, b)
            average_square(v, g, beta2, b)
            np.multiply(m, step_size, out=a)
            if rectified is not None:
                np.sqrt(v, out=b)
                b += group["eps"]
                a /= b
                a *= rectified
            x -= a


def _rectification(beta2: float, t: int) -> float | None:
    """r √(1 - β₂ᵗ) of step t, or None while the variance of 1 / √v is not finite."""
    longest = 2 / (1 - beta2) - 1
    kept = 1 - beta2**t
    length = longest - 2 * t * beta2**t / kept
    if length <= 5:
        return None
    variance = (length - 4) * (length - 2) * longest
    return math.sqrt(variance / ((longest - 4) * (longest - 2) * length) * kept)
