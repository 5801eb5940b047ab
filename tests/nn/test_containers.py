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


def _dictionaries() -> list:
    made = []
    for module, library in ((minigen, nn), (torch, torch.nn)):
        made.append((module, library, library.ParameterDict({"b": module.zeros(2), "a": 3})))
    return made


def test_parameter_dict_is_that_of_torch() -> None:
    seen = []
    for module, library, d in _dictionaries():
        log: list = [list(d), list(d.keys()), len(d), "a" in d, "c" in d, d.get("c", 7), d["a"]]
        d["c"] = library.Parameter(module.ones(1, 2))
        log += [[name for name, _ in d.named_parameters()], list(d.state_dict())]
        log += [list(reversed(d)), [k for k, _ in d.items()], len(list(d.values()))]
        log += [d.setdefault("a", 4), d.setdefault("e", 5), d.pop("e"), d.popitem()[0]]
        d.update([("z", module.ones(1)), ("y", module.ones(1))])
        d.update({"q": 1, "p": 2})
        log += [list(d), list(d | {"n": 1, "m": 2})]
        before = {"n": 1, "m": 2} | d
        log += [list(before), type(before) is dict]
        e = d.copy()
        e |= {"new": module.ones(1)}
        log += [list(e), "new" in d, e["z"] is d["z"], list(d.fromkeys(["f", "g"], 1))]
        del e["b"]
        log += [list(e), [name for name, _ in e.named_parameters()]]
        log += [type(d["z"]).__name__, d["z"].requires_grad]
        e.clear()
        log += [len(e), list(e.state_dict())]
        seen.append(log)
    assert seen[0] == seen[1]


def test_parameter_dict_in_a_model() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scales = nn.ParameterDict({"x": minigen.ones(2), "note": "kept"})

    model = Model()
    assert list(model.state_dict()) == ["scales.x"]
    assert repr(model.scales) == (
        "ParameterDict(\n    (note): Object of type: str\n"
        "    (x): Parameter containing: [minigen.float32 of size 2]\n)"
    )
    model.double()
    assert model.scales["x"].dtype == minigen.float64
    with pytest.raises(TypeError, match="keys of a ParameterDict are strings"):
        model.scales[3] = minigen.ones(1)
    with pytest.raises(KeyError, match="already exists"):
        model.scales["keys"] = minigen.ones(1)
    for key in ("absent", "training"):
        with pytest.raises(KeyError):
            model.scales[key]
    with pytest.raises(KeyError, match="empty"):
        nn.ParameterDict().popitem()
    with pytest.raises(TypeError, match="pairs, not int"):
        nn.ParameterDict(3)
    with pytest.raises(ValueError, match="expected \\(key, value\\)"):
        nn.ParameterDict([("a", 1, 2)])
    with pytest.raises(RuntimeError, match="cannot be called"):
        model.scales(1)
