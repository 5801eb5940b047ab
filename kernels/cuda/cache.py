"""Where compiled kernels are kept: a file a source, named by the hash of all that went into it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from .. import measured


def folder() -> Path:
    """`cuda/` beside the table of this machine, else a temporary folder of this user's alone."""
    place = measured.path().parent / "cuda"
    try:
        place.mkdir(parents=True, exist_ok=True)
        if os.access(place, os.W_OK):
            return place
    except OSError:
        pass
    private = Path(tempfile.gettempdir()) / f"minigen-cuda-{os.getuid()}"
    private.mkdir(mode=0o700, exist_ok=True)
    if private.stat().st_uid != os.getuid():  # somebody else's files are not to be run
        raise PermissionError(f"{private} belongs to another user")
    return private


def digest(*parts: object) -> str:
    """One name for everything that decides what comes out."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The file of that name; if it is not there, `make` writes it, to a temporary path first.

    Several processes may ask at once: each writes its own, and the last one renamed stays.
    """
    path = folder() / name
    if not path.exists():
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=name, suffix=".new")
        os.close(handle)
        try:
            make(Path(temporary))
            os.replace(temporary, path)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)
    return path
