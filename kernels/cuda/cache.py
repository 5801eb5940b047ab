"""Where compiled kernels are kept: a file a source, named by the hash of all that went into it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from .. import measured

SEAL = hashlib.sha256().digest_size  # bytes at the end of a sealed file: the hash of those before


def folder() -> Path:
    """`cuda/` beside the table of this machine, else a temporary folder of this user's alone."""
    place = measured.path().parent / "cuda"
    try:
        place.mkdir(parents=True, exist_ok=True)
        if os.access(place, os.W_OK):
            return place
    except OSError:
        pass
    user = os.getuid() if hasattr(os, "getuid") else None  # Windows has a folder for each user
    private = Path(tempfile.gettempdir()) / f"minigen-cuda-{user or 0}"
    private.mkdir(mode=0o700, exist_ok=True)
    if (
        user is not None and private.stat().st_uid != user
    ):  # somebody else's files are not to be run
        raise PermissionError(f"{private} belongs to another user")
    return private


def digest(*parts: object) -> str:
    """One name for everything that decides what comes out."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


def kept(name: str, make: Callable[[Path], None], sealed: bool = False) -> Path:
    """The file of that name; if it is not there, `make` writes it, to a temporary path first.

    Several processes may ask at once: each writes its own, and the last one renamed stays. `sealed`
    adds a hash at the end, which programs and libraries bear, and makes a damaged file anew.
    """
    path = folder() / name
    if not path.exists() or (sealed and not _intact(path)):
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=name, suffix=".new")
        os.close(handle)
        try:
            make(Path(temporary))
            if sealed:
                with open(temporary, "r+b") as file:
                    file.write(hashlib.sha256(file.read()).digest())
            os.replace(temporary, path)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)
    return path


def _intact(path: Path) -> bool:
    content = path.read_bytes()
    return hashlib.sha256(content[:-SEAL]).digest() == content[-SEAL:]
