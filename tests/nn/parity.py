"""A layer of minigen beside the same layer of torch, with the same state and the same input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

import minigen
from tests.oracle import GRADIENT, VALUE, close


def randomised_state(module: torch.nn.Module, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random values for every parameter and buffer (ones and zeros would hide mistakes)."""
    state = {}
    for name, tensor in module.state_dict().items():
        if not tensor.dtype.is_floating_point:
            state[name] = np.asarray(tensor.numpy())
        elif "var" in name:
            state[name] = rng.uniform(0.5, 2.0, tuple(tensor.shape))
        else:
            state[name] = rng.standard_normal(tuple(tensor.shape))
    return state


def same_keys_and_shapes(ours: Any, theirs: torch.nn.Module) -> None:
    """state_dict, named_parameters and named_buffers list the same, in the same order."""
    a, b = ours.state_dict(), theirs.state_dict()
    assert [(k, tuple(v.shape)) for k, v in a.items()] == [
        (k, tuple(v.shape)) for k, v in b.items()
    ]
    assert [str(v.dtype).split(".")[1] for v in a.values()] == [
        str(v.dtype).split(".")[1] for v in b.values()
    ]
    for listing in ("named_parameters", "named_buffers", "named_modules"):
        assert [name for name, _ in getattr(ours, listing)()] == [
            name for name, _ in getattr(theirs, listing)()
        ]


def _run(module: Any, layer: Any, inputs: Sequence, cotangent: Any, forward: Callable) -> tuple:
    tensors = []
    for value in inputs:
        tensor = module.from_numpy(value.copy())
        tensors.append(tensor.requires_grad_() if value.dtype == np.float64 else tensor)
    output = forward(layer, *tensors)
    if cotangent is None:
        cotangent = np.random.default_rng(9).standard_normal(tuple(output.shape))
    for parameter in layer.parameters():
        parameter.grad = None
    wanted = [t for t in [*tensors, *layer.parameters()] if t.requires_grad]
    if output.requires_grad:
        (output * module.from_numpy(np.asarray(cotangent))).sum().backward()
    return output, [t.grad for t in wanted], cotangent


def assert_same(
    ours: Any,
    theirs: torch.nn.Module,
    *inputs: np.ndarray,
    rounds: int = 2,
    forward: Callable = lambda layer, *tensors: layer(*tensors),
) -> None:
    """Equal keys, and in training and evaluation equal values, gradients and buffers, in float64.

    rounds: how often the layers see the input in training; the second meets moved statistics.
    """
    rng = np.random.default_rng(3)
    same_keys_and_shapes(ours, theirs)
    assert repr(ours) == repr(theirs).replace("torch.", "minigen.")
    state = randomised_state(theirs, rng)
    ours.double()
    theirs.double()
    theirs.load_state_dict({name: torch.from_numpy(v.copy()) for name, v in state.items()})
    result = ours.load_state_dict(state)
    assert str(result) == "<All keys matched successfully>"
    for training in [True] * rounds + [False]:
        ours.train(training)
        theirs.train(training)
        z, dz, cotangent = _run(torch, theirs, inputs, None, forward)
        y, dy, _ = _run(minigen, ours, inputs, cotangent, forward)
        what = "train" if training else "eval"
        close(y, z, VALUE, f"{what}: output")
        assert y.requires_grad == z.requires_grad
        assert len(dy) == len(dz)
        for number, (a, b) in enumerate(zip(dy, dz)):
            assert (a is None) == (b is None), f"{what}: gradient {number} is missing in one"
            if a is not None:
                close(a, b, GRADIENT, f"{what}: gradient {number}")
        after, expected = ours.state_dict(), theirs.state_dict()
        for name in expected:
            close(after[name], expected[name], VALUE, f"{what}: {name}")
