"""From operations on tensors to kernels on arrays: the only file that reaches into minigen.kernels.

NumPy keeps its error state in a context variable, so one NumPy function can run in a copy of a
context in which all is ignored (30 ns), which no other thread and no caller can see: `silent`.
"""

from __future__ import annotations

import contextvars
from typing import Any

import numpy as np

import minigen.kernels as kernels
from minigen.kernels import Windows

__all__ = ["Windows", "kernel", "quiet", "quiet_kernel", "silent"]


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
