"""`nn.functional` hands on all that the families of operations offer, under torch's names."""

from __future__ import annotations

import importlib
import inspect

import pytest
import torch.nn.functional as T

import minigen.nn.functional as F

FAMILIES = [
    "activation", "adaptive_pooling", "attention", "convolution", "dropout", "embedding", "losses",
    "multihead", "normalization", "padding", "pooling", "resizing", "sampling", "unfolding",
]  # fmt: skip
SINGLE = {"bilinear", "linear", "one_hot", "sigmoid", "tanh"}


def test_every_name_of_every_family():
    offered = set(SINGLE)
    for family in FAMILIES:
        offered |= set(importlib.import_module(f"minigen.ops.{family}").__all__)
    assert sorted(F.__all__) == sorted(offered)


@pytest.mark.parametrize("name", F.__all__)
def test_names_and_parameters_are_those_of_torch(name):
    """Every parameter has torch's name and place; some at the end may not be offered."""
    ours = list(inspect.signature(getattr(F, name)).parameters)
    reference = getattr(T, f"{name}_with_indices", getattr(T, name))  # what max_pool* dispatch to
    try:
        theirs = list(inspect.signature(reference).parameters)
    except ValueError:  # a function of torch that is written in C++
        return
    assert [p for p in theirs if p in ours] == ours
