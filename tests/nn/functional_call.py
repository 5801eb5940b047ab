"""Layers as functions of their input and of all parameters, for the oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import minigen
from tests import oracle
from tests.nn.parity import same_keys_and_shapes


def joined(outputs: Any) -> Any:
    """All tensors of nested tuples, one after the other in a vector; None is passed over."""
    found: list = []

    def collect(value: Any) -> None:
        if isinstance(value, tuple | list):
            for each in value:
                collect(each)
        elif value is not None and value.dtype.is_floating_point:
            found.append(value.reshape(-1))

    collect(outputs)
    module = torch if isinstance(found[0], torch.Tensor) else minigen
    return module.cat(found)


def call(layer: Any, parameters: dict[str, Any], args: tuple, options: dict) -> Any:
    """The layer with these tensors in place of its parameters."""
    if isinstance(layer, torch.nn.Module):
        return torch.func.functional_call(layer, parameters, args, options)
    for path, tensor in parameters.items():
        owner, _, name = path.rpartition(".")
        layer.get_submodule(owner)._parameters[name] = tensor
    return layer(*args, **options)


def check_layer(
    ours: Any,
    theirs: torch.nn.Module,
    *inputs: Any,
    prepare: Callable[..., tuple] = lambda *inputs: inputs,
    order: int = 2,
    scale: float = 0.5,
    **options: Any,
) -> None:
    """Equal keys, printed form, values, and derivatives with respect to inputs and parameters.

    inputs:  arrays, as for the oracle; `prepare` makes the positional arguments of them, and arrays
             among the options become tensors.
    """
    same_keys_and_shapes(ours, theirs)
    assert repr(ours) == repr(theirs)
    rng = np.random.default_rng(5)
    names = [name for name, _ in theirs.named_parameters()]
    values = [scale * rng.standard_normal(tuple(p.shape)) for p in theirs.parameters()]

    def function(layer: Any, module: Any) -> Callable:
        layer.double()
        given = {
            name: module.from_numpy(value) if isinstance(value, np.ndarray) else value
            for name, value in options.items()
        }

        def run(*tensors: Any) -> Any:
            args, parameters = tensors[: len(inputs)], tensors[len(inputs) :]
            result = call(layer, dict(zip(names, parameters)), prepare(*args), given)
            return joined(result)

        return run

    # numeric first derivatives, through the rules; then second ones, through formulas
    pair = function(ours, minigen), function(theirs, torch)
    oracle.check(*pair, *inputs, *values, order=1)
    if order == 2:
        oracle.check(*pair, *inputs, *values, order=2, numeric=False)
