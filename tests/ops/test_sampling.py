"""grid_sample and affine_grid against torch: modes, paddings, places beyond the image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as T
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
import minigen.nn.functional as F
from minigen.ops.sampling import _constant_in
from tests.oracle import check, close

rng = np.random.default_rng(77)
MODES = ["bilinear", "nearest", "bicubic"]
PADDINGS = ["zeros", "border", "reflection"]


def pair(mode: str, padding_mode: str, align_corners: bool | None) -> tuple:
    options = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    return (
        lambda image, grid: F.grid_sample(image, grid, **options),
        lambda image, grid: T.grid_sample(image, grid, **options),
    )


def grid(*shape: int, reach: float = 1.6) -> np.ndarray:
    return rng.uniform(-reach, reach, (*shape, 2))


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("padding_mode", PADDINGS)
@pytest.mark.parametrize("mode", MODES)
def test_grid_sample(mode, padding_mode, align_corners):
    """torch has second derivatives of the bilinear mode alone; the others are checked below."""
    order = 2 if mode == "bilinear" else 1
    shapes = [((2, 3, 4, 5), (2, 3, 2)), ((1, 1, 1, 3), (1, 2, 4)), ((1, 2, 6, 1), (1, 3, 1))]
    for image, places in shapes:
        function, reference = pair(mode, padding_mode, align_corners)
        check(
            function, reference, rng.standard_normal(image), grid(*places),
            order=order, numeric=mode != "nearest",
        )  # fmt: skip
    far = grid(1, 4, 3, reach=9.0)
    check(function, reference, rng.standard_normal((1, 2, 3, 4)), far, order=1)


def test_places_that_are_rounded_have_zero_gradients_of_every_order():
    """What the nearest mode reads its pixels through."""
    check(
        lambda values, place: _constant_in(values * values, place),
        lambda values, place: values * values + 0 * place,
        rng.standard_normal((2, 3)), rng.standard_normal((2, 3)),
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("padding_mode", PADDINGS)
def test_second_derivatives(mode, padding_mode):
    """Of <gradient, v> against central differences of it."""
    image, places = rng.standard_normal((1, 2, 4, 3)), grid(1, 3, 2)
    v = [rng.standard_normal(image.shape), rng.standard_normal(places.shape)]
    function, _ = pair(mode, padding_mode, False)

    def slope(a: np.ndarray, b: np.ndarray) -> tuple:
        x, y = (minigen.from_numpy(each).requires_grad_() for each in (a, b))
        first = minigen.autograd.grad((function(x, y) ** 2).sum(), (x, y), create_graph=True)
        return sum((g * minigen.from_numpy(d)).sum() for g, d in zip(first, v)), (x, y)

    total, leaves = slope(image, places)
    second = minigen.autograd.grad(total, leaves)
    h = 1e-6
    up, down = (slope(image + s * h * v[0], places + s * h * v[1])[0].item() for s in (1, -1))
    along = sum((g.numpy() * d).sum() for g, d in zip(second, v))
    assert abs(along - (up - down) / (2 * h)) < 1e-4 * max(1, abs(along))


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("padding_mode", PADDINGS)
@pytest.mark.parametrize("mode", MODES)
def test_places_on_borders_and_between_pixels(mode, padding_mode, align_corners):
    """Ties of rounding, the corners themselves, the points where a reflection turns."""
    line = [-5.0, -3.0, -2.0, -1.5, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 3.0]
    places = np.array(list(itertools.product(line, line))).reshape(1, 15, 15, 2)
    image = rng.standard_normal((1, 1, 4, 4))
    for dtype in (np.float64, np.float32):
        inputs = image.astype(dtype), places.astype(dtype)
        function, reference = pair(mode, padding_mode, align_corners)
        x, y = (minigen.from_numpy(each.copy()).requires_grad_() for each in inputs)
        u, v = (torch.from_numpy(each.copy()).requires_grad_() for each in inputs)
        ours, theirs = function(x, y), reference(u, v)
        tolerance = 1e-12 if dtype == np.float64 else 1e-5
        close(ours, theirs, tolerance, "value")
        cotangent = rng.standard_normal(ours.shape).astype(dtype)
        (ours * minigen.from_numpy(cotangent)).sum().backward()
        (theirs * torch.from_numpy(cotangent)).sum().backward()
        close(x.grad, u.grad, tolerance * 10, "gradient of the image")
        close(y.grad, v.grad, tolerance * 10, "gradient of the grid")


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    shape=st.tuples(*[st.integers(0, 2)] * 2, *[st.integers(1, 4)] * 2, *[st.integers(0, 3)] * 2),
    mode=st.sampled_from(MODES),
    padding_mode=st.sampled_from(PADDINGS),
    align_corners=st.sampled_from([True, False]),
)
def test_grid_sample_of_any_shape(shape, mode, padding_mode, align_corners):
    batch, channels, _, _, rows, columns = shape
    function, reference = pair(mode, padding_mode, align_corners)
    image, places = rng.standard_normal(shape[:4]), grid(batch, rows, columns)
    if 0 in shape:
        ours = function(minigen.from_numpy(image), minigen.from_numpy(places))
        assert tuple(ours.shape) == (batch, channels, rows, columns)
    else:
        check(function, reference, image, places, order=1, numeric=False)


@pytest.mark.parametrize("align_corners", [True, False, None])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (1, 1, 1, 1), (3, 1, 1, 6), (1, 2, 5, 1)])
@pytest.mark.filterwarnings("ignore:Default grid_sample:UserWarning")
@pytest.mark.filterwarnings("ignore:Default affine_grid:UserWarning")
@pytest.mark.filterwarnings("ignore:Since version 1.3.0:UserWarning")
def test_affine_grid(size, align_corners):
    theta = rng.standard_normal((size[0], 2, 3))
    check(
        lambda t: F.affine_grid(t, minigen.Size(size), align_corners),
        lambda t: T.affine_grid(t, torch.Size(size), align_corners),
        theta,
    )


def test_a_spatial_transformer():
    """Both together, through the parameters of the map."""
    image, theta = rng.standard_normal((2, 1, 5, 6)), rng.standard_normal((2, 2, 3))

    def transform(module, functional):
        def run(x, t):
            places = functional.affine_grid(t, (2, 1, 4, 3), align_corners=False)
            return functional.grid_sample(x, places, align_corners=False)

        return run

    check(transform(minigen, F), transform(torch, T), image, theta)


Z = minigen.zeros
BAD = [
    (lambda: F.grid_sample(Z(1, 1, 2, 2, 2), Z(1, 2, 2, 2, 3)), "volumes are not offered"),
    (lambda: F.grid_sample(Z(1, 1, 2, 2), Z(1, 2, 2, 3)), r"grid \(N, H', W', 2\)"),
    (lambda: F.grid_sample(Z(1, 1, 2, 2), Z(2, 2, 2, 2)), "one batch size"),
    (lambda: F.grid_sample(Z(1, 1, 0, 2), Z(1, 2, 2, 2)), "must not be empty"),
    (lambda: F.grid_sample(Z(1, 1, 2, 2), Z(1, 2, 2, 2), mode="linear"), "mode must be"),
    (lambda: F.grid_sample(Z(1, 1, 2, 2), Z(1, 2, 2, 2), padding_mode="wrap"), "padding_mode must"),
    (lambda: F.grid_sample(Z(1, 1, 2, 2), Z(1, 2, 2, 2).double()), "one floating-point dtype"),
    (lambda: F.affine_grid(Z(1, 2, 3), (2, 1, 2, 2)), r"theta must be \(N, 2, 3\)"),
    (lambda: F.affine_grid(Z(1, 3, 4), (1, 1, 2, 2, 2)), "volumes are not offered"),
    (lambda: F.affine_grid(Z(1, 2, 3), (1, 1, 0, 2)), "all positive"),
    (lambda: F.affine_grid(Z(1, 2, 3).long(), (1, 1, 2, 2)), "floating-point theta"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_rejected(call, message):
    with pytest.raises((RuntimeError, TypeError), match=message):
        call()
