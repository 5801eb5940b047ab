"""Layers as functions of their input and of all parameters, for the oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import minigen
from tests import oracle
from tests.nn.parity import same_keys_and_shapes


def flat(outputs: Any) -> list:
    """All floating-point tensors of nested tuples; None is passed over."""
    if isinstance(outputs, tuple | list):
        return [tensor for each in outputs for tensor in flat(each)]
    return [outputs] if outputs is not None and outputs.dtype.is_floating_point else []


def joined(outputs: Any) -> Any:
    """The same, one after the other in a vector."""
    parts = [tensor.reshape(-1) for tensor in flat(outputs)]
    return (torch if isinstance(parts[0], torch.Tensor) else minigen).cat(parts)


def call(layer: Any, parameters: dict[str, Any], args: tuple, options: dict) -> Any:
    """The layer with these tensors in place of its parameters."""
    module: Any = torch if isinstance(layer, torch.nn.Module) else minigen
    return module.func.functional_call(layer, parameters, args, options)


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
            return flat(call(layer, dict(zip(names, parameters)), prepare(*args), given))

        return run

    # numeric first derivatives, through the rules; then second ones, through formulas
    pair = function(ours, minigen), function(theirs, torch)
    oracle.check(*pair, *inputs, *values, order=1)
    if order == 2:
        oracle.check(*pair, *inputs, *values, order=2, numeric=False)
