"""Every operation, layer, loss and optimizer once more on another device, beside the CPU.

The other device is the stand-in for CuPy's arrays, in `tests/standin`, or a GPU, in `tests/gpu`.
The cases are those of the tests against torch; what the CPU gives is right by these, and what
another device gives has to be the same but for rounding.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigen
from minigen import nn, optim
from tests.expressions import function
from tests.nn import test_layers as layers
from tests.nn import test_loss as losses
from tests.ops.made import Maker
from tests.ops.test_on_made_inputs import CASES
from tests.optim import test_optimizers as optimizers

TOLERANCE = 1e-8  # of float64, relative to the largest value: sums are made in another order


@dataclass(frozen=True)
class Case:
    """A computation: `run(device)` gives its results, tensors or None."""

    name: str
    run: Callable[[str], list[Any]]


class On:
    """The module minigen as `m` of an expression, whose new tensors are made on a device."""

    MAKING = {
        "arange", "as_tensor", "empty", "eye", "from_numpy", "full", "linspace", "ones", "rand",
        "randn", "tensor", "tril_indices", "zeros",
    }  # fmt: skip

    def __init__(self, device: str) -> None:
        self._device = device

    def __getattr__(self, name: str) -> Any:
        found = getattr(minigen, name)
        if name not in self.MAKING:
            return found
        return lambda *args, **options: found(*args, **options).to(self._device)


def _leaves(arrays: Iterable[np.ndarray], device: str) -> list[Any]:
    """Tensors there; those of float64 ask for a gradient."""
    made = [minigen.from_numpy(np.array(array)).to(device) for array in arrays]
    return [t.requires_grad_() if t.dtype is minigen.float64 else t for t in made]


def derivatives(outputs: Any, leaves: Sequence[Any], order: int = 2) -> list[Any]:
    """The outputs, and the first and second derivatives of the sum of their squares."""
    flat = _flat(outputs)
    found = list(flat)
    wanted = [t for t in leaves if t.requires_grad]
    total = sum((y * y).sum() for y in flat if y is not None and y.requires_grad)
    if not isinstance(total, minigen.Tensor) or not wanted:
        return found
    grad = minigen.autograd.grad
    found += grad(total, wanted, retain_graph=True, allow_unused=True)
    if order > 1:
        first = grad(total, wanted, create_graph=True, allow_unused=True)
        again = sum((g * g).sum() for g in first if g is not None and g.requires_grad)
        found += first
        if isinstance(again, minigen.Tensor):
            found += grad(again, wanted, allow_unused=True)
    return found


def _flat(outputs: Any) -> list[Any]:
    if isinstance(outputs, tuple | list):
        return [tensor for each in outputs for tensor in _flat(each)]
    return [outputs]


# --------------------------------------------------------------------------------- the cases


def operations(draws: int) -> Iterator[Case]:
    """Every operation with a gradient, on made-up shapes and memory layouts: values, first and
    second derivatives."""
    for name, (make, options) in CASES.items():
        for seed in range(draws):
            choose = random.Random(f"{name} {seed}").choice
            maker = Maker(choose, seed, options.get("stretched", True))
            expression = make(maker)

            def run(device: str, text: str = expression, arrays: Any = maker.arrays) -> list[Any]:
                leaves = _leaves(arrays, device)
                return derivatives(function(text, On(device))(*leaves), leaves)

            yield Case(expression, run)


def _layer(name: str, build: Callable[[], Any], *inputs: np.ndarray, order: int = 2) -> Case:
    """A layer in training and in evaluation: values, derivatives, and the state it ends in."""

    def run(device: str) -> list[Any]:
        layer = build().double().to(device)
        found: list[Any] = []
        for training in (True, False):
            layer.train(training)
            leaves = _leaves(inputs, device)
            found += derivatives(layer(*leaves), [*leaves, *layer.parameters()], order)
        return [*found, *layer.state_dict().values()]

    return Case(name, run)


def all_layers() -> Iterator[Case]:
    """Every layer that is compared with torch, and those below, which have tests of their own."""
    rng = np.random.default_rng(0)

    def x(*shape: int) -> np.ndarray:
        return np.asarray(rng.standard_normal(shape))

    def case(name: str, args: Sequence, options: dict, *inputs: np.ndarray, order: int = 2) -> Case:
        shown = ", ".join([*map(str, args), *(f"{k}={v}" for k, v in options.items())])
        return _layer(
            f"{name}({shown})", lambda: getattr(nn, name)(*args, **options), *inputs, order=order
        )

    for name, args, options, value in layers.LAYERS:
        yield case(name, args, options, value)
    for name, args in layers.ACTIVATIONS:
        yield case(name, args, {}, 3 * x(2, 4, 3, 6))
    for name in ("Dropout", "AlphaDropout"):
        yield case(name, (0.3,), {}, x(3, 4, 5))
    yield case("Dropout1d", (0.3,), {}, x(3, 4, 5))
    yield case("Dropout2d", (0.3,), {}, x(3, 4, 5, 2))
    yield case("RReLU", (), {}, x(3, 4))
    yield case("Embedding", (5, 3), {"padding_idx": 4}, layers.INDICES)
    for name in ("RNN", "LSTM", "GRU"):
        yield case(name, (3, 4), {}, x(5, 2, 3), order=1)
        yield case(name, (3, 4, 2), {"bidirectional": True}, x(5, 2, 3), order=1)
        yield case(f"{name}Cell", (3, 4), {}, x(2, 3))
    yield case("MultiheadAttention", (6, 2), {}, x(3, 2, 6), x(4, 2, 6), x(4, 2, 6))
    yield case("MultiheadAttention", (6, 2), {"dropout": 0.4}, x(3, 2, 6), x(3, 2, 6), x(3, 2, 6))
    sizes = {"d_model": 4, "nhead": 2, "dim_feedforward": 5, "dropout": 0.1}
    yield case("TransformerEncoderLayer", (), sizes, x(3, 2, 4), order=1)
    yield case("TransformerDecoderLayer", (), sizes, x(3, 2, 4), x(3, 2, 4), order=1)
    stacks = {"num_encoder_layers": 1, "num_decoder_layers": 1, **sizes}
    yield case("Transformer", (), stacks, x(3, 2, 4), x(3, 2, 4), order=1)
    yield _layer("Bilinear", lambda: nn.Bilinear(3, 4, 2), x(5, 3), x(5, 4))
    yield _layer("CosineSimilarity", lambda: nn.CosineSimilarity(), x(5, 3), x(5, 3))
    yield _layer("PairwiseDistance", lambda: nn.PairwiseDistance(), x(5, 3), x(5, 3))


def all_losses() -> Iterator[Case]:
    for name, options, inputs in losses.CASES:
        for reduction in ("mean", "sum", "none"):

            def run(
                device: str, name: str = name, options: dict = options, inputs: tuple = inputs,
                reduction: str = reduction,
            ) -> list[Any]:  # fmt: skip
                given = {
                    key: minigen.from_numpy(value) if isinstance(value, np.ndarray) else value
                    for key, value in options.items()
                }
                loss = getattr(nn, name)(reduction=reduction, **given).double().to(device)
                first, *rest = inputs
                leaves = [*_leaves([first], device), *(t.detach() for t in _leaves(rest, device))]
                return derivatives(loss(*leaves), leaves, order=1)

            yield Case(f"{name}({options}, {reduction})", run)


def all_optimizers(steps: int = 6) -> Iterator[Case]:
    for name, options in optimizers.OPTIONS:

        def run(device: str, name: str = name, options: dict = options) -> list[Any]:
            parameters = [
                p.detach().to(device).requires_grad_() for p in optimizers.leaves(minigen)
            ]
            optimizer = getattr(optim, name)(parameters, **options)
            for step in range(steps):
                optimizers.set_gradients(On(device), parameters, step)
                optimizer.step()
            state = optimizer.state_dict()["state"].values()
            return [*parameters, *(v for each in state for v in each.values())]

        yield Case(f"{name}({options})", run)


# ------------------------------------------------------------------------------ the comparison


def difference(case: Case, device: str, tolerance: float = TOLERANCE) -> str:
    """What the other device does otherwise than the CPU, in a line; "" if nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            minigen.manual_seed(1)
            expected = case.run("cpu")
            minigen.manual_seed(1)
            found = case.run(device)
        if len(expected) != len(found):
            return f"{case.name}: {len(found)} results, on the CPU {len(expected)}"
        for number, (a, b) in enumerate(zip(found, expected)):
            told = _unlike(a, b, device, tolerance)
            if told:
                return f"{case.name}: result {number}: {told}"
    except Exception as error:
        while error.__cause__ is not None:
            error = error.__cause__  # type: ignore[assignment]
        return f"{case.name}: {type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _unlike(a: Any, b: Any, device: str, tolerance: float) -> str:
    """How a result differs from the CPU's."""
    if not isinstance(b, minigen.Tensor):
        return "" if a == b else f"{a}, on the CPU {b}"
    if not isinstance(a, minigen.Tensor):
        return f"{a}, on the CPU a tensor"
    if a.device.type != device:
        return f"it is on {a.device}"
    ours, theirs = a.detach().cpu().numpy(), b.detach().numpy()
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return f"{ours.dtype}{ours.shape}, on the CPU {theirs.dtype}{theirs.shape}"
    if ours.dtype.kind != "f":
        return "" if np.array_equal(ours, theirs) else "other integers"
    scale = max(1.0, float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0)))
    if np.allclose(ours, theirs, rtol=tolerance, atol=tolerance * scale, equal_nan=True):
        return ""
    with np.errstate(invalid="ignore"):
        return f"off by {np.nanmax(np.abs(ours - theirs)):.3g} at a scale of {scale:.3g}"


def report(cases: Iterable[Case], device: str, tolerance: float = TOLERANCE) -> str:
    """All differences, a line each, with their number."""
    cases = list(cases)
    lines = [line for line in (difference(case, device, tolerance) for case in cases) if line]
    return "\n".join([f"{len(lines)} of {len(cases)} differ:", *lines]) if lines else ""
