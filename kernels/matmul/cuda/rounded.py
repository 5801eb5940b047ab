"""float32 to bfloat16, and matrices that are kept so.

Rounding takes about as long as the product it is for. A linear layer multiplies each of its three
matrices twice, the input and the weight forward and backward, the cotangent twice backward: each is
rounded once if what was made of it is kept.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ...cuda.launch import empty
from ...fused.cuda.rows import summed_over_rows
from .stored import Stored, round_up, stored
from .tilings import ROUND_AND_SUM, ROUND_BF16

Array = Any  # numpy.ndarray or cupy.ndarray

BF16_CHUNK = 8  # numbers of bfloat16 in the 16 bytes of a copy
STRIP = 256  # columns of a block that also sums
BAND = 64  # rows of it
BANDS = 128  # at most: a fixed number lest sums depend on the GPU


class Rounded(NamedTuple):
    """A float32 matrix of this shape in bfloat16, laid out as the kernels take it; a copy, which
    does not follow changes of the matrix."""

    shape: tuple[int, int]
    stored: Stored

    @property
    def T(self) -> Rounded:
        """Its transpose: the same memory, read the other way."""
        rows, columns = self.shape
        return Rounded((columns, rows), self.stored._replace(transposed=not self.stored.transposed))


def rounded(matrix: Array) -> Rounded:
    """A float32 matrix (r, c) as `matmul_bf16` and `matmul_wgmma` take it in place of an array."""
    return Rounded(matrix.shape, rounded_operand(stored(matrix, (), BF16_CHUNK)))


def rounded_and_summed(matrix: Array) -> tuple[Rounded, Array]:
    """The same of (r, c), and the sums over its rows (c,), for which it is not read again."""
    operand = stored(matrix, (), BF16_CHUNK)
    rows, columns = matrix.shape
    if operand.transposed or 0 in matrix.shape:
        return rounded(matrix), matrix.sum(0)
    pitch, bands = round_up(columns, BF16_CHUNK), min(BANDS, -(-rows // BAND))
    y, partial = empty(matrix, (rows, pitch), np.uint16), empty(matrix, (bands, columns))
    grid = -(-pitch // STRIP), bands
    ROUND_AND_SUM(grid, operand.array, y, partial, rows, columns, pitch)
    return Rounded(matrix.shape, Stored(y, False, 0)), *summed_over_rows(partial)


def rounded_operand(operand: Stored, multiple: int = BF16_CHUNK) -> Stored:
    """float32 as bfloat16, padded on the way."""
    array = _round_rows(operand.array, multiple)
    return Stored(array, operand.transposed, operand.size and array.shape[-1] * array.shape[-2])


def round_bf16(x: Array) -> Array:
    """The bits (uint16) of float32 numbers rounded to bfloat16, to nearest even."""
    flat = x.reshape(1, x.size)
    return _round_rows(flat)[0, : x.size].reshape(x.shape)


def _round_rows(x: Array, multiple: int = BF16_CHUNK) -> Array:
    """(…, rows, columns) in float32 -> (…, rows, pitch) in bfloat16, zeros behind every row."""
    columns, pitch = x.shape[-1], round_up(x.shape[-1], multiple)
    y = empty(x, (*x.shape[:-1], pitch), np.uint16)
    if x.size:
        rows, chunks = math.prod(x.shape[:-1]), y.size // BF16_CHUNK
        ROUND_BF16((-(-chunks // ROUND_BF16.block),), x, y, rows, columns, pitch)
    return y
