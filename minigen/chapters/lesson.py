"""What a chapter asks of the place where it runs: how long it may take, where its pictures go, and
whether the numbers in its text are true.

A chapter is run as a script, in a notebook, or by whoever makes a page of it; it is the same text
each time.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NUMBER = re.compile(r"-?[\d,]*\.?\d+(?:e-?\d+)?")

Shown = Callable[[bytes | str, str, str], None]


class ClaimError(AssertionError):
    """A number in a chapter's text is not what its code gives."""


def fast() -> bool:
    """Whether a chapter should only show that it runs: `--fast` in the command, or MINIGEN_FAST=1.

    Then a training takes a few steps, and nothing is asked of what it reached.
    """
    return "--fast" in sys.argv[1:] or os.environ.get("MINIGEN_FAST") == "1"


def claim(text: str, value: float, *, within: float = 0.0, trained: bool = False) -> None:
    """The text says `text`; the run found `value`.

    text: the number as the prose has it, "0.693", "1,000", "2.1e-7" or "93 %", the last of a part
    of 1. within: by how much the two may differ; rounding as in the text is always allowed.
    trained: the number comes out of a training, so it is not asked for where `fast`.

    Raises ClaimError if it is another number, ValueError if there is no number in the text.

    >>> claim("0.693", 0.69314718)
    >>> claim("93 %", 0.9312)
    >>> claim("1.35", 1.41, within=0.1)
    """
    found = NUMBER.search(text)
    if found is None:
        raise ValueError(f"claim: there is no number in {text!r}")
    digits = found[0].replace(",", "")
    mantissa, _, exponent = digits.partition("e")
    part = 100.0 if "%" in text else 1.0
    last_place = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    allowed = within + 0.5000001 * last_place / part
    if _listener is not None:
        _listener(text)
    if not (trained and fast()) and not abs(float(value) - float(digits) / part) <= allowed:
        raise ClaimError(f"the text says {text}; this run gives {float(value):.6g}")


def show(picture: Any, name: str, caption: str) -> None:
    """Show a picture where the chapter runs.

    picture: PNG as bytes, SVG as text, or a figure of matplotlib, which is closed. name: of its
    file, without ending. caption: a sentence for those who look at it, or who cannot.

    A script writes it to `_build/CHAPTER/` beside itself, a notebook shows it.
    Raises TypeError for anything else.
    """
    if hasattr(picture, "savefig"):
        picture = _drawn(picture)
    if not isinstance(picture, bytes | str):
        raise TypeError(f"show: expected PNG, SVG or a figure, got {type(picture).__name__}")
    (_viewer or (_in_notebook if _notebook() else _to_file))(picture, name, caption)


_viewer: Shown | None = None
_listener: Callable[[str], None] | None = None


def view_with(viewer: Shown | None) -> None:
    """From now on, hand every picture with its name and caption to `viewer`; None: as usual."""
    global _viewer
    _viewer = viewer


def listen_with(listener: Callable[[str], None] | None) -> None:
    """From now on, tell `listener` the text of every claim as it is made; None: nobody."""
    global _listener
    _listener = listener


def _drawn(figure: Any) -> bytes:
    from matplotlib import pyplot

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120, bbox_inches="tight", metadata={"Software": None})
    pyplot.close(figure)
    return file.getvalue()


def _notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def _in_notebook(picture: bytes | str, name: str, caption: str) -> None:
    from IPython import display  # there, where this runs

    display.display(display.SVG(picture) if isinstance(picture, str) else display.Image(picture))
    print(caption)


def _to_file(picture: bytes | str, name: str, caption: str) -> None:
    script = Path(sys.argv[0] or "chapter")
    folder = script.parent / "_build" / script.stem
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name + (".svg" if isinstance(picture, str) else ".png"))
    path.write_bytes(picture.encode() if isinstance(picture, str) else picture)
    print(f"{caption}  [{path}]")
