"""Embedding: rows of a table, looked up by their numbers."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable
from minigen.errors import ShapeError
from minigen.ops.accumulate import add_rows
from minigen.ops.indexing import marked

__all__ = ["embedding"]


@differentiable
def _embedding(input: Any, weight: Any, padding_idx: int | None) -> Any:
    """out[..., :] = weight[input[...], :]"""
    _check(input, weight.shape)
    return marked(np.take(weight, input, axis=0), input, weight.shape[0])


@differentiable
def _look_up_gradient(input: Any, weight: Any, padding_idx: int | None) -> Any:
    """As `_embedding`, with zeros where `input` is `padding_idx`: the adjoint of `_sum_rows`."""
    rows = np.take(weight, input, axis=0)
    if padding_idx is not None:
        np.copyto(rows, 0, where=(input == padding_idx)[..., None])
    return rows


@differentiable
def _sum_rows(input: Any, rows: Any, count: int, padding_idx: int | None) -> Any:
    """out[v, :] = Σ rows[..., :] where input[...] = v; nothing where that is `padding_idx`."""
    places, values = input.reshape(-1), rows.reshape(-1, rows.shape[-1])
    if padding_idx is not None:
        kept = places != padding_idx
        if backend.on_gpu(places):  # how many are kept is known there alone
            values = np.where(kept[:, None], values, values.dtype.type(0))
        else:
            places, values = places[kept], values[kept]
    return add_rows(places, values, count)


_embedding.gradients(
    weight=lambda g, input, weight_shape, padding_idx: _sum_rows(
        input, g, weight_shape[0], padding_idx
    )
)
_look_up_gradient.gradients(
    weight=lambda g, input, weight_shape, padding_idx: _sum_rows(
        input, g, weight_shape[0], padding_idx
    )
)
_sum_rows.gradients(rows=lambda g, input, padding_idx: _look_up_gradient(input, g, padding_idx))


def _check(input: Any, shape: tuple) -> None:
    """Raise TypeError or IndexError unless `input` holds numbers of rows.

    Which they are is not looked at on a GPU, as that would wait for it; see `marked`.
    """
    if input.dtype not in (np.int32, np.int64):
        raise TypeError(
            f"the numbers of the rows must be int32 or int64, got {input.dtype}; use .long()"
        )
    if input.size and not backend.on_gpu(input):
        least, most = int(input.min()), int(input.max())
        if least < 0 or most >= shape[0]:
            raise IndexError(
                f"{least if least < 0 else most} is no row of a table of {shape[0]} rows; "
                f"they are numbered 0 to {shape[0] - 1}"
            )


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Any:
    """Row input[...] of the table `weight`, for every element of `input`.

    input:       (...), int32 or int64, each from 0 to num_embeddings - 1.
    weight:      (num_embeddings, embedding_dim).
    padding_idx: a row that stands for "nothing here" and gets no gradient; negative counts from the
                 end.
    Returns (..., embedding_dim).
    Raises IndexError for a number outside the table (on a GPU its row is NaN instead),
    TypeError for one that is no integer, ShapeError for a table that is not two-dimensional or
    does not have the row `padding_idx`.

    >>> import minigen
    >>> table = minigen.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])
    >>> embedding(minigen.tensor([2, 1]), table)
    tensor([[3., 4.],
            [1., 2.]])
    """
    shape = tuple(weight.shape)
    if len(shape) != 2:
        raise ShapeError(f"embedding: weight must be (num_embeddings, embedding_dim), got {shape}")
    if padding_idx is not None:
        padding_idx = index(padding_idx)
        if not -shape[0] <= padding_idx < shape[0]:
            raise ShapeError(f"embedding: padding_idx {padding_idx} is no row of weight {shape}")
        padding_idx %= shape[0]
    return _embedding(input, weight, padding_idx)
