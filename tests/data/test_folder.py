"""A folder of pictures, and every way in which one of them can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minigen.data import DataLoader, ImageFolder

RNG = np.random.default_rng(0)


def grey(h: int = 6, w: int = 8) -> np.ndarray:
    return RNG.integers(0, 256, (h, w), np.uint8)


def colour(h: int = 6, w: int = 8) -> np.ndarray:
    return RNG.integers(0, 256, (h, w, 3), np.uint8)


def save(path: Path, pixels: np.ndarray, mode: str | None = None) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    (picture if mode is None else picture.convert(mode)).save(path)
    return pixels


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Two classes: three pictures of cats, two of dogs."""
    for name in ("cat/b.png", "cat/a.png", "cat/deep/er/c.PNG", "dog/x.png", "dog/y.bmp"):
        save(tmp_path / name, colour())
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "dog" / ".hidden.png").write_bytes(b"")
    return tmp_path


def test_classes_are_subfolders(animals: Path) -> None:
    data = ImageFolder(animals)
    assert (data.classes, data.class_to_idx) == (["cat", "dog"], {"cat": 0, "dog": 1})
    assert [p.name for p, _ in data.samples] == ["a.png", "b.png", "c.PNG", "x.png", "y.bmp"]
    assert data.targets == [0, 0, 0, 1, 1]
    assert (data.images.shape, data.images.dtype) == ((5, 3, 6, 8), np.uint8)
    for i, (path, target) in enumerate(data.samples):
        image, label = data[i]
        expected = np.asarray(Image.open(path)).transpose(2, 0, 1) / np.float32(255)
        np.testing.assert_array_equal(image.numpy(), expected)
        assert label == target
    images, labels = next(iter(DataLoader(data, batch_size=4)))
    assert (tuple(images.shape), labels.tolist()) == ((4, 3, 6, 8), [0, 0, 0, 1])


def test_a_flat_folder_is_one_class(tmp_path: Path) -> None:
    pixels = save(tmp_path / "faces" / "1.png", grey())
    data = ImageFolder(tmp_path / "faces", channels=1)
    assert (data.classes, data.targets, data.images.shape) == (["faces"], [0], (1, 1, 6, 8))
    np.testing.assert_array_equal(data.images[0, 0], pixels)


@pytest.mark.parametrize("ending", ["png", "bmp", "gif", "tif", "webp", "pgm", "jpg"])
def test_formats(ending: str, tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 8
    save(tmp_path / f"p.{ending}", smooth)
    found = ImageFolder(tmp_path, channels=1, convert=True).images[0, 0].astype(int)
    assert np.abs(found - smooth).max() <= (10 if ending in ("jpg", "webp") else 0)


def test_grey_as_colour_and_back(tmp_path: Path) -> None:
    pixels = save(tmp_path / "g.png", grey())
    save(tmp_path / "h.png", pixels, "RGB")  # in the form of colour, but grey
    save(tmp_path / "i.png", pixels, "RGBA")  # and wholly opaque
    np.testing.assert_array_equal(
        ImageFolder(tmp_path).images, np.broadcast_to(pixels, (3, 3, 6, 8))
    )
    np.testing.assert_array_equal(
        ImageFolder(tmp_path, channels=1).images, np.broadcast_to(pixels, (3, 1, 6, 8))
    )


def test_colour_becomes_grey_only_if_told(tmp_path: Path) -> None:
    pixels = save(tmp_path / "c.png", colour())
    with pytest.raises(ValueError, match=r"c\.png is in colour \(mode RGB\)"):
        ImageFolder(tmp_path, channels=1)
    found = ImageFolder(tmp_path, channels=1, convert=True).images[0, 0]
    assert np.abs(found - pixels @ [0.299, 0.587, 0.114]).max() < 1


def test_sizes(tmp_path: Path) -> None:
    """A picture of three vertical stripes, twice as wide as high."""
    stripes = np.repeat(np.array([0, 100, 200], np.uint8), [10, 20, 10])
    save(tmp_path / "wide.png", np.tile(stripes, (20, 1)))
    middle = ImageFolder(tmp_path, 10, channels=1).images[0, 0]
    assert middle.shape == (10, 10)
    assert np.unique(middle[:, 1:-1]).tolist() == [100], "cut around the middle"
    low = ImageFolder(tmp_path, (5, 20), channels=1).images[0, 0]
    assert (low.shape, low[2, [1, 10, 18]].tolist()) == ((5, 20), [0, 100, 200])
    squeezed = ImageFolder(tmp_path, (10, 20), channels=1, fit="stretch").images[0, 0]
    assert squeezed.shape == (10, 20)
    assert squeezed[5, [1, 10, 18]].tolist() == [0, 100, 200]
    squeezed = ImageFolder(tmp_path, 10, channels=1, fit="stretch").images[0, 0]
    assert squeezed[5, [0, 5, 9]].tolist() == [0, 100, 200]
    save(tmp_path / "zz.png", grey(20, 41))
    assert ImageFolder(tmp_path, 10, channels=1).images.shape == (2, 1, 10, 10)
    for size, fit in ((None, "crop"), ((20, 40), "exact")):
        with pytest.raises(ValueError, match=r"zz\.png is 20 x 41, not 20 x 40"):
            ImageFolder(tmp_path, size, channels=1, fit=fit)


def test_rotated_photographs_are_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by 90 degrees
    Image.fromarray(grey(6, 8)).save(tmp_path / "p.png", exif=exif)
    assert ImageFolder(tmp_path, channels=1).images.shape == (1, 1, 8, 6)


# ------------------------------------------------------------------------------- bad pictures


def spoil(folder: Path) -> dict[str, str]:
    """Six bad pictures among the cats, and what must be said of each."""
    whole = (folder / "cat" / "a.png").read_bytes()
    cats = folder / "cat"
    (cats / "empty.png").write_bytes(b"")
    (cats / "text.jpg").write_bytes(b"this is no picture")
    (cats / "torn.png").write_bytes(whole[: len(whole) // 2])
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    (cats / "flipped.png").write_bytes(flipped)
    save(cats / "deep.png", RNG.integers(0, 2**16, (6, 8), np.uint16))
    see_through = np.dstack([colour(), np.full((6, 8), 200, np.uint8)])
    save(cats / "glass.png", see_through)
    Image.fromarray(colour()).convert("CMYK").save(cats / "print.tif")
    return {
        "empty.png": "the file is empty",
        "text.jpg": "cannot be decoded",
        "torn.png": "cannot be decoded",
        "flipped.png": "cannot be decoded",
        "deep.png": "8 bits a channel",
        "glass.png": "transparent",
        "print.tif": "mode CMYK",
    }


def test_bad_pictures_are_named_all_at_once(animals: Path) -> None:
    bad = spoil(animals)
    with pytest.raises(ValueError, match="7 of 12 pictures") as caught:
        ImageFolder(animals)
    assert "cat/empty.png the file is empty" in str(caught.value)
    assert "and 2 more" in str(caught.value)
    with pytest.warns(UserWarning, match="7 of 12 pictures .* skipped"):
        data = ImageFolder(animals, on_error="skip")
    assert (len(data), data.targets) == (5, [0, 0, 0, 1, 1])
    assert {s.path.name for s in data.skipped} == set(bad)
    for skipped in data.skipped:
        assert bad[skipped.path.name] in skipped.reason, skipped
        assert str(animals) not in skipped.reason


def test_a_first_picture_that_is_bad_does_not_set_the_size(animals: Path) -> None:
    (animals / "cat" / "0.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="skipped"):
        assert ImageFolder(animals, on_error="skip").size == (6, 8)


def test_one_class_missing(animals: Path) -> None:
    (animals / "emu").mkdir()
    with pytest.raises(FileNotFoundError, match="no picture of the class emu"):
        ImageFolder(animals)
    (animals / "emu" / "e.png").write_bytes(b"")
    with pytest.raises(ValueError, match="Nothing is left of emu"):
        ImageFolder(animals, on_error="skip")


def test_no_folder_no_pictures_and_pictures_of_no_class(tmp_path: Path, animals: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        ImageFolder(tmp_path / "nowhere")
    (tmp_path / "bare").mkdir()
    with pytest.raises(FileNotFoundError, match="no picture"):
        ImageFolder(tmp_path / "bare")
    (tmp_path / "bare").rmdir()
    save(animals / "stray.png", colour())
    with pytest.raises(ValueError, match=r"stray\.png .* beside folders of classes"):
        ImageFolder(animals)


def test_huge_pictures_are_refused(animals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    with pytest.raises(ValueError, match="decompression bomb"):
        ImageFolder(animals)


@pytest.mark.parametrize(
    "options", [{"channels": 2}, {"fit": "pad"}, {"on_error": "ignore"}, {"size": 0}]
)
def test_arguments(options: dict, animals: Path) -> None:
    with pytest.raises(ValueError, match="ImageFolder"):
        ImageFolder(animals, **options)
