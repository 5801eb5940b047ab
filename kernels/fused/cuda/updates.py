"""Steps of Adam, AdamW and SGD for all parameters in one launch, by a table of their addresses; and
clipping all gradients by their norm in three."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

import numpy as np

from ...checking import KernelError, describe, device_of
from ...cuda.launch import empty
from ...uploads import constant, fed, now, replaced
from .. import optimizers
from ..optimizers import Arrays, as_lists
from .launching import CHUNK, address, flat, module_of, ready

Array = Any

TABLE_ROWS = 6  # addresses of four arrays, their size, the first block of each: see updates.cu


def _checked(arrays: Sequence[Array], device: str) -> bool:
    """Whether a kernel can work on these arrays in place. It sees addresses only, so what the
    launcher checks of other arguments is checked here."""
    for array in arrays:
        if device_of(array) != device or str(array.dtype) != "float32":
            raise KernelError(
                f"an update in place on {device} takes float32 arrays that are there; "
                f"got {describe(array)}"
            )
        if array.shape != arrays[0].shape:
            raise KernelError(
                "a step of an optimizer takes arrays of one shape for a parameter; got "
                f"{describe(array)} beside {describe(arrays[0])}"
            )
    return all(a.flags.c_contiguous and address(a) % 16 == 0 for a in arrays)


def _table(addresses: tuple[tuple[int, ...], ...], sizes: tuple[int, ...]) -> np.ndarray:
    """What the kernels read: see updates.cu.

    >>> _table(((16, 4096), (32, 8192)), (5000, 3))
    array([[  16, 4096,    0],
           [  32, 8192,    0],
           [   0,    0,    0],
           [   0,    0,    0],
           [5000,    3,    0],
           [   0,    2,    3]])
    """
    table = np.zeros((TABLE_ROWS, len(sizes) + 1), np.int64)
    table[: len(addresses), :-1] = addresses
    table[4, :-1] = sizes
    table[5, 1:] = np.cumsum([-(-size // CHUNK) for size in sizes])
    return table


@functools.lru_cache(maxsize=8)
def _table_on_gpu(addresses: tuple, sizes: tuple, device: int) -> tuple[Array, int]:
    """The table there, and the number of blocks. Kept: arrays tend to lie where they lay a step
    ago, as CuPy hands the same memory out again."""
    import cupy

    table = _table(addresses, sizes)
    return cupy.asarray(table), int(table[5, -1])


def _table_of(addresses: tuple, sizes: tuple[int, ...], like: Array) -> tuple[Array, int]:
    """The table where a kernel reads it, on the device of `like`, and the number of blocks."""
    if device_of(like) == "cuda" and not replaced():
        return _table_on_gpu(addresses, sizes, module_of(like).cuda.runtime.getDevice())
    table = _table(addresses, sizes)
    return constant(table, like), int(table[5, -1])


def _each(
    name: str, plain: Callable[..., None], lists: list[list[Array]],
    numbers: Callable[[], tuple], flags: tuple, options: tuple,
) -> None:  # fmt: skip
    """One launch for all parameters; `plain` for those that no flat memory shows.

    `numbers` gives what the kernel reads from memory, as they are other ones in every step.
    """
    if not lists[0]:
        return
    device = device_of(lists[0][0])
    jobs: list[tuple[Array, ...]] = []
    crooked: list[tuple[Array, ...]] = []
    for parameter, grad, *rest in zip(*lists):
        if grad.shape == parameter.shape:
            grad = ready(grad)
        arrays = (parameter, grad, *rest)
        (jobs if _checked(arrays, device) else crooked).append(arrays)
    jobs = [arrays for arrays in jobs if arrays[0].size]
    if jobs:
        addresses = tuple(tuple(map(address, column)) for column in zip(*jobs))
        sizes = tuple(arrays[0].size for arrays in jobs)
        table, blocks = _table_of(addresses, sizes, jobs[0][0])
        flat("updates", name)((blocks,), table, len(jobs), fed(numbers, jobs[0][0]), *flags)
    if crooked:
        if replaced():
            raise KernelError(f"{name}: a step of parameters with gaps cannot be captured")
        plain(*(list(column) for column in zip(*crooked)), *map(now, options))


def adam_cuda(
    parameters: Arrays, grads: Arrays, exp_avgs: Arrays, exp_avg_sqs: Arrays, lr: float,
    beta1: float, beta2: float, eps: float, weight_decay: float, decoupled: bool, step: int,
) -> None:  # fmt: skip
    """One step of Adam or AdamW, in place: see `adam_reference`.

    An option may be a function that gives it: see `minigen.kernels.uploads`.
    """
    options = (lr, beta1, beta2, eps, weight_decay, decoupled, step)

    def numbers() -> tuple[float, ...]:
        lr, beta1, beta2, eps, weight_decay, decoupled, step = map(now, options)
        shrink, decay = (1 - lr * weight_decay, 0.0) if decoupled else (1.0, weight_decay)
        root, rate = math.sqrt(1 - beta2**step), lr / (1 - beta1**step)
        return shrink, decay, 1 - beta1, beta2, 1 - beta2, root, eps, rate

    lists = as_lists(parameters, grads, exp_avgs, exp_avg_sqs)
    _each("adam", optimizers.adam, lists, numbers, (), options)


def sgd_cuda(
    parameters: Arrays, grads: Arrays, buffers: Arrays | None, lr: float, momentum: float,
    dampening: float, weight_decay: float, nesterov: bool, maximize: bool, first: bool,
) -> None:  # fmt: skip
    """One step of SGD, in place: see `sgd_reference`.

    An option may be a function that gives it: see `minigen.kernels.uploads`.
    """
    options = (lr, momentum, dampening, weight_decay, nesterov, maximize, first)

    def numbers() -> tuple[float, ...]:
        lr, momentum, dampening, weight_decay, _, maximize, _ = map(now, options)
        return -1.0 if maximize else 1.0, weight_decay, lr, momentum, 1 - dampening

    flags = int(buffers is not None), int(first), int(now(nesterov))
    if buffers is not None:
        lists = as_lists(parameters, grads, buffers)
        _each("sgd", optimizers.sgd, lists, numbers, flags, options)
    else:
        lists = as_lists(parameters, grads)
        plain = lambda p, g, *o: optimizers.sgd(p, g, None, *o)  # noqa: E731
        _each("sgd", plain, lists, numbers, flags, options)


# ------------------------------------------------------------------------------ clipping


@functools.lru_cache(maxsize=8)
def _overlapping(addresses: tuple[int, ...], sizes: tuple[int, ...]) -> frozenset[int]:
    """Which float32 arrays to leave out so that the others share no memory.

    >>> sorted(_overlapping((4096, 1024, 4096, 1040), (8, 8, 8, 4)))
    [2, 3]
    """
    found, end = set(), 0
    for place in sorted(range(len(addresses)), key=addresses.__getitem__):
        if addresses[place] < end:
            found.add(place)
        else:
            end = addresses[place] + 4 * sizes[place]
    return frozenset(found)


def clip_norm_cuda(grads: Arrays, max_norm: float) -> tuple[Array, Array]:
    """norm and factor, the arrays scaled in place: see `clip_norm_reference`.

    Off by at most 10 u, 12 u and 13 u of their own sizes, where no square over- or underflows.
    Three launches, and the plain way to scale what no flat memory shows and what another array
    shows, too: a gradient that is listed twice is scaled twice.
    """
    (grads,) = as_lists(grads)
    device = device_of(grads[0])
    read = [g if _checked((g,), device) else g.copy(order="C") for g in grads]
    addresses, sizes = tuple(map(address, read)), tuple(g.size for g in grads)
    table, blocks = _table_of((addresses,), sizes, grads[0])
    partial, found = empty(grads[0], (blocks,)), empty(grads[0], (2,))
    flat("updates", "square_sums")((blocks,), table, len(grads), partial)
    flat("updates", "clip_factor")((1,), partial, blocks, max_norm, found)
    norm, factor = found[..., 0], found[..., 1]
    again = _overlapping(addresses, sizes)
    together = [r is g and place not in again for place, (g, r) in enumerate(zip(grads, read))]
    if not all(together):
        addresses, sizes = (tuple(compress(numbers, together)) for numbers in (addresses, sizes))
        table, blocks = _table_of((addresses,), sizes, grads[0])
    flat("updates", "scale")((blocks,), table, len(sizes), found)
    for g, done in zip(grads, together):
        if not done:
            g *= factor
    return norm, factor
