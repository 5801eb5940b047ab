"""From operations on tensors to kernels on arrays: the only file that reaches into minigen.kernels.

NumPy keeps its error state in a context variable, so one NumPy function can run in a copy of a
context in which all is ignored (30 ns), which no other thread and no caller can see: `silent`.
"""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

import minigen.kernels as kernels
from minigen.capturing import capturing
from minigen.devices import on_gpu
from minigen.kernels import Windows, uploads
from minigen.kernels.attention.dropout import factors as dropout_factors
from minigen.kernels.attention.dropout import round_keys
from minigen.kernels.fused import log1p as log1p_array

__all__ = [
    "Operand", "Windows", "attention", "attention_backward", "dropout_factors", "fusable", "kernel",
    "kernel_of_all", "kernel_over", "kernels", "large", "log1p_array", "quiet", "quiet_kernel",
    "round_keys", "silent", "take_over_threads",
]  # fmt: skip


def quiet() -> Any:
    """A context in which 1/0 and log(0) give inf and nan without a warning, as in PyTorch."""
    return np.errstate(all="ignore")


_silent = contextvars.Context()
_silent.run(np.seterr, all="ignore")

silent = _silent.copy
"""`silent().run(np.divide, a, b)`: as under `quiet()`, at a thirtieth of its cost."""


def kernel(operation: str, *arrays: Any, **options: Any) -> Any:
    """Run the kernel that is chosen for this operation and these arrays."""
    return kernels.select(operation, *arrays)(*arrays, **options)


def quiet_kernel(operation: str, *arrays: Any) -> Any:
    """`kernel` without NumPy's warnings."""
    function = kernels.select(operation, *arrays)
    if kernels.overriding():  # a user's kernel runs in the user's own context
        with quiet():
            return function(*arrays)
    return silent().run(function, *arrays)


class Operand:
    """A matrix of several products, so that what kernels make of it first is made once.

    At the precision "medium" a product on a GPU begins by rounding both matrices to bfloat16, which
    takes about as long as the product itself. `a @ b` of two operands is what the kernel `matmul`
    makes of their arrays, bit for bit. `prepared`, a copy in the kernel's own form or None, may go
    to another operand for the same matrix, as long as that was not changed.

    >>> (Operand(np.ones((2, 3))) @ Operand(np.ones((2, 3))).T).tolist()
    [[3.0, 3.0], [3.0, 3.0]]
    """

    __slots__ = ("array", "prepared")

    def __init__(self, array: Any, prepared: Any = None) -> None:
        self.array, self.prepared = array, prepared

    @property
    def T(self) -> Operand:
        """The transpose, in the same memory."""
        return Operand(self.array.T, None if self.prepared is None else self.prepared.T)

    def __matmul__(self, other: Operand) -> Any:
        return self.times(other)

    def sums(self, other: Operand) -> Any:
        """The sums over its rows; made while it is prepared, if that comes next, for a product with
        the other.

        >>> Operand(np.ones((2, 3))).sums(Operand(np.ones((3, 1)))).tolist()
        [2.0, 2.0, 2.0]
        """
        function = kernels.select("matmul", self.array, other.array)
        prepare = getattr(function, "prepare_summed", None)
        if prepare is not None and self.prepared is None:
            try:
                self.prepared, sums = prepare(self.array)
                return sums
            except ImportError:  # no compiler
                pass
        return self.array.sum(0)

    def times(self, other: Operand, bias: Any = None) -> Any:
        """The product, plus a bias in each of its rows, if there is one: by the kernel itself, or
        in place.

        >>> Operand(np.ones((2, 3))).times(Operand(np.ones((3, 1))), np.array([0.5])).tolist()
        [[3.5], [3.5]]
        """
        function = kernels.select("matmul", self.array, other.array)
        matrices: tuple[Any, Any] = self.array, other.array
        prepare = getattr(function, "prepare", None)
        if prepare is not None:
            try:
                for each in (self, other):
                    if each.prepared is None:
                        each.prepared = prepare(each.array)
                matrices = self.prepared, other.prepared
            except ImportError:  # no compiler: the kernel finds that, too, and another one runs
                pass
        if bias is not None and getattr(function, "takes_bias", False):
            return function(*matrices, bias)
        product = function(*matrices) if prepare else quiet_kernel("matmul", *matrices)
        if bias is not None:
            silent().run(np.add, product, bias, product)
        return product


def attention(q: Any, k: Any, v: Any, mask: Any, **options: Any) -> tuple[Any, Any, Any]:
    """out and logsumexp by the kernel `attention`; and q, k and v in the kernel's own form, or None
    if it has none, to be given to `attention_backward` as long as they were not changed."""
    function = kernels.select("attention", q, k, v, mask)
    prepare = getattr(function, "prepare", None)
    try:
        prepared = None if prepare is None else prepare(q, k, v, mask, **options)
    except ImportError:  # no compiler: as in `Operand`
        prepared = None
    out, logsumexp = function(*(prepared or (q, k, v)), mask, **options)
    return out, logsumexp, prepared


def attention_backward(
    g: Any, q: Any, k: Any, v: Any, out: Any, logsumexp: Any, mask: Any, prepared: Any,
    **options: Any,
) -> Any:  # fmt: skip
    """dq, dk and dv by the kernel of that name; `prepared` is what `attention` gave, or None. That
    goes to a kernel that prepares its operands, too: which one is chosen may have changed."""
    function = kernels.select("attention_backward", g, q, k, v, out, logsumexp, mask)
    if prepared is not None and getattr(function, "prepare", None) is not None:
        q, k, v = prepared
    return function(g, q, k, v, out, logsumexp, mask, **options)


def _uploads() -> uploads.Uploads | None:
    """How kernels get numbers to the GPU while a step is being captured."""
    host = capturing()
    return None if host is None else uploads.Uploads(host.fed, host.constant)


uploads.ask(_uploads)

take_over_threads = kernels.parallel.take_over
"""Called by layers that have much to compute besides products: see `minigen.kernels.parallel`."""

LARGE = 1024  # elements from which on asking for a kernel can pay


def large(array: Any) -> bool:
    """Whether to ask for a kernel where a few ufuncs do the same: it is a float32 or float64 array
    (no tensor, whose operations are recorded) of some size, or on a GPU, where every ufunc is a
    launch, or a kernel was swapped in.

    >>> large(np.ones(10)), large(np.ones(10_000)), large(np.ones(10_000, np.float16))
    (False, True, False)
    """
    if array.__class__ is not np.ndarray:
        return on_gpu(array) and array.dtype.char in "fd"
    if array.size < LARGE and not kernels.overriding():
        return False
    return array.dtype.char in "fd"


def fusable(array: Any) -> bool:
    """Whether the kernels that take lists of arrays take this one: float32 or float64.

    >>> fusable(np.ones(3)), fusable(np.ones(3, np.float16))
    (True, False)
    """
    plain = array.__class__ is np.ndarray or on_gpu(array)
    return plain and array.dtype.char in "fd"


@functools.lru_cache(256)
def _of_size(dtype: np.dtype, size: int) -> Any:
    """An array of that many elements, which takes the memory of one."""
    return np.broadcast_to(np.zeros((), dtype), (size,))


def kernel_over(operation: str, lists: Sequence[list[Any] | None], *options: Any) -> None:
    """Run a kernel that works in place on lists of arrays; the elements of all of the first list
    decide which. A kernel that was swapped in is called for one array of each list at a time,
    flat if that takes no copy."""
    first = lists[0]
    assert first
    if kernels.overriding():
        for arrays in zip(*(column or [None] * len(first) for column in lists)):
            if all(a is None or a.flags.c_contiguous for a in arrays):
                arrays = tuple(a if a is None else a.reshape(-1) for a in arrays)
            kernel(operation, *arrays, *options)
        return
    _chosen_for(operation, first)(*lists, *options)


def kernel_of_all(operation: str, arrays: list[Any], *options: Any) -> Any:
    """Run a kernel for which a list of arrays is one whole, as for a norm over all of them; one
    that was swapped in gets the list, too."""
    return _chosen_for(operation, arrays)(arrays, *options)


def _chosen_for(operation: str, arrays: list[Any]) -> Any:
    """The kernel for as many elements as these arrays have together."""
    first = arrays[0]
    if not isinstance(first, np.ndarray):  # on a GPU, where a launch for all pays at any size
        return kernels.select(operation, first)
    size = sum(array.size for array in arrays)
    return kernels.select(operation, _of_size(first.dtype, size))
