"""A chapter: a file of cells that teaches one thing, in English and Chinese.

Cells of its source (`minigen.classroom.source`):

    # %% [markdown] id="x"                          English; the first is the title, with goal="what
                                                    one learns", minutes=0.5, after=["01"]
    # %% [markdown] lang="zh" of="x" en="HASH"      its Chinese, right after it; the title's with
                                                    goal= too; captions={"NAME": "图..."} are of
                                                    the pictures that the code shows below
    # %% [markdown] id="y" grad="NAME"              derives a gradient
    # %% check="NAME"                               the next code: checks that gradient
    # %% [markdown] id="z" exercise="NAME"          asks for a function
    # %% solution="NAME"                            the next code: the function, the part that is
                                                    asked for between # BEGIN and # END SOLUTION
    # %%                                            the next code: checks the reader's function

minutes is what a full run may take on one thread; after, the chapters to be read before;
length="reference", for one in which things are looked up, allows for more words and cells. What
else must be true of a chapter is in `minigen.chapters.rules`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import minigen
from minigen.classroom.source import Cell, SourceError, parse


@dataclass(frozen=True)
class Chapter:
    """file: its source; cells: of it, in order."""

    file: Path
    cells: tuple[Cell, ...]

    @classmethod
    def load(cls, file: str | Path) -> Chapter:
        """Raises SourceError for a file that is not there or not of cells."""
        file = Path(file)
        if not file.is_file():
            raise SourceError(f"there is no chapter {file}")
        return cls(file, tuple(parse(file.read_text(encoding="utf-8"))))

    @property
    def name(self) -> str:
        """As "01_tensors"."""
        return self.file.stem

    @property
    def number(self) -> str:
        """As "01"; "" for a file that has none."""
        return self.name[:2] if self.name[:2].isdigit() else ""

    def title(self, language: str = "en") -> str:
        """The heading, without its sign and its number."""
        heading = next((c.text for c in self.prose(language) if c.text.startswith("# ")), self.name)
        return heading.split("\n")[0].removeprefix("# ").partition("·")[2].strip() or heading

    def said(self, option: str, language: str = "en") -> Any:
        """An option of the title's cell: goal, minutes, after; None if it is not there."""
        first = next(self.prose(language), None)
        return None if first is None else first.options.get(option)

    def captions(self) -> dict[str, str]:
        """The Chinese captions of pictures, by the pictures' names."""
        found: dict[str, str] = {}
        for cell in self.prose("zh"):
            found |= cell.options.get("captions", {})
        return found

    def prose(self, language: str) -> Iterator[Cell]:
        """The text in a language, "en" or "zh"."""
        for cell in self.cells:
            if cell.kind == "markdown" and cell.options.get("lang", "en") == language:
                yield cell

    def code(self) -> Iterator[Cell]:
        return (cell for cell in self.cells if cell.kind == "code")


def tutorials() -> Path:
    """Where the chapters lie, beside the package. Raises SourceError if they are not there."""
    folder = Path(minigen.__file__).parents[1] / "tutorials"
    if not folder.is_dir():
        raise SourceError(
            "the chapters are not part of the installed package: run this in an installation of "
            "the source, made with pip install -e ."
        )
    return folder


def chapter_files(folder: Path) -> list[Path]:
    """In their order."""
    return sorted(folder.glob("[0-9][0-9]_*.py"))


def find(name: str, files: Sequence[Path]) -> Path:
    """The file that is meant by a number, "01", a name, "01_tensors" or "tensors", or a path.

    Raises SourceError if it is none or several.

    >>> find("1", [Path("01_tensors.py"), Path("11_gan.py")]).name
    '01_tensors.py'
    """
    if name.endswith(".py"):
        return Path(name)
    wanted = name.zfill(2) if name.isdigit() else name
    found = [f for f in files if wanted in (f.stem, f.stem[:2], f.stem[3:])]
    if len(found) != 1:
        known = ", ".join(f.stem for f in files)
        raise SourceError(f"there is no chapter {name!r}; there are {known or 'none'}")
    return found[0]
