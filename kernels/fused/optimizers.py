"""Steps of Adam, AdamW and SGD, by their formulas in float64 and by NumPy.

    adam(parameters, grads, exp_avgs, exp_avg_sqs,
         lr, beta1, beta2, eps, weight_decay, decoupled, step) -> None
    sgd(parameters, grads, buffers,
        lr, momentum, dampening, weight_decay, nesterov, maximize, first) -> None

All but `grads` are updated in place. The arrays come as lists of equal length, or alone: a call for
all parameters of a model costs less than a call for each. One dtype a call, any shapes and strides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..uploads import settled

Array = Any
Arrays = Any  # one array or a list of arrays

BLOCK = 16384  # elements that are worked on at a time: they stay in the cache
SMALL = 2048  # arrays up to this size are put together: a ufunc's call costs as much as 1,000 sums


def as_lists(*arrays: Arrays | None) -> list[list[Array]]:
    """Every argument as a list; an empty one for None."""
    return [[] if a is None else a if isinstance(a, list) else [a] for a in arrays]


def exactly(formula: Any, lists: list[list[Array]], options: tuple) -> None:
    """formula(*float64 arrays, *options) -> new values, for every parameter, rounded at the end."""
    lists = [arrays for arrays in lists if arrays]
    for arrays in zip(*lists):
        values = formula(*(np.asarray(a, np.float64) for a in arrays), *options)
        for array, value in zip([arrays[0], *arrays[2:]], values):
            array[...] = value


def adam_reference(
    parameters: Arrays, grads: Arrays, exp_avgs: Arrays, exp_avg_sqs: Arrays, lr: float,
    beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool, step: int,
) -> None:  # fmt: skip
    """One step of Adam in place, computed in float64 and rounded to the arrays' dtype at the end.

    Adam (Kingma & Ba 2015), algorithm 1, with PyTorch's order of operations; weight decay is added
    to the gradient, or if `decoupled` shrinks the parameter (AdamW: Loshchilov & Hutter 2019,
    algorithm 2). `step` counts from 1.
    """

    def formula(p: Array, g: Array, m: Array, v: Array) -> tuple[Array, ...]:
        if decoupled:
            p = p * (1 - lr * weight_decay)
        elif weight_decay:
            g = g + weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        denominator = np.sqrt(v) / math.sqrt(1 - beta2**step) + eps
        return p - lr / (1 - beta1**step) * m / denominator, m, v

    exactly(formula, as_lists(parameters, grads, exp_avgs, exp_avg_sqs), ())


def sgd_reference(
    parameters: Arrays, grads: Arrays, buffers: Arrays | None, lr: float, momentum: float,
    dampening: float, weight_decay: float, nesterov: bool, maximize: bool, first: bool,
) -> None:  # fmt: skip
    """One step of SGD in place, computed in float64: g <- ±g + λ p, then without momentum p - γ g.

    With it b <- μ b + (1 - τ) g, or b <- g in the `first` step, and p <- p - γ b; by Nesterov's
    rule p - γ (g + μ b) (Sutskever et al. 2013, in PyTorch's form). `buffers` is None without.
    """

    def formula(p: Array, g: Array, b: Array | None = None) -> tuple[Array, ...]:
        g = (-g if maximize else g) + weight_decay * p
        if b is None:
            return (p - lr * g,)
        b = g if first else momentum * b + (1 - dampening) * g
        return p - lr * (g + momentum * b if nesterov else b), b

    exactly(formula, as_lists(parameters, grads, buffers), ())


# ------------------------------------------------------------------------------- by NumPy


def blocks(lists: list[list[Array]], scratch: int) -> Iterator[list[Array]]:
    """Flat pieces of corresponding arrays to work on in place, and `scratch` arrays like them.

    Long arrays are cut into blocks. Short ones, and those that no flat view shows, are gathered
    into one vector and scattered back afterwards; the second list, of gradients, is only read.
    On a GPU there is no cache to fit into: long arrays are one block each.
    """
    lists = [arrays for arrays in lists if arrays]
    on_host = isinstance(lists[0][0], np.ndarray)
    block = BLOCK if on_host else max(a.size for a in lists[0])
    spare = np.empty_like(lists[0][0], order="C", shape=(scratch, block))
    gathered: list[tuple[Array, ...]] = []
    for arrays in zip(*lists):
        if arrays[0].size > SMALL and all(a.flags.c_contiguous for a in arrays):
            flat = [a.reshape(-1) for a in arrays]
            for start in range(0, flat[0].size, block):
                pieces = [a[start : start + block] for a in flat]
                yield [*pieces, *spare[:, : pieces[0].size]]
        else:
            gathered.append(arrays)
    if not gathered:
        return
    vectors = [np.concatenate([a.ravel() for a in column]) for column in zip(*gathered)]
    yield [*vectors, *np.empty_like(vectors[0], shape=(scratch, vectors[0].size))]
    for number, (vector, column) in enumerate(zip(vectors, zip(*gathered))):
        start = 0
        for array in column if number != 1 else ():
            array[...] = vector[start : start + array.size].reshape(array.shape)
            start += array.size


def adam(
    parameters: Arrays, grads: Arrays, exp_avgs: Arrays, exp_avg_sqs: Arrays, lr: float,
    beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool, step: int,
) -> None:  # fmt: skip
    """One step of Adam or (decoupled) AdamW in place; see `adam_reference`."""
    settled(lr, step)
    step_size = lr / (1 - beta1**step)
    correction = math.sqrt(1 - beta2**step)
    for p, g, m, v, a, b in blocks(as_lists(parameters, grads, exp_avgs, exp_avg_sqs), 2):
        if decoupled:
            p *= 1 - lr * weight_decay
        elif weight_decay:
            np.multiply(p, weight_decay, out=b)
            b += g
            g = b
        np.subtract(g, m, out=a)
        a *= 1 - beta1
        m += a
        np.multiply(g, g, out=a)
        a *= 1 - beta2
        v *= beta2
        v += a
        np.sqrt(v, out=a)
        a /= correction
        a += eps
        np.divide(m, a, out=a)
        a *= step_size
        p -= a


def sgd(
    parameters: Arrays, grads: Arrays, buffers: Arrays | None, lr: float, momentum: float,
    dampening: float, weight_decay: float, nesterov: bool, maximize: bool, first: bool,
) -> None:  # fmt: skip
    """One step of SGD in place; see `sgd_reference`.

    >>> w = np.array([1.0, 2.0])
    >>> sgd(w, np.array([1.0, 1.0]), None, 0.5, 0.0, 0.0, 0.0, False, False, False)
    >>> w
    array([0.5, 1.5])
    """
    settled(lr, momentum, dampening, weight_decay, nesterov, maximize)
    for p, g, *buffer, a, product in blocks(as_lists(parameters, grads, buffers), 2):
        if maximize:
            g = np.negative(g, out=a)
        if weight_decay:
            g = np.add(g, np.multiply(p, weight_decay, out=product), out=a)
        if buffer:
            b = buffer[0]
            if first:
                b[...] = g
            else:
                b *= momentum
                b += g if dampening == 0 else np.multiply(g, 1 - dampening, out=product)
            g = np.add(g, np.multiply(b, momentum, out=product), out=a) if nesterov else b
        p -= np.multiply(g, lr, out=product)
