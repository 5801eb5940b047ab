"""Containers are edited, sliced and printed as torch's are."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import minigen
from minigen import nn


def test_sequential_is_edited_like_torchs() -> None:
    def edit(n: Any) -> list:
        s = n.Sequential(n.ReLU(), n.Tanh(), n.Sigmoid())
        steps = [repr(s), repr(s[-1]), repr(s[1:]), len(s)]
        s.append(n.GELU())
        s.insert(1, n.Identity())
        steps.append(repr(s))
        del s[0]
        s[0] = n.SiLU()
        steps.append(repr(s))
        del s[1:3]
        steps.append(repr(s.extend([n.ELU(), n.Mish()])))
        steps.append(repr(s.pop(1)))
        steps += [repr(s + n.Sequential(n.ReLU())), [type(m).__name__ for m in s]]
        named = n.Sequential({"first": n.ReLU(), "second": n.Tanh()}) if n is nn else None
        if n is not nn:
            from collections import OrderedDict

            named = n.Sequential(OrderedDict(first=n.ReLU(), second=n.Tanh()))
        steps += [repr(named), repr(named.second)]
        return steps

    assert edit(nn) == edit(torch.nn)
    with pytest.raises(IndexError, match="out of range"):
        nn.Sequential()[0]
    with pytest.raises(TypeError, match="not a Module"):
        nn.Sequential(minigen.exp)


def test_lists_and_dictionaries_are_edited_like_torchs() -> None:
    def edit(n: Any) -> list:
        items = n.ModuleList([n.ReLU()])
        items += [n.Tanh(), n.Sigmoid()]
        items.append(n.GELU())
        items.insert(0, n.SiLU())
        steps = [repr(items), len(items), repr(items[1:3]), repr(items[-1])]
        del items[1]
        items[0] = n.Mish()
        steps += [repr(items), repr(items.pop(1)), repr(items.__add__([n.ELU()]))]
        named = n.ModuleDict({"x": n.ReLU()})
        named["y"] = n.Tanh()
        named.update([("z", n.GELU())])
        steps += [list(named), list(named.keys()), "x" in named, len(named), repr(named.pop("x"))]
        del named["z"]
        steps += [repr(named), [k for k, _ in named.items()], [repr(v) for v in named.values()]]
        named.clear()
        return [*steps, repr(named)]

    assert edit(nn) == edit(torch.nn)


def test_parameter_list() -> None:
    items = nn.ParameterList([minigen.zeros(2), nn.Parameter(minigen.ones(3))])
    items.append(minigen.ones(1))
    items[0] = minigen.ones(4)
    assert [p.numel() for p in items] == [4, 3, 1]
    assert all(isinstance(p, nn.Parameter) for p in items)
    assert [name for name, _ in items.named_parameters()] == ["0", "1", "2"]
    assert len(items[1:]) == 2
    assert items[-1] is items[2]
    with pytest.raises(IndexError):
        items[3]
    with pytest.raises(TypeError, match="'int' object to parameter"):
        items.append(3)
    with pytest.raises(TypeError, match="list of tensors"):
        nn.ParameterList(minigen.ones(2, 2))
