"""Optimizers beside torch's: ten steps from the same weights and gradients agree to 1e-9."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import minigen
from minigen import nn, optim
from tests.oracle import close

SHAPES = [(4, 3), (3,), (), (2, 1, 2), (3, 0), (150, 150)]  # the last is longer than a block

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-3}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "betas": (0.3, 0.5)}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.05, "maximize": True}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.3, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "betas": (0.8, 0.95)}),
    ("AdamW", {"lr": 0.05, "amsgrad": True, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.3, "weight_decay": 0.1, "eps": 1e-3}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.7, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.6, "eps": 1e-2, "weight_decay": 0.1}),
    ("Adadelta", {"maximize": True, "weight_decay": 0.1}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.05, "alpha": 0.7, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.05, "momentum": 0.8}),
    ("RMSprop", {"lr": 0.05, "centered": True, "alpha": 0.6}),
    ("RMSprop", {"momentum": 0.5, "centered": True, "weight_decay": 0.1, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.05, "betas": (0.5, 0.7), "eps": 0.3, "weight_decay": 0.1}),
    ("Adamax", {"maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.05, "betas": (0.5, 0.7), "eps": 1e-3, "momentum_decay": 0.3}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),  # the 6th step is the first to be rectified
    ("RAdam", {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-2, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.05, "betas": (0.5, 0.5), "maximize": True}),
    ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
]

GROUPED = {
    "SGD": {"momentum": 0.9},
    "Adam": {"betas": (0.7, 0.9)},
    "AdamW": {"betas": (0.7, 0.9)},
    "Adagrad": {"lr_decay": 0.1},
    "Adadelta": {"rho": 0.7},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "Adamax": {"betas": (0.7, 0.9)},
    "NAdam": {"momentum_decay": 0.1},
    "RAdam": {"betas": (0.7, 0.9)},
}


@pytest.fixture(autouse=True)
def exact_counters() -> Iterator[None]:
    """torch keeps the counters, and a product of NAdam, in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def leaves(module: Any, dtype: Any = np.float64) -> list:
    rng = np.random.default_rng(0)
    values = [np.asarray(rng.standard_normal(shape), dtype) for shape in SHAPES]
    return [module.from_numpy(value).requires_grad_() for value in values]


def set_gradients(module: Any, parameters: list, step: int, skip: bool = True) -> None:
    """New random gradients; the second parameter has none in every third step."""
    rng = np.random.default_rng(step)
    for number, p in enumerate(parameters):
        dtype = np.dtype(str(p.dtype).split(".")[1])
        gradient = np.asarray(rng.standard_normal(tuple(p.shape)) * 10.0 ** (step % 3 - 1), dtype)
        p.grad = None if skip and number == 1 and step % 3 == 0 else module.from_numpy(gradient)


def assert_equal_parameters(ours: list, theirs: list, tolerance: float, what: str) -> None:
    for number, (p, q) in enumerate(zip(ours, theirs)):
        close(p, q, tolerance, f"{what}, parameter {number}")


@pytest.mark.parametrize("rung", ["default", "numpy"])
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_ten_steps(name: str, options: dict[str, Any], rung: str) -> None:
    ours, theirs = leaves(minigen), leaves(torch)
    a, b = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    with minigen.kernels.use(adam=None if rung == "default" else rung):
        for step in range(10):
            set_gradients(minigen, ours, step)
            set_gradients(torch, theirs, step)
            before = [None if p.grad is None else p.grad.numpy().copy() for p in ours]
            a.step()
            b.step()
            assert_equal_parameters(ours, theirs, 1e-9, f"step {step}")
            for p, old in zip(ours, before):
                if old is not None:
                    np.testing.assert_array_equal(p.grad.numpy(), old, err_msg="gradient changed")
    for p, q in zip(ours, theirs):
        assert sorted(a.state[p]) == sorted(k for k, v in b.state[q].items() if v is not None)
        for key, value in a.state[p].items():
            if key in ("step", "mu_product"):
                assert value == pytest.approx(b.state[q][key].item(), rel=1e-14)
            else:
                close(value, b.state[q][key], 1e-9, key)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        ("Adam", {"amsgrad": True, "eps": 1e-3}),
        ("Adam", {"weight_decay": 0.1, "eps": 1e-3}),
        ("AdamW", {"eps": 1e-3}),  # 1e-8 is 0 in half precision
        ("Adagrad", {}),
        ("Adadelta", {"eps": 1e-3}),
        ("RMSprop", {"momentum": 0.5, "centered": True, "alpha": 0.5, "eps": 1e-1}),
        ("Adamax", {"eps": 1e-3}),
        ("NAdam", {"eps": 1e-3}),
        ("RAdam", {"eps": 1e-3}),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_precision_is_kept(name: str, options: dict, dtype: Any) -> None:
    ours, theirs = leaves(minigen, dtype), leaves(torch, dtype)
    a, b = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(3):
        set_gradients(minigen, ours, step)
        set_gradients(torch, theirs, step)
        a.step()
        b.step()
    tolerance = 1e-6 if dtype is np.float32 else 5e-3
    assert_equal_parameters(ours, theirs, tolerance, "three steps")
    for state in a.state.values():
        for key, value in state.items():
            assert key in ("step", "mu_product") or value.array.dtype == dtype


@pytest.mark.parametrize("name", GROUPED)
def test_parameter_groups_and_rates_that_change(name: str) -> None:
    def build(module: Any, library: Any) -> tuple:
        p = leaves(module)
        options = GROUPED[name]
        groups = [{"params": p[:2], "lr": 0.1}, {"params": p[2], "weight_decay": 0.5}]
        optimizer = getattr(library, name)(groups, lr=0.01, **options)
        optimizer.add_param_group({"params": p[3:], "maximize": True})
        return p, optimizer

    (ours, a), (theirs, b) = build(minigen, optim), build(torch, torch.optim)
    for step in range(10):
        for module, parameters, optimizer in ((minigen, ours, a), (torch, theirs, b)):
            set_gradients(module, parameters, step)
            optimizer.param_groups[0]["lr"] *= 0.7
            optimizer.step()
    assert_equal_parameters(ours, theirs, 1e-9, "ten steps")
    assert a.param_groups[1]["lr"] == 0.01
    numbers = [[g["params"] for g in o.state_dict()["param_groups"]] for o in (a, b)]
    assert numbers[0] == numbers[1] == [[0, 1], [2], [3, 4, 5]]
    assert list(a.state_dict()["state"]) == list(b.state_dict()["state"])
    assert [len(g["params"]) for g in a.param_groups] == [len(g["params"]) for g in b.param_groups]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"momentum": 0.9}), ("Adam", {"amsgrad": True}), ("AdamW", {"lr": 0.02}),
        *[(name, options) for name, options in GROUPED.items() if name not in ("SGD", "Adam")],
    ],
)  # fmt: skip
def test_going_on_from_a_state_is_going_on(name: str, options: dict[str, Any]) -> None:
    whole, part = leaves(minigen), leaves(minigen)
    a, b = getattr(optim, name)(whole, **options), getattr(optim, name)(part, **options)
    for step in range(6):
        set_gradients(minigen, whole, step)
        a.step()
    for step in range(3):
        set_gradients(minigen, part, step)
        b.step()
    state = copy.deepcopy(b.state_dict())
    assert [group["params"] for group in state["param_groups"]] == [[0, 1, 2, 3, 4, 5]]
    resumed = [minigen.from_numpy(p.detach().numpy().copy()).requires_grad_() for p in part]
    c = getattr(optim, name)(resumed, lr=9.0)
    c.load_state_dict(state)
    assert c.param_groups[0]["lr"] == b.param_groups[0]["lr"]
    for step in range(3, 6):
        set_gradients(minigen, resumed, step)
        c.step()
    for p, q in zip(whole, resumed):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
    mine, loaded = c.state[resumed[0]], state["state"][0]
    for key, value in loaded.items():
        assert key in ("step", "mu_product") or not np.shares_memory(mine[key].array, value.array)


@pytest.mark.parametrize("name", GROUPED)
def test_a_state_of_torch_can_be_taken_over(name: str) -> None:
    options = GROUPED[name]
    ours, theirs = leaves(minigen), leaves(torch)
    b = getattr(torch.optim, name)(theirs, lr=0.1, **options)
    for step in range(3):
        set_gradients(torch, theirs, step)
        b.step()
    state = b.state_dict()
    state["state"] = {
        number: {key: minigen.from_numpy(value.numpy()) for key, value in entry.items()}
        for number, entry in state["state"].items()
    }
    for p, q in zip(ours, theirs):
        p.data = minigen.from_numpy(q.detach().numpy().copy())
    a = getattr(optim, name)(ours, **options)
    a.load_state_dict(state)
    for step in range(3, 6):
        set_gradients(minigen, ours, step)
        set_gradients(torch, theirs, step)
        a.step()
        b.step()
    assert_equal_parameters(ours, theirs, 1e-9, "resumed")


def test_load_state_dict_rejects_another_models_state() -> None:
    w = minigen.zeros(3, requires_grad=True)
    a = optim.Adam([w])
    w.grad = minigen.ones(3)
    a.step()
    state = a.state_dict()
    with pytest.raises(ValueError, match="group 0 has 1 parameters in the state, 2"):
        optim.Adam([w, minigen.zeros(1)]).load_state_dict(state)
    with pytest.raises(ValueError, match="1 parameter groups, the optimizer has 2"):
        optim.Adam([{"params": [w]}, {"params": [minigen.zeros(1)]}]).load_state_dict(state)
    other = minigen.zeros(4, requires_grad=True)
    b = optim.Adam([other])
    with pytest.raises(ValueError, match=r"exp_avg of .* shape \(4,\) has shape \(3,\)"):
        b.load_state_dict(state)
    assert not b.state, "a rejected state changes nothing"


def test_closures() -> None:
    w = minigen.tensor([2.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with minigen.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 4
    np.testing.assert_allclose(w.detach().numpy(), [1.6], rtol=1e-6)
    assert optimizer.step() is None


def test_zero_grad() -> None:
    w = minigen.ones(2, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    (w * w).sum().backward()
    gradient = w.grad
    optimizer.zero_grad(set_to_none=False)
    assert w.grad is gradient
    assert gradient.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert w.grad is None
    optimizer.step()
    assert w.tolist() == [1.0, 1.0]
    assert not optimizer.state


def test_a_step_is_seen_by_a_graph_that_saved_the_weights() -> None:
    layer = nn.Linear(2, 2)
    optimizer = optim.Adam(layer.parameters())
    y = layer(minigen.ones(1, 2, requires_grad=True)).sum()
    y.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError, match=r"(?s)changed in place.*test_optimizers.*r\.step"):
        y.backward()


def test_memory_stays_where_it_is() -> None:
    parameters = leaves(minigen)
    arrays = [p.array for p in parameters]
    optimizer = optim.AdamW(parameters)
    for step in range(2):
        set_gradients(minigen, parameters, step)
        optimizer.step()
    assert all(p.array is array for p, array in zip(parameters, arrays))


def test_parameters_with_gaps_in_memory() -> None:
    for name, options in [*GROUPED.items(), ("Adam", {}), ("AdamW", {"amsgrad": True})]:
        base, gradient = np.random.default_rng(0).standard_normal((2, 6, 8))
        ours = minigen.from_numpy(base.copy())[::2, ::3].detach().requires_grad_()
        theirs = torch.from_numpy(base.copy()[::2, ::3].copy()).requires_grad_()
        assert not ours.array.flags.c_contiguous
        a, b = (
            getattr(optim, name)([ours], **options),
            getattr(torch.optim, name)([theirs], **options),
        )
        for _ in range(3):
            ours.grad = minigen.from_numpy(gradient.T.copy())[:3, :3].T
            theirs.grad = torch.from_numpy(gradient.T.copy())[:3, :3].T
            a.step()
            b.step()
        close(ours, theirs, 1e-9, name)


def test_a_kernel_of_ones_own_is_used() -> None:
    calls = []

    def still(parameter: Any, *rest: Any) -> None:
        calls.append(parameter.shape)

    w = minigen.ones(2, 3, requires_grad=True)
    w.grad = minigen.ones(2, 3)
    with minigen.kernels.use(adam=still):
        optim.Adam([w]).step()
    assert calls == [(6,)]
    assert (w.array == 1).all()


# ------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": -0.1}), ("SGD", {"momentum": -1}), ("SGD", {"weight_decay": -1}),
        ("SGD", {"nesterov": True}),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
        ("Adam", {"lr": -1}), ("Adam", {"eps": -1}), ("Adam", {"betas": (1.0, 0.9)}),
        ("Adam", {"betas": (0.9, -0.1)}), ("AdamW", {"weight_decay": -1}),
        ("Adam", {"lr": float("nan")}),
        ("Adagrad", {"lr_decay": -1}), ("Adagrad", {"initial_accumulator_value": -1}),
        ("Adagrad", {"eps": -1}), ("Adagrad", {"weight_decay": -1}), ("Adagrad", {"lr": -1}),
        ("Adadelta", {"rho": 1.1}), ("Adadelta", {"rho": -0.1}), ("Adadelta", {"eps": -1}),
        ("Adadelta", {"weight_decay": -1}), ("RMSprop", {"alpha": -1}), ("RMSprop", {"eps": -1}),
        ("RMSprop", {"momentum": -1}), ("RMSprop", {"weight_decay": -1}), ("Adamax", {"eps": -1}),
        ("Adamax", {"betas": (0.9, 1.0)}), ("Adamax", {"weight_decay": -1}),
        ("NAdam", {"momentum_decay": -1}), ("NAdam", {"betas": (1.0, 0.9)}), ("NAdam", {"eps": -1}),
        ("NAdam", {"weight_decay": -1}), ("RAdam", {"betas": (1.0, 0.9)}), ("RAdam", {"eps": -1}),
        ("RAdam", {"weight_decay": -1}),
    ],
)  # fmt: skip
def test_bad_options(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        getattr(optim, name)([minigen.ones(1)], **options)
    with pytest.raises(ValueError):
        getattr(optim, name)([{"params": [minigen.ones(1)], **options}])


def test_bad_parameters() -> None:
    w = minigen.ones(2, requires_grad=True)
    for params, error, text in (
        (w, TypeError, "iterable"),
        ([], ValueError, "empty"),
        ([1.0], TypeError, "takes tensors"),
        ([w * 2], ValueError, "non-leaf"),
        ([{"params": {w}}], TypeError, "not a set"),
        ([{"params": [w]}, {"params": [w]}], ValueError, "more than one"),
        ([{"params": [w]}, w], TypeError, "must be a dict"),
    ):
        with pytest.raises(error, match=text):
            optim.SGD(params)
    with pytest.warns(UserWarning, match="twice"):
        optim.SGD([w, w])
    with pytest.raises(TypeError, match="not a tensor"):
        optim.SGD([w], lr=minigen.tensor(0.1))
    with pytest.raises(TypeError, match="foreach"):
        optim.SGD([w], foreach=True)  # type: ignore[call-arg]


@pytest.mark.parametrize("bad", [(3,), (2, 1)])
def test_a_gradient_of_another_shape_or_dtype(bad: tuple) -> None:
    w = minigen.ones(2, requires_grad=True)
    w.grad = minigen.ones(*bad)
    for name in ("SGD", "Adam"):
        with pytest.raises(ValueError, match=r"parameter is float32 \(2,\) on cpu, but its \.grad"):
            getattr(optim, name)([w]).step()
    w.grad = minigen.ones(2, dtype=minigen.float64)
    with pytest.raises(ValueError, match=r"\.grad is float64"):
        optim.SGD([w]).step()
    assert w.tolist() == [1.0, 1.0]


def test_printed_with_its_options() -> None:
    text = repr(optim.SGD([{"params": minigen.ones(1)}, {"params": minigen.ones(1), "lr": 2}]))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.001\n")
    assert "Parameter Group 1\n    dampening: 0\n    lr: 2\n" in text


def test_an_optimizer_of_ones_own() -> None:
    class SignDescent(optim.Optimizer):
        def update(self, p: Any, grad: Any, state: dict, group: dict) -> None:
            p.array -= group["lr"] * np.sign(grad)

    w = minigen.tensor([1.0, -1.0], requires_grad=True)
    w.grad = minigen.tensor([3.0, -0.1])
    SignDescent([w], {"lr": 0.5}).step()
    assert w.tolist() == [0.5, -0.5]
    with pytest.raises(NotImplementedError, match="update"):
        optim.Optimizer([w], {}).step()
