"""Parametrized weights beside torch's: keys, values, gradients, the moves of the power method."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

import minigen
from minigen import nn
from minigen.nn.utils import parametrizations, parametrize
from minigen.nn.utils.orthogonal import _matrix_exp
from tests.oracle import check, close

LAYERS = {
    "linear": lambda m: m.Linear(5, 3),
    "square": lambda m: m.Linear(4, 4),
    "wide": lambda m: m.Linear(3, 6),
    "conv1d": lambda m: m.Conv1d(3, 4, 2),
    "conv2d": lambda m: m.Conv2d(2, 3, (2, 3)),
    "transposed": lambda m: m.ConvTranspose2d(2, 3, 2),
}
INPUTS = {
    "linear": (2, 5), "square": (2, 4), "wide": (2, 3), "conv1d": (2, 3, 5), "conv2d": (2, 2, 4, 4),
    "transposed": (2, 2, 3, 3),
}  # fmt: skip


def twins(layer: str, wrap: Any, their_wrap: Any) -> tuple[Any, Any]:
    """The same layer in both, with equal values of everything, float64."""
    ours, theirs = LAYERS[layer](nn).double(), LAYERS[layer](torch.nn).double()
    rng = np.random.default_rng(0)
    for p, q in zip(ours.parameters(), theirs.parameters()):
        value = np.asarray(rng.standard_normal(tuple(q.shape)))
        p.data, q.data = minigen.from_numpy(value.copy()), torch.from_numpy(value.copy())
    ours, theirs = wrap(ours), their_wrap(theirs)
    theirs.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in ours.state_dict().items()})
    return ours, theirs


def equal(ours: Any, theirs: Any, what: str = "") -> None:
    mine, other = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(other)
    for name, value in mine.items():
        close(value, other[name], 1e-9, f"{what} {name}")
    names = [name for name, _ in ours.named_parameters()]
    assert names == [name for name, _ in theirs.named_parameters()]


def train(ours: Any, theirs: Any, layer: str, steps: int = 3) -> None:
    """Calls in training mode, with gradients, and a step; then a call in evaluation mode."""
    rng = np.random.default_rng(1)
    a = minigen.optim.SGD(ours.parameters(), lr=0.1)
    b = torch.optim.SGD(theirs.parameters(), lr=0.1)
    for step in range(steps):
        x = rng.standard_normal(INPUTS[layer])
        y, z = ours(minigen.from_numpy(x)), theirs(torch.from_numpy(x))
        close(y, z, 1e-9, f"output {step}")
        g = rng.standard_normal(tuple(z.shape))
        a.zero_grad()
        b.zero_grad()
        y.backward(minigen.from_numpy(g))
        z.backward(torch.from_numpy(g))
        for p, q in zip(ours.parameters(), theirs.parameters()):
            close(p.grad, q.grad, 1e-9, f"gradient {step}")
        a.step()
        b.step()
        equal(ours, theirs, f"step {step}")
    x = rng.standard_normal(INPUTS[layer])
    close(ours.eval()(minigen.from_numpy(x)), theirs.eval()(torch.from_numpy(x)), 1e-9, "eval")
    equal(ours, theirs, "eval")


NORMS: dict[str, Any] = {
    "spectral": lambda u: lambda m: u.parametrizations.spectral_norm(m),
    "spectral, thrice": lambda u: (
        lambda m: u.parametrizations.spectral_norm(m, n_power_iterations=3, dim=1)
    ),
    "weight": lambda u: lambda m: u.parametrizations.weight_norm(m),
    "weight, all": lambda u: lambda m: u.parametrizations.weight_norm(m, dim=None),
    "weight, second": lambda u: lambda m: u.parametrizations.weight_norm(m, dim=1),
    "old spectral": lambda u: lambda m: u.spectral_norm(m),
    "old spectral, twice": lambda u: lambda m: u.spectral_norm(m, n_power_iterations=2, dim=1),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("norm", NORMS)
def test_normalized_layers(norm: str, layer: str) -> None:
    train(*twins(layer, NORMS[norm](nn.utils), NORMS[norm](torch.nn.utils)), layer)


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
@pytest.mark.parametrize("dim", [0, 1, None, -2])
@pytest.mark.parametrize("layer", ["linear", "conv2d"])
def test_the_older_weight_norm(layer: str, dim: int | None) -> None:
    ours, theirs = twins(
        layer, lambda m: nn.utils.weight_norm(m, dim=dim),
        lambda m: torch.nn.utils.weight_norm(m, dim=dim),
    )  # fmt: skip
    before = ours.weight.detach().numpy().copy()
    assert [tuple(p.shape) for p in ours.parameters()] == [
        tuple(p.shape) for p in theirs.parameters()
    ]
    train(ours, theirs, layer)
    assert not np.allclose(before, ours.weight.detach().numpy())
    shown = ours.weight.detach().numpy().copy()
    equal(nn.utils.remove_weight_norm(ours), torch.nn.utils.remove_weight_norm(theirs))
    np.testing.assert_allclose(ours.weight.detach().numpy(), shown)
    assert isinstance(ours.weight, nn.Parameter)


def test_the_older_spectral_norm_is_removed() -> None:
    ours, theirs = twins("conv2d", nn.utils.spectral_norm, torch.nn.utils.spectral_norm)
    train(ours, theirs, "conv2d")
    equal(nn.utils.remove_spectral_norm(ours), torch.nn.utils.remove_spectral_norm(theirs))
    train(ours, theirs, "conv2d")
    for remove in (nn.utils.remove_spectral_norm, nn.utils.remove_weight_norm):
        with pytest.raises(ValueError, match="of 'weight' not found in Conv2d"):
            remove(ours)
    once = nn.utils.spectral_norm(nn.Linear(2, 2))
    with pytest.raises(RuntimeError, match="already is under SpectralNorm"):
        nn.utils.spectral_norm(once)
    once = nn.utils.weight_norm(nn.Linear(2, 2))
    with pytest.raises(RuntimeError, match="already is under WeightNorm"):
        nn.utils.weight_norm(once)


def test_the_power_method_begins_near_the_singular_vectors() -> None:
    minigen.manual_seed(0)
    layer = parametrizations.spectral_norm(nn.Linear(6, 4).double())
    original = layer.parametrizations.weight.original.detach().numpy()
    u, s, vt = np.linalg.svd(original)
    layer.eval()
    close(layer.weight, original / s[0], 1e-2, "15 steps")
    for name, vector in (("_u", u[:, 0]), ("_v", vt[0])):
        found = getattr(layer.parametrizations.weight[0], name).numpy()
        assert abs(found @ vector) > 0.99
        np.testing.assert_allclose(np.linalg.norm(found), 1.0)
    old = nn.utils.spectral_norm(nn.Linear(6, 4).double())
    np.testing.assert_allclose(np.linalg.norm(old.weight_u.numpy()), 1.0)


@pytest.mark.parametrize("norm", ["spectral", "old spectral"])
def test_two_calls_before_one_backward(norm: str) -> None:
    """As a discriminator is called on real and on generated data."""
    ours, theirs = twins("linear", NORMS[norm](nn.utils), NORMS[norm](torch.nn.utils))
    x = np.random.default_rng(0).standard_normal((2, 4, 5))
    a, b = (minigen.from_numpy(v) for v in x)
    (ours(a).tanh() - ours(b)).sum().backward()
    a, b = (torch.from_numpy(v) for v in x)
    (theirs(a).tanh() - theirs(b)).sum().backward()
    for p, q in zip(ours.parameters(), theirs.parameters()):
        close(p.grad, q.grad, 1e-9, "gradient")


def test_a_vector_is_divided_by_its_norm() -> None:
    def one(module: Any, library: Any) -> Any:
        layer = library.LayerNorm(4).double()
        layer.weight.data = module.arange(4).double()
        return library.utils.parametrizations.spectral_norm(layer)

    equal(one(minigen, nn), one(torch, torch.nn))
    close(one(minigen, nn).weight, one(torch, torch.nn).weight, 1e-12, "weight")


# ------------------------------------------------------------------------- orthogonal


@pytest.mark.parametrize("trivialize", [True, False])
@pytest.mark.parametrize("name", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("layer", ["linear", "square", "wide"])
def test_orthogonal(layer: str, name: str, trivialize: bool) -> None:
    def wrap(utils: Any) -> Any:
        def apply(m: Any) -> Any:
            return utils.parametrizations.orthogonal(
                m, "weight", name, use_trivialization=trivialize
            )

        return apply

    ours, theirs = twins(layer, wrap(nn.utils), wrap(torch.nn.utils))
    train(ours, theirs, layer)
    w = ours.weight.detach().numpy()
    w = w if w.shape[0] >= w.shape[1] else w.T
    np.testing.assert_allclose(w.T @ w, np.eye(w.shape[1]), atol=1e-12)


@pytest.mark.parametrize("layer", ["linear", "square", "wide"])
def test_an_orthogonal_matrix_is_assigned(layer: str) -> None:
    for name, trivialize in (("cayley", True), ("householder", True), ("householder", False)):
        made = LAYERS[layer](nn).double()
        parametrizations.orthogonal(made, "weight", name, use_trivialization=trivialize)
        target = np.random.default_rng(5).standard_normal(tuple(made.weight.shape))
        tall = target.shape[0] >= target.shape[1]
        q, _ = np.linalg.qr(target if tall else target.T)
        q = q if tall else q.T
        made.weight = minigen.from_numpy(np.ascontiguousarray(q))
        close(made.weight, q, 1e-9, name)
        with pytest.raises(ValueError, match="expected a tensor of shape"):
            made.weight = minigen.zeros(1, 1, dtype=minigen.float64)
    fixed = parametrizations.orthogonal(nn.Linear(2, 2), use_trivialization=False)
    with pytest.raises(NotImplementedError, match="use_trivialization=True"):
        fixed.weight = minigen.eye(2)


def test_default_maps_and_batches() -> None:
    for layer, expected in (("square", "matrix_exp"), ("linear", "householder")):
        made = parametrizations.orthogonal(LAYERS[layer](nn))
        assert made.parametrizations.weight[0].orthogonal_map == expected
    holder = nn.Module()
    holder.weight = nn.Parameter(minigen.randn(2, 3, 4, 2, dtype=minigen.float64))
    for name in ("matrix_exp", "cayley", "householder"):
        batch = copy.deepcopy(holder)
        parametrizations.orthogonal(batch, "weight", name)
        w = batch.weight.detach().numpy()
        np.testing.assert_allclose(
            np.swapaxes(w, -1, -2) @ w, np.eye(2) + 0 * w[..., :2, :], atol=1e-9
        )


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 9.0])
def test_the_matrix_exponential(scale: float) -> None:
    a = scale * np.random.default_rng(0).standard_normal((2, 3, 3))
    check(_matrix_exp, torch.matrix_exp, a - np.swapaxes(a, -1, -2), order=2)


# ------------------------------------------------------------------------- any parametrization


def symmetric(library: Any) -> Any:
    class Symmetric(library.Module):
        def forward(self, X: Any) -> Any:
            return X.triu() + X.triu(1).mT

        def right_inverse(self, A: Any) -> Any:
            return A.triu()

    return Symmetric()


def scaled(library: Any, module: Any) -> Any:
    class Scaled(library.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = library.Parameter(module.tensor(2.0, dtype=module.float64))

        def forward(self, X: Any) -> Any:
            return X * self.scale

    return Scaled()


def test_parametrizations_in_a_row() -> None:
    def wrap(library: Any, module: Any) -> Any:
        def apply(m: Any) -> Any:
            p = library.utils.parametrize
            p.register_parametrization(m, "weight", symmetric(library))
            p.register_parametrization(m, "weight", scaled(library, module))
            return p.register_parametrization(m, "bias", scaled(library, module))

        return apply

    ours, theirs = twins("square", wrap(nn, minigen), wrap(torch.nn, torch))
    train(ours, theirs, "square")
    assert parametrize.is_parametrized(ours)
    assert parametrize.is_parametrized(ours, "bias")
    assert not parametrize.is_parametrized(ours, "scale")
    assert parametrize.type_before_parametrizations(ours) is nn.Linear
    assert type(ours).__name__ == "ParametrizedLinear"
    assert repr(ours) == repr(theirs)
    with pytest.raises(RuntimeError, match="Scaled has no right_inverse"):
        ours.weight = minigen.zeros(4, 4, dtype=minigen.float64)
    twin = copy.deepcopy(ours)
    twin.parametrizations.weight.original.data = minigen.zeros(4, 4, dtype=minigen.float64)
    assert ours.weight.abs().sum().item() > 0
    for name, leave in (("weight", True), ("bias", False)):
        original = ours.parametrizations[name].original
        a = parametrize.remove_parametrizations(ours, name, leave)
        b = torch.nn.utils.parametrize.remove_parametrizations(theirs, name, leave)
        equal(a, b, f"without {name}")
        assert getattr(ours, name) is original, "an optimizer goes on with it"
    assert type(ours) is nn.Linear
    assert not parametrize.is_parametrized(ours)
    train(ours, theirs, "square")
    assert parametrize.is_parametrized(twin, "weight")


def test_assigning_inverts() -> None:
    layer = parametrize.register_parametrization(nn.Linear(3, 3).double(), "weight", symmetric(nn))
    value = np.arange(9.0).reshape(3, 3)
    layer.weight = minigen.from_numpy(value + value.T)
    close(layer.weight, value + value.T, 1e-12, "assigned")
    with pytest.raises(ValueError, match="must keep the dtype"):
        layer.weight = minigen.zeros(3, 3)
    normed = parametrizations.weight_norm(nn.Linear(3, 2).double())
    normed.weight = minigen.from_numpy(value[:2] + 1)
    close(normed.weight, value[:2] + 1, 1e-12, "of two tensors")


def test_several_tensors_become_one_parameter() -> None:
    ours, theirs = twins(
        "linear", parametrizations.weight_norm, torch.nn.utils.parametrizations.weight_norm
    )
    shown = ours.weight.detach().numpy().copy()
    for p in (parametrize, torch.nn.utils.parametrize):
        with pytest.raises(ValueError):
            p.remove_parametrizations(ours if p is parametrize else theirs, "weight", False)
    equal(
        parametrize.remove_parametrizations(ours, "weight"),
        torch.nn.utils.parametrize.remove_parametrizations(theirs, "weight"),
    )
    np.testing.assert_array_equal(ours.weight.detach().numpy(), shown)
    assert isinstance(ours.weight, nn.Parameter)
    assert ours.weight.is_leaf


def test_cached_values_are_computed_once() -> None:
    calls = []

    class Counted(nn.Module):
        def forward(self, X: Any) -> Any:
            calls.append(1)
            return X + 0

    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Counted())
    calls.clear()
    with parametrize.cached():
        with parametrize.cached():
            layer(minigen.ones(1, 2))
        (layer.weight + layer.weight).sum().backward()
    assert len(calls) == 1
    assert layer.parametrizations.weight.original.grad.tolist() == [[2.0, 2.0], [2.0, 2.0]]
    with parametrize.cached():
        layer.weight  # noqa: B018
    layer.weight  # noqa: B018
    assert len(calls) == 3


def test_buffers_are_parametrized_too() -> None:
    for library, module in ((nn, minigen), (torch.nn, torch)):
        holder = library.Module()
        holder.register_buffer("table", module.ones(2, 2, dtype=module.float64))
        library.utils.parametrize.register_parametrization(holder, "table", scaled(library, module))
        assert list(holder.state_dict()) == [
            "parametrizations.table.original", "parametrizations.table.0.scale"
        ]  # fmt: skip
        assert holder.table.tolist() == [[2.0, 2.0], [2.0, 2.0]]
        library.utils.parametrize.remove_parametrizations(holder, "table")
        assert list(holder.state_dict()) == ["table"]
        assert holder.table.tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_what_is_rejected() -> None:
    class Wrong(nn.Module):
        def __init__(self, result: Any, inverse: Any = None) -> None:
            super().__init__()
            self.result = result
            if inverse is not None:
                self.right_inverse = inverse

        def forward(self, X: Any) -> Any:
            return self.result(X)

    def same(X: Any) -> Any:
        return X + 0

    register = parametrize.register_parametrization
    for first in (True, False):
        for wrong, text in (
            (Wrong(lambda X: 3), "must return a tensor"),
            (Wrong(lambda X: X[0]), "keep the shape"),
            (Wrong(lambda X: X.double()), "keep the dtype"),
            (Wrong(same, lambda X: 3), "right_inverse must return a tensor"),
            (Wrong(same, lambda X: X.double()), "right_inverse must keep the dtype"),
        ):
            layer = nn.Linear(2, 2)
            if not first:
                register(layer, "weight", Wrong(same))
            with pytest.raises(ValueError, match=text):
                register(layer, "weight", wrong)
    flat = register(nn.Linear(2, 2), "weight", Wrong(lambda X: X.reshape(-1)), unsafe=True)
    assert flat.weight.shape == (4,)
    layer = nn.Linear(2, 2)
    for act, error, text in (
        (lambda: register(layer, "w", Wrong(same)), ValueError, "named 'w'"),
        (lambda: parametrize.remove_parametrizations(layer, "bias"), ValueError, "not parametr"),
        (lambda: parametrize.ParametrizationList([], layer.weight), ValueError, "at least one"),
        (lambda: parametrizations.spectral_norm(layer, "w"), ValueError, "named 'w'"),
        (lambda: parametrizations.spectral_norm(layer, dim=2), IndexError, "dim 2"),
        (lambda: parametrizations.spectral_norm(layer, n_power_iterations=0), ValueError, "posi"),
        (lambda: parametrizations.weight_norm(layer, "w"), ValueError, "named 'w'"),
        (lambda: parametrizations.orthogonal(layer, "w"), ValueError, "named 'w'"),
        (lambda: parametrizations.orthogonal(layer, "bias"), ValueError, r"shape \(2,\)"),
        (lambda: parametrizations.orthogonal(layer, "weight", "qr"), ValueError, "'qr'"),
        (lambda: nn.utils.spectral_norm(layer, "w"), ValueError, "named 'w'"),
        (lambda: nn.utils.spectral_norm(layer, n_power_iterations=0), ValueError, "positive"),
        (lambda: nn.utils.weight_norm(layer, "w"), ValueError, "named 'w'"),
    ):
        with pytest.raises(error, match=text):
            act()
    assert list(layer.state_dict()) == ["weight", "bias"], "nothing was changed"
