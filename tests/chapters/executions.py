"""Each chapter is run once in a session, however many tests and processes look at what it gave."""

from __future__ import annotations

import fcntl
import importlib
import os
import pickle
from pathlib import Path

from minigen.chapters.chapter import Chapter
from minigen.chapters.execution import ChapterError, Execution, execute

LIMIT = 20.0  # seconds of one processor, with --fast
HANGS = 400.0  # seconds, on a machine that does much else
KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR")


def run_once(chapter: Chapter, folder: Path) -> Execution:
    """From `folder`, if it has been run. Run again, once, if it is slow or says something: then
    Numba may have had to compile kernels, which is kept."""
    kept = folder / f"chapter-{chapter.name}.pickle"
    with open(folder / f"chapter-{chapter.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            kept.write_bytes(pickle.dumps(_run(chapter)))
    made = pickle.loads(kept.read_bytes())
    if isinstance(made, ChapterError):
        raise made
    return made


def _run(chapter: Chapter) -> Execution | ChapterError:
    importlib.import_module("matplotlib.font_manager")  # looks for fonts, once, and says so
    clean = {name: os.environ[name] for name in KEPT if name in os.environ}
    try:
        made = execute(chapter, fast=True, limit=HANGS, environment=clean)
        if made.seconds > LIMIT or made.warnings:
            made = execute(chapter, fast=True, limit=HANGS, environment=clean)
    except ChapterError as error:
        return error
    return made
