"""Adagrad: steps divided by the root of all squared gradients so far (Duchi et al. 2011)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen.autograd import wrap
from minigen.optim.optimizer import Optimizer, at_least, blocks, followed
from minigen.tensor import Tensor

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Rarely seen features take larger steps.  With g the gradient, t the number of the step:

        g <- g + λ θ                       λ weight_decay
        s <- s + g²                        state["sum"], initial_accumulator_value at first
        θ <- θ - γ_t g / (√s + ε)          γ_t = lr / (1 + (t - 1) lr_decay),  ε eps

    maximize: go up the gradient.  The sums are there from the start, as in PyTorch; they begin with
    the constructor's `initial_accumulator_value` in every group.
    Raises ValueError for negative options.  Sources: Duchi, Hazan & Singer 2011, JMLR 12, figure 1
    (the diagonal version); `torch.optim.Adagrad`.

    >>> import minigen
    >>> w = minigen.tensor([1.0, 1.0], requires_grad=True)
    >>> optimizer = Adagrad([w], lr=0.1)
    >>> for _ in range(2):
    ...     w.grad = minigen.tensor([1.0, -100.0])
    ...     optimizer.step()
    >>> w  # 0.1 (1 + 1/√2) away from the start
    tensor([0.8293, 1.1707], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        options = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "maximize": maximize,
        }
        super().__init__(params, options)
        for group in self.param_groups:
            for p in group["params"]:
                self._begin(p)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        for name in ("lr_decay", "weight_decay", "initial_accumulator_value", "eps"):
            at_least(0.0, name, group[name])

    def _begin(self, p: Tensor) -> None:
        start = self.defaults["initial_accumulator_value"]
        total = np.full_like(p.array, start, order="C")
        self.state[p] = {"step": 0, "sum": wrap(total)}

    def update(self, p: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:  # of a group that was added later
            self._begin(p)
            state = self.state[p]
        state["step"] += 1
        rate = group["lr"] / (1 + (state["step"] - 1) * group["lr_decay"])
        for x, g, total, a, b in blocks(2, p.array, grad, state["sum"].array):
            g = followed(x, g, group, a, b)
            total += np.multiply(g, g, out=b)
            np.sqrt(total, out=b)
            b += group["eps"]
            np.divide(g, b, out=b)
            b *= rate
            x -= b
