"""`fetch`, against a server on this machine that answers well and badly; and the IDX parser."""

import gzip
import hashlib
import os
import stat
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from minigen import data
from minigen.data import download, remote
from minigen.data.download import FetchError, RemoteFile, fetch

CONTENT = bytes(range(256)) * 40


class Handler(BaseHTTPRequestHandler):
    """/good/NAME answers; the other folders fail, each in its own way."""

    def do_GET(self):
        self.server.requests.append(self.path)
        way, _, name = self.path[1:].partition("/")
        content = self.server.files.get(name)
        if way == "missing" or content is None:
            self.send_error(404)
            return
        if way == "silent":
            time.sleep(1.5)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if way == "corrupt":
            content = content[:-1] + bytes([content[-1] ^ 1])
        elif way == "truncated":
            content = content[: len(content) // 2]
        elif way == "garbage":
            content = b""
        if way == "slow":
            self.wfile.write(content[:100])
            self.wfile.flush()
            self.server.release.wait(10)
            content = content[100:]
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    instance = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    instance.files = {"file.bin": CONTENT}
    instance.requests = []
    instance.release = threading.Event()
    instance.url = f"http://127.0.0.1:{instance.server_port}"
    thread = threading.Thread(target=instance.serve_forever, args=(0.01,))
    thread.start()
    yield instance
    instance.release.set()
    instance.shutdown()
    instance.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGEN_DATA", str(tmp_path / "kept"))
    monkeypatch.delenv("MINIGEN_OFFLINE", raising=False)
    return tmp_path / "kept"


def remote_file(server, *ways, name="set/file.bin"):
    urls = tuple(f"{server.url}/{way}/file.bin" for way in ways)
    return RemoteFile(name, urls, hashlib.sha256(CONTENT).hexdigest(), "minigen.data.load_it()")


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_good_answer_is_kept_and_asked_for_only_once(server, folder, capsys):
    file = remote_file(server, "good")
    assert fetch(file) == CONTENT
    assert names(folder) == ["set/file.bin"]
    assert (folder / "set/file.bin").read_bytes() == CONTENT
    assert f"downloading {file.urls[0]} to {file.path}" in capsys.readouterr().err
    assert fetch(file) == CONTENT
    assert server.requests == ["/good/file.bin"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(os.name == "nt", reason="permission bits are a POSIX matter")
def test_what_is_kept_can_be_read_by_whom_the_umask_lets(server, folder):
    before = os.umask(0o022)
    try:
        fetch(remote_file(server, "good"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "set/file.bin").stat().st_mode) == 0o644


@pytest.mark.parametrize("way", ["missing", "corrupt", "truncated", "garbage", "silent"])
def test_the_next_mirror_is_asked_when_one_fails(server, folder, way):
    assert fetch(remote_file(server, way, "good"), timeout=0.3) == CONTENT
    assert server.requests == [f"/{way}/file.bin", "/good/file.bin"]
    assert names(folder) == ["set/file.bin"]


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("missing", "HTTP Error 404"),
        ("corrupt", "answered 10,240 bytes with SHA-256"),
        ("truncated", r"IncompleteRead|answered 5,120 bytes with SHA-256"),
        ("garbage", r"IncompleteRead|answered 0 bytes with SHA-256"),
        ("silent", "timed out"),
    ],
)
def test_one_message_says_what_happened_and_what_can_be_done(server, folder, way, reason):
    file = remote_file(server, way, "missing")
    with pytest.raises(FetchError, match=reason) as caught:
        fetch(file, timeout=0.3)
    message = str(caught.value)
    for part in (*file.urls, str(file.path), "MINIGEN_DATA", "minigen.data.load_it()"):
        assert part in message
    assert names(folder) == []


def test_a_server_that_is_not_there(server, folder):
    file = RemoteFile("f", ("http://127.0.0.1:9/f",), "0" * 64, "minigen.data.load_it()")
    with pytest.raises(FetchError, match=r"127\.0\.0\.1:9/f: .*refused"):
        fetch(file, timeout=1)


def test_an_endless_answer_is_cut_off(server, folder, monkeypatch):
    monkeypatch.setattr(download, "LARGEST", 1000)
    with pytest.raises(FetchError, match="answered more than 1,000 bytes"):
        fetch(remote_file(server, "good"))


def test_offline_nothing_is_asked_for(server, folder, monkeypatch):
    monkeypatch.setenv("MINIGEN_OFFLINE", "1")
    with pytest.raises(FetchError, match="is not there and MINIGEN_OFFLINE is set"):
        fetch(remote_file(server, "good"))
    assert server.requests == []
    assert not folder.exists()
    monkeypatch.setenv("MINIGEN_OFFLINE", "0")
    assert fetch(remote_file(server, "good")) == CONTENT


def test_a_file_put_there_by_hand_is_used(server, folder, monkeypatch):
    monkeypatch.setenv("MINIGEN_OFFLINE", "1")
    (folder / "set").mkdir(parents=True)
    (folder / "set/file.bin").write_bytes(CONTENT)
    assert fetch(remote_file(server, "missing")) == CONTENT
    assert server.requests == []


def test_a_wrong_file_put_there_by_hand_is_neither_used_nor_overwritten(server, folder):
    (folder / "set").mkdir(parents=True)
    (folder / "set/file.bin").write_bytes(CONTENT[:-1])
    with pytest.raises(FetchError, match="is there, but is not the published file: 10,239 bytes"):
        fetch(remote_file(server, "good"))
    assert (folder / "set/file.bin").read_bytes() == CONTENT[:-1]
    assert server.requests == []


def test_a_folder_that_cannot_be_written_is_noticed_before_downloading(
    server, tmp_path, monkeypatch
):
    (tmp_path / "a file").write_text("")  # no folder can be below it, whoever runs this
    monkeypatch.setenv("MINIGEN_DATA", str(tmp_path / "a file"))
    with pytest.raises(FetchError, match=r"a file.* cannot be (read|written): ") as caught:
        fetch(remote_file(server, "good"))
    assert "minigen.data.load_it()" in str(caught.value)
    assert server.requests == []


def test_a_folder_in_the_files_place_is_an_error_of_one_message(server, folder):
    (folder / "set/file.bin").mkdir(parents=True)
    with pytest.raises(FetchError, match="cannot be read"):
        fetch(remote_file(server, "good"))


def test_a_full_disk_leaves_nothing_behind(server, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FetchError, match=r"cannot be written: .*No space left"):
        fetch(remote_file(server, "good"))
    assert names(folder) == []


def test_fetching_at_the_same_time_gives_everyone_the_file(server, folder):
    file = remote_file(server, "slow")
    with ThreadPoolExecutor(8) as pool:
        results = [pool.submit(fetch, file) for _ in range(8)]
        deadline = time.monotonic() + 10
        while len(server.requests) < 8 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert not file.path.exists()  # what is half there has another name
        assert len(names(folder)) == 8
        server.release.set()
        assert [r.result() for r in results] == [CONTENT] * 8
    assert names(folder) == ["set/file.bin"]


def test_a_file_appears_in_one_step_and_complete(server, folder, monkeypatch):
    file, replace, seen = remote_file(server, "good"), os.replace, []

    def observed(temporary, path):
        seen.append((temporary.read_bytes(), path.exists()))
        replace(temporary, path)

    monkeypatch.setattr(os, "replace", observed)
    fetch(file)
    assert seen == [(CONTENT, False)]


def test_an_interrupted_download_leaves_nothing_behind(server, folder, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "_request", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(remote_file(server, "good"))
    assert names(folder) == []


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"MINIGEN_DATA": "/a/b", "XDG_CACHE_HOME": "/c"}, "/a/b"),
        ({"MINIGEN_DATA": "~/b"}, "/home/someone/b"),
        ({"MINIGEN_DATA": "", "XDG_CACHE_HOME": "/c"}, "/c/minigen"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/someone/.cache/minigen"),
        ({}, "/home/someone/.cache/minigen"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="the paths are POSIX paths")
def test_where_files_are_kept(monkeypatch, variables, expected):
    for name in ("MINIGEN_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(download.data_folder()) == expected


# ---------------------------------------------------------------------------- whole data sets


def idx(array):
    code = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
    big = array.astype(array.dtype.newbyteorder(">"))
    head = bytes([0, 0, code[array.dtype.str[1:]], array.ndim])
    return head + struct.pack(f">{array.ndim}I", *array.shape) + big.tobytes()


@pytest.mark.parametrize(
    ("function", "mirrors", "hashes"),
    [
        (data.fetch_mnist, "_MNIST_MIRRORS", "_MNIST"),
        (data.fetch_fashion_mnist, "_FASHION_MNIST_MIRRORS", "_FASHION_MNIST"),
    ],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_images_and_labels_are_fetched_and_parsed(
    server, monkeypatch, function, mirrors, hashes, split
):
    rng = np.random.default_rng(5)
    for part in ("train", "t10k"):
        count = 7 if part == "train" else 4
        arrays = {
            "images-idx3": rng.integers(0, 256, (count, 28, 28), np.uint8),
            "labels-idx1": rng.integers(0, 10, count, np.uint8),
        }
        for kind, array in arrays.items():
            name = f"{part}-{kind}-ubyte.gz"
            server.files[name] = gzip.compress(idx(array))
            sha256 = hashlib.sha256(server.files[name]).hexdigest()
            monkeypatch.setitem(getattr(remote, hashes), name, sha256)
        if part == {"train": "train", "test": "t10k"}[split]:
            expected = arrays
    monkeypatch.setattr(remote, mirrors, (f"{server.url}/missing/", f"{server.url}/good/"))
    images, labels = function(split)
    np.testing.assert_array_equal(images, expected["images-idx3"])
    np.testing.assert_array_equal(labels, expected["labels-idx1"])
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    asked = len(server.requests)
    function(split)
    assert len(server.requests) == asked


@pytest.mark.parametrize("function", [data.fetch_mnist, data.fetch_fashion_mnist])
def test_splits_are_checked_before_anything_is_fetched(function):
    with pytest.raises(ValueError, match=f"{function.__name__}: split must be 'train' or 'test'"):
        function("validation")


@pytest.mark.parametrize(
    ("function", "embedded"),
    [
        (data.fetch_mnist, "minigen.data.load_mnist5k()"),
        (data.fetch_fashion_mnist, "minigen.data.load_mnist5k()"),
        (data.fetch_tinyshakespeare, "minigen.data.load_shakespeare()"),
    ],
)
def test_offline_the_public_addresses_and_the_alternative_are_named(
    monkeypatch, folder, function, embedded
):
    monkeypatch.setenv("MINIGEN_OFFLINE", "1")
    with pytest.raises(FetchError, match="https://") as caught:
        function()
    assert embedded in str(caught.value)
    assert str(folder) in str(caught.value)


def test_tinyshakespeare_is_text(server, monkeypatch):
    server.files["file.bin"] = b"First Citizen:\n"
    sha256 = hashlib.sha256(b"First Citizen:\n").hexdigest()
    file = RemoteFile("t/input.txt", (f"{server.url}/good/file.bin",), sha256, "")
    monkeypatch.setattr(remote, "_TINYSHAKESPEARE", file)
    assert data.fetch_tinyshakespeare() == "First Citizen:\n"


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(0,), (3,), (2, 3), (2, 0, 4), (2, 3, 4)])
def test_idx_files_of_every_type(dtype, shape):
    array = np.random.default_rng(0).normal(0, 50, shape).astype(dtype)
    read = data.read_idx(idx(array))
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype
    assert read.shape == array.shape
    assert read.flags.writeable


GOOD = idx(np.arange(6, dtype=np.uint8).reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (GOOD[:3], "begins with 00 00 08"),
        (b"\x1f\x8b" + GOOD[2:], "begins with 1f 8b 08 02"),
        (b"\0\0\x0a" + GOOD[3:], "begins with 00 00 0a 02"),
        (GOOD[:9], "ends after 9 bytes, within the extents of 2 dimensions"),
        (GOOD[:-1], r"shape \(2, 3\) and type uint8 takes 18 bytes, got 17"),
        (GOOD + b"\0", r"shape \(2, 3\) and type uint8 takes 18 bytes, got 19"),
        (b"\0\0\x08\x02" + b"\xff" * 8 + b"\0" * 6, "takes 18,446,744,065,119,617,037 bytes"),
    ],
)
def test_idx_files_that_are_not_exactly_one_array(content, message):
    with pytest.raises(ValueError, match=f"some-name: .*{message}"):
        data.read_idx(content, "some-name")


def test_labels_must_match_images(server, monkeypatch):
    for kind, array in (
        ("images-idx3", np.zeros((3, 28, 28), np.uint8)),
        ("labels-idx1", np.zeros(2, np.uint8)),
    ):
        name = f"train-{kind}-ubyte.gz"
        server.files[name] = gzip.compress(idx(array))
        sha256 = hashlib.sha256(server.files[name]).hexdigest()
        monkeypatch.setitem(remote._MNIST, name, sha256)
    monkeypatch.setattr(remote, "_MNIST_MIRRORS", (f"{server.url}/good/",))
    with pytest.raises(ValueError, match=r"one label for each image, got images \(3, 28, 28\)"):
        data.fetch_mnist()
