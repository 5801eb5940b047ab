"""Padding against torch, in every mode."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as T

import minigen
import minigen.nn.functional as F
from minigen.errors import ShapeError
from tests.oracle import check

rng = np.random.default_rng(4)


def same(widths, shape, **options) -> None:
    """Value and gradient, and those of the square, whose second derivative is not zero."""
    x = np.asarray(rng.standard_normal(shape))
    functions = [lambda a, m=m: m.pad(a, widths, **options) for m in (F, T)]
    check(*functions, x, order=1)
    check(*(lambda a, f=f: f(a) * f(a) for f in functions), x)


@pytest.mark.parametrize("value", [None, 0, 2.5, -np.inf])
@pytest.mark.parametrize(
    ("widths", "shape"),
    [
        ((1, 2), (3,)),
        ((0, 0), (3,)),
        ((1, 2), (2, 3)),
        ((1, 2, 3, 0), (2, 3)),
        ((0, 1, 2, 0), (2, 3, 4, 2)),
        ((-1, 2), (2, 3)),
        ((-1, -1, 2, -1), (2, 4, 3)),
        ((2, -4), (2, 4)),
        ((1, 1, 1, 1, 1, 1), (0, 2, 1)),
        ((), (2, 3)),
    ],
)
def test_constant(widths, shape, value):
    x = np.asarray(rng.standard_normal(shape))
    options = {"value": value}
    if value == -np.inf:  # its square would have infinite differences
        check(
            lambda a: F.pad(a, widths, **options), lambda a: T.pad(a, widths, **options), x, order=0
        )
    else:
        same(widths, shape, **options)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize(
    ("widths", "shape"),
    [
        ((2, 1), (2, 3, 4)),
        ((0, 3), (3, 4)),
        ((3, 3), (1, 1, 4)),
        ((1, 2, 0, 3), (2, 3, 4, 5)),
        ((2, 2, 1, 1), (3, 4, 5)),
        ((1, 0, 2, 1, 0, 2), (1, 2, 4, 3, 5)),
        ((0, 0), (2, 3, 4)),
    ],
)
def test_repeating(mode, widths, shape):
    same(widths, shape, mode=mode)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_dtypes_stay(mode):
    for dtype in ("float32", "int64"):
        x = rng.integers(-5, 5, (1, 2, 4)).astype(dtype)
        ours = F.pad(minigen.from_numpy(x), (2, 1), mode=mode)
        modes = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
        expected = np.pad(x, [(0, 0), (0, 0), (2, 1)], mode=modes.get(mode, mode))
        assert ours.numpy().dtype == dtype
        np.testing.assert_array_equal(ours.numpy(), expected)


def test_the_result_is_new_memory():
    x = minigen.ones(2, 3)
    for widths in ((0, 0), (-1, 0)):
        assert not np.shares_memory(F.pad(x, widths).numpy(), x.numpy())


@pytest.mark.parametrize(
    ("shape", "widths", "mode", "message"),
    [
        ((2, 3), (1,), "constant", "come in pairs"),
        ((3,), (1, 1, 1, 1), "constant", "at most 1 for shape"),
        ((2, 3), (-2, -2), "constant", "cut off more than there is"),
        ((1, 2, 3), (3, 0), "reflect", "gives at most 2 more"),
        ((1, 2, 3), (0, 4), "circular", "gives at most 3 more"),
        ((1, 2, 0), (1, 0), "replicate", "has none"),
        ((3,), (1, 1), "reflect", "do not fit shape"),
        ((1, 2, 3, 4), (1, 1), "reflect", "do not fit shape"),
        ((1, 2, 3), (1, 1), "mirror", "is none of"),
    ],
)
def test_errors(shape, widths, mode, message):
    with pytest.raises(ShapeError, match=f"pad: .*{message}"):
        F.pad(minigen.zeros(*shape), widths, mode=mode)
    with pytest.raises((RuntimeError, NotImplementedError, ValueError)):
        T.pad(torch.zeros(shape), widths, mode=mode)


def test_value_is_for_constant_alone():
    with pytest.raises(ShapeError, match="takes no value"):
        F.pad(minigen.zeros(1, 2, 3), (1, 1), mode="reflect", value=1.0)
