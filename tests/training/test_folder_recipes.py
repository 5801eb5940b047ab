"""Recipes for a folder of one's own pictures, from the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minigen.cli import main
from minigen.training import Run, make_job
from minigen.training.recipes import RECIPES, folder
from minigen.training.recipes.folder import likeness, thumbnails


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """30 pictures of several sizes in two classes: bright above, dark below, of one hue each."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(30):
        kind = ("red", "blue")[number % 2]
        height, width = 20 + number % 3, 24
        pixels = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
        pixels[: height // 2, :, 0 if kind == "red" else 2] += 190
        target = tmp_path / "photos" / kind
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(target / f"{number:02}.png")
    folder._read.cache_clear()
    return tmp_path / "photos"


def call(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(args))
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


TRAIN = ("--fast", "--steps", "2", "--batch-size", "8", "--set", "size=16", "--set", "data=photos")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("recipe", ["folder_gan", "folder_vae"])
def test_pictures_of_ones_own(
    recipe: str, channels: int, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained, sampled, evaluated, also from another place than it was trained in."""
    code, _, err = call(capsys, "train", recipe, *TRAIN, "--set", f"channels={channels}")
    assert (code, err) == (0, "")
    run = Run.open(Path("runs") / recipe)
    assert run.settings.options["data"] == str(photos.resolve())
    sheet = np.asarray(Image.open(run.path / "samples" / "data.png"))
    assert (sheet.ndim == 3 and (sheet[..., 0] != sheet[..., 2]).any()) == (channels == 3)
    shutil.move("runs", "elsewhere")
    code, out, err = call(capsys, "evaluate", f"elsewhere/{recipe}")
    assert (code, err) == (0, "")
    assert "n = 3" in out  # of 30 every tenth is held out
    job = make_job(Run.open(Path("elsewhere") / recipe), RECIPES[recipe])
    assert len(job.loader.dataset) == 27  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["--set", "data=nowhere"], "no folder"),
        (["--set", "data=photos", "--set", "channels=2"], "channels is 1 or 3"),
        (["--set", "data=photos", "--set", "fit=exact"], "is 20 x 24, not 16 x 16"),
        (["--set", "data=photos", "--set", "fit=wide"], "crop, stretch"),
        (["--set", "data=photos/red"], "holds 15 pictures; it takes 20"),
        (["--set", "data=broken"], "1.png the file is empty"),
        (["--set", "data=photos", "--batch-size", "64"], "more than all 27"),
        ([], "the colour digits have 3 channels and 32 pixels"),
    ],
)
def test_what_cannot_be_trained_on(
    settings: list[str], words: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = photos.parent / "broken"
    broken.mkdir()
    (broken / "1.png").write_bytes(b"")
    code, out, err = call(
        capsys, "train", "folder_gan", "--fast", "--set", "size=16", *settings, "--out", "run"
    )
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert not Path("run").exists()


def test_a_run_whose_pictures_have_gone_says_so(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "train", "folder_gan", *TRAIN)[0] == 0
    shutil.rmtree(photos)
    folder._read.cache_clear()
    code, _, err = call(capsys, "evaluate", "runs/folder_gan")
    assert code == 2
    assert str(photos) in err
    assert len(err.splitlines()) == 1


def test_thumbnails_are_means_over_a_grid() -> None:
    images = np.random.default_rng(0).random((5, 10, 10, 3)).astype(np.float32)
    small = thumbnails(images).reshape(5, 4, 4, 3)
    np.testing.assert_allclose(small[:, 0, 0], images[:, :2, :2].mean((1, 2)), rtol=1e-6)
    np.testing.assert_allclose(small[:, 3, 1], images[:, 7:, 2:5].mean((1, 2)), rtol=1e-6)
    assert thumbnails(images[..., 0]).shape == (5, 16)


def test_likeness_tells_samples_from_others() -> None:
    rng = np.random.default_rng(0)
    training = rng.random((400, 1, 8, 8)).astype(np.float32)
    held_out = rng.random((200, 1, 8, 8)).astype(np.float32)
    good = likeness(lambda n, _: rng.random((n, 8, 8)), training, held_out)
    bad = likeness(lambda n, _: 0.5 * rng.random((n, 8, 8)), training, held_out)
    assert good["thumbnails_n"] == 200
    assert good["thumbnails"] < 2 * good["thumbnails_floor"]
    assert bad["thumbnails"] > 20 * good["thumbnails"]
