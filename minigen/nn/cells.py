"""Recurrent cells: one step of RNN, LSTM or GRU, for loops of one's own.

Each takes (N, input_size) and the states (N, hidden_size) before the step, or both without N;
zeros if there are none.  weight_ih (gates H, in), weight_hh (gates H, H), bias_ih and bias_hh
(gates H) start from U(-b, b) with b = 1 / √H.
"""

from __future__ import annotations

import math
from typing import Any

from minigen.errors import ShapeError
from minigen.nn import functional as F
from minigen.nn import init
from minigen.nn.module import Module
from minigen.nn.parameter import Parameter, factory
from minigen.ops.creation import empty, zeros
from minigen.ops.recurrence import elman, gru, lstm
from minigen.tensor import Tensor

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase"]


class RNNCellBase(Module):
    """What RNNCell, LSTMCell and GRUCell have in common: parameters, and checks of shapes."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows, kind = num_chunks * hidden_size, factory(device, dtype)
        self.weight_ih = Parameter(empty(rows, input_size, **kind))
        self.weight_hh = Parameter(empty(rows, hidden_size, **kind))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, **kind)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        bias = "" if self.bias is True else f", bias={self.bias}"
        return f"{self.input_size}, {self.hidden_size}{bias}"

    def _projected(self, input: Any, bias: Any) -> Any:
        """W_ih x + b for (N, in) or (in): always (N, gates H)."""
        name = self._get_name()
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name}: expected input of shape (N, {self.input_size}) or ({self.input_size},), "
                f"got {tuple(input.shape)}"
            )
        return F.linear(input if input.ndim == 2 else input.unsqueeze(0), self.weight_ih, bias)

    def _state(self, state: Any, input: Any) -> Any:
        """(N, H): the state that is given, or zeros."""
        wanted = (*input.shape[:-1], self.hidden_size)
        if state is None:
            rows = input.shape[0] if input.ndim == 2 else 1
            return zeros(rows, self.hidden_size, dtype=input.dtype, device=input.device)
        if not isinstance(state, Tensor):
            raise TypeError(f"{self._get_name()}: a state is a tensor, got {type(state).__name__}")
        if tuple(state.shape) != wanted or state.dtype != input.dtype:
            raise ShapeError(
                f"{self._get_name()}: expected a state of shape {wanted} and {input.dtype} for "
                f"input of shape {tuple(input.shape)}, got {tuple(state.shape)}, {state.dtype}"
            )
        return state if input.ndim == 2 else state.unsqueeze(0)

    def _both_biases(self) -> Any:
        return None if self.bias_ih is None else self.bias_ih + self.bias_hh


class RNNCell(RNNCellBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or max(0, ·) if nonlinearity="relu".

    Source: Elman 1990, Cognitive Science 14(2).

    >>> import minigen
    >>> RNNCell(3, 4)(minigen.zeros(2, 3)).shape
    minigen.Size([2, 4])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def extra_repr(self) -> str:
        default = self.nonlinearity == "tanh"
        return super().extra_repr() + ("" if default else f", nonlinearity={self.nonlinearity}")

    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(
                f"RNNCell: nonlinearity must be 'tanh' or 'relu', got {self.nonlinearity!r}"
            )
        projected, hidden = self._projected(input, self._both_biases()), self._state(hx, input)
        sizes, rectify = (hidden.shape[0],), self.nonlinearity == "relu"
        output = elman(projected, hidden, self.weight_hh, sizes, False, rectify)
        return output if input.ndim == 2 else output.squeeze(0)


class LSTMCell(RNNCellBase):
    """One step of LSTM: (N, in), (h, c) -> (h', c').

        i = σ(W_ii x + b_ii + W_hi h + b_hi)       input gate
        f = σ(W_if x + b_if + W_hf h + b_hf)       forget gate
        g = tanh(W_ig x + b_ig + W_hg h + b_hg)    candidate
        o = σ(W_io x + b_io + W_ho h + b_ho)       output gate
        c' = f ⊙ c + i ⊙ g,   h' = o ⊙ tanh(c')

    Source: Hochreiter & Schmidhuber 1997, Neural Computation 9(8).

    >>> import minigen
    >>> h, c = LSTMCell(3, 4)(minigen.zeros(2, 3))
    >>> h.shape, c.shape
    (minigen.Size([2, 4]), minigen.Size([2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        if hx is not None and (not isinstance(hx, tuple | list) or len(hx) != 2):
            raise TypeError(f"LSTMCell: hx is a pair (h, c) of tensors, got {type(hx).__name__}")
        projected = self._projected(input, self._both_biases())
        h, c = (self._state(state, input) for state in hx or (None, None))
        h, c = lstm(projected, h, c, self.weight_hh, None, (h.shape[0],), False)
        return (h, c) if input.ndim == 2 else (h.squeeze(0), c.squeeze(0))


class GRUCell(RNNCellBase):
    """One step of GRU: (N, in), h -> h'.

        r = σ(W_ir x + b_ir + W_hr h + b_hr)             reset gate
        z = σ(W_iz x + b_iz + W_hz h + b_hz)             update gate
        n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))    new state
        h' = (1 - z) ⊙ n + z ⊙ h

    Source: Cho et al. 2014, arXiv:1406.1078.

    >>> import minigen
    >>> GRUCell(3, 4)(minigen.zeros(3)).shape
    minigen.Size([4])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> Any:
        projected, hidden = self._projected(input, self.bias_ih), self._state(hx, input)
        output = gru(projected, hidden, self.weight_hh, self.bias_hh, (hidden.shape[0],), False)
        return output if input.ndim == 2 else output.squeeze(0)
