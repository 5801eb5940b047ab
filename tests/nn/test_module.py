"""Module: attributes, walks, state, hooks, conversions, printing; beside torch where it can be."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

import minigen
from minigen import nn


def block(n: Any) -> Any:
    """The same model with a tie, buffers, None entries and nesting, of either library."""
    tensor = minigen.ones if n is nn else torch.ones

    class Block(n.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = n.Embedding(5, 3)
            self.layers = n.ModuleList([n.Linear(3, 3), n.Linear(3, 3, bias=False)])
            self.heads = n.ModuleDict({"a": n.Linear(3, 2), "b": n.Sequential(n.BatchNorm1d(3))})
            self.scale = n.Parameter(tensor(3))
            self.shared = self.layers[0]
            self.out = n.Linear(3, 5, bias=False)
            self.out.weight = self.embed.weight
            self.register_buffer("mask", tensor(2))
            self.register_buffer("cache", tensor(4), persistent=False)
            self.register_buffer("nothing", None)
            self.register_parameter("absent", None)
            self.extra = n.ParameterList([n.Parameter(tensor(2)) for _ in range(2)])

        def forward(self, x: Any) -> Any:
            return self.out(self.heads["b"](self.embed(x) * self.scale))

    return Block()


@pytest.fixture
def pair() -> tuple[Any, Any]:
    return block(nn), block(torch.nn)


# ------------------------------------------------------------------------- walks and keys


def test_walks_list_what_torch_lists(pair: tuple) -> None:
    for options in ({}, {"remove_duplicate": False}, {"prefix": "m"}):
        for walk in ("named_parameters", "named_buffers", "named_modules"):
            ours, theirs = ([name for name, _ in getattr(m, walk)(**options)] for m in pair)
            assert ours == theirs, (walk, options)
    for walk in ("named_parameters", "named_buffers"):
        ours, theirs = ([name for name, _ in getattr(m, walk)(recurse=False)] for m in pair)
        assert ours == theirs
    ours, theirs = pair
    assert [n for n, _ in ours.named_children()] == [n for n, _ in theirs.named_children()]
    for walk in ("parameters", "buffers", "modules", "children"):
        assert len(list(getattr(ours, walk)())) == len(list(getattr(theirs, walk)()))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert list(ours.state_dict(prefix="net.")) == list(theirs.state_dict(prefix="net."))


def test_a_tied_parameter_comes_once(pair: tuple) -> None:
    ours, _ = pair
    names = [name for name, _ in ours.named_parameters()]
    assert "embed.weight" in names
    assert "out.weight" not in names
    assert "out.weight" in ours.state_dict()


def test_printed_as_torch_prints(pair: tuple) -> None:
    ours, theirs = pair
    assert repr(ours) == repr(theirs).replace("torch.", "minigen.")
    for build in (
        lambda n: n.Sequential(),
        lambda n: n.ModuleList([n.ReLU(), n.ReLU(), n.Sequential(n.Tanh()), n.ReLU()]),
        lambda n: n.ModuleDict({"x": n.ModuleList([n.Linear(1, 2)] * 3)}),
        lambda n: n.Sequential(n.Linear(1, 2), n.Sequential(n.Sigmoid(), n.Identity()))[1:],
    ):
        assert repr(build(nn)) == repr(build(torch.nn))


def test_extra_repr_over_several_lines() -> None:
    def build(n: Any) -> Any:
        class Talkative(n.Module):
            def extra_repr(self) -> str:
                return "first=1\nsecond=2"

        return n.Sequential(Talkative())

    assert repr(build(nn)) == repr(build(torch.nn))


def test_paths(pair: tuple) -> None:
    ours, _ = pair
    assert ours.get_submodule("heads.b.0") is ours.heads["b"][0]
    assert ours.get_submodule("") is ours
    assert ours.get_parameter("layers.1.weight") is ours.layers[1].weight
    assert ours.get_buffer("heads.b.0.running_mean") is ours.heads["b"][0].running_mean
    for get, path in (
        (ours.get_submodule, "heads.c"),
        (ours.get_parameter, "layers.1.bias"),
        (ours.get_parameter, "mask"),
        (ours.get_buffer, "scale"),
        (ours.get_submodule, "scale"),
    ):
        with pytest.raises(AttributeError, match="has no"):
            get(path)


def test_apply_visits_children_first() -> None:
    seen: list[str] = []
    model = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU()))
    assert model.apply(lambda m: seen.append(type(m).__name__)) is model
    assert seen == ["Linear", "ReLU", "Sequential", "Sequential"]


# ------------------------------------------------------------------------- attributes


def test_parameters_and_modules_register_themselves() -> None:
    module = nn.Module()
    module.w = minigen.ones(2)  # a plain tensor is a plain attribute
    assert not list(module.parameters())
    module.w = nn.Parameter(minigen.ones(2))
    assert "w" in module._parameters
    assert "w" not in module.__dict__
    module.w = nn.Linear(1, 1)  # the name changes its table
    assert "w" not in module._parameters
    assert list(module._modules) == ["w"]
    del module.w
    assert not hasattr(module, "w")
    module.register_buffer("b", minigen.zeros(1), persistent=False)
    module.b = minigen.ones(3)
    assert module._buffers["b"].shape == (3,)
    assert "b" not in module.state_dict()
    module.b = nn.Parameter(minigen.ones(1))
    assert list(module.state_dict()) == ["b"]
    assert "b" in dir(module)


def test_assigning_the_wrong_kind_is_an_error() -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"cannot assign 'Tensor' as parameter 'weight'.*Parameter"):
        layer.weight = minigen.zeros(2, 2)
    layer.weight = None
    assert layer.weight is None
    outer = nn.Sequential(layer)
    with pytest.raises(TypeError, match="cannot assign 'int' as child module '0'"):
        setattr(outer, "0", 3)
    norm = nn.BatchNorm1d(2)
    with pytest.raises(TypeError, match="cannot assign 'float' as buffer 'running_mean'"):
        norm.running_mean = 0.5


def test_registering_under_a_bad_name_is_an_error() -> None:
    layer = nn.Linear(2, 2)
    for name, error in (("", KeyError), ("a.b", KeyError), ("forward", KeyError), (3, TypeError)):
        with pytest.raises(error):
            layer.register_buffer(name, minigen.zeros(1))
        with pytest.raises(error):
            layer.register_parameter(name, None)
        with pytest.raises(error):
            layer.add_module(name, nn.ReLU())
    with pytest.raises(TypeError, match="'list' object to parameter"):
        layer.register_parameter("p", [1.0])
    with pytest.raises(TypeError, match="'list' object to buffer"):
        layer.register_buffer("p", [1.0])
    with pytest.raises(TypeError, match="not a Module"):
        layer.add_module("p", "relu")


def test_forgetting_super_init_is_explained() -> None:
    class Forgetful(nn.Module):
        def __init__(self, value: Any) -> None:
            self.layer = value

    with pytest.raises(AttributeError, match=r"module before Module.__init__.*super\(\)"):
        Forgetful(nn.Linear(1, 1))
    with pytest.raises(AttributeError, match=r"parameter before Module.__init__.*super\(\)"):
        Forgetful(nn.Parameter(minigen.zeros(1)))
    with pytest.raises(AttributeError, match=r"must call super\(\).__init__\(\) first"):
        Forgetful(3)(minigen.zeros(1))
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'wieght'"):
        _ = nn.Linear(1, 1).wieght
    with pytest.raises(NotImplementedError, match=r'\[Module\] is missing the required "forward"'):
        nn.Module()(1)


# ------------------------------------------------------------------------- state


def test_load_state_dict_copies_in_place() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    weight, memory = model[0].weight, model[0].weight.array
    state = {name: np.full(t.shape, 2.0) for name, t in model.state_dict().items()}
    assert str(model.load_state_dict(state)) == "<All keys matched successfully>"
    assert model[0].weight is weight
    assert weight.array is memory
    assert (memory == 2).all()
    assert memory.dtype == np.float32
    assert model[1].num_batches_tracked.item() == 2
    state["0.weight"][...] = 5
    assert (memory == 2).all(), "the state is copied"


def test_state_dict_shares_memory_and_is_cut_off() -> None:
    model = nn.Linear(2, 2)
    state = model.state_dict()
    assert state["weight"].array is model.weight.array
    assert not state["weight"].requires_grad
    assert model.state_dict(keep_vars=True)["weight"] is model.weight


def test_load_state_dict_reports_everything_at_once_and_changes_nothing() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = copy.deepcopy(model.state_dict())
    state = {
        "0.weight": np.ones((3, 4)),
        "0.bias": np.ones(3),
        "1.weight": np.ones((1, 2)),
        "extra": np.ones(1),
    }
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(state)
    text = str(caught.value)
    assert text.startswith("Error(s) in loading state_dict for Sequential:")
    assert 'Missing key(s) in state_dict: "1.bias".' in text
    assert 'Unexpected key(s) in state_dict: "extra".' in text
    assert "size mismatch for 0.weight: the state has (3, 4), the module has (3, 2)." in text
    assert "size mismatch for 1.weight" in text
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name].numpy())
    with pytest.raises(RuntimeError, match="size mismatch"):
        model.load_state_dict(state, strict=False)
    del state["0.weight"], state["1.weight"]
    keys = model.load_state_dict(state, strict=False)
    assert keys.missing_keys == ["0.weight", "1.weight", "1.bias"]
    assert keys.unexpected_keys == ["extra"]
    assert (model[0].bias.detach().numpy() == 1).all()
    with pytest.raises(TypeError, match="dictionary"):
        model.load_state_dict([1])
    with pytest.raises(TypeError, match=r"0\.bias must be a tensor"):
        model.load_state_dict({"0.bias": "text"}, strict=False)


def test_loading_is_seen_by_a_graph_that_saved_the_weights() -> None:
    layer = nn.Linear(2, 2)
    y = layer(minigen.ones(1, 2, requires_grad=True)).sum()
    layer.load_state_dict(copy.deepcopy(layer.state_dict()))
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_deepcopy_keeps_ties_and_separates_memory(pair: tuple) -> None:
    ours, _ = pair
    ours.scale.grad = minigen.ones(3)
    twin = copy.deepcopy(ours)
    assert twin.out.weight is twin.embed.weight
    assert twin.embed.weight is not ours.embed.weight
    assert not np.shares_memory(twin.embed.weight.array, ours.embed.weight.array)
    assert isinstance(twin.scale, nn.Parameter)
    assert twin.scale.grad is None
    assert not np.shares_memory(twin.mask.array, ours.mask.array)
    np.testing.assert_array_equal(
        twin.out.weight.detach().numpy(), ours.out.weight.detach().numpy()
    )
    x = minigen.tensor([[0], [3]]).flatten()
    np.testing.assert_array_equal(ours.eval()(x).detach().numpy(), twin.eval()(x).detach().numpy())


def test_gradients_of_a_tied_weight_add_up(pair: tuple) -> None:
    ours, theirs = pair
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    for module, model in ((minigen, ours.double()), (torch, theirs.double())):
        y = model(module.tensor([1, 4, 1]))
        cotangent = np.random.default_rng(0).standard_normal((3, 5))
        (y * module.from_numpy(cotangent)).sum().backward()
    np.testing.assert_allclose(
        ours.embed.weight.grad.numpy(), theirs.embed.weight.grad.numpy(), rtol=1e-8, atol=1e-10
    )


# ------------------------------------------------------------------------- modes, types


def test_train_and_eval_reach_everything(pair: tuple) -> None:
    ours, _ = pair
    assert all(m.training for m in ours.modules())
    assert ours.eval() is ours
    assert not any(m.training for m in ours.modules())
    ours.heads.train()
    assert ours.heads["b"][0].training
    assert not ours.training
    with pytest.raises(ValueError, match="boolean"):
        ours.train("yes")


def test_conversions_keep_identity_ties_and_integers(pair: tuple) -> None:
    ours, _ = pair
    weight = ours.embed.weight
    weight.grad = minigen.ones(5, 3)
    assert ours.to(minigen.float64) is ours
    assert ours.embed.weight is weight is ours.out.weight
    assert weight.dtype is weight.grad.dtype is ours.mask.dtype is minigen.float64
    norm = ours.heads["b"][0]
    assert norm.num_batches_tracked.dtype is minigen.int64
    assert norm.running_mean.dtype is minigen.float64
    assert ours.float().scale.dtype is minigen.float32
    assert ours.half().scale.dtype is minigen.float16
    assert ours.to("cpu", minigen.float64).scale.dtype is minigen.float64
    assert ours.to(device="cpu", dtype=minigen.float32).scale.dtype is minigen.float32
    assert ours.to(minigen.zeros(1, dtype=minigen.float64)).double().scale.dtype is minigen.float64
    assert ours.cpu().scale.device.type == "cpu"
    with pytest.raises(TypeError, match="only floating-point"):
        ours.to(minigen.int64)
    with pytest.raises(RuntimeError, match="device 'tpu'"):
        ours.to("tpu")


def test_freezing_and_clearing_gradients() -> None:
    model = nn.Linear(2, 2)
    assert model.requires_grad_(False) is model
    assert not model.weight.requires_grad
    model.requires_grad_()
    model(minigen.ones(1, 2)).sum().backward()
    gradient = model.weight.grad
    model.zero_grad(set_to_none=False)
    assert model.weight.grad is gradient
    assert not gradient.numpy().any()
    model.zero_grad()
    assert model.weight.grad is None


# ------------------------------------------------------------------------- hooks


def test_hooks_see_and_replace() -> None:
    layer = nn.Identity()
    seen: list[Any] = []
    first = layer.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    second = layer.register_forward_pre_hook(lambda m, args: args[0] * 10)  # wrapped in a tuple
    third = layer.register_forward_hook(lambda m, args, out: seen.append((args[0], out)))
    fourth = layer.register_forward_hook(lambda m, args, out: out - 3)
    assert layer(4) == 47
    assert seen == [(50, 50)]
    second.remove()
    assert layer(4) == 2
    fourth.remove()
    first.remove()
    third.remove()
    assert layer(4) == 4
    assert len(seen) == 2


def test_hooks_with_keywords_and_in_front() -> None:
    class Scale(nn.Module):
        def forward(self, x: float, *, factor: float = 1.0) -> float:
            return x * factor

    layer, order = Scale(), []
    layer.register_forward_hook(lambda m, args, out: order.append("late"))
    layer.register_forward_hook(lambda m, args, out: order.append("early"), prepend=True)
    layer.register_forward_pre_hook(
        lambda m, args, kwargs: (args, {"factor": kwargs["factor"] + 1}), with_kwargs=True
    )
    layer.register_forward_hook(
        lambda m, args, kwargs, out: out + kwargs["factor"], with_kwargs=True
    )
    assert layer(2, factor=3) == 12
    assert order == ["early", "late"]
    layer.register_forward_pre_hook(lambda m, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match=r"None or \(args, kwargs\)"):
        layer(2, factor=3)


# ------------------------------------------------------------------------- parameters


def test_a_parameter_is_a_leaf_that_requires_grad() -> None:
    data = minigen.ones(2)
    p = nn.Parameter(data)
    assert isinstance(p, minigen.Tensor)
    assert p.requires_grad
    assert p.is_leaf
    assert np.shares_memory(p.array, data.array)
    assert not data.requires_grad
    assert type(p * 2) is type(p.detach()) is minigen.Tensor
    assert repr(p) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    assert not nn.Parameter(minigen.arange(3), False).requires_grad
    computed = nn.Parameter(minigen.ones(2, requires_grad=True) * 2)
    assert computed.is_leaf, "a parameter does not go back to where its values came from"
    with pytest.raises(RuntimeError, match="floating-point"):
        nn.Parameter(minigen.arange(3))
    with pytest.raises(TypeError, match=r"minigen.tensor\(data\)"):
        nn.Parameter([1.0])
    assert nn.Parameter().numel() == 0


def test_type_casts_buffers_as_well() -> None:
    for module, library in ((minigen, nn), (torch, torch.nn)):
        layer = library.BatchNorm1d(2).type(module.float64)
        assert layer.weight.dtype == layer.running_mean.dtype == module.float64
        assert layer.num_batches_tracked.dtype == module.float64
        assert layer.weight.requires_grad
        with pytest.raises(RuntimeError, match="require"):
            layer.type(module.int64)
    assert nn.Linear(1, 1).requires_grad_(False).type(minigen.int32).weight.dtype == minigen.int32
