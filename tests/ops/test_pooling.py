"""Pooling, unfolding and resizing against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as T
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
import minigen.nn.functional as F
from minigen.errors import ShapeError
from tests.oracle import check, close

rng = np.random.default_rng(2)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape))


def same(name: str, *inputs, **options) -> None:
    """Assert that F.name and torch's give the same, with first and second derivatives.

    These are of the square of the output: the functions are linear (but for which element is the
    maximum), so that nothing would be left to differentiate after the first time.
    """

    def outputs(module):
        def function(*a):
            result = getattr(module, name)(*a, **options)
            return result if isinstance(result, tuple | list) else (result,)

        return function

    check(outputs(F), outputs(T), *inputs, order=1)
    ours, theirs = outputs(F), outputs(T)
    check(lambda *a: ours(*a)[0] * ours(*a)[0], lambda *a: theirs(*a)[0] * theirs(*a)[0], *inputs)


MAX = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 1},
    {"kernel_size": 2, "stride": 3},  # elements in no window
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2},
    {"kernel_size": 2, "dilation": 3, "stride": 1, "padding": 1},
    {"kernel_size": 1},
    {"kernel_size": 7},
]
PAIRS = [
    {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 0)},
    {"kernel_size": (1, 5), "stride": (2, 1)},
    {"kernel_size": (2, 3), "padding": (0, 1), "ceil_mode": True},
]


@pytest.mark.parametrize("options", MAX + PAIRS)
def test_max_pool2d(options):
    for shape in ((2, 3, 7, 8), (3, 9, 7), (0, 2, 7, 7)):
        same("max_pool2d", normal(*shape), **options)
        same("max_pool2d", normal(*shape), return_indices=True, **options)


@pytest.mark.parametrize("options", MAX)
def test_max_pool1d(options):
    for shape in ((2, 3, 9), (3, 8)):
        same("max_pool1d", normal(*shape), **options)
        same("max_pool1d", normal(*shape), return_indices=True, **options)


@pytest.mark.parametrize("options", MAX[:6])
def test_max_pool_of_equals(options):
    """Of several maxima the first in row-major order gets the gradient, as after a ReLU."""
    for values in (2, 3):
        x = rng.integers(0, values, (2, 2, 7, 8)).astype("f8")
        indices = {"return_indices": True, **options}
        ours, places = F.max_pool2d(minigen.from_numpy(x), **indices)
        theirs, expected = T.max_pool2d(torch.from_numpy(x), **indices)
        close(ours, theirs, 0, "maximum")
        close(places, expected, 0, "place")
        g = normal(*ours.shape)
        for return_indices in (False, True):
            a, b = minigen.from_numpy(x).requires_grad_(), torch.from_numpy(x).requires_grad_()
            given = {**options, "return_indices": return_indices}
            y, z = F.max_pool2d(a, **given), T.max_pool2d(b, **given)
            y, z = (y[0], z[0]) if return_indices else (y, z)
            y.backward(minigen.from_numpy(g))
            z.backward(torch.from_numpy(g))
            close(a.grad, b.grad, 1e-12, "gradient")


@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf])
@pytest.mark.parametrize("options", [MAX[0], MAX[1], MAX[4], MAX[6]])
def test_max_pool_of_what_is_no_number(options, value):
    x = normal(2, 2, 7, 8)
    x[rng.random(x.shape) < 0.5] = value
    x[0, 0] = value
    options = {"return_indices": True, **options}
    ours, places = F.max_pool2d(minigen.from_numpy(x), **options)
    theirs, expected = T.max_pool2d(torch.from_numpy(x), **options)
    close(ours, theirs, 0, "maximum")
    if not np.isnan(value):
        close(places, expected, 0, "place")
    else:
        assert np.isnan(x.reshape(2, 2, -1)[0, 0, places.numpy()[0, 0]]).all()


def test_max_pool_of_integers():
    x = rng.integers(-9, 9, (2, 3, 6, 5))
    ours = F.max_pool2d(minigen.from_numpy(x), 3, 2, 1)
    theirs = T.max_pool2d(torch.from_numpy(x).double(), 3, 2, 1)
    assert ours.dtype is minigen.int64
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


AVG = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 1, "padding": 1, "count_include_pad": False},
    {"kernel_size": 2, "stride": 3},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
    {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 1},
    {"kernel_size": 7},
]


@pytest.mark.parametrize("options", AVG + PAIRS)
def test_avg_pool2d(options):
    for shape in ((2, 3, 7, 8), (3, 9, 7), (0, 2, 7, 7)):
        same("avg_pool2d", normal(*shape), **options)
        same("avg_pool2d", normal(*shape), divisor_override=5, **options)


@pytest.mark.parametrize("options", AVG)
def test_avg_pool1d(options):
    for shape in ((2, 3, 9), (3, 8)):
        same("avg_pool1d", normal(*shape), **options)


SIZES = [1, 2, 3, (4, 2), (7, 8), (None, 3), (5, None), (9, 11)]


@pytest.mark.parametrize("size", SIZES)
def test_adaptive_pool2d(size):
    for shape in ((2, 3, 7, 8), (3, 8, 6), (0, 3, 7, 8)):
        same("adaptive_avg_pool2d", normal(*shape), output_size=size)
        same("adaptive_max_pool2d", normal(*shape), output_size=size)
        x = rng.integers(0, 3, shape).astype("f8")
        given = {"output_size": size, "return_indices": True}
        ours = F.adaptive_max_pool2d(minigen.from_numpy(x), **given)
        theirs = T.adaptive_max_pool2d(torch.from_numpy(x), **given)
        for a, b in zip(ours, theirs):
            close(a, b, 0, "maximum or place")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 10])
def test_adaptive_pool1d(size):
    for shape in ((2, 3, 8), (3, 9)):
        same("adaptive_avg_pool1d", normal(*shape), output_size=size)
        same("adaptive_max_pool1d", normal(*shape), output_size=size)


UNFOLD = [
    {"kernel_size": 2},
    {"kernel_size": (3, 2), "stride": 2, "padding": 1},
    {"kernel_size": (2, 3), "dilation": (2, 1), "padding": (0, 2), "stride": (1, 3)},
    {"kernel_size": 1, "stride": 3},
]


@pytest.mark.parametrize("options", UNFOLD)
def test_unfold_and_fold(options):
    for shape in ((2, 3, 6, 7), (3, 6, 7), (0, 3, 6, 7)):
        same("unfold", normal(*shape), **options)
        columns = T.unfold(torch.zeros(shape), **options).shape
        if columns[0]:  # torch refuses to fold an empty batch
            same("fold", normal(*columns), output_size=(6, 7), **options)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_adjoint_pairs(data):
    """⟨A x, y⟩ = ⟨x, Aᵀ y⟩ of means and unfold, where Aᵀ is what backward computes."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride = data.draw(pair), data.draw(pair)
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    extent = data.draw(st.tuples(st.integers(3, 7), st.integers(3, 7)))
    x = minigen.from_numpy(normal(2, 2, *extent)).requires_grad_()
    ceil_mode = data.draw(st.booleans())
    for y in (
        F.avg_pool2d(x, kernel, stride, padding, ceil_mode, data.draw(st.booleans())),
        F.adaptive_avg_pool2d(x, kernel),
        F.unfold(x, kernel, 1, padding, stride),
        F.max_pool2d(
            x, kernel, stride, padding, 1, ceil_mode
        ),  # linear where nothing changes place
    ):
        g = normal(*y.shape)
        (back,) = minigen.autograd.grad(y, x, minigen.from_numpy(g))
        assert np.isclose((y.detach().numpy() * g).sum(), (x.detach().numpy() * back.numpy()).sum())


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "unfold"])
def test_float32_stays(name):
    x = minigen.from_numpy(normal(2, 3, 8, 9).astype("f4")).requires_grad_()
    y = getattr(F, name)(x, 3)
    z = getattr(T, name)(torch.from_numpy(x.detach().numpy()), 3)
    assert y.dtype is minigen.float32
    np.testing.assert_allclose(y.detach().numpy(), z.numpy(), rtol=1e-6, atol=1e-6)
    y.backward(minigen.from_numpy(normal(*y.shape).astype("f4")))
    assert x.grad.dtype is minigen.float32


@pytest.mark.parametrize("r", [1, 2, 3])
def test_pixel_shuffle(r):
    for lead in ((2,), (), (2, 3)):
        same("pixel_shuffle", normal(*lead, 2 * r * r, 3, 2), upscale_factor=r)
        same("pixel_unshuffle", normal(*lead, 2, 3 * r, 2 * r), downscale_factor=r)


RESIZE = [
    {"size": 5},
    {"size": 13},
    {"size": 1},
    {"scale_factor": 2},
    {"scale_factor": 3},
    {"scale_factor": 0.6},
    {"scale_factor": 1.7},
]


@pytest.mark.parametrize("options", [*RESIZE, {"size": (3, 9)}, {"scale_factor": (2.5, 0.5)}])
def test_interpolate_images(options):
    x = normal(2, 3, 6, 7)
    same("interpolate", x, mode="nearest", **options)
    for align_corners in (False, True, None):
        same("interpolate", x, mode="bilinear", align_corners=align_corners, **options)
        same("interpolate", x, mode="bicubic", align_corners=align_corners, **options)
    same("interpolate", x, mode="nearest-exact", **options)
    same("interpolate", x, mode="area", **options)
    if "scale_factor" in options:
        for mode in ("nearest", "bilinear", "bicubic", "nearest-exact", "area"):
            same("interpolate", x, mode=mode, recompute_scale_factor=True, **options)


@pytest.mark.parametrize("options", RESIZE)
def test_interpolate_sequences(options):
    x = normal(2, 3, 7)
    same("interpolate", x, mode="nearest", **options)
    same("interpolate", x, mode="linear", **options)
    same("interpolate", x, mode="linear", align_corners=True, **options)
    same("interpolate", x, mode="nearest-exact", **options)
    same("interpolate", x, mode="area", **options)


Z = minigen.zeros
BAD = [
    ("max_pool2d", Z(1, 3, 5, 5), {"kernel_size": 6}, "reaches over 6, more than .* of 5"),
    ("max_pool2d", Z(1, 3, 5, 5), {"kernel_size": 3, "padding": 2}, "more than half"),
    ("max_pool2d", Z(5, 5), {"kernel_size": 2}, "4 or 3 dimensions"),
    ("max_pool2d", Z(1, 3, 5, 5), {"kernel_size": 2, "stride": 0}, "stride must be"),
    ("max_pool2d", Z(1, 3, 0, 5), {"kernel_size": 2}, "empty"),
    ("max_pool1d", Z(1, 3, 5, 5), {"kernel_size": 2}, "3 or 2 dimensions"),
    ("avg_pool2d", Z(1, 3, 5, 5), {"kernel_size": (2, 2, 2)}, "must be an integer, or 2"),
    ("avg_pool2d", Z(1, 3, 5, 5), {"kernel_size": 2, "divisor_override": 0}, "must not be zero"),
    ("avg_pool2d", Z(1, 3, 5, 5), {"kernel_size": 3, "padding": 2}, "more than half"),
    ("adaptive_avg_pool2d", Z(1, 3, 5, 5), {"output_size": (1, 2, 3)}, "output_size must be"),
    ("adaptive_max_pool2d", Z(1, 3, 0, 5), {"output_size": 2}, "empty"),
    ("unfold", Z(1, 3, 5, 5), {"kernel_size": 6}, "more than the padded image"),
    ("fold", Z(1, 10, 9), {"output_size": (4, 4), "kernel_size": 2}, "no multiple of the 4 taps"),
    ("fold", Z(1, 12, 8), {"output_size": (4, 4), "kernel_size": 2}, "has 9 windows"),
    ("pixel_shuffle", Z(1, 6, 2, 2), {"upscale_factor": 2}, "multiple of upscale_factor² = 4"),
    ("pixel_unshuffle", Z(1, 6, 3, 2), {"downscale_factor": 2}, "multiples of downscale_factor"),
    ("interpolate", Z(1, 3, 5, 5), {}, "either size or scale_factor"),
    ("interpolate", Z(1, 3, 5, 5), {"size": 2, "scale_factor": 2}, "either size or scale_factor"),
    ("interpolate", Z(1, 3, 5, 5), {"size": 2, "mode": "linear"}, "not offered for 4 dimensions"),
    ("interpolate", Z(1, 3, 5), {"size": 2, "align_corners": True}, "smooth modes alone"),
    ("interpolate", Z(1, 3, 5), {"scale_factor": 0.1}, "leaves nothing"),
    ("interpolate", Z(1, 3, 5), {"size": 2, "mode": "bicubic"}, "not offered for 3 dimensions"),
    ("interpolate", Z(1, 3, 5), {"size": 2, "recompute_scale_factor": True}, "needs a scale"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, of arguments it is about to refuse
@pytest.mark.parametrize(("name", "x", "options", "message"), BAD)
def test_errors(name, x, options, message):
    with pytest.raises(ShapeError, match=f"{name}: .*{message}"):
        getattr(F, name)(x, **options)
    with pytest.raises((RuntimeError, ValueError, TypeError, NotImplementedError)):
        getattr(T, name)(torch.from_numpy(x.numpy()), **options)


def test_mean_of_integers_is_refused():
    with pytest.raises(TypeError, match="floating-point"):
        F.avg_pool2d(minigen.zeros(1, 1, 4, 4).long(), 2)


def test_interpolate_refuses_antialias():
    with pytest.raises(RuntimeError, match="antialias=True is not offered"):
        F.interpolate(Z(1, 3, 5, 5), 2, mode="bilinear", antialias=True)


def test_upsample_warns_of_its_name():
    with pytest.warns(UserWarning, match="deprecated; use interpolate"):
        result = F.upsample(Z(1, 3, 5), scale_factor=2)
    assert result.shape == (1, 3, 10)


@pytest.mark.parametrize(
    "resized",
    [
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        lambda x: F.interpolate(x, scale_factor=3, mode="bicubic"),
        lambda x: F.max_pool2d(x, 3, 2, 1),
        lambda x: F.max_pool2d(x, 2),
    ],
)
def test_arrays_of_any_strides(resized):
    """What takes the whole array as one row takes it as it is indexed, not as it lies in memory."""
    turned = normal(6, 4, 3, 2).transpose()
    results = []
    for array in (turned, np.ascontiguousarray(turned)):
        x = minigen.from_numpy(array).requires_grad_()
        y = resized(x)
        g = np.arange(y.numel(), dtype=float).reshape(tuple(y.shape[::-1])).transpose()
        y.backward(minigen.from_numpy(g if array is turned else g.copy("C")))
        results.append((y.detach().numpy(), x.grad.numpy()))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-12)
