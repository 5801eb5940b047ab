"""finfo and iinfo beside torch's."""

from __future__ import annotations

import math

import pytest
import torch

import minigen


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_floats(name: str) -> None:
    ours, theirs = minigen.finfo(getattr(minigen, name)), torch.finfo(getattr(torch, name))
    for attribute in (
        "bits",
        "dtype",
        "eps",
        "max",
        "min",
        "resolution",
        "smallest_normal",
        "tiny",
    ):
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute
    assert repr(ours) == repr(theirs)
    assert ours == minigen.finfo(getattr(minigen, name))
    assert hash(ours) == hash(minigen.finfo(getattr(minigen, name)))


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "int64"])
def test_integers(name: str) -> None:
    ours, theirs = minigen.iinfo(getattr(minigen, name)), torch.iinfo(getattr(torch, name))
    for attribute in ("bits", "dtype", "max", "min"):
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute
    assert repr(ours) == repr(theirs)
    assert ours == minigen.iinfo(getattr(minigen, name))
    assert ours != minigen.finfo(minigen.float32)


def test_the_default_dtype_and_errors() -> None:
    assert minigen.finfo().dtype == "float32"
    with pytest.raises(TypeError, match=r"floating-point dtype, got minigen\.int32"):
        minigen.finfo(minigen.int32)
    for wrong in (minigen.float32, minigen.bool):
        with pytest.raises(TypeError, match="integer dtype"):
            minigen.iinfo(wrong)


def test_constants() -> None:
    for name in ("pi", "e", "inf"):
        assert getattr(minigen, name) == getattr(torch, name)
    assert math.isnan(minigen.nan)
