"""What the real CuPy offers, read from the installed package itself, which imports without a GPU.

The stand-in asks here before it computes anything: a name, a keyword, a method or a way of calling
a ufunc that CuPy lacks must fail in the tests just as it would fail on a GPU.
"""

from __future__ import annotations

import functools
import inspect
import re
from typing import Any

import cupy as real
import numpy as np

# Ways of calling a ufunc besides `f(x)`, and the ufuncs of CuPy that have them. Their methods are
# compiled and raise NotImplementedError only once they run; test_rules.py asks each of them.
UFUNC_METHODS = {
    "reduce": {"add", "multiply"},
    "accumulate": {"add", "multiply"},
    "reduceat": {"add"},
    "at": {"add", "subtract", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"},
}
METHOD_KEYWORDS = {
    "reduce": {"axis", "dtype", "out", "keepdims"},
    "accumulate": {"axis", "dtype", "out"},
    "reduceat": {"axis", "dtype", "out"},
    "at": set(),
    "outer": {"out", "dtype", "casting"},
}
CALL_KEYWORDS = {"out", "dtype", "casting"}

# Functions that have to know values, or their number, before they can go on: they wait for the GPU.
# `x[mask]` is such a one, too. (cupy/_statistics/histogram.py, _manipulation/add_remove.py, ...)
SYNCHRONISING = {
    "argwhere", "bincount", "extract", "flatnonzero", "histogram", "nonzero", "unique", "array_str",
    "array_repr", "compress", "setdiff1d", "union1d",
}  # fmt: skip


def function_at(module: str, name: str) -> Any:
    """CuPy's function beside NumPy's `module.name`; AttributeError if there is none."""
    place = functools.reduce(getattr, module.split(".")[1:], real)
    return getattr(place, name)


@functools.cache
def signature(function: Any) -> inspect.Signature | None:
    """How a function of CuPy can be called; None where that cannot be told."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def check_call(function: Any, args: tuple, kwargs: dict) -> None:
    """TypeError if CuPy's function cannot be called with such arguments."""
    known = signature(function)
    if known is not None:
        known.bind(*args, **kwargs)


@functools.cache
def method_signature(name: str) -> inspect.Signature | None:
    """The signature of a compiled method of `cupy.ndarray`, from the first line of its text."""
    text = (getattr(real.ndarray, name).__doc__ or "").partition("\n")[0]
    match = re.match(r"\w+\.\w+\((.*)\)(?: ->.*)?$", text)
    if match is None:
        return None
    typed = re.compile(r"\b(?:int|_ndarray_base|bint|Py_ssize_t) (?=\w)")
    scope: dict = {}
    try:
        exec(f"def method({typed.sub('', match[1])}): pass", scope)
    except SyntaxError:
        return None
    return inspect.signature(scope["method"])


@functools.cache
def loops(name: str) -> list[str] | None:
    """The dtypes that a ufunc of CuPy computes in, as "dd->d"; None if it is no plain ufunc."""
    kinds = getattr(getattr(real, name, None), "types", None)
    bfloat16 = "E"  # which NumPy has not
    return None if kinds is None else [k for k in kinds if bfloat16 not in k and "V" not in k]


def check_ufunc(ufunc: np.ufunc, method: str, kwargs: dict) -> None:
    """TypeError or NotImplementedError if CuPy does not call this ufunc in this way."""
    name = ufunc.__name__
    if method == "__call__":
        unknown = set(kwargs) - CALL_KEYWORDS
    elif method == "outer" or name in UFUNC_METHODS.get(method, ()):
        unknown = set(kwargs) - METHOD_KEYWORDS[method]
    else:
        raise NotImplementedError(f"`cupy_{name}.{method}` is not supported yet")
    if unknown:
        raise TypeError(f"Wrong arguments {sorted(unknown)} of cupy.{name}")


def check_loop(ufunc: np.ufunc, operands: tuple, kwargs: dict) -> None:
    """TypeError if CuPy's ufunc has no loop for the dtypes that NumPy would compute in."""
    offered = loops(ufunc.__name__)
    if offered is None or kwargs.get("dtype") is not None or ufunc.signature is not None:
        return
    kinds = tuple(x.dtype if hasattr(x, "dtype") else type(x) for x in operands)
    resolved = ufunc.resolve_dtypes((*kinds, *(None,) * ufunc.nout))
    ins, outs = resolved[: ufunc.nin], resolved[ufunc.nin :]
    for loop in offered:
        taken, _, given = loop.partition("->")
        if all(map(np.can_cast, ins, taken)):  # the first that can be had without loss
            if all(d == np.dtype(kind) for d, kind in zip(outs, given)):
                return
            break
    wanted = "".join(d.char for d in ins) + "->" + "".join(d.char for d in outs)
    raise TypeError(f"cupy.{ufunc.__name__} does not compute {wanted}; it has {offered}")
