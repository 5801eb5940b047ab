"""Augmentation: the geometry against SciPy, and what a loader needs of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from minigen import Generator
from minigen.data import Augment, Augmented, DataLoader, TensorDataset, load_mnist5k
from minigen.data.smoothing import gaussian_window, smooth
from minigen.data.warping import elastic_displacements, resample, warp


def images(n: int = 3, c: int = 2, h: int = 13, w: int = 10, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, c, h, w))


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


# ------------------------------------------------------------------------------- geometry


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-2, 2), st.integers(1, 3), st.integers(1, 9))
def test_resample_equals_scipy(seed: int, fill: float, n: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    x = images(n, 2, size, 8, seed)
    rows, columns = rng.uniform(-3, size + 3, (n, 5, 6)), rng.uniform(-3, 11, (n, 5, 6))
    rows[0, 0], columns[0, 0] = np.round(rows[0, 0]), np.round(columns[0, 0])  # pixel centres too
    found = resample(x, rows, columns, fill=fill)
    assert found.shape == (n, 2, 5, 6)
    for i in range(n):
        for channel in range(2):
            expected = scipy.ndimage.map_coordinates(
                x[i, channel], [rows[i], columns[i]], order=1, mode="grid-constant", cval=fill
            )
            np.testing.assert_allclose(found[i, channel], expected, atol=1e-12)


def test_rotation_equals_scipy_and_numpy() -> None:
    square = images(2, 1, 9, 9)
    for turns in range(4):
        np.testing.assert_allclose(
            warp(square, degrees=90 * turns), np.rot90(square, turns, (2, 3)), atol=1e-12
        )
    x = images()
    for i, degrees in enumerate((17, -40, 90)):
        expected = scipy.ndimage.rotate(
            x[i], degrees, (2, 1), reshape=False, order=1, mode="grid-constant"
        )
        np.testing.assert_allclose(warp(x, degrees=[17, -40, 90])[i], expected, atol=1e-12)


def test_scale_and_shift_equal_scipy() -> None:
    x = images()
    shifts = np.array([[1.5, -2.25], [0, 3], [-0.5, 0]])
    found = warp(x, shifts=shifts)
    for i in range(3):
        expected = scipy.ndimage.shift(x[i], (0, *shifts[i]), order=1, mode="grid-constant")
        np.testing.assert_allclose(found[i], expected, atol=1e-12)
    middle = np.array([6.0, 4.5])
    found = warp(x, factors=[0.5, 1.3, 2])
    for i, factor in enumerate((0.5, 1.3, 2)):
        for channel in range(2):
            expected = scipy.ndimage.affine_transform(
                x[i, channel], np.eye(2) / factor, middle - middle / factor, order=1,
                mode="grid-constant",
            )  # fmt: skip
            np.testing.assert_allclose(found[i, channel], expected, atol=1e-12)


def test_all_at_once_is_one_affine_map() -> None:
    """First rotated, then scaled, then shifted: p comes from R⁻¹ (p - m - t) / s + m."""
    x, angle = images(1, 1), np.deg2rad(30)
    middle, shift, factor = np.array([6.0, 4.5]), np.array([1.0, -2.0]), 1.4
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / factor
    expected = scipy.ndimage.affine_transform(
        x[0, 0], back, middle - back @ (middle + shift), order=1, mode="grid-constant"
    )
    found = warp(x, degrees=30, factors=factor, shifts=[shift])
    np.testing.assert_allclose(found[0, 0], expected, atol=1e-12)
    other_order = warp(warp(x, shifts=[shift]), degrees=30, factors=factor)
    assert np.abs(other_order - found).max() > 0.1


@pytest.mark.parametrize("sigma", [0.0, 0.7, 2.0, 5.0])
def test_smooth_equals_scipy(sigma: float) -> None:
    x = images()
    expected = scipy.ndimage.gaussian_filter(x, (0, 0, sigma, sigma), mode="reflect")
    np.testing.assert_allclose(smooth(x, gaussian_window(sigma), (2, 3)), expected, atol=1e-12)


def test_elastic_displacements_follow_simard() -> None:
    found = elastic_displacements(2, (20, 16), 34, 4, np.random.default_rng(5))
    noise = np.random.default_rng(5).uniform(-1, 1, (2, 2, 20, 16))
    expected = 34 * scipy.ndimage.gaussian_filter(noise, (0, 0, 4, 4), mode="reflect")
    np.testing.assert_allclose(found, expected, atol=1e-10)
    x = images(2, 3, 20, 16)
    rows, columns = np.indices((20, 16))
    bent = scipy.ndimage.map_coordinates(
        x[1, 2], [rows + found[1, 0], columns + found[1, 1]], order=1, mode="grid-constant"
    )
    np.testing.assert_allclose(warp(x, displacements=found)[1, 2], bent, atol=1e-10)


# ------------------------------------------------------------------------------- the transform


ALL = {"rotation": 15, "scale": (0.8, 1.2), "shift": (2, 1), "elastic": (8, 3), "crop": (8, 9),
       "padding": 1, "noise": 0.1}  # fmt: skip


@pytest.mark.parametrize("options", [{}, *({k: v} for k, v in ALL.items()), ALL], ids=str)
def test_augment_is_seeded_and_keeps_its_input(options: dict[str, Any]) -> None:
    x = images().astype(np.float32)
    kept = x.copy()
    first = Augment(**options, generator=generator(1))(x)
    again = Augment(**options, generator=generator(1))(x)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(x, kept)
    assert first.dtype == np.float32
    assert not np.shares_memory(first, x)
    if options and "padding" not in options:
        other = Augment(**options, generator=generator(2))(x)
        assert not np.array_equal(first, other)
    as_tensor = Augment(**options, generator=generator(1))(minigen.from_numpy(x))
    np.testing.assert_array_equal(as_tensor.numpy(), first)
    if not options:
        np.testing.assert_array_equal(first, x)


def test_every_image_of_a_batch_gets_its_own_change() -> None:
    same = np.repeat(images(1), 40, axis=0)
    for name, value in ALL.items():
        if name != "padding":
            changed = Augment(**{name: value}, generator=generator())(same)
            assert len({image.tobytes() for image in changed}) > 3, name


def test_changes_stay_within_their_limits() -> None:
    """A bright dot off the middle tells how far it was turned, scaled or shifted."""
    dot = np.zeros((300, 1, 41, 41))
    dot[:, :, 20, 30] = 1  # ten pixels to the right of the middle
    rows, columns = np.indices((41, 41)) - 20.0

    def places(**options: Any) -> np.ndarray:
        found = Augment(**options, generator=generator())(dot)[:, 0]
        mass = found.sum((1, 2))
        return np.stack([(found * rows).sum((1, 2)) / mass, (found * columns).sum((1, 2)) / mass])

    y, x = places(rotation=20)
    angles = np.rad2deg(np.arctan2(-y, x))
    assert -21 < angles.min() < -15
    assert 15 < angles.max() < 21
    y, x = places(scale=(0.5, 1.5))
    assert 4.5 < x.min() < 6
    assert 14 < x.max() < 15.5
    y, x = places(shift=(3, 0))
    assert np.abs(x - 10).max() < 1e-9
    assert -3.01 < y.min() < -2.5
    assert 2.5 < y.max() < 3.01
    noisy = Augment(noise=0.3, generator=generator())(dot) - dot
    assert noisy.std() == pytest.approx(0.3, rel=0.01)


def test_crops_reach_every_place() -> None:
    ramp = np.broadcast_to(np.arange(25.0).reshape(1, 1, 5, 5), (400, 1, 5, 5))
    corners = Augment(crop=3, generator=generator())(ramp)[:, 0, 0, 0]
    assert sorted(set(corners)) == [0, 1, 2, 5, 6, 7, 10, 11, 12]
    framed = Augment(padding=2, fill=-1)(ramp)
    assert framed.shape == (400, 1, 9, 9)
    assert (framed[:, :, :2] == -1).all()
    np.testing.assert_array_equal(framed[:, :, 2:-2, 2:-2], ramp)


def test_digits_are_still_read_after_mild_changes() -> None:
    from minigen.metrics import digit_classifier

    bytes_, labels = load_mnist5k("test")
    x = bytes_[:300, None].astype(np.float32) / 255
    mild = Augment(rotation=8, scale=(0.9, 1.1), shift=1, elastic=(20, 4), generator=generator())
    wild = Augment(rotation=180, generator=generator())
    with minigen.no_grad():
        right = [
            (digit_classifier()(minigen.from_numpy(a(x))).numpy().argmax(1) == labels[:300]).mean()
            for a in (mild, wild)
        ]
    assert right[0] > 0.9 > 0.7 > right[1]


# ------------------------------------------------------------------------------- in a loader


def digit_dataset(n: int = 8) -> TensorDataset:
    x = minigen.from_numpy(images(n, 1).astype(np.float32))
    return TensorDataset(x, minigen.arange(n))


def test_in_a_loader_as_collate_and_as_wrapper() -> None:
    augment = Augment(rotation=10, noise=0.1, generator=generator())
    loader = DataLoader(digit_dataset(), batch_size=4, collate_fn=augment.collate)
    first, second = ([(x.numpy(), y.tolist()) for x, y in loader] for _ in range(2))
    assert [y for _, y in first] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert not np.array_equal(first[0][0], second[0][0]), "another look in every epoch"
    wrapped = Augmented(digit_dataset(), Augment(shift=1, generator=generator()))
    x, y = next(iter(DataLoader(wrapped, batch_size=3)))
    assert (tuple(x.shape), y.tolist(), len(wrapped)) == ((3, 1, 13, 10), [0, 1, 2], 8)
    plain = Augmented(images(2), Augment(noise=0.1))
    assert plain[0].shape == (2, 13, 10)


def test_a_stopped_epoch_goes_on_with_the_very_same_images() -> None:
    """With the default generator, whose state a run saves."""
    loader = DataLoader(digit_dataset(), batch_size=2, collate_fn=Augment(rotation=9).collate)
    minigen.manual_seed(3)
    whole = [x.numpy() for x, _ in loader]
    minigen.manual_seed(3)
    begun = iter(loader)
    next(begun), next(begun)
    place, state = loader.state_dict(), minigen.random.default_generator.state
    minigen.manual_seed(77)
    resumed = DataLoader(digit_dataset(), batch_size=2, collate_fn=Augment(rotation=9).collate)
    resumed.load_state_dict(place)
    minigen.random.default_generator.state = state
    for (x, _), expected in zip(resumed, whole[2:], strict=True):
        np.testing.assert_array_equal(x.numpy(), expected)


# ------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotation": -1}, "rotation"),
        ({"noise": float("nan")}, "noise"),
        ({"shift": (1, -1)}, "shift"),
        ({"elastic": (1, -1)}, "elastic"),
        ({"scale": (0, 1)}, "scale"),
        ({"scale": (1.2, 0.8)}, "scale"),
        ({"crop": 0}, "crop"),
        ({"padding": -1}, "padding"),
        ({"fill": float("inf")}, "fill"),
    ],
)
def test_settings_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augment(**options)


def test_bad_images() -> None:
    augment = Augment(rotation=5)
    with pytest.raises(TypeError, match="uint8"):
        augment(np.zeros((2, 1, 4, 4), np.uint8))
    with pytest.raises(ValueError, match=r"\(2, 4, 4\)"):
        augment(np.zeros((2, 4, 4)))
    broken = images()
    broken[1, 0, 2, 3] = np.nan
    with pytest.raises(ValueError, match="image 1 of the batch holds NaN"):
        augment(broken)
    with pytest.raises(ValueError, match="20 x 20 does not fit into 13 x 10"):
        Augment(crop=20)(images())
    assert augment(images()[:0]).shape == (0, 2, 13, 10)
