"""Recurrent layers and cells against torch: every option, every form of input, two orders."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

import minigen
from minigen import nn
from tests.nn.functional_call import check_layer, joined
from tests.nn.parity import assert_same

rng = np.random.default_rng(1)
KINDS = ["RNN", "LSTM", "GRU"]


def normal(*shape: int) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape))


def both(name: str, *args: Any, **options: Any) -> tuple[Any, Any]:
    return getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)


def states_as_given(name: str) -> Any:
    """(x, h, c) -> (x, (h, c)) where there are two states."""
    return (lambda x, h, c: (x, (h, c))) if name.startswith("LSTM") else (lambda x, h: (x, h))


# -------------------------------------------------------------------------------------- layers

OPTIONS = [
    {},
    {"bias": False},
    {"num_layers": 2},
    {"bidirectional": True},
    {"num_layers": 2, "bidirectional": True, "batch_first": True},
    {"num_layers": 3, "bias": False, "bidirectional": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_keys_values_and_gradients(name: str, options: dict) -> None:
    assert_same(
        *both(name, 3, 4, **options),
        normal(5, 2, 3),
        forward=lambda layer, x: joined(layer(x)),
    )


VARIANTS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "bidirectional": True}),
    ("LSTM", {"bidirectional": True}),
    ("LSTM", {"proj_size": 2, "num_layers": 2, "bidirectional": True}),
    ("LSTM", {"proj_size": 1, "bias": False, "batch_first": True}),
    ("GRU", {"num_layers": 2}),
    ("GRU", {"bias": False, "bidirectional": True}),
]


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_given_states_and_second_derivatives(name: str, options: dict, batched: bool) -> None:
    """With respect to the input, the states before the first step, and every parameter."""
    ours, theirs = both(name, 3, 4, **options)
    number = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    x = normal(2, 3, 3) if batched else normal(3, 3)
    batch = (x.shape[0 if options.get("batch_first") else 1],) if batched else ()
    states = [normal(number, *batch, options.get("proj_size", 4)), normal(number, *batch, 4)]
    states = states if name == "LSTM" else states[:1]
    check_layer(ours, theirs, x, *states, prepare=states_as_given(name))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 3), (4, 1, 3), (2, 0, 3)])
def test_edge_shapes(name: str, shape: tuple) -> None:
    ours, theirs = both(name, 3, 2, num_layers=2)
    assert_same(ours, theirs, normal(*shape), rounds=1, forward=lambda f, x: joined(f(x)))


LENGTHS = [([4, 2, 2, 1], True), ([1, 4, 2], False), ([3, 3], True), ([2], False)]


def packed(x: Any, lengths: list, enforce_sorted: bool) -> Any:
    module = torch if isinstance(x, torch.Tensor) else minigen
    pack = module.nn.utils.rnn.pack_padded_sequence
    return pack(x, lengths, enforce_sorted=enforce_sorted)


@pytest.mark.parametrize(("lengths", "enforce_sorted"), LENGTHS, ids=str)
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("given", [True, False])
def test_packed(name: str, lengths: list, enforce_sorted: bool, given: bool) -> None:
    options = {"num_layers": 2, "bidirectional": True}
    proj = {"proj_size": 2} if name == "LSTM" else {}
    ours, theirs = both(name, 3, 4, **options, **proj)
    batch = len(lengths)
    states = [normal(4, batch, 2 if proj else 4), normal(4, batch, 4)][: 2 if proj else 1]

    def prepare(x: Any, *states: Any) -> tuple:
        sequence = packed(x, lengths, enforce_sorted)
        if not states:
            return (sequence,)
        return sequence, (tuple(states) if name == "LSTM" else states[0])

    inputs = [normal(max(lengths), batch, 3), *(states if given else [])]
    check_layer(ours, theirs, *inputs, prepare=prepare, order=2 if batch == 3 else 1)


@pytest.mark.parametrize("name", KINDS)
def test_packed_output_is_packed_alike(name: str) -> None:
    ours, theirs = (layer.double() for layer in both(name, 3, 4, batch_first=True))
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x = normal(4, 3, 3)
    outputs = [f(packed(m.from_numpy(x), [1, 4, 2], False))[0] for f, m in
               ((ours, minigen), (theirs, torch))]  # fmt: skip
    assert isinstance(outputs[0], nn.utils.rnn.PackedSequence)
    for a, b in zip(*outputs):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_dropout_is_between_layers_in_training_only(name: str) -> None:
    options = {"num_layers": 3, "dropout": 1.0}
    assert_same(*both(name, 3, 4, **options), normal(4, 2, 3), forward=lambda f, x: joined(f(x)))
    minigen.manual_seed(0)
    layer = getattr(nn, name)(3, 50, num_layers=2, dropout=0.5)
    x = minigen.from_numpy(normal(6, 8, 3).astype(np.float32))
    seen: list = []
    inner = layer._sequence
    layer._sequence = lambda rows, *rest: seen.append(rows) or inner(rows, *rest)
    layer(x)
    assert 0.45 < (seen[1].detach().numpy() == 0).mean() < 0.55
    layer.eval()(x)
    assert (seen[3].detach().numpy() == 0).mean() < 0.01
    assert (layer(x)[0].numpy(force=True) == layer(x)[0].numpy(force=True)).all()


@pytest.mark.parametrize("name", KINDS)
def test_initial_values(name: str) -> None:
    minigen.manual_seed(0)
    layer = getattr(nn, name)(30, 64, num_layers=2)
    for parameter in layer.parameters():
        values = parameter.numpy(force=True)
        assert np.abs(values).max() <= 1 / 8
        assert values.std() == pytest.approx(1 / 8 / np.sqrt(3), rel=0.2)
    assert [len(each) for each in layer.all_weights] == [4, 4]
    assert layer.all_weights[1][0] is layer.weight_ih_l1
    layer.flatten_parameters()
    twin = copy.deepcopy(layer)
    assert twin.weight_hh_l0 is not layer.weight_hh_l0
    np.testing.assert_array_equal(twin.weight_hh_l0.numpy(force=True),
                                  layer.weight_hh_l0.numpy(force=True))  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_float32(name: str) -> None:
    ours, theirs = both(name, 20, 30, num_layers=2)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x = normal(10, 3, 20).astype(np.float32)
    y, z = (joined(f(m.from_numpy(x))) for f, m in ((ours, minigen), (theirs, torch)))
    assert y.dtype is minigen.float32
    np.testing.assert_allclose(y.numpy(force=True), z.numpy(force=True), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_extreme_inputs_saturate_without_warning(name: str) -> None:
    ours, theirs = both(name, 2, 3)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x = np.array([[1e30, -1e30], [np.nan, 0.0], [-1e4, 1e4]], np.float32)
    y, z = (f(m.from_numpy(x))[0] for f, m in ((ours, minigen), (theirs, torch)))
    np.testing.assert_allclose(y.numpy(force=True), z.numpy(force=True), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_overflow_without_warning(name: str) -> None:
    """Here, forward and backward, products with the state leave the range of float32."""
    layer = getattr(nn, name)(2, 50)
    huge = minigen.full((1, 3, 50), 3e38, requires_grad=True)
    output, _ = layer(minigen.ones(2, 3, 2), (huge, huge) if name == "LSTM" else huge)
    output.backward(minigen.full((2, 3, 50), 3e38))
    assert huge.grad is not None


@pytest.mark.parametrize("name", KINDS)
def test_states_are_not_changed_and_outputs_may_be(name: str) -> None:
    """The given states stay as they are, and nothing that backward needs lies in the outputs."""
    layer = getattr(nn, name)(2, 3).double()
    states = tuple(minigen.from_numpy(normal(1, 2, 3)) for _ in range(2 if name == "LSTM" else 1))
    before = [state.numpy().copy() for state in states]
    x = minigen.from_numpy(normal(4, 2, 2)).requires_grad_()
    gradients = []
    for change in (False, True):
        output, last = layer(x, states if name == "LSTM" else states[0])
        loss = (output * output).sum() + joined(last).sum()
        (gradient,) = minigen.autograd.grad(loss, x, retain_graph=True)
        gradients.append(gradient.numpy())
        if change:
            output, last = layer(x, states if name == "LSTM" else states[0])
            output += 1.0
            (last[0] if name == "LSTM" else last).zero_()
            (gradient,) = minigen.autograd.grad(output.sum(), x)
            again, _ = layer(x, states if name == "LSTM" else states[0])
            (expected,) = minigen.autograd.grad(again.sum(), x)
            np.testing.assert_allclose(gradient.numpy(), expected.numpy())
    np.testing.assert_array_equal(*gradients)
    for state, old in zip(states, before):
        np.testing.assert_array_equal(state.numpy(), old)


def test_frozen_weights_get_no_gradient() -> None:
    layer = nn.LSTM(2, 3)
    layer.weight_hh_l0.requires_grad_(False)
    layer(minigen.ones(4, 1, 2))[0].sum().backward()
    assert layer.weight_hh_l0.grad is None
    assert layer.weight_ih_l0.grad is not None


BAD = [
    ("RNN", (3, 4), {"dropout": 2}, ValueError, "range"),
    ("RNN", (3, 4), {"dropout": True}, ValueError, "range"),
    ("RNN", (3, 4.0), {}, TypeError, "hidden_size should be of type int"),
    ("RNN", (3, 4), {"num_layers": 1.5}, TypeError, "num_layers"),
    ("RNN", (3, 4), {"bias": 1}, TypeError, "bias should be of type bool"),
    ("GRU", (3, 4), {"batch_first": 1}, TypeError, "batch_first"),
    ("GRU", (0, 4), {}, ValueError, "input_size must be greater"),
    ("GRU", (3, -1), {}, ValueError, "hidden_size must be greater"),
    ("LSTM", (3, 4, 0), {}, ValueError, "num_layers must be greater"),
    ("LSTM", (3, 4), {"proj_size": 4}, ValueError, "proj_size has to be"),
    ("LSTM", (3, 4), {"proj_size": -1}, ValueError, "proj_size has to be"),
    ("RNN", (3, 4, 1, "elu"), {}, ValueError, "nonlinearity must be"),
    ("RNNBase", ("rnn", 3, 4), {}, ValueError, "mode must be"),
    ("GRU", (3, 4), {"proj_size": 2}, Exception, "proj_size"),
]


@pytest.mark.parametrize(("name", "args", "options", "kind", "message"), BAD, ids=str)
def test_wrong_options(name: str, args: tuple, options: dict, kind: type, message: str) -> None:
    with pytest.raises(kind):
        getattr(torch.nn, name)(*args, **options)
    with pytest.raises(kind, match=message):
        getattr(nn, name)(*args, **options)


def test_dropout_of_a_single_layer_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="does nothing with num_layers=1"):
        nn.GRU(3, 4, dropout=0.5)


BAD_INPUTS = [
    ("RNN", "m.ones(3)", "2D or 3D"),
    ("RNN", "m.ones(2, 2, 2, 3)", "2D or 3D"),
    ("GRU", "m.ones(2, 2, 4)", "4 features, input_size is 3"),
    ("LSTM", "m.ones(0, 2, 3)", "at least 1 step"),
    ("RNN", "m.ones(2, 3).double()", "float64, the weights are"),
    ("RNN", "m.ones(2, 3).long()", "int64, the weights are"),
    ("RNN", "m.ones(2, 3), m.ones(1, 1, 4)", r"expected a state of shape \(1, 4\)"),
    ("RNN", "m.ones(2, 2, 3), m.ones(1, 4)", r"expected a state of shape \(1, 2, 4\)"),
    ("GRU", "m.ones(2, 2, 3), m.ones(1, 1, 4)", r"got \(1, 1, 4\)"),
    ("GRU", "m.ones(2, 2, 3), m.ones(1, 2, 4).double()", "hx is minigen.float64"),
    ("GRU", "m.ones(2, 2, 3), (m.ones(1, 2, 4),)", "hx is a tensor, got tuple"),
    ("LSTM", "m.ones(2, 2, 3), m.ones(1, 2, 4)", "hx is a pair"),
    ("LSTM", "m.ones(2, 2, 3), (m.ones(1, 2, 4), m.ones(1, 2, 3))", r"got \(1, 2, 3\)"),
    ("LSTM", "m.ones(2, 3), (m.ones(1, 4), m.ones(1, 1, 4))", r"got \(1, 1, 4\)"),
    ("LSTM", "m.nn.utils.rnn.pack_sequence([m.ones(2)])", "must have 2 dimensions"),
    ("GRU", "m.nn.utils.rnn.pack_sequence([m.ones(2, 2)])", "2 features, input_size is 3"),
    ("RNN", "m.nn.utils.rnn.pack_sequence([m.ones(2, 3)]), m.ones(1, 2, 4)", r"\(1, 1, 4\) in hx"),
]


@pytest.mark.parametrize(("name", "args", "message"), BAD_INPUTS)
def test_wrong_inputs(name: str, args: str, message: str) -> None:
    ours, theirs = both(name, 3, 4)
    with pytest.raises(Exception):  # noqa: B017
        theirs(*eval(f"({args},)", {"m": torch}))
    with pytest.raises((ValueError, TypeError), match=message):
        ours(*eval(f"({args},)", {"m": minigen}))


def test_the_base_class_is_no_layer() -> None:
    with pytest.raises(NotImplementedError, match="no step"):
        nn.RNNBase("GRU", 3, 4)(minigen.zeros(2, 1, 3))


# --------------------------------------------------------------------------------------- cells

CELLS = [
    ("RNNCell", {}),
    ("RNNCell", {"nonlinearity": "relu"}),
    ("RNNCell", {"bias": False}),
    ("LSTMCell", {}),
    ("LSTMCell", {"bias": False}),
    ("GRUCell", {}),
    ("GRUCell", {"bias": False}),
]


@pytest.mark.parametrize("batch", [(3,), (1,), ()])
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(("name", "options"), CELLS, ids=str)
def test_cell(name: str, options: dict, given: bool, batch: tuple) -> None:
    ours, theirs = both(name, 3, 4, **options)
    states = [normal(*batch, 4) for _ in range(2 if name == "LSTMCell" else 1)]
    if given:
        check_layer(ours, theirs, normal(*batch, 3), *states, prepare=states_as_given(name))
    else:
        check_layer(ours, theirs, normal(*batch, 3))


def test_a_cell_in_a_loop_is_a_layer() -> None:
    layer, cell = nn.GRU(3, 4).double(), nn.GRUCell(3, 4).double()
    state = {name[:-3]: value for name, value in layer.state_dict().items()}
    cell.load_state_dict(state)
    x, h = minigen.from_numpy(normal(5, 2, 3)), None
    for step, expected in zip(x, layer(x)[0]):
        h = cell(step, h)
        np.testing.assert_allclose(h.numpy(force=True), expected.numpy(force=True), rtol=1e-12)


def test_cells_of_no_features_and_no_batch() -> None:
    assert nn.GRUCell(0, 3)(minigen.zeros(2, 0)).shape == (2, 3)
    assert nn.RNNCell(3, 0)(minigen.zeros(2, 3)).shape == (2, 0)
    assert nn.LSTMCell(3, 4)(minigen.zeros(0, 3))[1].shape == (0, 4)


BAD_CELLS = [
    ("RNNCell", "m.ones(1, 2, 3)", "expected input of shape"),
    ("RNNCell", "m.ones(2, 2)", "expected input of shape"),
    ("RNNCell", "m.ones(2, 3), m.ones(3, 4)", r"got \(3, 4\)"),
    ("RNNCell", "m.ones(2, 3), m.ones(1, 4)", r"got \(1, 4\)"),
    ("RNNCell", "m.ones(2, 3), m.ones(4)", r"got \(4,\)"),
    ("GRUCell", "m.ones(3), m.ones(1, 4)", r"expected a state of shape \(4,\)"),
    ("GRUCell", "m.ones(2, 3), m.ones(2, 4).double()", "float64"),
    ("GRUCell", "m.ones(2, 3).double()", "dtype"),
    ("GRUCell", "m.ones(2, 3), [m.ones(2, 4)]", "a state is a tensor, got list"),
    ("LSTMCell", "m.ones(2, 3), m.ones(2, 2, 4)", "hx is a pair"),
    ("LSTMCell", "m.ones(2, 3), (m.ones(2, 4), m.ones(2, 3))", r"got \(2, 3\)"),
    ("LSTMCell", "m.ones(2, 3), (m.ones(2, 4), m.ones(1, 4))", r"got \(1, 4\)"),
]


@pytest.mark.parametrize(("name", "args", "message"), BAD_CELLS)
def test_wrong_inputs_of_cells(name: str, args: str, message: str) -> None:
    ours, theirs = both(name, 3, 4)
    with pytest.raises(Exception):  # noqa: B017
        theirs(*eval(f"({args},)", {"m": torch}))
    with pytest.raises((ValueError, TypeError), match=message):
        ours(*eval(f"({args},)", {"m": minigen}))


def test_unknown_nonlinearity_of_a_cell() -> None:
    with pytest.raises(RuntimeError, match="'tanh' or 'relu', got 'elu'"):
        nn.RNNCell(3, 4, nonlinearity="elu")(minigen.zeros(2, 3))
