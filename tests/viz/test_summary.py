"""The summary of a model: its numbers by hand and by torch, and that it leaves no trace."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import minigen
from minigen import nn
from minigen.models.transformer import GPT, GPTConfig
from minigen.viz import summary
from minigen.viz.text import columns


def rows(result: Any) -> dict[str, Any]:
    return {layer.path: layer for layer in result.layers}


def convolutional(lib: Any) -> Any:
    return lib.Sequential(
        lib.Conv2d(1, 4, 3, padding=1), lib.BatchNorm2d(4), lib.ReLU(), lib.MaxPool2d(2),
        lib.Flatten(), lib.Sequential(lib.Dropout(0.5), lib.Linear(64, 10)), lib.LayerNorm(10),
    )  # fmt: skip


# ------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    "build",
    [
        convolutional,
        lambda lib: lib.Linear(7, 5, bias=False),
        lambda lib: lib.Sequential(lib.Embedding(11, 6), lib.LayerNorm(6), lib.Linear(6, 11)),
        lambda lib: lib.ModuleDict({"a": lib.ConvTranspose2d(3, 2, 4), "b": lib.GroupNorm(2, 4)}),
    ],
)
def test_parameters_of_every_layer_are_those_of_torch(build: Any) -> None:
    found = rows(summary(build(nn)))
    expected = {
        path: sum(p.numel() for p in module.parameters())
        for path, module in build(torch.nn).named_modules()
    }
    assert {path: layer.parameters for path, layer in found.items()} == expected


def test_shapes_and_memory_by_hand() -> None:
    result = summary(convolutional(nn), (2, 1, 8, 8))
    assert {p: layer.output_shapes for p, layer in rows(result).items()} == {
        "": [(2, 10)], "0": [(2, 4, 8, 8)], "1": [(2, 4, 8, 8)], "2": [(2, 4, 8, 8)],
        "3": [(2, 4, 4, 4)], "4": [(2, 64)], "5": [(2, 10)], "5.0": [(2, 64)], "5.1": [(2, 10)],
        "6": [(2, 10)],
    }  # fmt: skip
    assert result.parameters == (4 * 9 + 4) + 2 * 4 + (64 * 10 + 10) + 2 * 10
    assert result.parameter_bytes == 4 * result.parameters
    assert result.buffer_bytes == 4 * (4 + 4) + 8  # means, variances, and a count of batches


def test_what_is_saved_is_counted_once() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    #  the first layer keeps its input, ReLU its output, which is what the last layer keeps, too
    assert summary(model, (7, 3)).saved_bytes == 4 * (7 * 3 + 7 * 5)
    model.requires_grad_(False)
    assert summary(model, (7, 3)).saved_bytes == 0
    model[2].requires_grad_(True)
    assert summary(model, (7, 3)).saved_bytes == 4 * 7 * 5


def test_buffers_are_not_what_was_saved() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("by", minigen.ones(1000))
            self.weight = nn.Parameter(minigen.ones(1000))

        def forward(self, x: Any) -> Any:
            return x + self.weight * self.by

    result = summary(Scale(), (1000,))
    assert (result.saved_bytes, result.buffer_bytes) == (0, 4000)


def test_tied_parameters_are_counted_once() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    result = summary(model)
    assert (result.parameters, result.parameter_bytes) == (20, 80)
    assert [layer.parameters for layer in result.layers] == [20, 16, 4]
    assert rows(result)["1"].tied == 16
    model[1].bias = None
    assert str(summary(model)).split("\n")[4].split() == ["└─", "1:", "Linear", "tied", "–"]


def test_layers_that_are_called_several_times_or_never() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step = nn.Linear(8, 8)
            self.pool = nn.AvgPool1d(2)
            self.unused = nn.Linear(3, 3)
            self.list = nn.ModuleList([nn.ReLU()])

        def forward(self, x: Any) -> Any:
            for _ in range(3):
                x = self.list[0](self.step(x))
            return self.pool(self.pool(x))

    result = summary(Model(), (2, 1, 8))
    found = rows(result)
    assert found["step"].calls == found["list.0"].calls == 3
    assert found["unused"].calls == found["list"].calls == 0
    assert found["pool"].output_shapes == [(2, 1, 4), (2, 1, 2)]
    text = str(result)
    line = {name: line for name in found if name for line in text.split("\n")
            if f" {name.rpartition('.')[2]}: " in line}  # fmt: skip
    assert "not called" in line["unused"]
    assert "not called" not in line["list"]
    assert line["step"].endswith(" 3")
    assert "(2, 1, 4), (2, 1, 2)" in line["pool"]


def test_a_module_at_two_places_is_one_layer() -> None:
    act = nn.PReLU()
    model = nn.Sequential(nn.Linear(2, 2), act, nn.Linear(2, 2), act)
    result = summary(model, (1, 2))
    assert [layer.reused for layer in result.layers] == [None, None, None, None, "1"]
    assert rows(result)["1"].calls == 2
    assert result.parameters == 13
    assert "(same as 1)" in str(result)


def test_trainable_or_not() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1), nn.ReLU())
    model[0].requires_grad_(False)
    model[1].bias.requires_grad_(False)
    result = summary(model)
    assert (result.trainable, result.frozen) == (3, 10)
    assert [layer.trainable for layer in result.layers] == [3, 0, 3, 0]
    assert [line.split()[-1] for line in str(result).split("\n")[2:6]] == [
        "part",
        "no",
        "part",
        "–",
    ]


def test_a_transformer() -> None:
    result = summary(GPT(GPTConfig()), (2, 8), dtypes=minigen.int64, depth=1)
    assert result.parameters == 805_504  # C(V + T) + L(12 C² + 2 C) + C
    assert rows(result)["h.0.dropout"].calls == 2
    text = str(result).split("\n")
    assert [line.split(":")[0] for line in text[3:8]] == [
        "├─ wte", "├─ wpe", "├─ dropout", "├─ h", "└─ ln_f",
    ]  # fmt: skip


# ------------------------------------------------------------------ inputs and outputs


class Record(nn.Module):
    """Returns what it was called with."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self.got = args, kwargs
        return {"first": args[0] if args else None, "rest": [*args[1:], *kwargs.values()]}


def test_inputs_made_from_sizes() -> None:
    model = Record()
    result = summary(model, [(2, 3), (4,)], dtypes=[minigen.int64, minigen.float64], flag=True)
    (a, b), kwargs = model.got
    assert kwargs == {"flag": True}
    assert (a.shape, a.dtype, b.shape, b.dtype) == ((2, 3), minigen.int64, (4,), minigen.float64)
    assert a.tolist() == [[0] * 3] * 2
    assert 0 <= b.min().item() < b.max().item() < 1
    assert result.layers[0].output_shapes == [{"first": (2, 3), "rest": [(4,), None]}]
    assert "{first: (2, 3), rest: [(4,), –]}" in str(result)
    summary(model, ())
    assert model.got[0][0].shape == ()


def test_inputs_that_are_given() -> None:
    model, x, y = Record(), minigen.ones(2), minigen.ones(3)
    summary(model, input_data=x)
    assert model.got[0][0] is x
    summary(model, input_data=(x, y, 5))
    assert model.got[0] == (x, y, 5)
    summary(model, input_data={"x": x}, y=y)
    assert model.got == ((), {"x": x, "y": y})


def test_without_input_nothing_is_computed() -> None:
    model = Record()
    result = summary(model)
    assert not hasattr(model, "got")
    assert result.saved_bytes is None
    assert "Output shape" not in str(result)


def test_what_cannot_be_meant_is_refused() -> None:
    model, x = nn.Linear(2, 2), minigen.ones(1, 2)
    for error, match, arguments in [
        (ValueError, "not both", {"input_size": (1, 2), "input_data": x}),
        (ValueError, "not both", {"dtypes": minigen.float32, "input_data": x}),
        (ValueError, "dtypes belong to input_size", {"dtypes": minigen.float32}),
        (ValueError, "2 input sizes, but 1 dtypes", {"input_size": [(1,), (2,)], "dtypes": [None]}),
        (ValueError, "tuple of integers", {"input_size": [(1, -2)]}),
        (ValueError, "tuple of integers", {"input_size": [(1, 2), 3.0]}),
        (TypeError, "shape or a list of shapes", {"input_size": 3}),
        (TypeError, "input_data is a tensor", {"input_data": 3}),
        (TypeError, "flag can be handed to the model only", {"flag": 3}),
        (ValueError, "depth is a number of levels", {"depth": -1}),
        (ValueError, "depth is a number of levels", {"depth": True}),
    ]:
        with pytest.raises(error, match=match):
            summary(model, **arguments)
    with pytest.raises(TypeError, match="expects a Module"):
        summary(lambda x: x, (1, 2))  # type: ignore[arg-type]


# ------------------------------------------------------------------ no trace


def test_nothing_remains_of_the_run() -> None:
    model = convolutional(nn)
    model[6].eval()
    modes = [m.training for m in model.modules()]
    handle = model[0].register_forward_hook(lambda *_: None)
    buffers = dict(model.named_buffers())
    values = {name: b.tolist() for name, b in buffers.items()}
    hooks = [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in model.modules()]
    versions = [b.version().count for b in buffers.values()]
    stream = minigen.default_generator.state
    for _ in range(2):
        summary(model, (2, 1, 8, 8))
    assert minigen.default_generator.state == stream
    assert [m.training for m in model.modules()] == modes
    assert all(b is buffers[name] for name, b in model.named_buffers())
    assert {name: b.tolist() for name, b in model.named_buffers()} == values
    assert [b.version().count for b in buffers.values()] == versions
    assert [(m._forward_hooks, m._forward_pre_hooks) for m in model.modules()] == hooks
    assert all(p.grad is None for p in model.parameters())
    handle.remove()


def test_the_run_is_one_in_training_mode() -> None:
    """So that dropout draws: otherwise the test above could not fail."""
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(100))
    seen = []
    model[1].register_forward_hook(lambda m, i, o: seen.append((i[0].tolist(), m.running_mean)))
    summary(model, input_data=minigen.ones(4, 100))
    ((dropped, running_mean),) = seen
    assert {v for row in dropped for v in row} == {0.0, 2.0}
    assert running_mean.abs().sum().item() > 0
    assert model[1].running_mean.abs().sum().item() == 0


def test_a_failing_model_is_left_as_it_was() -> None:
    model = convolutional(nn)
    buffers = list(model.buffers())
    stream = minigen.default_generator.state
    with pytest.raises(RuntimeError, match="linear"):
        summary(model, (2, 1, 10, 10))
    assert not any(m._forward_hooks for m in model.modules())
    assert all(a is b for a, b in zip(model.buffers(), buffers))
    assert buffers[0].abs().sum().item() == 0
    assert minigen.default_generator.state == stream


def test_a_graph_that_waits_for_its_backward_is_not_disturbed() -> None:
    model = nn.BatchNorm1d(3).eval()
    loss = (model(minigen.ones(2, 3)) * model.running_var).sum()
    model.train()
    summary(model, (4, 3))
    loss.backward()
    assert model.weight.grad is not None


def test_a_buffer_that_two_layers_share_stays_shared_while_it_runs() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2))
    model[1].running_mean = model[0].running_mean
    seen = []

    def look(*_: Any) -> None:
        seen.append(model[1].running_mean is model[0].running_mean)

    model[1].register_forward_hook(look)
    summary(model, (3, 2))
    assert seen == [True]


@pytest.mark.parametrize("mode", [minigen.no_grad, minigen.inference_mode])
def test_memory_is_measured_where_nothing_is_recorded_too(mode: Any) -> None:
    with mode():
        result = summary(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)), (5, 3))
        assert not minigen.is_grad_enabled()
    assert result.saved_bytes == 4 * (5 * 3 + 5 * 2)


# ------------------------------------------------------------------ text


def test_the_tree_and_its_columns() -> None:
    encoder = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))
    model = nn.ModuleDict({"encoder": encoder, "解码器": nn.Linear(2, 1)})
    assert (
        str(summary(model))
        == """\
Layer                    Parameters   Trainable
───────────────────────────────────────────────
ModuleDict                        9   yes
├─ encoder: Sequential            6   yes
│  ├─ 0: Linear                   6   yes
│  └─ 1: Sequential               –   –
│     └─ 0: ReLU                  –   –
└─ 解码器: Linear                 3   yes
───────────────────────────────────────────────
Parameters: 9 (9 trainable, 0 frozen)
Memory: parameters 36 B"""
    )
    short = str(summary(model, depth=1)).split("\n")[3:5]
    assert [line.split() for line in short] == [
        ["├─", "encoder:", "Sequential", "6", "yes"],
        ["└─", "解码器:", "Linear", "3", "yes"],
    ]
    assert repr(summary(model)) == str(summary(model))
    wide = type("很长的中文类名" * 6, (nn.Module,), {})
    lines = str(summary(wide())).split("\n")
    assert columns(lines[1]) == max(map(columns, lines[:3]))
