"""Modules imported only when somebody names them, so that `import minigen` stays quick."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

__all__ = ["lazily"]


def lazily(package: str, *names: str) -> Callable[[str], Any]:
    """The `__getattr__` of a package that imports these of its modules on first use.

    >>> import minigen
    >>> minigen.distributions.Normal(0.0, 1.0).mean
    tensor(0.)
    """

    def __getattr__(name: str) -> Any:
        if name in names:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return __getattr__
