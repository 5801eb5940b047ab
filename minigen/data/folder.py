"""A folder of picture files as a dataset: any sizes, grey or colour, subfolders for classes.

Every file is decoded when the dataset is made, so that a broken one shows at once and not in the
middle of a long run.  Pillow decodes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigen.data.dataset import Dataset
from minigen.ops.creation import from_numpy
from minigen.tensor import Tensor

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
FITS = ("crop", "stretch", "exact")
GREY, COLOUR = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA", "RGBX")  # Pillow's modes of 8 bits
SHOWN = 5  # names of bad files in a message


class Skipped(NamedTuple):
    """A file that was left out, and why."""

    path: Path
    reason: str


class _Unusable(Exception):
    """A picture that cannot be taken; the message is the reason."""


class ImageFolder(Dataset[tuple[Tensor, int]]):
    """Pictures below `root` as pairs (image, class): float32 (C, H, W) in [0, 1], and an int.

    root: either `root/CLASS/.../picture.png`, the classes in alphabetical order, or pictures right
    in `root`, which then are one class. Files of other kinds (by their ending) and hidden ones are
    passed over. Of an animation the first picture counts.
    size: (height, width), or one number for both; None: as they are, all of one size.
    fit: how a picture of another size gets there: "crop", scaled until it covers the size and cut
    around its middle; "stretch", each side scaled for itself; "exact", not at all, it is an error.
    channels: 1, grey, or 3, colour. Grey pictures serve as colour ones (three equal channels);
    those whose channels are equal as grey ones, and truly coloured ones only with `convert=True`
    (luma of ITU-R 601, as Pillow).
    on_error: "raise", or "skip" to leave out what cannot be used, with a warning that counts it;
    `skipped` then lists path and reason. Not usable are: empty and corrupt files, colour where grey
    is asked for, transparent pixels, more than 8 bits a channel, other colour spaces (CMYK, Lab),
    a wrong size if it must be exact.

    As in torchvision: `classes`, `class_to_idx`, `samples` (path and class), `targets`. Further
    `images`: uint8 (N, C, H, W), all of them in memory.
    Raises FileNotFoundError for no folder or no picture in it or in a class; ValueError, which
    names the files and reasons, for pictures that cannot be used, for pictures both in `root` and
    in classes, and for a class that skipping left empty.
    """

    def __init__(
        self,
        root: str | Path,
        size: int | tuple[int, int] | None = None,
        *,
        channels: int = 3,
        fit: str = "crop",
        convert: bool = False,
        on_error: str = "raise",
    ) -> None:
        if channels not in (1, 3) or fit not in FITS or on_error not in ("raise", "skip"):
            raise ValueError(
                "ImageFolder: channels is 1 or 3, fit one of crop, stretch and exact, on_error "
                f"raise or skip; got {channels!r}, {fit!r}, {on_error!r}"
            )
        self.root, self.channels, self.fit, self.convert = Path(root), channels, fit, convert
        self.size = (size, size) if isinstance(size, int) else size
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f"ImageFolder: size must be 1 or more pixels, got {size}")
        self.classes, found = _find(self.root)
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        self.skipped: list[Skipped] = []
        self.samples: list[tuple[Path, int]] = []
        decoded = []
        for path, number in found:
            try:
                decoded.append(self._decode(path))
                self.samples.append((path, number))
            except _Unusable as error:
                self.skipped.append(Skipped(path, str(error)))
        self.targets = [number for _, number in self.samples]
        if self.skipped:
            self._report(len(found), on_error)
        self.images: NDArray[np.uint8] = np.stack(decoded)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return from_numpy(self.images[index].astype(np.float32) / 255), self.targets[index]

    def _decode(self, path: Path) -> NDArray[np.uint8]:
        """The picture as uint8 (C, H, W).  Raises _Unusable with the reason."""
        from PIL import Image, ImageOps

        if path.stat().st_size == 0:
            raise _Unusable("the file is empty")
        try:
            with warnings.catch_warnings(), Image.open(path) as opened:
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                # A decoded copy, upright as viewers show it.
                picture: Any = ImageOps.exif_transpose(opened)
        except Exception as error:  # whatever a corrupt file may cause in a decoder
            reason = str(error).replace(str(path), "the file").replace(repr(str(path)), "the file")
            raise _Unusable(f"cannot be decoded: {reason or type(error).__name__}") from error
        picture = self._fitted(self._in_mode(picture))
        pixels = np.asarray(picture, np.uint8)
        return pixels[None] if self.channels == 1 else np.moveaxis(pixels, -1, 0).copy()

    def _in_mode(self, picture: Any) -> Any:
        """In grey or colour, as asked for, if nothing is lost by it."""
        if picture.mode not in (*GREY, *COLOUR):
            raise _Unusable(f"mode {picture.mode}: needs 8 bits a channel, grey or RGB")
        see_through = "A" in picture.getbands() or "transparency" in picture.info
        if see_through and picture.convert("RGBA").getchannel("A").getextrema()[0] < 255:
            raise _Unusable("has transparent pixels; put it on a background first")
        if self.channels == 1 and not self.convert and picture.mode in COLOUR:
            red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB")), -1, 0)
            if (red != green).any() or (red != blue).any():
                raise _Unusable(f"is in colour (mode {picture.mode}); channels=3, or convert=True")
        return picture.convert("L" if self.channels == 1 else "RGB")

    def _fitted(self, picture: Any) -> Any:
        """In the size asked for; the first picture's, if none was."""
        from PIL import Image, ImageOps

        if self.size is None:
            self.size = (picture.height, picture.width)
            self.fit = "exact"
        height, width = self.size
        if (picture.height, picture.width) == (height, width):
            return picture
        if self.fit == "exact":
            raise _Unusable(f"is {picture.height} x {picture.width}, not {height} x {width}")
        smooth = Image.Resampling.BILINEAR  # which averages where it makes smaller
        if self.fit == "crop":
            return ImageOps.fit(picture, (width, height), smooth)
        return picture.resize((width, height), smooth)

    def _report(self, count: int, on_error: str) -> None:
        """Raise or warn of what cannot be used."""
        named = [f"{s.path.relative_to(self.root)} {s.reason}" for s in self.skipped[:SHOWN]]
        if len(self.skipped) > SHOWN:
            named.append(f"and {len(self.skipped) - SHOWN} more")
        message = (
            f"ImageFolder: {len(self.skipped)} of {count} pictures below {self.root} cannot be "
            f"used: {'; '.join(named)}"
        )
        empty = sorted(set(range(len(self.classes))) - set(self.targets))
        if on_error == "raise" or empty:
            names = ", ".join(self.classes[number] for number in empty)
            raise ValueError(message + (f". Nothing is left of {names}" if empty else ""))
        warnings.warn(message + "; skipped", stacklevel=3)


def _find(root: Path) -> tuple[list[str], list[tuple[Path, int]]]:
    """The classes, and the files with the numbers of theirs, in alphabetical order."""
    if not root.is_dir():
        raise FileNotFoundError(f"ImageFolder: there is no folder {root}")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    flat = _pictures(p for p in root.iterdir() if p.is_file())
    if not folders or not any(_pictures(f.rglob("*")) for f in folders):
        if not flat:
            raise FileNotFoundError(
                f"ImageFolder: there is no picture in {root}; it may end in {', '.join(EXTENSIONS)}"
            )
        return [root.resolve().name], [(path, 0) for path in flat]
    if flat:
        raise ValueError(
            f"ImageFolder: {flat[0].name} and {len(flat) - 1} more lie in {root} itself, beside "
            "folders of classes; of which class are they?"
        )
    found = []
    for number, folder in enumerate(folders):
        pictures = _pictures(folder.rglob("*"))
        if not pictures:
            raise FileNotFoundError(f"ImageFolder: there is no picture of the class {folder.name}")
        found += [(path, number) for path in pictures]
    return [folder.name for folder in folders], found


def _pictures(paths: Any) -> Sequence[Path]:
    return sorted(
        p for p in paths
        if p.suffix.lower() in EXTENSIONS and not p.name.startswith(".") and p.is_file()
    )  # fmt: skip
