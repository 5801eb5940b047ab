"""Adam (Kingma & Ba 2014, arXiv:1412.6980), AdamW (Loshchilov & Hutter 2017, arXiv:1711.05101)."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from minigen import backend
from minigen.capturing import refuse
from minigen.optim.optimizer import (
    Lists,
    Optimizer,
    advance,
    at_least,
    average,
    average_square,
    blocks,
    check_betas,
    live,
)
from minigen.tensor import Tensor

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Steps of a size that adapts to each weight.  With g the gradient, t the number of the step:

        g <- g + λ θ                            λ weight_decay
        m <- β₁ m + (1 - β₁) g                  state["exp_avg"]
        v <- β₂ v + (1 - β₂) g²                 state["exp_avg_sq"]
        m̂ = m / (1 - β₁ᵗ),  v̂ = v / (1 - β₂ᵗ)   (algorithm 1: the bias of starting from 0)
        θ <- θ - γ m̂ / (√v̂ + ε)                 γ lr, ε eps

    amsgrad:  v̂ is made of the largest v so far (Reddi et al. 2018, arXiv:1904.09237).
    maximize: go up the gradient.
    decoupled_weight_decay: θ <- θ - γ λ θ in place of the first line, as `AdamW` does.
    Raises ValueError for options out of range.  Source: `torch.optim.Adam`.

    >>> import minigen
    >>> w = minigen.tensor([1.0, 1.0], requires_grad=True)
    >>> optimizer = Adam([w], lr=0.1)
    >>> (w * minigen.tensor([1.0, -100.0])).sum().backward()
    >>> optimizer.step()  # the first step has size lr, whatever the gradient's
    >>> w
    tensor([0.9000, 1.1000], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, options)

    capturable = True

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        at_least(0.0, "eps", group["eps"])
        at_least(0.0, "weight_decay", group["weight_decay"])
        check_betas(group["betas"])

    def update_all(self, pairs: list[tuple[Tensor, Any]], group: dict[str, Any]) -> None:
        """One call of the kernel for all parameters that have taken as many steps."""
        names = _AMSGRAD if group["amsgrad"] else _ADAM
        lists, counters = Lists(), {}
        for p, g in pairs:
            state = self.state[p]
            averages = advance(state, p, *names)
            if group["maximize"]:
                g = np.negative(g, out=np.empty_like(g))
            if len(averages) == 2 and backend.fusable(p.array):
                counters[state["step"]] = state  # one of those that have taken as many steps
                lists.add((state["step"], p.array.dtype), p.array, g, *averages)
            else:
                refuse("amsgrad, and Adam of this dtype, compute a part of a step on the host")
                _adam([p.array, g, *averages], *_options(group, state))
        for (step, _), arrays in lists.items():
            options = live(functools.partial(_options, group, counters[step]))
            backend.kernel_over("adam", arrays, *options)


class AdamW(Adam):
    """Adam whose weight decay does not go through the averages: θ <- θ - γ λ θ before each step.

    See `Adam` for the rest.  Source: algorithm 2 of the paper; `torch.optim.AdamW`.

    >>> import minigen
    >>> w = minigen.tensor([1.0], requires_grad=True)
    >>> optimizer = AdamW([w], lr=0.1, weight_decay=0.5)
    >>> w.grad = minigen.zeros(1)
    >>> optimizer.step()  # decays by lr * weight_decay, though the gradient is 0
    >>> w
    tensor([0.9500], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize,
            decoupled_weight_decay=True,
        )  # fmt: skip


_ADAM = ("exp_avg", "exp_avg_sq")
_AMSGRAD = (*_ADAM, "max_exp_avg_sq")


def _options(group: dict[str, Any], state: dict[str, Any]) -> tuple:
    """lr, β₁, β₂, eps, weight_decay, whether that is decoupled, and the number of the step."""
    names = ("lr", "eps", "weight_decay", "decoupled_weight_decay")
    lr, *others = (group[name] for name in names)
    return (lr, *group["betas"], *others, state["step"])


def _adam(
    arrays: list[Any],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
) -> None:
    """One step in place on (θ, g, m, v) or, for amsgrad, (θ, g, m, v, largest v); any strides."""
    step_size = lr / (1 - beta1**step)
    correction = math.sqrt(1 - beta2**step)
    for x, g, m, v, *largest, a, b in blocks(2, *arrays):
        if decoupled:
            x *= 1 - lr * weight_decay
        elif weight_decay:
            g = np.add(np.multiply(x, weight_decay, out=b), g, out=b)
        average(m, g, beta1, a)
        average_square(v, g, beta2, a)
        if largest:
            v = np.maximum(largest[0], v, out=largest[0])
        np.sqrt(v, out=a)
        a /= correction
        a += eps
        np.divide(m, a, out=a)
        a *= step_size
        x -= a
