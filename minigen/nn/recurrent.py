"""Recurrent layers over whole sequences: RNN, LSTM, GRU.

    h_t = step(x_t, h_{t-1})      for t = 1 ... T, in each layer and direction

The equations of a step stand in `minigen.ops.recurrence`, where they are computed.  Here is what
the three have in common: their parameters, the shapes they take, layers and directions.

Every layer and direction has weight_ih_l{k} (gates H, in), weight_hh_l{k} (gates H, H) and, with
`bias`, bias_ih_l{k} and bias_hh_l{k} (gates H); "_reverse" is added for the second direction.  All
start from U(-b, b) with b = 1 / √H.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from minigen.dispatch import take_over_threads
from minigen.errors import ShapeError
from minigen.nn import functional as F
from minigen.nn import init
from minigen.nn.module import Module
from minigen.nn.parameter import Parameter, factory
from minigen.nn.utils.rnn import PackedSequence
from minigen.ops.creation import empty, zeros
from minigen.ops.indexing import index_select
from minigen.ops.joining import cat, stack, unbind
from minigen.ops.recurrence import elman, final_rows, gru, lstm
from minigen.tensor import Tensor

__all__ = ["GRU", "LSTM", "RNN", "RNNBase"]

GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "GRU": 3, "LSTM": 4}


class RNNBase(Module):
    """What RNN, LSTM and GRU have in common; not a layer by itself.

    Input (T, N, input_size), (N, T, input_size) if `batch_first`, (T, input_size), or a
    PackedSequence; output alike with D · H features, D = 2 if `bidirectional`, else 1.
    dropout: between the layers, in training.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        take_over_threads()
        if mode not in GATES:
            raise ValueError(f"mode must be one of {', '.join(GATES)}, got {mode!r}")
        self.mode = mode
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.dropout, self.proj_size = dropout, proj_size
        self._check_options()
        self.dropout = float(dropout)
        self._directions = 2 if bidirectional else 1
        # one number a kind of state (hidden and, in LSTM, cell): its features
        self._state_sizes = (proj_size or hidden_size, hidden_size)[: 2 if mode == "LSTM" else 1]
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for direction in range(self._directions):
                self._add_parameters(layer, direction, factory(device, dtype))
        self.reset_parameters()

    def _check_options(self) -> None:
        for name, kind in (
            ("bias", bool), ("batch_first", bool), ("input_size", int), ("hidden_size", int),
            ("num_layers", int),
        ):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise TypeError(
                    f"{name} should be of type {kind.__name__}, got: {type(value).__name__}"
                )
        for name in ("input_size", "hidden_size", "num_layers"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be greater than zero, got {getattr(self, name)}")
        number = isinstance(self.dropout, int | float) and not isinstance(self.dropout, bool)
        if not number or not 0 <= self.dropout <= 1:
            raise ValueError(
                f"dropout should be a number in range [0, 1], the probability of an element being "
                f"zeroed; got {self.dropout!r}"
            )
        if self.dropout > 0 and self.num_layers == 1:
            warnings.warn(
                "dropout acts between layers, so that it does nothing with num_layers=1 "
                f"(dropout={self.dropout})",
                stacklevel=4,
            )
        if not 0 <= self.proj_size < self.hidden_size:
            raise ValueError(
                f"proj_size has to be 0, for no projection, or from 1 to hidden_size - 1 = "
                f"{self.hidden_size - 1}; got {self.proj_size}"
            )

    def _add_parameters(self, layer: int, direction: int, kind: dict) -> None:
        rows, width = GATES[self.mode] * self.hidden_size, self._state_sizes[0]
        inputs = self.input_size if layer == 0 else width * self._directions
        shapes: dict[str, tuple] = {"weight_ih": (rows, inputs), "weight_hh": (rows, width)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (width, self.hidden_size)
        suffix = f"_l{layer}" + ("_reverse" if direction else "")
        for name, shape in shapes.items():
            setattr(self, name + suffix, Parameter(empty(*shape, **kind)))
        self._all_weights.append([name + suffix for name in shapes])

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters, a list for each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Nothing: in PyTorch it arranges memory for cuDNN."""

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        for name, default in (
            ("proj_size", 0), ("num_layers", 1), ("bias", True), ("batch_first", False),
            ("dropout", 0), ("bidirectional", False),
        ):  # fmt: skip
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)}")
        return ", ".join(parts)

    # -------------------------------------------------------------------------- forward

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """The outputs of the last layer for every step, and the last states of all layers.

        hx: the states before the first step, shaped as those returned; zeros if None.
        """
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.ndim not in (2, 3):
            raise ShapeError(
                f"{self._get_name()}: expected input to be 2D or 3D, got shape {tuple(input.shape)}"
            )
        self._check_features(input)
        single = input.ndim == 2
        if single:
            input = input.unsqueeze(1)  # (T, in) -> (T, 1, in)
        elif self.batch_first:
            input = input.transpose(0, 1)  # (N, T, in) -> (T, N, in)
        steps, batch, features = input.shape
        if not steps:
            raise ShapeError(f"{self._get_name()}: expected at least 1 step, got a sequence of 0")
        states = self._start(hx, input, batch, single)
        rows = input.reshape(steps * batch, features)
        output, last = self._run(rows, states, (batch,) * steps)
        output = output.reshape(steps, batch, output.shape[1])
        if single:
            output, last = output.squeeze(1), [state.squeeze(1) for state in last]
        elif self.batch_first:
            output = output.transpose(0, 1)
        return output, self._handed_over(last)

    def _forward_packed(self, packed: PackedSequence, hx: Any) -> tuple[Any, Any]:
        data, batch_sizes, order, back = packed
        if data.ndim != 2:
            raise ShapeError(
                f"{self._get_name()}: the data of a packed input must have 2 dimensions, got shape "
                f"{tuple(data.shape)}"
            )
        self._check_features(data)
        sizes = tuple(batch_sizes.tolist())
        states = self._start(hx, data, sizes[0], single=False)
        if order is not None and hx is not None:
            states = [index_select(state, 1, order) for state in states]
        output, last = self._run(data, states, sizes)
        if back is not None:
            last = [index_select(state, 1, back) for state in last]
        return PackedSequence(output, batch_sizes, order, back), self._handed_over(last)

    def _check_features(self, input: Any) -> None:
        name, weight = self._get_name(), self.weight_ih_l0
        if input.dtype != weight.dtype:
            raise ShapeError(
                f"{name}: input is {input.dtype}, the weights are {weight.dtype}; convert one: "
                f"input.to({weight.dtype}) or model.to({input.dtype})"
            )
        if input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name}: input of shape {tuple(input.shape)} has {input.shape[-1]} features, "
                f"input_size is {self.input_size}"
            )

    def _start(self, hx: Any, input: Any, batch: int, single: bool) -> list:
        """The states before the first step: (layers · D, batch, features) each."""
        layers = self.num_layers * self._directions
        shapes = [(layers, batch, size) for size in self._state_sizes]
        if hx is None:
            kind = {"dtype": input.dtype, "device": input.device}
            return [zeros(*shape, **kind) for shape in shapes]
        states = self._given(hx)
        for state, shape in zip(states, shapes):
            wanted = (shape[0], shape[2]) if single else shape
            if tuple(state.shape) != wanted:
                raise ShapeError(
                    f"{self._get_name()}: expected a state of shape {wanted} in hx for this input, "
                    f"got {tuple(state.shape)}"
                )
            if state.dtype != input.dtype:
                raise ShapeError(
                    f"{self._get_name()}: hx is {state.dtype}, input {input.dtype}; cast one of "
                    "them"
                )
        return [state.unsqueeze(1) for state in states] if single else list(states)

    def _given(self, hx: Any) -> tuple:
        """hx as a tuple of states."""
        if not isinstance(hx, Tensor):
            raise TypeError(f"{self._get_name()}: hx is a tensor, got {type(hx).__name__}")
        return (hx,)

    def _handed_over(self, states: list) -> Any:
        return states[0]

    def _run(self, rows: Any, states: list, sizes: tuple) -> tuple[Any, list]:
        """All layers, one after the other: (rows, in) -> (rows, D · H), and the last states."""
        before = list(zip(*(unbind(state) for state in states)))  # of each layer and direction
        last = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(self._directions):
                number = layer * self._directions + direction
                parameters = [getattr(self, name) for name in self._all_weights[number]]
                output, *after = self._sequence(
                    rows, before[number], parameters, sizes, direction == 1
                )
                outputs.append(output)
                last.append((final_rows(output, sizes, direction == 1), *after))
            rows = cat(outputs, 1) if self.bidirectional else outputs[0]
            if layer < self.num_layers - 1:
                rows = F.dropout(rows, self.dropout, self.training)
        return rows, [stack(kind) for kind in zip(*last)]

    def _sequence(
        self, rows: Any, states: tuple, parameters: list, sizes: tuple, reverse: bool
    ) -> tuple:
        """One layer in one direction: its outputs, and the last states but the hidden one."""
        raise NotImplementedError(f"{self._get_name()} has no step; use RNN, LSTM or GRU")


class RNN(RNNBase):
    """The simple recurrent network (Elman 1990, Cognitive Science 14(2)).

        h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)

    with max(0, ·) for tanh if nonlinearity="relu".  (T, N, input_size) -> (T, N, D · H), and the
    last states (layers · D, N, H); see RNNBase for other forms of input.

    >>> import minigen
    >>> layer = RNN(3, 4, num_layers=2)
    >>> output, hidden = layer(minigen.zeros(5, 1, 3))
    >>> output.shape, hidden.shape
    (minigen.Size([5, 1, 4]), minigen.Size([2, 1, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(
            f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias, batch_first,
            dropout, bidirectional, 0, device, dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity

    def _sequence(
        self, rows: Any, states: tuple, parameters: list, sizes: tuple, reverse: bool
    ) -> tuple:
        weight_ih, weight_hh, *biases = parameters
        projected = F.linear(rows, weight_ih, biases[0] + biases[1] if biases else None)
        return (elman(projected, *states, weight_hh, sizes, reverse, self.mode == "RNN_RELU"),)


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, Neural Computation 9(8)).

        i = σ(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)      input gate
        f = σ(W_if x_t + b_if + W_hf h_{t-1} + b_hf)      forget gate
        g = tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)   candidate
        o = σ(W_io x_t + b_io + W_ho h_{t-1} + b_ho)      output gate
        c_t = f ⊙ c_{t-1} + i ⊙ g
        h_t = o ⊙ tanh(c_t)

    The rows of the parameters are those of i, f, g, o.  proj_size P > 0: h_t is multiplied by
    weight_hr_l{k} (P, H) and has P features (Sak et al. 2014, arXiv:1402.1128).
    (T, N, input_size) -> (T, N, D · H), and the last (h, c), (layers · D, N, H) each.

    >>> import minigen
    >>> layer = LSTM(3, 4, bidirectional=True)
    >>> output, (h, c) = layer(minigen.zeros(5, 1, 3))
    >>> output.shape, h.shape, c.shape
    (minigen.Size([5, 1, 8]), minigen.Size([2, 1, 4]), minigen.Size([2, 1, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            proj_size, device, dtype,
        )  # fmt: skip

    def _given(self, hx: Any) -> tuple:
        if not isinstance(hx, tuple | list) or len(hx) != 2:
            raise TypeError(f"LSTM: hx is a pair (h_0, c_0) of tensors, got {type(hx).__name__}")
        return tuple(hx)

    def _handed_over(self, states: list) -> Any:
        return tuple(states)

    def _sequence(
        self, rows: Any, states: tuple, parameters: list, sizes: tuple, reverse: bool
    ) -> tuple:
        weight_ih, weight_hh, *rest = parameters
        bias = rest[0] + rest[1] if self.bias else None
        weight_hr = rest[-1] if self.proj_size else None
        (h, c), projected = states, F.linear(rows, weight_ih, bias)
        return lstm(projected, h, c, weight_hh, weight_hr, sizes, reverse)


class GRU(RNNBase):
    """The gated recurrent unit (Cho et al. 2014, arXiv:1406.1078).

        r = σ(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)             reset gate
        z = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)             update gate
        n = tanh(W_in x_t + b_in + r ⊙ (W_hn h_{t-1} + b_hn))    new state
        h_t = (1 - z) ⊙ n + z ⊙ h_{t-1}

    The rows of the parameters are those of r, z, n.  (T, N, input_size) -> (T, N, D · H), and the
    last states (layers · D, N, H); see RNNBase for other forms of input.

    >>> import minigen
    >>> layer = GRU(3, 4, batch_first=True)
    >>> output, hidden = layer(minigen.zeros(1, 5, 3))
    >>> output.shape, hidden.shape
    (minigen.Size([1, 5, 4]), minigen.Size([1, 1, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            0, device, dtype,
        )  # fmt: skip

    def _sequence(
        self, rows: Any, states: tuple, parameters: list, sizes: tuple, reverse: bool
    ) -> tuple:
        weight_ih, weight_hh, *biases = parameters
        bias_ih, bias_hh = biases or (None, None)
        projected = F.linear(rows, weight_ih, bias_ih)
        return (gru(projected, *states, weight_hh, bias_hh, sizes, reverse),)
