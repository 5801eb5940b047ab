"""The embedded files are the ones that were built, and hold what their loaders say."""

import hashlib

import numpy as np
import pytest

from minigen import data
from minigen.data import embedded


def test_every_file_is_the_recorded_one_and_every_one_is_recorded():
    present = {p.name for p in embedded.FOLDER.iterdir()} - {"DATA-LICENSES", ".gitattributes"}
    assert present == set(embedded.SHA256)
    for name, expected in embedded.SHA256.items():
        assert hashlib.sha256((embedded.FOLDER / name).read_bytes()).hexdigest() == expected, name


def test_together_they_take_about_1_4_megabytes():
    assert sum((embedded.FOLDER / name).stat().st_size for name in embedded.SHA256) < 1_400_000


def test_every_file_has_its_licence():
    text = (embedded.FOLDER / "DATA-LICENSES").read_text(encoding="utf-8")
    for name in embedded.SHA256:
        section = text.split(f"\n{name}\n---")[1].split("\n---")[0]
        for heading in ("What", "Authors", "Source", "Licence", "Changes"):
            assert f"\n{heading} " in section, (name, heading)


def test_digits():
    images, labels = data.load_digits()
    assert images.shape == (1797, 8, 8)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert (images.min(), images.max()) == (0, 16)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert images[0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert images[-1, -1].tolist() == [0, 1, 8, 12, 14, 12, 1, 0]
    assert len(np.unique(images.reshape(1797, -1), axis=0)) == 1797
    assert int(images.sum()) == 561718


@pytest.mark.parametrize(("split", "count"), [("train", 4000), ("test", 1000)])
def test_mnist5k(split, count):
    images, labels = data.load_mnist5k(split)
    assert images.shape == (count, 28, 28)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert (images.min(), images.max()) == (0, 255)
    assert labels.tolist() == list(range(10)) * (count // 10)
    # The pictures agree with the labels: a nearest-mean classifier made of the training part.
    train = data.load_mnist5k("train")
    means = np.stack([train.images[train.labels == c].mean(0) for c in range(10)])
    distances = ((images[:, None] - means) ** 2).sum((2, 3))
    assert (distances.argmin(1) == labels).mean() > 0.78


def test_mnist5k_keeps_no_test_image_for_training():
    rows = [data.load_mnist5k(split).images.reshape(-1, 784) for split in ("train", "test")]
    assert len(np.unique(np.concatenate(rows), axis=0)) == 5000


def test_mnist5k_names_the_splits_there_are():
    with pytest.raises(ValueError, match="'train' or 'test', got 'valid'"):
        data.load_mnist5k("valid")


def test_shakespeare():
    text = data.load_shakespeare()
    assert len(text) == 1_036_467
    assert "".join(sorted(set(text))) == (
        "\n !\"&'(),-./12345:;?ABCDEFGHIJKLMNOPQRSTUVWXYZ[]abcdefghijklmnopqrstuvwxyz{}"
    )
    assert text.startswith("HAMLET, PRINCE OF DENMARK\n\nby William Shakespeare\n")
    assert text.endswith("As you from crimes would pardon'd be, \nLet your indulgence set me free.")
    titles = ["HAMLET, PRINCE OF DENMARK", "MACBETH", "ROMEO AND JULIET"]
    titles += ["THE TRAGEDY OF KING LEAR", "OTHELLO, THE MOOR OF VENICE", "JULIUS CAESAR"]
    titles += ["A MIDSUMMER NIGHT'S DREAM", "THE TEMPEST"]
    places = [text.index(f"{title}\n\nby William") for title in titles]
    lengths = np.diff([*places, len(text)]).tolist()
    assert lengths == [173942, 103427, 141753, 151922, 154519, 116216, 96249, 98439]
    assert "Gutenberg" not in text


def test_sunspots():
    years, numbers = data.load_sunspots()
    assert years.dtype == np.int64
    assert numbers.dtype == np.float32
    assert years.tolist() == list(range(1700, 2009))
    assert (
        numbers[[0, 1, 2, -3, -2, -1]].tolist() == np.float32([5, 11, 16, 15.2, 7.5, 2.9]).tolist()
    )
    assert (numbers.min(), numbers.max(), years[numbers.argmax()]) == (0, np.float32(190.2), 1957)


def test_ecg():
    millivolts, rate = data.load_ecg()
    assert rate == 360
    assert millivolts.dtype == np.float32
    assert millivolts.shape == (108_000,)
    samples = millivolts.astype(np.float64) * 200 + 1024
    assert np.abs(samples - samples.round()).max() < 1e-4
    assert samples[[0, 1, 2, -1]].round().tolist() == [975, 981, 987, 947]
    assert (samples.min().round(), samples.max().round()) == (327, 1754)
    # The mean and deviation that SciPy's documentation prints for this recording.
    assert millivolts.mean(dtype=np.float64) == pytest.approx(-0.16510875, abs=1e-8)
    assert millivolts.std(dtype=np.float64) == pytest.approx(0.5992473991177294, abs=1e-8)


def autoregressive_nmse(series, order, start):
    """Mean squared error of least-squares AR(order) with bias, over the variance, from start."""
    rows = np.lib.stride_tricks.sliding_window_view(series, order + 1)
    x, y = np.c_[rows[:, :-1], np.ones(len(rows))], rows[:, -1]
    x_train, y_train = x[: start - order], y[: start - order]
    x_test, y_test = x[start - order :], y[start - order :]
    weights = np.linalg.lstsq(x_train, y_train, rcond=None)[0]
    return ((x_test @ weights - y_test) ** 2).mean() / y_test.var()


def test_series_are_as_predictable_as_was_measured_on_their_sources():
    sunspots = data.load_sunspots().numbers.astype(np.float64)
    for order, expected in ((1, 0.370), (2, 0.183), (3, 0.180), (9, 0.131)):
        assert autoregressive_nmse(sunspots, order, 250) == pytest.approx(expected, abs=6e-4)
    ecg = data.load_ecg().millivolts.astype(np.float64).reshape(-1, 4).mean(1)
    for order, expected in ((8, 0.147), (32, 0.143)):
        assert autoregressive_nmse(ecg, order, 20_000) == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(
    "load", [data.load_digits, data.load_mnist5k, data.load_sunspots, data.load_ecg]
)
def test_a_caller_cannot_change_the_next_callers_data(load):
    first = [np.copy(a) for a in load()]
    for array in load():
        if isinstance(array, np.ndarray):
            array[...] = 77
    for before, after in zip(first, load(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_installation_is_noticed(damage, tmp_path, monkeypatch):
    if damage == "changed":
        content = (embedded.FOLDER / "sunspots.csv").read_bytes()
        (tmp_path / "sunspots.csv").write_bytes(content.replace(b"15.2", b"15.3"))
    monkeypatch.setattr(embedded, "FOLDER", tmp_path)
    embedded._sunspots.cache_clear()
    with pytest.raises(RuntimeError, match=r"sunspots\.csv.*reinstall minigen"):
        data.load_sunspots()


def test_loading_touches_no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("socket.socket", refuse)
    embedded._arrays.cache_clear()
    embedded.load_shakespeare.cache_clear()
    embedded._sunspots.cache_clear()
    embedded._ecg.cache_clear()
    for load in (data.load_digits, data.load_mnist5k, data.load_shakespeare):
        load()
    assert data.load_sunspots().years.size == 309
    assert data.load_ecg().rate == 360
