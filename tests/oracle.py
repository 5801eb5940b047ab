"""One check for every operation: values, first and second derivatives, against torch and numbers.

The cotangent is random, never ones: to a cotangent of ones the gradient of softmax is zero, and
half of layer norm's terms vanish, so a rule that gets them wrong would pass.  All in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

import minigen
from tests.statement import STATEMENT

VALUE, GRADIENT = 1e-9, 1e-8  # relative to the largest value


def close(ours: Any, theirs: Any, tolerance: float, what: str) -> None:
    """Same dtype, same shape, same values (NaN and infinities included)."""
    a = ours.detach().numpy() if isinstance(ours, minigen.Tensor) else np.asarray(ours)
    b = (
        theirs.detach().numpy(force=True)
        if isinstance(theirs, torch.Tensor)
        else np.asarray(theirs)
    )
    assert a.dtype == b.dtype, f"{what}: dtype {a.dtype}, torch has {b.dtype}"
    assert a.shape == b.shape, f"{what}: shape {a.shape}, torch has {b.shape}"
    if a.dtype.kind != "f":
        np.testing.assert_array_equal(a, b, err_msg=what)
        return
    finite = np.isfinite(b)
    scale = max(1.0, float(np.abs(b[finite]).max(initial=0.0)))
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale, err_msg=what)


def _flat(outputs: Any) -> list:
    return list(outputs) if isinstance(outputs, tuple | list) else [outputs]


def _tensors(inputs: Sequence, module: Any) -> list:
    """float64 arrays become leaves that require grad, other arrays plain tensors."""
    made = []
    for value in inputs:
        if isinstance(value, np.ndarray):
            tensor = module.from_numpy(value.copy())
            made.append(tensor.requires_grad_() if value.dtype == np.float64 else tensor)
        elif isinstance(value, list) and value and isinstance(value[0], np.ndarray):
            made.append(_tensors(value, module))
        else:
            made.append(value)
    return made


def _leaves(tensors: Sequence) -> list:
    found: list = []
    for t in tensors:
        if isinstance(t, list):
            found += _leaves(t)
        elif hasattr(t, "requires_grad") and t.requires_grad:
            found.append(t)
    return found


def _contract(outputs: Sequence, cotangents: Sequence, module: Any) -> Any:
    """sum of <output, cotangent> over the outputs that have a gradient."""
    total: Any = 0.0
    for output, cotangent in zip(outputs, cotangents):
        if output is not None and output.requires_grad:
            total = total + (output * module.from_numpy(cotangent)).sum()
    return total


def check(
    function: Callable,
    reference: Callable,
    *inputs: Any,
    order: int = 2,
    numeric: bool = True,
    forward: bool = True,
    seed: int = 0,
) -> None:
    """Assert that `function` (minigen) equals `reference` (torch) in value and derivatives.

    inputs:  float64 arrays are differentiated; other arrays, lists of arrays, options pass on.
    order:   0 values only, 1 first derivatives, 2 second derivatives as well.
    numeric: also compare the directional derivative with a central difference.
    forward: also compare it with that of forward mode; not for changes in place, which have none.
    """
    rng = np.random.default_rng(seed)
    ours, theirs = _tensors(inputs, minigen), _tensors(inputs, torch)
    before = [t.detach().numpy().copy() for t in _leaves(ours)]
    y, z = _flat(function(*ours)), _flat(reference(*theirs))
    assert len(y) == len(z), f"{len(y)} outputs, torch has {len(z)}"
    for i, (a, b) in enumerate(zip(y, z)):
        close(a, b, VALUE, f"output {i}")
        assert a.requires_grad == b.requires_grad, f"output {i}: requires_grad {a.requires_grad}"
    STATEMENT.note_case(y, order)
    if order == 0:
        return
    cotangents = [np.asarray(rng.standard_normal(b.shape)) for b in z]
    x, w = _leaves(ours), _leaves(theirs)
    total = _contract(y, cotangents, minigen)
    options = {"create_graph": order > 1, "allow_unused": True}
    dz = torch.autograd.grad(_contract(z, cotangents, torch), w, **options)
    # An ordinary backward runs the rules on arrays; under create_graph an operation with a formula
    # goes another way.  Both must be right.
    plain = minigen.autograd.grad(total, x, retain_graph=True, allow_unused=True)
    dy = minigen.autograd.grad(total, x, **options) if order > 1 else plain
    for i, (a, b, c) in enumerate(zip(plain, dz, dy)):
        assert (a is None) == (b is None) == (c is None), f"gradient {i}: {a}, {c}; torch has {b}"
        if a is not None:
            close(a, b, GRADIENT, f"gradient {i}")
            close(c, b, GRADIENT, f"gradient {i} under create_graph")
    for i, (t, old) in enumerate(zip(x, before)):
        np.testing.assert_array_equal(t.detach().numpy(), old, err_msg=f"input {i} was changed")
    if forward:
        _check_forward_mode(function, ours, cotangents, plain, rng)
    if numeric:
        _check_numerically(function, inputs, cotangents, dy, rng)
    if order == 1:
        return
    STATEMENT.note_gradients(dy)
    directions = [rng.standard_normal(t.shape) for t in x]
    fy, fz = _contract(dy, directions, minigen), _contract(dz, directions, torch)
    ddy, ddz = _second(fy, x, minigen), _second(fz, w, torch)
    for i, (a, b) in enumerate(zip(ddy, ddz)):
        zero = np.zeros(x[i].shape)
        close(zero if a is None else a, zero if b is None else b, GRADIENT, f"second gradient {i}")


def _second(total: Any, leaves: Sequence, module: Any) -> Sequence:
    """The gradients of a contracted gradient; None, a zero, where it depends on no leaf."""
    if not getattr(total, "requires_grad", False):
        return [None] * len(leaves)
    return module.autograd.grad(total, leaves, allow_unused=True)


def _check_forward_mode(
    function: Callable, inputs: list, cotangents: Sequence, gradients: Sequence, rng: Any
) -> None:
    """<cotangent, J v> = <Jᵀ cotangent, v>: forward mode against the gradient, checked by now."""
    leaves = tuple(t.detach() for t in _leaves(inputs))
    directions = tuple(minigen.from_numpy(np.asarray(rng.standard_normal(t.shape))) for t in leaves)

    def moved(*values: Any) -> tuple:
        given = iter(values)

        def put(value: Any) -> Any:
            if isinstance(value, list):
                return [put(each) for each in value]
            return next(given) if getattr(value, "requires_grad", False) else value

        return tuple(y for y in _flat(function(*map(put, inputs))) if y is not None)

    if not leaves:
        return
    _, derivatives = minigen.func.jvp(moved, leaves, directions)
    forward = sum(
        float((d.numpy() * c).sum())
        for d, c in zip(derivatives, cotangents)
        if d.dtype.is_floating_point
    )
    pairs = [(g.numpy(), v.numpy()) for g, v in zip(gradients, directions) if g is not None]
    backward = sum(float((g * v).sum()) for g, v in pairs)
    scale = sum((float(np.abs(g * v).sum()) for g, v in pairs), 1.0)
    if np.isfinite(backward):  # the tolerance is wide enough for a cast to float32 on the way
        assert abs(forward - backward) < 1e-6 * scale, f"forward mode {forward}, {backward}"


def _check_numerically(
    function: Callable, inputs: Sequence, cotangents: Sequence, gradients: Sequence, rng: Any
) -> None:
    """<gradient, v> against (f(x + h v) - f(x - h v)) / 2h for one random direction v."""

    def shifted(values: Sequence, h: float, moves: list) -> list:
        result: list = []
        for value in values:
            if isinstance(value, np.ndarray) and value.dtype == np.float64:
                result.append(np.asarray(value + h * moves.pop(0)))
            elif isinstance(value, list) and value and isinstance(value[0], np.ndarray):
                result.append(shifted(value, h, moves))
            else:
                result.append(value)
        return result

    directions = [rng.standard_normal(t.shape) for t in _leaves(_tensors(inputs, minigen))]
    h = 1e-6

    def along(step: float) -> float:
        outputs = _flat(function(*_tensors(shifted(inputs, step, list(directions)), minigen)))
        return sum(
            float((o.detach().numpy() * c).sum())
            for o, c in zip(outputs, cotangents)
            if o.dtype.is_floating_point
        )

    expected = (along(h) - along(-h)) / (2 * h)
    ours = sum(
        float((g.detach().numpy() * v).sum())
        for g, v in zip(gradients, directions)
        if g is not None
    )
    scale = max(
        1.0,
        abs(expected),
        *(float(np.abs(g.detach().numpy()).max(initial=0)) for g in gradients if g is not None),
    )
    assert abs(ours - expected) < 1e-5 * scale, (
        f"directional derivative {ours}, numerically {expected}"
    )
