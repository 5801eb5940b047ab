"""The table of measured defaults: that of the package, or of the user's own machine.

`crossovers.py` came with the package. `minigen kernels tune` measures again and writes
`kernels.json` into `$MINIGEN_CACHE`, else `$XDG_CACHE_HOME/minigen`, else `~/.cache/minigen`; it is
used as long as the processor is the same and the ladders have the rungs that it names.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .crossovers import MEASURED

FASTER = 1.1  # a rung above the plain one is the default where it is so many times as fast

# operation -> "dtype" or "dtype class" -> ((largest size, rung, its speed over the plain rung), …)
Table = Mapping[str, Mapping[str, Sequence[tuple[int, str, float]]]]


def path() -> Path:
    """Where the table of this user's machine lies, or would."""
    if chosen := os.environ.get("MINIGEN_CACHE"):
        return Path(chosen) / "kernels.json"
    cache = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(cache) if os.path.isabs(cache) else Path.home() / ".cache"
    return folder / "minigen" / "kernels.json"


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@functools.cache
def own() -> Table:
    """What was measured on this machine, by operation; empty if nothing was."""
    file = path()
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (OSError, ValueError) as error:
        warnings.warn(
            f"{file} is not used: {error}; `minigen kernels tune` writes it anew", stacklevel=2
        )
        return {}
    if not isinstance(content, dict) or content.get("processor") != processor():
        return {}
    try:
        return {
            operation: {
                key: tuple((int(largest), str(rung), float(speed)) for largest, rung, speed in rows)
                for key, rows in by_dtype.items()
            }
            for operation, by_dtype in content["measured"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        warnings.warn(
            f"{file} is not used: {error!r}; `minigen kernels tune` writes it anew", stacklevel=2
        )
        return {}


def rows(operation: str, key: str, known: Sequence[str]) -> tuple[Sequence[Any], str]:
    """The rows of one dtype (and class), and where they come from.

    Rows that name other rungs than `known`, of another version, count as not there; what is missing
    is not measured: then there are no rows.
    """
    for table, origin in ((own(), "on this machine"), (MEASURED, "")):
        found = table.get(operation, {}).get(key, ())
        if found and found[-1][0] == sys.maxsize and all(rung in known for _, rung, _ in found):
            return found, origin
    return (), ""


def keys(operation: str, dtype: Any) -> list[str]:
    """The dtype with every class of shapes that was measured for it."""
    found = {**MEASURED.get(operation, {}), **own().get(operation, {})}
    return [key for key in found if key.partition(" ")[0] == str(dtype)]


def save(measured: Table, threads: int) -> Path:
    """Write the table of this machine, what was measured before and not now included."""
    import tempfile

    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "processor": processor(),
        "threads": threads,
        "measured": {**own(), **measured},
    }
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=file.parent, prefix=file.name, delete=False
    ) as new:
        json.dump(content, new, indent=1)
    os.replace(new.name, file)
    own.cache_clear()
    return file
