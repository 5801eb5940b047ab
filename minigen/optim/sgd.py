"""Stochastic gradient descent; momentum (Polyak 1964), Nesterov's (Sutskever et al. 2013)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import wrap
from minigen.capturing import refuse
from minigen.optim.optimizer import Lists, Optimizer, at_least, blocks, followed, live
from minigen.tensor import Tensor

__all__ = ["SGD"]


class SGD(Optimizer):
    """Gradient descent.  With g the gradient, λ weight_decay, μ momentum, τ dampening, γ lr:

        g <- g + λ θ
        b <- μ b + (1 - τ) g                 (b <- g in the first step)
        g <- g + μ b if nesterov else b
        θ <- θ - γ g

    `maximize` goes up the gradient instead.  Source: `torch.optim.SGD`.
    Raises ValueError for negative options, and for nesterov without momentum or with dampening.

    >>> import minigen
    >>> w = minigen.tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.8000], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, options)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        at_least(0.0, "momentum", group["momentum"])
        at_least(0.0, "weight_decay", group["weight_decay"])
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    capturable = True

    def update_all(self, pairs: list[tuple[Tensor, Any]], group: dict[str, Any]) -> None:
        """One call of the kernel for all parameters, and one for those that step first."""
        lists = Lists()
        for p, g in pairs:
            buffers, first = self._buffers(p, group)
            if backend.fusable(p.array):
                lists.add((first, p.array.dtype), p.array, g, *buffers)
            else:
                refuse("SGD of this dtype computes a part of a step on the host")
                _sgd([p.array, g, *buffers], group, first)
        options = live(lambda: tuple(group[name] for name in _OPTIONS))
        for (first, _), arrays in lists.items():
            columns = arrays if len(arrays) == 3 else [*arrays, None]
            backend.kernel_over("sgd", columns, *options, first)

    def _buffers(self, p: Tensor, group: dict[str, Any]) -> tuple[list[Any], bool]:
        """The momentum of p, none without momentum; and whether it still holds anything."""
        state = self.state[p]
        if not group["momentum"]:
            return [], False
        first = "momentum_buffer" not in state
        if first:
            refuse("an optimizer's first step is not like the others; take one before")
            state["momentum_buffer"] = wrap(np.empty_like(p.array))
        return [state["momentum_buffer"].array], first


_OPTIONS = ("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize")


def _sgd(arrays: list[Any], group: dict[str, Any], first: bool) -> None:
    """One step in place on (θ, g) or, with momentum, (θ, g, b); any dtype, any device."""
    momentum = group["momentum"]
    for x, g, *buffer, a, product in blocks(2, *arrays):
        g = followed(x, g, group, a, product)
        if momentum:
            b = buffer[0]
            if first:
                b[...] = g
            else:
                b *= momentum
                kept = 1 - group["dampening"]
                b += g if kept == 1 else np.multiply(g, kept, out=product)
            if group["nesterov"]:
                g = np.add(g, np.multiply(b, momentum, out=product), out=a)
            else:
                g = b
        x -= np.multiply(g, group["lr"], out=product)
