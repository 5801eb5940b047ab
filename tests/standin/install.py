"""A strict stand-in for CuPy, for machines without a GPU: `with standin.installed(): ...`.

Inside, `device="cuda"` makes arrays of `tests.standin.array.ndarray`, which compute with NumPy and
refuse what CuPy refuses. The real CuPy must be installed: its names and signatures are the oracle.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from tests.standin.array import Synchronised, ndarray, traffic
from tests.standin.module import CuPy

__all__ = ["CuPy", "Synchronised", "installed", "ndarray", "traffic"]


@contextlib.contextmanager
def installed() -> Iterator[CuPy]:
    """A block in which `import cupy` finds the stand-in, with one GPU."""
    real, module = sys.modules["cupy"], CuPy()
    sys.modules["cupy"] = module
    try:
        yield module
    finally:
        sys.modules["cupy"] = real
