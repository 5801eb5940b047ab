"""Steps of Adam, AdamW and SGD by Numba, see `optimizers.py`: one loop over each parameter.

Parameters that are not C-contiguous are left to the NumPy rung.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import parallel
from ..jit import contiguous, jit
from . import optimizers
from .optimizers import Array, Arrays, as_lists
from .parts import PART, row_parts

READ, WRITE = "const T[::1]", "T[::1]"


@jit("adam", WRITE, READ, WRITE, WRITE, *["T"] * 8, seconds=0.3)
def _adam(p, g, m, v, shrink, decay, one_minus_beta1, beta2, one_minus_beta2, root, eps, size):
    for i in range(p.size):
        x = p[i] * shrink
        d = g[i] + decay * x
        average = m[i] + one_minus_beta1 * (d - m[i])
        square = v[i] * beta2 + one_minus_beta2 * d * d
        m[i] = average
        v[i] = square
        p[i] = x - size * (average / (math.sqrt(square) / root + eps))


@jit("sgd", WRITE, READ, "T", "T", "T", seconds=0.3)
def _sgd(p, g, sign, decay, lr):
    for i in range(p.size):
        p[i] -= lr * (sign * g[i] + decay * p[i])


@jit("sgd, first step", WRITE, READ, WRITE, "T", "T", "T", "T", seconds=0.3)
def _sgd_first(p, g, b, sign, decay, lr, ahead):
    # The buffer holds anything yet. `ahead` is μ by Nesterov's rule, else 0.
    for i in range(p.size):
        d = sign * g[i] + decay * p[i]
        b[i] = d
        p[i] -= lr * (d + ahead * d)


@jit("sgd with momentum", WRITE, READ, WRITE, *["T"] * 5, seconds=0.3)
def _sgd_momentum(p, g, b, sign, decay, lr, momentum, kept):
    for i in range(p.size):
        velocity = momentum * b[i] + kept * (sign * g[i] + decay * p[i])
        b[i] = velocity
        p[i] -= lr * velocity


@jit("sgd by Nesterov's rule", WRITE, READ, WRITE, *["T"] * 5, seconds=0.3)
def _sgd_nesterov(p, g, b, sign, decay, lr, momentum, kept):
    for i in range(p.size):
        d = sign * g[i] + decay * p[i]
        velocity = momentum * b[i] + kept * d
        b[i] = velocity
        p[i] -= lr * (d + momentum * velocity)


def _each(
    kernel: Any,
    plain: Callable[..., None],
    lists: list[list[Array]],
    numbers: tuple,
    options: tuple,
) -> None:
    """kernel(*arrays, *numbers) for every parameter; plain(*lists, *options) for crooked ones.

    From two parts' worth of elements on in all, several cores share the parameters and the parts
    of long ones.
    """
    jobs, crooked = [], []
    total = 0
    for arrays in zip(*lists):
        flat = [a.ravel() for a in arrays]
        views = [a.base is not None for a in flat]  # else a copy, where no flat view shows it all
        views[1], flat[1] = True, contiguous(flat[1])  # of the gradient a copy will do
        if all(views):
            total += flat[0].size
            jobs.append(flat)
        else:
            crooked.append(arrays)
    if total < 2 * PART:
        for flat in jobs:
            kernel(*flat, *numbers)
    else:
        parts = [
            (flat, *part) for flat in jobs for part in row_parts(flat[0].size, 1) if flat[0].size
        ]
        parallel.each(
            lambda part: kernel(*(a[part[1] : part[2]] for a in part[0]), *numbers), parts
        )
    if crooked:
        plain(*(list(column) for column in zip(*crooked)), *options)


def adam_loop(
    parameters: Arrays, grads: Arrays, exp_avgs: Arrays, exp_avg_sqs: Arrays, lr: float,
    beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool, step: int,
) -> None:  # fmt: skip
    """One step of Adam or AdamW, in place: see `adam_reference`."""
    shrink, decay = (1 - lr * weight_decay, 0.0) if decoupled else (1.0, weight_decay)
    correction1, correction2 = 1 - beta1**step, math.sqrt(1 - beta2**step)
    numbers = (
        shrink, decay, 1 - beta1, beta2, 1 - beta2, correction2, eps, lr / correction1,
    )  # fmt: skip
    lists = as_lists(parameters, grads, exp_avgs, exp_avg_sqs)
    options = (lr, beta1, beta2, eps, weight_decay, decoupled, step)
    _each(_adam, optimizers.adam, lists, numbers, options)


def sgd_loop(
    parameters: Arrays, grads: Arrays, buffers: Arrays | None, lr: float, momentum: float,
    dampening: float, weight_decay: float, nesterov: bool, maximize: bool, first: bool,
) -> None:  # fmt: skip
    """One step of SGD, in place: see `sgd_reference`."""
    lists = as_lists(parameters, grads)
    options = (lr, momentum, dampening, weight_decay, nesterov, maximize, first)
    numbers: tuple = (-1.0 if maximize else 1.0, weight_decay, lr)
    if buffers is None:
        _each(_sgd, lambda p, g, *o: optimizers.sgd(p, g, None, *o), lists, numbers, options)
        return
    lists += as_lists(buffers)
    if first:
        kernel, numbers = _sgd_first, (*numbers, momentum if nesterov else 0.0)
    else:
        kernel = _sgd_nesterov if nesterov else _sgd_momentum
        numbers = (*numbers, momentum, 1 - dampening)
    _each(kernel, optimizers.sgd, lists, numbers, options)
