"""Layers without state, and the linear ones: Linear, Embedding, Dropout, Flatten.

Every parameter has PyTorch's name, shape and initial distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minigen.errors import ShapeError
from minigen.nn import functional as F
from minigen.nn import init
from minigen.nn.inplace import apply
from minigen.nn.module import Module
from minigen.nn.parameter import Parameter, factory
from minigen.ops.creation import empty
from minigen.tensor import Tensor

__all__ = [
    "AlphaDropout",
    "Bilinear",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Embedding",
    "Flatten",
    "Identity",
    "Linear",
    "Unflatten",
]


class Identity(Module):
    """Its input, unchanged; takes and ignores any arguments, so that it can stand for any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input


class Linear(Module):
    """y = x Wᵀ + b.  (..., in_features) -> (..., out_features)

    weight (out_features, in_features) and bias (out_features) start from U(-b, b) with
    b = 1 / √in_features.

    >>> import minigen
    >>> layer = Linear(3, 2)
    >>> layer(minigen.zeros(5, 3)).shape, layer.weight.shape
    (minigen.Size([5, 2]), minigen.Size([2, 3]))
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        kind = factory(device, dtype)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(empty(out_features, in_features, **kind))
        self.register_parameter("bias", Parameter(empty(out_features, **kind)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Any) -> Any:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Bilinear(Module):
    """y_k = x1ᵀ W_k x2 + b_k.  (..., in1_features), (..., in2_features) -> (..., out_features)

    weight (out_features, in1_features, in2_features) and bias (out_features) start from U(-b, b)
    with b = 1 / √in1_features.

    >>> import minigen
    >>> Bilinear(3, 4, 2)(minigen.zeros(5, 3), minigen.zeros(5, 4)).shape
    minigen.Size([5, 2])
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if in1_features <= 0:
            raise ValueError(f"Bilinear: in1_features must be positive, got {in1_features}")
        kind = factory(device, dtype)
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in1_features, in2_features, **kind))
        self.register_parameter("bias", Parameter(empty(out_features, **kind)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Any, input2: Any) -> Any:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class Embedding(Module):
    """A table that is looked up by row.  integers (...) -> (..., embedding_dim)

    weight (num_embeddings, embedding_dim) starts from N(0, 1); the row at `padding_idx` starts from
    0 and gets no gradient.

    >>> import minigen
    >>> table = Embedding(10, 3, padding_idx=0)
    >>> table(minigen.tensor([0, 7])).shape, table.weight[0].detach()
    (minigen.Size([2, 3]), tensor([0., 0., 0.]))
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise AssertionError(
                    f"padding_idx {padding_idx} must lie within the {num_embeddings} embeddings"
                )
            padding_idx %= num_embeddings
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_idx
        if _weight is None:
            table = empty(num_embeddings, embedding_dim, **factory(device, dtype))
            self.weight = Parameter(table, not _freeze)
            self.reset_parameters()
        elif tuple(_weight.shape) == (num_embeddings, embedding_dim):
            self.weight = Parameter(_weight, not _freeze)
        else:
            raise AssertionError(
                f"the table has shape {tuple(_weight.shape)}, "
                f"not (num_embeddings, embedding_dim) = {(num_embeddings, embedding_dim)}"
            )

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None
    ) -> Embedding:
        """A layer over the memory of a given table (rows, features), not learned if `freeze`."""
        if embeddings.ndim != 2:
            raise ShapeError(f"embeddings must be 2-dimensional, got {tuple(embeddings.shape)}")
        rows, features = embeddings.shape
        return cls(rows, features, padding_idx, _weight=embeddings, _freeze=freeze)

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.array[self.padding_idx] = 0

    def forward(self, input: Any) -> Any:
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class Flatten(Module):
    """Dimensions `start_dim` to `end_dim` as one: all but the batch, unless told otherwise.

    >>> import minigen
    >>> Flatten()(minigen.zeros(2, 3, 4, 5)).shape
    minigen.Size([2, 60])
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Any) -> Any:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Dimension `dim` as several, of sizes `unflattened_size`.

    >>> import minigen
    >>> Unflatten(1, (3, 4))(minigen.zeros(2, 12)).shape
    minigen.Size([2, 3, 4])
    """

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        sequence = isinstance(unflattened_size, tuple | list)
        if not sequence or not all(isinstance(size, int) for size in unflattened_size):
            raise TypeError(f"unflattened_size must be a tuple of ints, got {unflattened_size!r}")
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Any) -> Any:
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def _drop(self, function: Callable, input: Any) -> Any:
        changes = self.training and self.p > 0
        return apply(function, input, self.inplace and changes, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, zero with probability p, else x / (1 - p); in evaluation, x.

    Source: Srivastava et al. 2014, JMLR 15; "inverted", so that evaluation needs no scaling.
    """

    def forward(self, input: Any) -> Any:
        return self._drop(F.dropout, input)


class Dropout1d(_Dropout):
    """Dropout of whole channels of (N, C, L) or (C, L)."""

    def forward(self, input: Any) -> Any:
        return self._drop(F.dropout1d, input)


class Dropout2d(_Dropout):
    """Dropout of whole channels of (N, C, H, W)."""

    def forward(self, input: Any) -> Any:
        return self._drop(F.dropout2d, input)


class AlphaDropout(_Dropout):
    """Dropout for networks with SELU, which keeps mean 0 and variance 1 (arXiv:1706.02515)."""

    def forward(self, input: Any) -> Any:
        return self._drop(F.alpha_dropout, input)
