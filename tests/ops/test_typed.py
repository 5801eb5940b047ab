"""FloatTensor and its like beside torch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minigen

NAMES = ["Half", "Float", "Double", "Byte", "Char", "Short", "Int", "Long", "Bool"]


@pytest.mark.parametrize("name", NAMES)
def test_they_make_what_torchs_make(name: str) -> None:
    ours, theirs = getattr(minigen, name + "Tensor"), getattr(torch, name + "Tensor")
    for data in ([1, 0], [[1, 0], [1, 1]], [], (1, 0)):
        a, b = ours(data), theirs(data)
        assert str(a.dtype).split(".")[1] == str(b.dtype).split(".")[1]
        assert a.tolist() == b.tolist()
        assert a.shape == tuple(b.shape)
    for size in ((), (3,), (2, 3), (2, 0)):
        assert ours(*size).shape == tuple(theirs(*size).shape)
    same = ours([1, 0])
    assert np.shares_memory(ours(same).array, same.array)
    assert isinstance(same, ours)
    assert not isinstance([1, 0], ours)
    for other in NAMES:
        kind = getattr(minigen, other + "Tensor")
        assert isinstance(same, kind) == (other == name)
        if other != name:
            with pytest.raises(TypeError, match="converts"):
                kind(same)
    assert isinstance(same, minigen.Tensor)
    assert same.type() == f"minigen.{name}Tensor"
    assert repr(ours) == f"<class 'minigen.{name}Tensor'>"
    for wrong in ((1.5, 2), ([1], [2]), (True, 1)):
        with pytest.raises(TypeError, match="sizes or one sequence"):
            ours(*wrong)
