"""NAdam: Adam that looks ahead by its momentum, as Nesterov's does (Dozat 2016)."""

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

__all__ = ["NAdam"]


class NAdam(Optimizer):
    """Adam with Nesterov's momentum.  With g the gradient, t the number of the step:

        g <- g + λ θ                                       λ weight_decay
        μ_t = β₁ (1 - 0.96^(t ψ) / 2)                      ψ momentum_decay
        m <- β₁ m + (1 - β₁) g                             state["exp_avg"]
        v <- β₂ v + (1 - β₂) g²                            state["exp_avg_sq"]
        m̂ = μ_{t+1} m / (1 - Π_{i ≤ t+1} μ_i) + (1 - μ_t) g / (1 - Π_{i ≤ t} μ_i)
        v̂ = v / (1 - β₂ᵗ)
        θ <- θ - γ m̂ / (√v̂ + ε)                            γ lr, ε eps

    The product of all μ so far is state["mu_product"].
    decoupled_weight_decay: θ <- θ - γ λ θ in place of the first line, as in AdamW.
    maximize: go up the gradient.  Raises ValueError for options out of range.
    Sources: Dozat 2016, "Incorporating Nesterov Momentum into Adam", ICLR workshop;
    `torch.optim.NAdam`.

    >>> import minigen
    >>> w = minigen.tensor([1.0, 1.0], requires_grad=True)
    >>> optimizer = NAdam([w], lr=0.1)
    >>> w.grad = minigen.tensor([1.0, -100.0])
    >>> optimizer.step()
    >>> w
    tensor([0.8944, 1.1056], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, options)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        for name in ("eps", "weight_decay", "momentum_decay"):
            at_least(0.0, name, group[name])
        check_betas(group["betas"])

    def restored(self, name: str, value: Any, p: Tensor) -> Any:
        if name == "mu_product":  # a tensor in PyTorch
            return float(value)
        return super().restored(name, value, p)

    def update(self, p: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        averages = advance(state, p, "exp_avg", "exp_avg_sq")
        beta1, beta2 = group["betas"]
        t, decay, lr = state["step"], group["momentum_decay"], group["lr"]
        mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (i * decay)) for i in (t, t + 1))
        product = state["mu_product"] = state.get("mu_product", 1.0) * mu
        of_gradient = lr * (1 - mu) / (1 - product)
        of_average = lr * mu_next / (1 - product * mu_next)
        correction = math.sqrt(1 - beta2**t)
        for x, g, m, v, a, b, d in blocks(3, p.array, grad, *averages):
            g = followed(x, g, group, a, b)
            average(m, g, beta1, b)
            average_square(v, g, beta2, b)
            np.sqrt(v, out=d)
            d /= correction
            d += group["eps"]
            np.multiply(g, of_gradient, out=a)
            a += np.multiply(m, of_average, out=b)
            a /= d
            x -= a
