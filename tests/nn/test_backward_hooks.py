"""Full backward hooks beside torch's: when they are called, what they see, what they change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import minigen
from minigen import nn
from tests.oracle import close


def numbers(value: Any) -> Any:
    """Tensors as lists, in whatever structure."""
    if isinstance(value, tuple | list):
        return [numbers(each) for each in value]
    return None if value is None else value.tolist()


def both(scenario: Callable) -> None:
    """Run a scenario with each library; what it returns and logs must be equal."""
    ours: list = []
    theirs: list = []
    a = scenario(minigen, nn, ours)
    b = scenario(torch, torch.nn, theirs)
    assert len(ours) == len(theirs) > 0
    assert [tag for tag, *_ in ours] == [tag for tag, *_ in theirs]
    for (tag, *seen), (_, *expected) in zip(ours, theirs):
        compare(numbers(seen), numbers(expected), tag)
    compare(numbers(a), numbers(b), "result")


def compare(a: Any, b: Any, what: str) -> None:
    if isinstance(b, list):
        assert isinstance(a, list), what
        assert len(a) == len(b), what
        for x, y in zip(a, b):
            compare(x, y, what)
    else:
        assert a == (None if b is None else pytest.approx(b, rel=1e-12)), what


def log_to(log: list, tag: str) -> Callable:
    return lambda module, *gradients: log.append((tag, *gradients))


def mix(library: Any) -> Any:
    """Several inputs, some of them no tensors, and several outputs."""

    class Mix(library.Module):
        def forward(self, x: Any, factor: Any, y: Any, *, scale: Any = 1.0) -> Any:
            return x * y * factor, (x + y) * scale, factor

    return Mix()


def leaf(module: Any, *values: float) -> Any:
    return module.tensor(list(values), dtype=module.float64, requires_grad=True)


def test_what_hooks_see() -> None:
    def scenario(module: Any, library: Any, log: list) -> Any:
        layer = mix(library)
        layer.register_full_backward_hook(log_to(log, "hook"))
        layer.register_full_backward_hook(log_to(log, "second"))
        layer.register_full_backward_hook(log_to(log, "first"), prepend=True)
        layer.register_full_backward_pre_hook(log_to(log, "pre"))
        layer.register_full_backward_pre_hook(log_to(log, "pre first"), prepend=True)
        x, y = leaf(module, 1.0, 2.0), leaf(module, 3.0, 4.0)
        constant = module.tensor([5.0, 6.0], dtype=module.float64)
        product, total, _ = layer(x * 2, 3.0, y, scale=constant)
        (product.sum() + (total * total).sum()).backward()
        product, _, _ = layer(constant, 1.0, y)
        product.sum().backward()
        return x.grad, y.grad

    both(scenario)


def test_inputs_without_a_gradient() -> None:
    def scenario(module: Any, library: Any, log: list) -> Any:
        class First(library.Module):
            def forward(self, x: Any, *others: Any) -> Any:
                return x * 2, others[0]

        layer = First()
        layer.register_full_backward_hook(log_to(log, "hook"))
        x, unused = leaf(module, 1.0, 2.0), leaf(module, 3.0)
        y, _ = layer(x, module.tensor([1, 2]), unused, module.zeros(3, dtype=module.float64), "a")
        y.sum().backward()
        return x.grad, unused.grad

    both(scenario)


def test_what_hooks_return_goes_on() -> None:
    def scenario(module: Any, library: Any, log: list) -> Any:
        layer = mix(library)
        layer.register_full_backward_pre_hook(lambda m, g: (g[0] * 2, None, None))
        layer.register_full_backward_pre_hook(log_to(log, "pre"))
        layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10, None, gi[2] + 1))
        layer.register_full_backward_hook(log_to(log, "after"))
        x, y = leaf(module, 1.0, 2.0), leaf(module, 3.0, 4.0)
        product, total, _ = layer(x, 3.0, y)
        (product + total).sum().backward()
        linear = library.Linear(1, 1).double()
        for p in linear.parameters():
            p.data = module.ones(*p.shape, dtype=module.float64)
        handle = linear.register_full_backward_pre_hook(lambda m, g: (g[0] * 7,))
        z = leaf(module, 2.0)
        linear(z).sum().backward()
        handle.remove()
        linear(z).sum().backward()
        return x.grad, y.grad, z.grad, linear.weight.grad, linear.bias.grad

    both(scenario)


def test_second_order_and_nesting() -> None:
    def scenario(module: Any, library: Any, log: list) -> Any:
        net = library.Sequential(library.Tanh(), library.Sequential(library.Sigmoid()))
        for number, part in enumerate(net.modules()):
            part.register_full_backward_hook(log_to(log, f"module {number}"))
        x = leaf(module, 0.3, -0.4)
        (slope,) = module.autograd.grad(net(x).sum(), x, create_graph=True)
        (curvature,) = module.autograd.grad((slope * slope).sum(), x)
        return slope.detach(), curvature

    both(scenario)


def test_nothing_is_called_without_gradients() -> None:
    for module, library in ((minigen, nn), (torch, torch.nn)):
        log: list = []
        layer = library.Linear(2, 2)
        layer.register_full_backward_hook(log_to(log, "hook"))
        with module.no_grad():
            layer(module.ones(1, 2))
        frozen = layer.requires_grad_(False)
        assert not frozen(module.ones(1, 2)).requires_grad
        x = module.ones(1, 2, requires_grad=True)
        layer.register_forward_hook(lambda m, args, out: out.detach())
        assert not layer(x).requires_grad
        assert log == []


def test_without_inputs_that_require_grad() -> None:
    for module, library in ((minigen, nn), (torch, torch.nn)):
        log: list = []
        layer = library.Linear(2, 1)
        handle = layer.register_full_backward_hook(log_to(log, "hook"))
        with pytest.warns(UserWarning, match="inputs require"):
            layer(module.ones(1, 2)).sum().backward()
        assert [numbers(seen[1:]) for seen in log] == [[[None], [[[1.0]]]]]
        assert layer.weight.grad.tolist() == [[1.0, 1.0]]
        handle.remove()
        layer.register_full_backward_hook(lambda m, gi, go: (go[0],))
        with (
            pytest.warns(UserWarning, match="inputs"),
            pytest.raises(RuntimeError, match="gradient"),
        ):
            layer(module.ones(1, 2)).sum().backward()


test_without_inputs_that_require_grad = pytest.mark.filterwarnings("ignore:Full backward")(
    test_without_inputs_that_require_grad
)


def test_a_wrong_number_is_an_error() -> None:
    for module, library in ((minigen, nn), (torch, torch.nn)):
        for register, text in (
            ("register_full_backward_hook", "grad_input"),
            ("register_full_backward_pre_hook", "grad_output"),
        ):
            layer = library.Tanh()
            getattr(layer, register)(lambda m, *g: (g[0][0], g[0][0]))
            with pytest.raises(RuntimeError, match=text):
                layer(module.ones(1, requires_grad=True)).sum().backward()


def test_an_output_of_another_kind_is_warned_of() -> None:
    for module, library in ((minigen, nn), (torch, torch.nn)):

        class Named(library.Module):
            def forward(self, x: Any) -> dict:
                return {"x": x * 2}

        layer = Named()
        layer.register_full_backward_hook(lambda m, *g: None)
        with pytest.warns(UserWarning, match="tuple of"):
            layer(module.ones(1, requires_grad=True))["x"].sum().backward()


def test_gradients_that_a_hook_keeps_are_left_alone() -> None:
    kept: list = []
    layer = nn.Identity()
    layer.register_full_backward_hook(lambda m, gi, go: kept.extend([gi[0], go[0]]))
    x = minigen.ones(2, requires_grad=True)
    cotangent = minigen.tensor([3.0, 4.0])
    for _ in range(2):
        layer(x).backward(cotangent)
    assert x.grad.tolist() == [6.0, 8.0]
    assert cotangent.tolist() == [3.0, 4.0]
    assert all(seen.tolist() == [3.0, 4.0] for seen in kept)


def test_changes_in_place_are_still_noticed() -> None:
    layer = nn.Identity()
    layer.register_full_backward_pre_hook(lambda m, g: None)
    x = minigen.ones(2, requires_grad=True)
    y = x.exp()
    z = layer(y)
    z.mul_(2)
    with pytest.raises(RuntimeError, match="changed in place"):
        z.sum().backward()


def test_hooks_change_no_value() -> None:
    rng = np.random.default_rng(0)
    layer = nn.Conv2d(2, 3, 2).double()
    x = minigen.from_numpy(rng.standard_normal((1, 2, 4, 4))).requires_grad_()
    layer(x).pow(2).sum().backward()
    expected, layer.weight.grad, x.grad = (layer.weight.grad, x.grad), None, None
    layer.register_full_backward_hook(lambda m, gi, go: None)
    layer(x).pow(2).sum().backward()
    for found, value in zip((layer.weight.grad, x.grad), expected):
        close(found, value.numpy(), 1e-12, "gradient")
