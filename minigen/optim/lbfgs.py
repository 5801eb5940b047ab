"""L-BFGS: Newton's method with a Hessian made of the last few steps (Liu & Nocedal 1989)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigen import backend, errors
from minigen.autograd import wrap
from minigen.modes import enable_grad, no_grad
from minigen.optim.line_search import Point, strong_wolfe
from minigen.optim.optimizer import Optimizer, at_least, copied_like, gradient_of
from minigen.tensor import Tensor

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Steps along d = -H g, with H an estimate of the inverse Hessian.  In iteration k, with all
    parameters as one vector θ and g its gradient:

        y = g - g_before,  s = θ - θ_before        kept if y · s > 1e-10, `history_size` of them
        H <- (I - s yᵀ / y·s) H (I - y sᵀ / y·s) + s sᵀ / y·s    over all that are kept, starting
                                                   from H = (y · s / y · y) I
        θ <- θ + t d

    t is lr (min(1, 1 / Σ|g|) lr in the very first iteration), or what the line search finds from
    there if line_search_fn is "strong_wolfe".  One `step` is up to `max_iter` iterations with up to
    `max_eval` calls of the closure (5/4 max_iter, if None).  It ends before that if no element of g
    is larger than tolerance_grad, or if the loss or all elements of θ change by less than
    tolerance_change.

    All parameters are in one group.  Raises ValueError for a second one or a line search of another
    name, TypeError for a step without closure.  Sources: Liu & Nocedal 1989; Nocedal & Wright 2006,
    algorithms 7.4 (the two loops) and 7.5; `torch.optim.LBFGS`.

    >>> import minigen
    >>> w = minigen.tensor([-1.5, 2.0], requires_grad=True)
    >>> optimizer = LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2  # Rosenbrock 1960
    ...     loss.backward()
    ...     return loss
    >>> for _ in range(3):
    ...     loss = optimizer.step(closure)
    >>> w
    tensor([1.0000, 1.0000], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        options = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, options)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if self.param_groups:
            raise ValueError("LBFGS takes all parameters as one vector: it has no parameter groups")
        super().add_param_group(param_group)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        at_least(1, "history_size", group["history_size"])
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(
                f"line_search_fn {group['line_search_fn']!r} is not offered; "
                "choose 'strong_wolfe' or None"
            )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to `max_iter` iterations; the loss that `closure` gave first.

        closure: clears the gradients, computes the loss and its gradients, and returns the loss.
        """
        if closure is None:
            raise TypeError(
                "LBFGS.step: needs a closure that computes the loss and its gradients and returns "
                "the loss, since one step asks for them several times"
            )
        self.steps_taken += 1
        recorded = enable_grad(closure)
        with no_grad(), backend.quiet():
            first = recorded()
            self._iterate(recorded, float(first))
        return first

    def _iterate(self, closure: Callable[[], Any], loss: float) -> None:
        group, params = self.param_groups[0], self.param_groups[0]["params"]
        state = self.state[params[0]]
        state["func_evals"] = state.get("func_evals", 0) + 1
        state.setdefault("n_iter", 0)
        evaluations, g = 1, _flat_gradient(params)
        if _largest(g) <= group["tolerance_grad"]:
            return
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            d = _direction(state, g, group["history_size"])
            t = float(group["lr"])
            if state["n_iter"] == 1:
                t *= min(1.0, 1.0 / float(np.abs(g).sum()))
            slope = float(np.dot(g, d))
            state.update(d=wrap(d), t=t, prev_flat_grad=wrap(g.copy()), prev_loss=loss)
            if slope > -group["tolerance_change"]:
                return
            before, start = Point(0.0, loss, g, slope), [p.array.copy() for p in params]

            def at(distance: float, start: list = start, d: Any = d) -> Point:
                _move(params, start, distance, d)
                loss, g = float(closure()), _flat_gradient(params)
                return Point(distance, loss, g, float(np.dot(g, d)))

            asked = 0
            if group["line_search_fn"] is not None:
                left = group["max_eval"] - evaluations
                found, asked = strong_wolfe(at, before, t, _largest(d), max_steps=left)
                t, loss, g, _ = found
                _move(params, start, t, d)
            elif iteration < group["max_iter"]:
                (_, loss, g, _), asked = at(t), 1
            else:  # nobody needs the loss of the last one
                _move(params, start, t, d)
            state["t"] = t
            state["func_evals"] += asked
            evaluations += asked
            small = group["tolerance_change"]
            if (
                evaluations >= group["max_eval"]
                or _largest(g) <= group["tolerance_grad"]
                or _largest(d) * t <= small
                or abs(loss - before.loss) < small
            ):
                return

    def restored(self, name: str, value: Any, p: Tensor) -> Any:
        """Vectors of all parameters together, and numbers that are tensors in PyTorch."""
        if isinstance(value, list):
            return [self.restored(name, each, p) for each in value]
        if value is not None and name in ("t", "ro", "H_diag", "al", "prev_loss"):
            return float(value)
        if not isinstance(value, Tensor):
            return value
        elements = sum(each.numel() for each in self.param_groups[0]["params"])
        if value.shape != (elements,):
            raise ValueError(
                f"{name} of parameters of {elements} elements in all has shape "
                f"{tuple(value.shape)} in the state; was it made for another model?"
            )
        return copied_like(p, value.array)


def _flat_gradient(params: list[Tensor]) -> Any:
    """The gradients of all parameters in a row, in memory of its own; 0 where there is none."""
    gradients = [(p, gradient_of(p)) for p in params]
    rows = [np.zeros_like(p.array) if g is None else g for p, g in gradients]
    return np.concatenate([row.reshape(-1) for row in rows])


def _move(params: list[Tensor], start: list[Any], t: float, d: Any) -> None:
    """θ <- start + t d, in place."""
    begin, where = 0, errors.caller()
    for p, x in zip(params, start):
        end = begin + x.size
        np.add(x, t * d[begin:end].reshape(x.shape), out=p.array)
        p.changed_in_place(where)
        begin = end


def _largest(vector: Any) -> float:
    return float(np.abs(vector).max(initial=0))


def _direction(state: dict[str, Any], g: Any, history_size: int) -> Any:
    """-H g by the two loops of algorithm 7.4; adds the last step to what is kept."""
    if state["n_iter"] == 1:
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
        return -g
    ys, steps, inverses = state["old_dirs"], state["old_stps"], state["ro"]
    y, s = g - state["prev_flat_grad"].array, state["d"].array * state["t"]
    curvature = float(np.dot(y, s))
    if curvature > 1e-10:
        if len(ys) == history_size:
            for kept in (ys, steps, inverses):
                kept.pop(0)
        ys.append(wrap(y))
        steps.append(wrap(s))
        inverses.append(1 / curvature)
        state["H_diag"] = curvature / float(np.dot(y, y))
    along = state.setdefault("al", [None] * history_size)
    d = -g
    for i in reversed(range(len(ys))):
        along[i] = float(np.dot(steps[i].array, d)) * inverses[i]
        d -= along[i] * ys[i].array
    d *= state["H_diag"]
    for i in range(len(ys)):
        beta = float(np.dot(ys[i].array, d)) * inverses[i]
        d += (along[i] - beta) * steps[i].array
    return d
