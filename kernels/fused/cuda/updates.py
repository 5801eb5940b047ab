"""Steps of Adam, AdamW and SGD for all parameters in one launch, by a table of their addresses."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...checking import KernelError, describe, device_of
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
                f"a step of an optimizer on {device} takes float32 arrays that are there; "
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


def _table_beside(array: Array, addresses: tuple, sizes: tuple) -> tuple[Array, int]:
    """The table where the array is, and the number of blocks."""
    if device_of(array) == "cuda" and not replaced():
        device = module_of(array).cuda.runtime.getDevice()
        return _table_on_gpu(addresses, sizes, device)
    table = _table(addresses, sizes)
    return constant(table, array), int(table[5, -1])


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
        table, blocks = _table_beside(jobs[0][0], addresses, sizes)
        flat("updates", name)((blocks,), table, len(jobs), fed(numbers, jobs[0][0]), *flags)
    if crooked:
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
